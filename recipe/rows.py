"""Tools that other pages might offer, written by hand for this project, in English and German (written/tools*.txt), and how alike two of them are.

A line: name | description | German description | arguments | requests | German requests. An argument is `name:kind`, with `?` behind an optional one's name; `kind` is one of values.py, a list of choices with slashes, or `=` and
values of this argument with `+` between them. Requests are separated by ` ; `, and (a|b|) is a choice in them. A request behind `!` lacks an argument that is needed.
"""
import collections
import dataclasses
import functools
import re

import numpy as np

from aside import HERE, descriptions, folded

FIRST = "tools.txt"  # written before the other files; of those, every 20th tool is never trained (probe.py)
STOP = set("the and for with from you your can could please what which show find get make give set put want need have there this that into are was how who where when all any some new now about open take me my off der die das den ein eine einen und für von mit bitte mir ich ist wie was auf zu zum zur mach".split())


@dataclasses.dataclass
class Row:
    index: int
    file: str
    back: bool
    name: str
    described: str
    german: str
    arguments: list  # (name, kind, optional)
    asked: list
    gefragt: list


def cells(text):
    """Cells stand between bars with a space on each side; the bars of choices have none."""
    return [[part.strip() for part in re.split(r" \|(?= |$)", row)] for row in text.strip().split("\n") if row.strip()]


@functools.cache
def every():
    """All tools but those that heldout_words.jsonl has."""
    found = []
    for path in sorted((HERE / "written").glob("tools*.txt")):
        for number, row in enumerate(cells(path.read_text())):
            assert len(row) == 6, (path, row)
            name, described, german, arguments, asked, gefragt = row
            if {folded(described), folded(german)} & descriptions():
                continue
            parts = [a.strip().split(":", 1) for a in arguments.split(",") if a.strip()]
            split = lambda text: [a.strip() for a in text.split(" ; ") if a.strip()]
            back = path.name != FIRST and number % 20 == 7
            found.append(Row(len(found), path.name, back, name, described, german, [(n.rstrip("?"), kind, n.endswith("?")) for n, kind in parts], split(asked), split(gefragt)))
    return found


@functools.cache
def written():
    """Those to train with."""
    return [row for row in every() if not row.back]


@functools.cache
def sections():
    """What is said to the chat page, written by hand for this project: written/talk.txt, by the words of the line with # above."""
    found, name = collections.defaultdict(list), None
    for line in (HERE / "written" / "talk.txt").read_text().splitlines():
        if line.startswith("#"):
            name = line.strip("# ").strip()
        elif line.strip():
            found[name].append(line.strip())
    return found


def spoken(text):
    return {w for w in re.findall(r"[^\W\d_]+", text.lower()) if len(w) > 2} - STOP


@functools.cache
def words_of(index):
    """Words that may mean this tool, in both languages."""
    row = every()[index]
    requests = re.sub(r"\{\w+\}", " ", " ".join(row.asked + row.gefragt))
    return spoken(re.sub(r"([a-z])([A-Z])|_", r"\1 \2", row.name) + f" {row.described} {row.german} {requests}")


@functools.cache
def likeness():
    """Cosines between the words of all tools (their first six letters); rare words weigh more, those of a description double."""
    bags = []
    for row in every():
        stems = lambda text: [w[:6] for w in spoken(text)]
        bag = collections.Counter(stems(" ".join(words_of(row.index))))
        bag.update(stems(f"{row.described} {row.german}"))
        bags.append(bag)
    known = {w: i for i, w in enumerate(sorted(set().union(*bags)))}
    counts = np.zeros((len(bags), len(known)), np.float32)
    for i, bag in enumerate(bags):
        for w, n in bag.items():
            counts[i, known[w]] = n
    weighed = counts * np.log(len(bags) / (counts > 0).sum(0))
    weighed /= np.linalg.norm(weighed, axis=1, keepdims=True)
    return weighed @ weighed.T
