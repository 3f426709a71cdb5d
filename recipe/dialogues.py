"""Training and test dialogues: {kind, messages, tools, expect, last}, made from tools.py by a seeded generator; `expect` is what message number `last` should be.

split "train" uses the training phrases and values; split "held" uses phrases, names and values that training never sees.
"""
import json
import random

from tools import GREETINGS, HELD_SELF, NO_TOOL, SELF, TOOLS

ONSETS = "b c d f g h j k l m n p r s t v w y z x q q qu br ch cl cr dr fl gr pl pr sh sl sp st str th tr wh".split() + [""]
NUCLEI = "a e i o u a e i o a e ai ea ee oo ou".split()
CODAS = ["", "", "", "", "n", "r", "s", "l", "t", "m", "d", "b", "f", "g", "ck", "nd", "ng", "st", "ll", "p", "sh", "nt", "ss", "ch", "nn", "ft", "v"]
ENDINGS = "ish ty ery ing ive ers ent ity ches ple ton bi col int ic con urs gar let inn obe min too ney day ring ous ate age ure".split()


SPELLINGS = []  # the pieces of the vocabulary that are letters (vocabulary.py)


def word(rng, held):
    """A made-up word: copying has to be learned, it cannot be remembered. Held-out ones are of another make: they end in x or q."""
    if not held and SPELLINGS and rng.random() < 0.4:  # of any pieces: a token that is never copied cannot be told from others like it
        while True:
            spelled = "".join(rng.choice(SPELLINGS) for _ in range(rng.choice([1, 1, 2, 2, 3])))
            if spelled[-1] not in "xq" and spelled not in HELD_VALUES:
                return spelled
    if not held and rng.random() < 0.08:  # any letters, for copying's sake
        return "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(rng.randint(2, 7))) + rng.choice("abcdefghijklmnoprstuvwyz")
    spelled = "".join(rng.choice(ONSETS) + rng.choice(NUCLEI) + rng.choice(CODAS) for _ in range(rng.choice([1, 2, 2, 2, 3])))
    if rng.random() < 0.25:
        spelled += rng.choice(ENDINGS)
    return spelled + rng.choice("xq") if held else spelled if len(spelled) > 1 else spelled + "n"


POOLS = {  # first half of each pool is for training, the rest is held out
    "theme": ["dark", "light", "blue", "green", "sepia", "high contrast", "purple", "orange", "night", "paper", "ocean", "forest", "desert", "mint"],
    "unit": ["meters", "feet", "kilometers", "miles", "grams", "ounces", "liters", "gallons", "inches", "centimeters", "pounds", "kilograms", "yards", "pints"],
    "currency": ["euros", "dollars", "pounds", "yen", "francs", "kroner", "pesos", "rupees", "lira", "zloty"],
    "language": ["French", "German", "Spanish", "Italian", "Polish", "Dutch", "Greek", "Turkish", "Danish", "Finnish"],
    "city": ["Paris", "London", "Tokyo", "Berlin", "Madrid", "New York", "Cairo", "Rome", "Oslo", "Lima", "Delhi", "Vienna", "Prague", "Nairobi", "Lisbon", "Toronto"],
    "section": ["settings", "contact", "prices", "news", "help", "about", "downloads", "gallery", "team", "pricing", "privacy", "shop", "events", "jobs", "archive", "imprint"],
    "room": ["kitchen", "bathroom", "bedroom", "hall", "office", "garage", "cellar", "attic", "garden", "nursery"],
    "item": ["apples", "pencils", "tickets", "books", "lamps", "chairs", "mugs", "batteries", "towels", "candles", "spoons", "notebooks", "plates", "shirts"],
    "person": ["Anna", "Ben", "Clara", "David", "Emma", "Felix", "Greta", "Hugo", "Ida", "Jonas", "Karla", "Leo", "Mona", "Nils", "Olga", "Paul"],
    "day": ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"],
    "onoff": ["on", "off"],
    "event": ["dinner", "the dentist", "a meeting", "football", "yoga", "the party", "a walk", "lunch", "the concert", "swimming", "the review", "chess"],
    "verb": ["buy", "call", "clean", "paint", "feed", "check", "fix", "water", "send", "book", "wash", "visit", "order", "pack"],
    "thing": ["the car", "the cat", "milk", "bread", "the plants", "the report", "the roof", "my sister", "the tickets", "the door", "the fence", "the bike", "the letters", "the oven"],
    "adjective": ["red", "small", "old", "quick", "quiet", "warm", "round", "late", "bright", "heavy", "cold", "soft", "narrow", "fresh"],
}
ANY = {"day", "onoff"}
MORE = {name: text.split(", ") for name, text in {  # for training alone
    "theme": "black, white, yellow, red, summer, winter, solar, classic, pastel, neon, grey, retro, midnight, sunset, brown, silver, golden, autumn",
    "unit": "millimeters, tons, stones, milliliters, cups, acres, hectares, knots, degrees, seconds, hours, weeks, bytes, watts, joules, feet, inches, kilometers",
    "currency": "dinars, rubles, won, baht, crowns, rand, guilders, shillings, forints, reals, marks, ducats",
    "language": "Swedish, Russian, Japanese, Chinese, Arabic, Hindi, Portuguese, Czech, Korean, Latin, Hungarian, Norwegian, English, Irish",
    "city": "Athens, Warsaw, Dublin, Boston, Chicago, Sydney, Mumbai, Seoul, Hamburg, Munich, Milan, Geneva, Zurich, Kyoto, Havana, Bogota, San Francisco, Los Angeles, Buenos Aires, Cape Town, Hong Kong, Stockholm, Budapest",
    "section": "home, blog, search, terms, profile, account, docs, history, support, products, orders, comments, reviews, map, calendar, cart, introduction, summary, first paragraph, the end, footer, menu",
    "room": "living room, dining room, basement, corridor, stairs, balcony, porch, studio, library, workshop, guest room, shed, terrace, lobby",
    "item": "pens, bottles, oranges, bananas, eggs, shoes, hats, phones, cables, stamps, bags, boxes, cookies, pillows, knives, forks, socks, jackets, toys, flowers, bricks",
    "person": "Alice, Bob, Carol, Daniel, Eve, Frank, Grace, Henry, Isabel, Jack, Kate, Lena, Max, Nora, Oscar, Peter, Rosa, Sam, Tina, Uwe, Vera, Walter, Yusuf, Zoe, Mary, Tom, my boss, the doctor, Aunt Lucy, Mr Brown",
    "event": "breakfast, tennis, choir, the exam, a date, the wedding, a call, the interview, training, the lesson, the flight, shopping, a haircut, the movie, band practice, a picnic, the birthday",
    "verb": "mow, sell, repair, move, pick up, return, print, read, sign, write, cook, cut, hang up, find, close, open, measure, bring, take, renew",
    "thing": "the dog, the bills, the window, the garden, my brother, the books, the bed, the parcel, a cake, the car keys, the kitchen, a present, the printer, the contract, some eggs, the shoes, my homework, the bathroom, the baby",
    "adjective": "new, blue, green, broken, empty, full, ready, dirty, clean, tall, short, sweet, loud, dark, nice, ugly, strong, wet, dry, open, closed"}.items()}
HELD_VALUES = {word for values in POOLS.values() for text in values[(2 * len(values) + 2) // 3:] for word in text.split()} - {"the", "my", "a"}
assert not any(set(more) & set(POOLS[name][(2 * len(POOLS[name]) + 2) // 3:]) for name, more in MORE.items())


def pool(rng, name, held):
    if not held and name in MORE:
        r = rng.random()
        if r < 0.35:  # made up: what can be remembered is not copied, and a held-out word then ends a value too early
            spelled = word(rng, False)
            return f"the {spelled}" if name == "thing" or (name == "event" and r < 0.15) else spelled.capitalize() if name in ("language", "city", "person") else spelled
        if r < 0.7:
            return rng.choice(MORE[name])
    values = POOLS[name]
    if name in ANY:
        return rng.choice(values)
    half = (2 * len(values) + 2) // 3
    return rng.choice(values[half:] if held else values[:half])


def value(rng, kind, held):
    v = lambda name: pool(rng, name, held)
    made = lambda: word(rng, held)
    if kind == "minutes":
        return rng.choice([n for n in range(1, 120) if (n % 7 == 3) == held])
    if kind in ("percent", "zoom"):
        return rng.choice([n for n in range(1, 200 if kind == "zoom" else 100) if (n % 7 == 3) == held])
    if kind == "count":
        return rng.choice([n for n in range(2, 60) if (n % 7 == 3) == held])
    if kind == "quantity":
        return rng.choice([rng.randint(1, 999), round(rng.uniform(0.1, 99), 1), rng.randint(1000, 9999)])
    if kind == "time":
        return f"{rng.randint(0, 23):02d}:{rng.choice([m for m in range(60) if (m % 7 == 3) == held]):02d}"
    if kind == "expression":
        terms = [str(rng.randint(2, 999)) for _ in range(rng.choice([2, 2, 3]))]
        return "".join(t if i == 0 else f" {rng.choice('+-*/')} {t}" for i, t in enumerate(terms))
    if kind in ("city", "section", "item", "room", "theme"):
        return v(kind) if rng.random() < 0.5 else (made().capitalize() if kind == "city" else made())
    if kind == "person":
        return v("person") if rng.random() < 0.4 else made().capitalize()
    if kind == "title":
        return " ".join(w.capitalize() for w in ([v("adjective")] if rng.random() < 0.5 else []) + [made()] + ([made()] if rng.random() < 0.4 else []))
    if kind == "task":
        return f"{v('verb')} {v('thing')}" if rng.random() < 0.5 else f"{v('verb')} the {made()}"
    if kind == "text":
        return rng.choice([lambda: f"{v('thing')} is {v('adjective')}", lambda: f"{v('verb')} {v('thing')} on {v('day')}", lambda: f"the {made()} is {v('adjective')}",
                           lambda: f"I will be there at {value(rng, 'time', held)}", lambda: f"{made()} needs {v('thing')}", lambda: f"the code is {rng.randint(100, 99999)}"])()
    if kind == "code":
        return "".join(rng.choice("ABCDEFGHKLMNPRST") for _ in range(rng.randint(1, 3))) + rng.choice(["", "-"]) + str(rng.randint(10, 99999))
    if kind == "phrase":
        return rng.choice([lambda: v("thing"), made, lambda: f"{v('adjective')} {made()}", lambda: f"{v('adjective')} {v('item')}"])()
    return v(kind)


def literal(v):
    return json.dumps(v, ensure_ascii=False)


def render_call(name, arguments):
    return f"{name}({', '.join(f'{k}={literal(v)}' for k, v in arguments.items())})"


def calls_text(calls):
    return "<|tool_call_start|>[" + ", ".join(render_call(c["name"], c["arguments"]) for c in calls) + "]<|tool_call_end|>"


def made_name(rng, held):
    return "_".join(word(rng, held) for _ in range(rng.choice([1, 1, 2])))


class Toolbox:
    """The tools of one dialogue, in random order, some under another name."""

    def __init__(self, rng, held, rename, need, size=None):
        self.rng, self.held = rng, held
        others = [t for t in TOOLS if t not in need]
        chosen = need + rng.sample(others, k=rng.choice([0, 1, 1, 2, 2, 3, 4, 6]) if size is None else size)
        rng.shuffle(chosen)
        self.names = {}
        for tool in chosen:
            name = tool
            if rename or rng.random() < (0.3 if held else 0.6):
                name = made_name(rng, held) if rename == "made" or (not held and rng.random() < 0.6) else rng.choice(TOOLS[tool]["aliases"])
            while name in self.names.values():
                name = f"{name}_{word(rng, held)}"
            self.names[tool] = name
        self.schemas = [self.schema(t) for t in chosen]

    def schema(self, tool):
        spec = TOOLS[tool]
        properties = {k: {"type": t, "description": d} for k, (t, _, d) in spec["parameters"].items()}
        return {"name": self.names[tool], "description": spec["about"], "parameters": {"type": "object", "properties": properties, "required": list(properties)}}


IMPERATIVES = set("set start count give put switch use make change turn go convert express calculate work compute solve tell note write save add take jot search find look show open bring navigate "
                  "jump play send message let text wake ring translate say order get zoom scale schedule plan exchange read remind remember check compare do keep run fetch step".split())
OPENERS = ["please", "can you", "could you", "I want you to", "would you", "I need you to", "hey,", "now", "ok,", "you should", "let's", "go ahead and", "can you please"]
HELD_OPENERS = ["kindly", "do me a favour and", "it would be nice if you could", "would you mind, please"]


def style(rng, text, held=False):
    """People write with and without capitals, question marks and politeness."""
    if text.split(" ", 1)[0] in IMPERATIVES and rng.random() < 0.3:
        text = f"{rng.choice(HELD_OPENERS if held else OPENERS)} {text}"
    if rng.random() < 0.4:
        text = text[0].upper() + text[1:]
    if rng.random() < 0.12 and "please" not in text:
        text += rng.choice([" please", " please", ", please", ", thanks", " for me", " now"])
    r = rng.random()
    return text + ("." if r < 0.2 else "?" if r < 0.3 else "!" if r < 0.33 else "")


def fill(rng, tool, held):
    arguments = {k: value(rng, kind, held) for k, (_, kind, _) in TOOLS[tool]["parameters"].items()}
    if "source" in arguments:
        while arguments["target"] == arguments["source"]:
            arguments["target"] = value(rng, TOOLS[tool]["parameters"]["target"][1], held)
    return arguments


def request(rng, tool, arguments, held):
    return rng.choice(TOOLS[tool]["held"] if held else TOOLS[tool]["ask"]).format(**arguments)


def result_of(rng, tool, held):
    return {"get_time": lambda: value(rng, "time", held), "get_weather": lambda: f"{pool(rng, 'adjective', held)}, {rng.randint(-9, 39)} degrees", "search_page": lambda: str(rng.randint(0, 40)),
            "find_contact": lambda: f"0{rng.randint(100, 999)} {rng.randint(1000, 99999)}", "translate": lambda: word(rng, held),
            "calculate": lambda: str(rng.randint(-999, 99999)), "convert_units": lambda: str(round(rng.uniform(0.1, 9999), 2)),
            "convert_currency": lambda: str(round(rng.uniform(0.1, 9999), 2))}.get(tool, lambda: "ok")()


def dialogue(rng, split="train", kind=None, rename=None):
    held = split == "held"
    kind = kind or rng.choices(["turns", "call", "two", "plain", "json", "self"], [68, 5, 3, 7, 15, 2])[0]
    if kind == "json":
        return extraction(rng, held, 1 if held else rng.randint(2, 4))
    if kind == "turns":
        return turns(rng, held, rename)
    messages, expect, last = [], None, None
    say = lambda role, content: messages.append({"role": role, "content": content})
    names = list(TOOLS)

    if kind in ("self", "plain"):
        need = []
        box = Toolbox(rng, held, rename, need) if kind == "plain" or rng.random() < 0.6 else None
        if kind == "self":
            q, a = rng.choice(HELD_SELF if held else SELF + GREETINGS)
            say("user", style(rng, q)), say("assistant", a)
        else:  # a request for a tool that is not in the list
            tool = rng.choice([t for t in names if t not in box.names])
            say("user", style(rng, request(rng, tool, fill(rng, tool, held), held), held))
            say("assistant", rng.choice(NO_TOOL))
        expect = {"none": True}
    elif kind == "two":
        a, b = rng.sample(names, 2)
        box = Toolbox(rng, held, rename, [a, b], rng.randint(0, 3))
        args = [fill(rng, a, held), fill(rng, b, held)]
        joined = rng.choice([" and ", ", then ", " and then ", ", and also "])
        say("user", style(rng, request(rng, a, args[0], held) + joined + request(rng, b, args[1], held), held))
        calls = [{"name": box.names[t], "arguments": x} for t, x in zip((a, b), args)]
        say("assistant", calls_text(calls))
        expect = {"calls": calls}
    else:
        with_vague = [t for t in names if TOOLS[t]["vague"]]
        tool = rng.choice(with_vague if kind == "ask" else names)
        box = Toolbox(rng, held, rename, [tool])
        arguments = fill(rng, tool, held)
        spec = TOOLS[tool]
        if kind == "ask":
            (missing, questions), = spec["question"].items()
            say("user", style(rng, rng.choice(spec["vague"]), held))
            say("assistant", rng.choice(questions))
            if rng.random() < 0.4:
                expect = {"none": True}
            else:
                say("user", rng.choice(["{}", "{}", "{} please", "hm, {}"]).format(arguments[missing]))
        else:
            if rng.random() < 0.15:
                q, a = rng.choice(GREETINGS)
                say("user", style(rng, q)), say("assistant", a)
            say("user", style(rng, request(rng, tool, arguments, held), held))
        if not expect:
            calls = [{"name": box.names[tool], "arguments": arguments}]
            say("assistant", calls_text(calls))
            expect, last = {"calls": calls}, len(messages) - 1
            if kind == "follow" or rng.random() < 0.5:
                result = result_of(rng, tool, held)
                say("tool", result)
                say("assistant", rng.choice(spec["done"]).format(**arguments, result=result))
                if kind == "follow":
                    arguments = fill(rng, tool, held)
                    say("user", rng.choice(spec["change"]).format(**arguments))
                    calls = [{"name": box.names[tool], "arguments": arguments}]
                    say("assistant", calls_text(calls))
                    expect, last = {"calls": calls}, len(messages) - 1
    return {"kind": kind, "messages": messages, "tools": box.schemas if box else [], "expect": expect, "last": last or len(messages) - 1}


def turns(rng, held, rename):
    """Several requests of all sorts over one list of tools: many answers to learn from for one reading of the list."""
    box = Toolbox(rng, held, rename, [], rng.choice([2, 2, 3, 3, 4, 5, 7]))
    messages = []
    say = lambda role, content: messages.append({"role": role, "content": content})
    inside = list(box.names)
    for _ in range(rng.randint(4, 7)):
        tool, sort = rng.choice(inside), rng.random()
        spec, arguments = TOOLS[tool], fill(rng, tool, held)
        if sort < 0.08:
            q, a = rng.choice(SELF + GREETINGS)
            say("user", style(rng, q)), say("assistant", a)
            continue
        if sort < 0.21:
            other = rng.choice([t for t in TOOLS if t not in box.names])
            say("user", style(rng, request(rng, other, fill(rng, other, held), held), held)), say("assistant", rng.choice(NO_TOOL))
            continue
        calls = [{"name": box.names[tool], "arguments": arguments}]
        if sort < 0.31 and spec["vague"]:
            (missing, questions), = spec["question"].items()
            say("user", style(rng, rng.choice(spec["vague"]), held)), say("assistant", rng.choice(questions))
            say("user", str(arguments[missing]))
        elif sort < 0.45:
            second = rng.choice([t for t in inside if t != tool])
            more = fill(rng, second, held)
            calls.append({"name": box.names[second], "arguments": more})
            say("user", style(rng, request(rng, tool, arguments, held) + rng.choice([" and ", ", then ", " and then ", ", and also "]) + request(rng, second, more, held), held))
        else:
            say("user", style(rng, request(rng, tool, arguments, held), held))
        say("assistant", calls_text(calls))
        if rng.random() < 0.4:
            result = result_of(rng, tool, held)
            say("tool", result if len(calls) == 1 else f"{result}, ok")
            say("assistant", rng.choice(spec["done"]).format(**arguments, result=result))
            if len(calls) == 1 and rng.random() < 0.5:
                arguments = fill(rng, tool, held)
                say("user", rng.choice(spec["change"]).format(**arguments)), say("assistant", calls_text([{"name": box.names[tool], "arguments": arguments}]))
    return {"kind": "turns", "messages": messages, "tools": box.schemas}


# what a field is, how its value is drawn, and phrases that hold it; the last phrase of each is held out
FIELDS = {
    "name": ("string", "person", "{} is my name", "my name is {}", "I am {}", "this is {}", "{} here", "they call me {}"),
    "city": ("string", "city", "I live in {}", "from {}", "in {}", "my city is {}", "we are in {}", "my home is {}"),
    "day": ("string", "day", "on {}", "it is for {}", "come on {}", "the day is {}", "let's say {}", "best on {}"),
    "time": ("string", "time", "at {}", "around {}", "the time is {}", "it starts at {}", "from {} on", "be there at {}"),
    "item": ("string", "item", "I want {}", "it is about {}", "send {}", "we need {}", "give me {}", "I would like {}"),
    "quantity": ("integer", "count", "{} pieces", "{} of them", "the number is {}", "we take {}", "{} in all", "{} times"),
    "language": ("string", "language", "I speak {}", "in {} if possible", "my language is {}", "write in {}", "please answer in {}"),
    "room": ("string", "room", "it is in the {}", "the {} one", "for the {}", "bring it to the {}", "we meet in the {}"),
    "currency": ("string", "currency", "I pay in {}", "the price is in {}", "paid in {}", "we use {}", "the bill is in {}"),
    "title": ("string", "title", "the title is {}", "it is called {}", "the song {}", "about {}", "it has the title {}"),
    "code": ("string", "code", "the code is {}", "code {}", "my number is {}", "it says {}", "use the code {}"),
    "note": ("string", "text", "note: {}", "the message is: {}", "write: {}", "my note: {}", "say: {}"),
    "price": ("number", "quantity", "it costs {}", "the price is {}", "for {}", "I paid {}", "its price was {}"),
}


def extraction(rng, held, texts=1):
    """One schema, and texts whose values are to be filled in."""
    fields = rng.sample(list(FIELDS), rng.randint(2, 4))
    schema = {"type": "object", "properties": {f: {"type": FIELDS[f][0]} for f in fields}, "required": fields}
    messages = [{"role": "system", "content": "Answer with JSON of this schema: " + json.dumps(schema)}]
    for _ in range(texts):
        values = {f: value(rng, FIELDS[f][1], held) for f in fields}
        phrase = lambda f: FIELDS[f][-1] if held else rng.choice(FIELDS[f][2:-1])
        text = rng.choice([", ", ", ", " and ", ". "]).join(phrase(f).format(values[f]) for f in rng.sample(fields, len(fields)))
        messages += [{"role": "user", "content": style(rng, text)}, {"role": "assistant", "content": json.dumps(values, ensure_ascii=False)}]
    return {"kind": "json", "messages": messages, "tools": [], "expect": {"json": values}, "last": len(messages) - 1}


def signature(tool):
    """A tool as the template lists it: what it does = name(argument: type, …). In this order the name can be picked where it stands. An argument that may be left out has a question mark, and a time its form."""
    given = tool["parameters"]
    kind = lambda p: "|".join(p["enum"]) if "enum" in p else "HH:MM" if "HH:MM" in p.get("description", "") else p["type"]
    arguments = ", ".join(f"{name}{'' if name in given.get('required', given['properties']) else '?'}: {kind(p)}" for name, p in given["properties"].items())
    return f"{tool['description']} = {tool['name']}({arguments})"


def render(messages, tools, generation=False):
    """The text of a dialogue as chat_template.jinja gives it; and the spans (start, end) that the assistant writes."""
    text, spans = "<|startoftext|>", []
    system = messages[0]["content"] if messages and messages[0]["role"] == "system" else ""
    if tools:
        system += ("\n" if system else "") + "List of tools: <|tool_list_start|>" + "\n".join(map(signature, tools)) + "<|tool_list_end|>"
    if system:
        text += f"<|im_start|>system\n{system}<|im_end|>\n"
    for m in messages[1:] if messages and messages[0]["role"] == "system" else messages:
        text += f"<|im_start|>{m['role']}\n"
        start = len(text)
        text += f"{m['content']}<|im_end|>"
        if m["role"] == "assistant":
            spans.append((start, len(text)))
        text += "\n"
    return text + ("<|im_start|>assistant\n" if generation else ""), spans


if __name__ == "__main__":
    rng = random.Random(1)
    for _ in range(12):
        d = dialogue(rng)
        print(d["kind"], render(d["messages"], d["tools"])[0], d.get("expect"), "\n")
