"""Says what a trained state gets wrong, by kind, with the tools that are held back from training (every 20th of written/tools_*.txt):

    python probe.py OUT [--n 300] [--known] [--cases FILE.jsonl] [--show]

A case is a list of tools and one request, answered greedily in float32. FILE.jsonl holds cases in the form of heldout.jsonl instead.
"""
import argparse
import collections
import json
import pathlib
import random
import re

import torch
from tokenizers import Tokenizer

import foreign
from dialogues import calls_text, render
from model import Lfm2
from rows import every
from toolbox import compatible, toolbox, vocabulary
from visits import typed, unfit


def made_up(rng, back=True):
    """(kind, messages, tools, wanted answer or None where any answer without a call will do)"""
    german = rng.random() < 0.35
    tool = foreign.hand_written(rng, rng.choice([row for row in every() if row.back == back]))
    box = [t for t in toolbox(rng, rng.choice([1, 2, 3, 4, 5, 7])) if compatible(tool, [t])] + [tool]
    rng.shuffle(box)
    kind = "German" if german else "English"
    r = rng.random()
    if r < 0.15:
        box.remove(tool)
        if not box:
            return made_up(rng, back)
        text = foreign.request(rng, tool, german)[0] if rng.random() < 0.5 else unfit(rng, box, set().union(*map(vocabulary, box)), german)
        if not text or not compatible(tool, box):
            return made_up(rng, back)
        kind, answer = f"no tool fits, {kind}", None
    else:
        text, arguments, missing = foreign.request(rng, tool, german)
        answer = None if missing else calls_text([{"name": tool.name, "arguments": arguments}])
        kind = f"argument missing, {kind}" if missing else f"call, {kind}"
    return kind, [{"role": "user", "content": typed(rng, text, german, ends=not text.endswith(('"', "“", "”")))}], [t.schema() for t in box], answer


def given(path):
    for line in path.read_text().splitlines():
        case = json.loads(line)
        tools = [tool.get("function", tool) for tool in case.get("tools") or []]
        calls = case["expect"].get("calls")
        yield case.get("skill", "case"), case["messages"], tools, calls_text(calls) if calls else None


class Answers:
    def __init__(self, path):
        state = torch.load(path, weights_only=False, map_location="cpu")
        self.tokenizer = Tokenizer.from_str(state["tokenizer"])
        self.model = Lfm2(state["config"]).eval()
        self.model.load_state_dict(state["model"])
        self.seen = state["seen"]

    @torch.no_grad()
    def fault(self, prompt, wanted):
        """Where the greedy answer first differs from the wanted one: (what is wrong, the answer up to there), or (None, None)."""
        given = self.tokenizer.encode(prompt, add_special_tokens=False).ids
        answer = self.tokenizer.encode((wanted or "") + "<|im_end|>", add_special_tokens=False)
        ids = given + answer.ids
        best = self.model(torch.tensor([ids]), torch.arange(len(given) - 1, len(ids) - 1)).argmax(-1).tolist()
        if wanted is None:
            return ("call where none is wanted", None) if self.tokenizer.id_to_token(best[0]) == "<|tool_call_start|>" else (None, None)
        if best == answer.ids:
            return None, None
        i = next(i for i, (mine, right) in enumerate(zip(best, answer.ids)) if mine != right)
        mine, right = (self.tokenizer.decode([x], skip_special_tokens=False) for x in (best[i], answer.ids[i]))
        before = wanted[:answer.offsets[i][0]]
        inside = before.count('"') % 2 == 1
        if i == 0:
            wrong = "no call"
        elif "(" not in before + right:
            wrong = "wrong tool"
        elif inside:
            wrong = "value too short" if mine.startswith('"') else "value too long" if right.startswith('"') else "wrong value"
        else:
            wrong = "number" if re.search(r"=[\d.]*$", before) else "other arguments"
        return wrong, self.tokenizer.decode(answer.ids[:i] + [best[i]], skip_special_tokens=False)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--n", type=int, default=300)
    parser.add_argument("--cases", type=pathlib.Path)
    parser.add_argument("--known", action="store_true", help="tools of the training instead")
    parser.add_argument("--show", action="store_true")
    o = parser.parse_args()
    torch.set_num_threads(1)
    answers, rng = Answers(o.out / "state.pt"), random.Random(3)
    counts, faults = collections.Counter(), collections.Counter()
    for kind, messages, tools, wanted in given(o.cases) if o.cases else (made_up(rng, not o.known) for _ in range(o.n)):
        wrong, answer = answers.fault(render(messages, tools, generation=True)[0], wanted)
        counts[kind] += 1
        faults[kind, wrong] += 1
        if o.show and wrong:
            print(f"{wrong}: {messages[-1]['content']}\n   wanted {wanted}\n   got    {answer}")
    print(f"{answers.seen / 1e6:.1f} M tokens")
    for kind, n in counts.items():
        print(f"{kind:32} {n:4} cases, {100 * faults[kind, None] / n:5.1f} % right; " + ", ".join(f"{wrong} {m}" for (k, wrong), m in faults.most_common() if k == kind and wrong))


if __name__ == "__main__":
    main()
