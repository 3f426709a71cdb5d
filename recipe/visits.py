"""Training dialogues of the two kinds that visitors have: with the tools of the chat page, as it lists them, and with tools that another page offers; among requests there is small talk, what nobody here knows, and what no tool does.

No request of e2e/first_minute.jsonl and heldout_words.jsonl is ever made: they are what the model is measured with.
"""
import re

import foreign
import page
import talk
import words
from aside import folded
from aside import requests as kept_aside
from dialogues import calls_text, signature
from phrases import HELD, core
from rows import likeness, sections, spoken
from toolbox import ALIKE, RELATED, compatible, group_of, neighbour, toolbox, vocabulary
from tools import TOOLS
from values import amount, bare, choice, city, clock, duration, expression, fact, made, one_of, pattern, percent, quoted, task, titled, units

GERMAN = 0.4
# the page's tools, in its order (demo/chat/tools/index.ts)
PAGE_TOOLS = ["set_timer", "set_alarm", "get_time", "calculate", "convert_units", "add_note", "add_todo", "set_theme", "set_volume", "search_page", "navigate", "zoom", "read_aloud"]


VALUE = "\0"  # before a request that begins with a value: it gets no capital


def typed(rng, text, german, ends=True):
    """As people type: capitals or none, an end or none, seldom a slip."""
    begins_with_value = text.startswith(VALUE)
    text = text.replace(VALUE, "").strip()
    if rng.random() < 0.55 and not begins_with_value:
        text = text[0].upper() + text[1:]
    if ends and text[-1].isalnum():
        r = rng.random()
        text += "." if r < 0.12 else "?" if r < 0.2 else "!" if r < 0.25 else ""
    return text


LEADS = {"en": ["please ", "hey, ", "ok, ", "now ", "hi, ", "hello, ", "so, ", "could you please ", "can you ", "would you ", "I'd like you to ", "quickly ", "just ", "and ", "next, ", "well, ", "yo ", "hey there, ", "one thing: "], "de": ["bitte ", "hallo, ", "hey, ", "also, ", "ok, ", "jetzt ", "und ", "dann ", "so, ", "bitte einmal: "]}
IMPERATIVE = set("set start run make create find search open show play send add put write save take turn switch book order convert calculate read zoom change delete remove list get give check count send share cancel schedule rate export print archive approve reject assign pay buy copy tag compare lock reset invite sort track rename mark log record".split())
VERB_LEADS = {"could you please ", "can you ", "would you ", "I'd like you to ", "quickly ", "just "}


def led(rng, text, german):
    """Openers and politeness."""
    if rng.random() < 0.16:
        lead = rng.choice(LEADS["de" if german else "en"])
        if lead not in VERB_LEADS or text.split(" ", 1)[0].lower() in IMPERATIVE:
            text = lead + text
    return text


def noisy(rng, template):
    """A slip of the keyboard in a word of the template, never in a value."""
    if rng.random() >= 0.05:
        return template
    spots = [m for m in re.finditer(r"(?<![{\w])[a-zäöü]{4,}(?![}\w])", template)]
    if not spots:
        return template
    m = rng.choice(spots)
    w = m[0]
    i = rng.randrange(1, len(w) - 1)
    w = rng.choice([w[:i] + w[i + 1] + w[i] + w[i + 2:], w[:i] + w[i + 1:], w[:i] + w[i] + w[i:]])
    return template[:m.start()] + w + template[m.end():]


def page_values(rng, tool, german):
    """(arguments, what is said for each name in the phrases)"""
    if tool == "set_timer":
        n, said = duration(rng, german)
        return {"minutes": n}, {"duration": said}
    if tool == "set_alarm":
        value, said = clock(rng, german)
        return {"time": value}, {"at": said}
    if tool == "get_time":
        value = city(rng, german)
        return {"city": value}, {"city": quoted(rng, value, 0.03)}
    if tool == "calculate":
        value = expression(rng, german)
        return {"expression": value}, {"expression": value}
    if tool == "convert_units":
        n, said = amount(rng, german)
        source, target = units(rng, german)
        return {"value": n, "source": source, "target": target}, {"value": said, "source": source, "target": target}
    if tool in ("add_note", "add_todo"):
        key = "text" if tool == "add_note" else "task"
        value = fact(rng, german) if tool == "add_note" else task(rng, german)
        return {key: value}, {key: quoted(rng, value, 0.25)}
    if tool in ("set_volume", "zoom"):
        n, said = percent(rng, german, 100 if tool == "set_volume" else 200)
        return {"percent": n}, {"percent": said}
    if tool == "search_page":
        value = rng.choice([lambda: one_of(rng, words.listed(words.QUERIES)), lambda: made(rng), lambda: titled(rng, german), lambda: one_of(rng, words.EN["person"]), lambda: f"{made(rng)} {made(rng)}", lambda: one_of(rng, words.EN["item"])])()
        return {"query": value}, {"query": quoted(rng, value, 0.55)}
    lists = {"set_theme": ("theme", page.THEMES), "navigate": ("section", page.SECTIONS), "read_aloud": ("section", page.READABLE)}
    key, pool = lists[tool]
    language = "de" if german else "en"
    value = one_of(rng, words.listed(pool[language]))
    r = rng.random()
    if r < 0.18:
        value = made(rng)
    elif r < 0.5 and tool != "set_theme":  # the page's own
        value = rng.choice(words.listed(pool[language])[:8])
    elif r < 0.6 and tool == "set_theme":
        value = rng.choice(words.listed(pool[language])[:3])
    return {key: value}, {key: quoted(rng, value, 0.06)}


def page_request(rng, tool, german, patterns=None):
    while True:
        language = "de" if german else "en"
        more = sections()[f"page {tool} {language}"]
        template = pattern(rng, rng.choice(patterns or (more if more and rng.random() < 0.45 else page.PHRASES[tool][language])))
        arguments, said = page_values(rng, tool, german)
        if "{n}" in template:
            arguments["minutes"], said["n"] = bare(rng, german)
        if core(template.replace("{at}", "{time}").replace("{duration}", "{minutes} minutes")) in HELD or set(re.findall(r"\{(\w+)\}", template)) - set(said):
            continue
        template = noisy(rng, template)
        text = led(rng, VALUE * template.startswith("{") + template, german).format(**said)
        if len(text) < 220:
            return text, arguments


def drawn(rng, german):
    """Values for the phrases of talk.py."""
    source = words.DE if german else words.EN
    fill = {name: (lambda values=values: one_of(rng, values)) for name, values in source.items()}
    fill |= {"year": lambda: rng.randint(1200, 2025), "count": lambda: rng.randint(2, 40), "text": lambda: f'"{fact(rng, german)}"' if rng.random() < 0.5 else fact(rng, german), "address": lambda: one_of(rng, words.EN["city"]), "city": lambda: city(rng, german), "person": lambda: one_of(rng, words.EN["person"]),
             "language": lambda: one_of(rng, words.listed(words.LANGUAGES["en"])), "topic": lambda: one_of(rng, words.EN["topic"]), "title": lambda: one_of(rng, words.EN["title"])}
    return fill


def said(rng, patterns, german):
    """One phrase of talk.py."""
    text = pattern(rng, rng.choice(patterns)).lstrip("~ ")
    text = text.replace('\\"?', rng.choice(['"', "", ""])).replace('"?', rng.choice(['"', ""])).replace(",?", rng.choice([",", "", "!"]))
    text = text if text.count('"') % 2 == 0 else text.replace('"', "")
    fill = drawn(rng, german)
    return re.sub(r"\{(\w+)\}", lambda m: str(fill[m[1]]()), re.sub(r"\s+", " ", text))


def small_talk(rng, german):
    language = "de" if german else "en"
    patterns, answer = rng.choice(talk.SMALL_TALK[language])
    more = [line for name, lines in sections().items() if name.startswith(f"small {language} ") and answer.startswith(name[9:]) for line in lines]  # such a section is named after how the answer begins
    return said(rng, more if more and rng.random() < 0.5 else patterns, german), answer


def beyond(rng, german):
    """What a miniature cannot answer: (request, answer)"""
    language = "de" if german else "en"
    name, patterns, answer = rng.choices([("knowledge", talk.KNOWLEDGE, talk.UNKNOWN), ("writing", talk.WRITING, talk.TOO_SMALL), ("actions", talk.ACTIONS, talk.NO_TOOL)], [42, 22, 36])[0]
    more = sections()[f"{name} {language}"]
    return said(rng, more if more and rng.random() < 0.5 else patterns[language], german), answer[language]


def page_schema(tool):
    spec = TOOLS[tool]
    properties = {k: {"type": t, "description": d} for k, (t, _, d) in spec["parameters"].items()}
    return {"name": tool, "description": spec["about"], "parameters": {"type": "object", "properties": properties, "required": list(properties)}}


class Dialogue:
    def __init__(self, limit):
        self.messages, self.size, self.limit = [], 0, limit

    def user(self, rng, text, german, ends=True):
        """False if it is a request that is kept aside."""
        text = typed(rng, text, german, ends)
        if folded(text) in kept_aside():
            return False
        self.add("user", text)
        return True

    def add(self, role, content, **about):
        self.messages.append({"role": role, "content": content} | about)
        self.size += len(content) + 24

    def full(self):
        return self.size > self.limit


def result(rng, tool):
    return {"get_time": lambda: f"{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}", "search_page": lambda: str(rng.randint(0, 30)), "calculate": lambda: str(rng.choice([rng.randint(-99, 9999), round(rng.uniform(0, 999), 2)])), "convert_units": lambda: str(round(rng.uniform(0.1, 9999), 2))}.get(tool, lambda: "ok")()


def page_turn(d, rng, offered, german):
    language = "de" if german else "en"
    r = rng.random()
    if r < 0.1:
        q, a = small_talk(rng, german)
        return d.user(rng, q, german) and d.add("assistant", a, tool=None)
    if r < 0.3:
        q, a = beyond(rng, german)
        return d.user(rng, q, german) and d.add("assistant", a, tool=None)
    tool = rng.choice(PAGE_TOOLS)
    if tool not in offered:
        text, _ = page_request(rng, tool, german)
        return d.user(rng, text, german) and d.add("assistant", talk.NO_TOOL[language], tool=None)
    if r < 0.36 and tool in page.VAGUE:
        more = sections()[f"vague {tool} {language}"]
        if not d.user(rng, pattern(rng, rng.choice(more if more and rng.random() < 0.5 else page.VAGUE[tool][language])), german):
            return
        d.add("assistant", page.QUESTION[tool][language], tool=tool)
        if rng.random() < 0.5 or tool == "convert_units":
            return
        arguments, shown = page_values(rng, tool, german)
        (answer,) = shown.values()
        if not d.user(rng, VALUE + rng.choice(["{}", "{}", "{}", "{} bitte" if german else "{} please", "hm, {}", "um {}" if german and tool == "set_alarm" else "at {}" if tool == "set_alarm" else "{}", "in {}" if tool == "get_time" else "{}"]).format(answer), german):
            d.messages.pop(), d.messages.pop()
            return
    else:
        text, arguments = page_request(rng, tool, german)
        calls = [{"name": tool, "arguments": arguments}]
        if r > 0.95:
            second = rng.choice([t for t in offered if t != tool])
            more, others = page_request(rng, second, german)
            text += rng.choice([" und ", ", dann ", " und dann "] if german else [" and ", ", then ", " and then ", ", and also ", ". Then ", ". Also "]) + more
            calls.append({"name": second, "arguments": others})
        if not d.user(rng, text, german, ends=not text.endswith(('"', "“", "”"))):
            return
        if len(calls) == 2:
            d.add("assistant", calls_text(calls), tool=tool)
            return
    for again in range(2):
        d.add("assistant", calls_text([{"name": tool, "arguments": arguments}]), tool=tool)
        if rng.random() < 0.55:
            return
        brief = result(rng, tool)
        d.add("tool", brief)
        d.add("assistant", page.DONE[tool][language].format(result=brief, target=arguments.get("target", "")))
        if again or tool not in page.CHANGE or rng.random() < 0.6 or d.full():
            return
        text, arguments = page_request(rng, tool, german, page.CHANGE[tool][language])
        if not d.user(rng, text, german):
            return


def page_visit(rng):
    offered = list(PAGE_TOOLS)
    if rng.random() < 0.12:
        for tool in rng.sample(offered, rng.randint(1, 4)):
            offered.remove(tool)
    d, german = Dialogue(1000), rng.random() < GERMAN
    while not d.full():
        page_turn(d, rng, offered, german)
    return {"messages": d.messages, "tools": [page_schema(t) for t in offered]}


def unfit(rng, box, known, german):
    """A request that no tool of the list fits, or None."""
    inner = [t for t in box if isinstance(t.topic, tuple)]
    listed = [t for t in box if isinstance(t.topic, int)]
    r = rng.random()
    if inner and r < 0.25:  # the same thing, and nothing that does this
        near = rng.choice(inner)
        taken = {group_of(t.topic[0]) for t in inner if t.topic[1] == near.topic[1]}
        for _ in range(80):
            other = foreign.composed(rng)
            if other.topic[1] == near.topic[1] and group_of(other.topic[0]) not in taken | ({1} if 3 in taken else set()):
                return foreign.request(rng, other, german)[0]
        return None
    for _ in range(20):
        if listed and r < 0.5:  # the same field, and nothing that does this
            other = neighbour(rng, rng.choice(listed))
            if compatible(other, box) and all(likeness()[other.topic, t.topic] < ALIKE for t in listed):
                return foreign.request(rng, other, german)[0]
            continue
        other = foreign.tool(rng)
        if rng.random() < 0.2:
            q, apart = page_request(rng, rng.choice(PAGE_TOOLS), german)[0], False
        else:
            q, apart = foreign.request(rng, other, german)[0], isinstance(other.topic, int) and not inner and all(likeness()[other.topic, t.topic] < RELATED for t in listed)
        if apart or not spoken(q) & known:
            return q
    return None


def question(argument, german):
    plain = argument if re.search("[A-Z]", argument) else argument.replace("_", " ")
    return f"Mir fehlt noch etwas: {plain}?" if german else f"What is the {plain}?"


def foreign_turn(d, rng, box, known, german):
    language = "de" if german else "en"
    r = rng.random()
    if r < 0.08:
        q, a = small_talk(rng, german)
        return d.user(rng, q, german) and d.add("assistant", a, tool=None)
    if r < 0.16:
        for _ in range(8):
            q, a = beyond(rng, german)
            if not spoken(q) & known and not any(word.startswith(known_word[:5]) for word in spoken(q) for known_word in known if len(known_word) > 5):
                return d.user(rng, q, german) and d.add("assistant", a, tool=None)
        return
    if r < 0.32:
        q = unfit(rng, box, known, german)
        return q and d.user(rng, led(rng, q, german), german) and d.add("assistant", talk.NO_TOOL[language], tool=None)
    tool = rng.choice(box)
    text, arguments, missing = foreign.request(rng, tool, german)
    if len(text) > 220:
        return
    if missing:
        if not d.user(rng, led(rng, text, german), german):
            return
        d.add("assistant", question(missing, german), tool=tool.name)
        needed = [(name, kind) for name, kind, optional in tool.arguments if not optional]
        if rng.random() < 0.45 and len(needed) == 1:
            value, shown = choice(rng, needed[0][1], german)
            d.user(rng, rng.choice([VALUE + "{}", VALUE + "{}", VALUE + ("{} bitte" if german else "{} please"), "hm, {}"]).format(shown), german, ends=False) and d.add(
                "assistant", calls_text([{"name": tool.name, "arguments": {needed[0][0]: value}}]), tool=tool.name)
        return
    calls = [{"name": tool.name, "arguments": arguments}]
    text = led(rng, text, german)
    if rng.random() < 0.08 and len(box) > 1:
        second = rng.choice([t for t in box if t is not tool])
        more, others, lacking = foreign.request(rng, second, german)
        if not lacking:
            text += rng.choice([" und ", ", dann "] if german else [" and ", ", then ", ". Then ", ", and also "]) + more
            calls.append({"name": second.name, "arguments": others})
    if not d.user(rng, text, german, ends=text[-1] not in '"“”'):
        return
    d.add("assistant", calls_text(calls), tool=tool.name)
    if rng.random() < 0.2:
        d.add("tool", "ok")
        d.add("assistant", "Erledigt." if german else "Done.")
    if len(calls) == 1 and arguments and rng.random() < 0.12:  # the same with another value
        name = rng.choice(list(arguments))
        value, shown = choice(rng, next(kind for argument, kind, _ in tool.arguments if argument == name), german)
        if not isinstance(value, str) or value == arguments[name] or ("\"" in value):
            return
        phrases = ["und {}", "und {}?", "und was ist mit {}", "jetzt {}", "lieber {}", "nein, {}", "doch {}"] if german else ["and {}", "and {}?", "what about {}", "how about {}", "now {}", "no, {}", "{} instead", "actually {}", "sorry, I meant {}"]
        d.user(rng, rng.choice(phrases).format(shown), german, ends=False) and d.add("assistant", calls_text([{"name": tool.name, "arguments": arguments | {name: value}}]), tool=tool.name)


def foreign_visit(rng):
    box = toolbox(rng, rng.choice([1, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 6, 7, 8, 10, 13, 16]))
    known = set().union(*map(vocabulary, box))
    schemas = [t.schema() for t in box]
    d, german = Dialogue(max(200, 1500 - sum(len(signature(s)) for s in schemas))), rng.random() < GERMAN
    for _ in range(12):
        foreign_turn(d, rng, box, known, german)
        if d.full() or (len(d.messages) > 12):
            break
    return {"messages": d.messages, "tools": schemas}


def bare_visit(rng):
    """A page that offers no tools."""
    d, german = Dialogue(600), rng.random() < GERMAN
    while not d.full():
        q, a = small_talk(rng, german) if rng.random() < 0.5 else beyond(rng, german)
        d.user(rng, q, german) and d.add("assistant", a, tool=None)
    return {"messages": d.messages, "tools": []}


def visit(rng):
    r = rng.random()
    while True:
        made_up = page_visit(rng) if r < 0.18 else foreign_visit(rng) if r < 0.98 else bare_visit(rng)
        if made_up["messages"]:
            return made_up


if __name__ == "__main__":
    import random

    from dialogues import render
    rng = random.Random(1)
    for _ in range(12):
        d = visit(rng)
        print(render(d["messages"], d["tools"])[0], "\n")
