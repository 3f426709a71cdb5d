"""Training dialogues, {messages, tools}: several requests of all sorts over one list of tools, or texts to be filled into one JSON schema; phrases of phrases.py, values for training.

An answer to a request holds `tool`, the name of the tool that it is about, or None.
"""
import json
import random

import aside
from dialogues import FIELDS, Toolbox, calls_text, fill, result_of, value, word
from phrases import CHANGE, FOREIGN, OPENERS, PHRASES, VAGUE, core, expand, phrase, HELD
from tools import GREETINGS, NO_TOOL, SELF, TOOLS
from visits import visit

# tools that are easily taken for each other stand in one list more often than chance would have it
NEAR = [["set_timer", "set_alarm", "get_time", "create_event"], ["convert_units", "convert_currency", "calculate"], ["set_volume", "zoom", "play_music", "read_aloud"], ["add_note", "add_todo", "create_event", "send_message"],
        ["search_page", "find_contact", "navigate", "read_aloud"], ["get_time", "get_weather", "translate"], ["set_theme", "switch_light", "zoom", "navigate"], ["add_to_cart", "add_todo", "play_music", "navigate"]]
ASKED = [("(who|what) are you", SELF[0][1]), ("(what's|what is|tell me|may I know|say) your name", SELF[0][1]), ("~introduce yourself", SELF[0][1]), ("(what|which) (kind|sort) of (model|program|machine|bot|system) are you", SELF[1][1]), ("are you (an AI|a bot|a robot|a language model|a computer|a person|a human)", SELF[1][1]),
         ("what (can|do|could) you (do|help with|know)( for me|)", SELF[2][1]), ("(which|what) (tools|skills|tricks) do you have", SELF[2][1]), ("are you (ChatGPT|GPT|Siri|Alexa|Gemini|Claude|a big model)", SELF[3][1]), ("how (big|small|tiny|heavy) are you", SELF[4][1]), ("how large (are you|is your model)", SELF[4][1]), ("how many parameters (do you have|have you)", SELF[4][1]),
         ("(does|will) my (text|data|message|words|writing) (leave|get out of) (this device|my computer|the page|the browser)", SELF[5][1]), ("(do you|will you|does it) (send|store|upload|keep|share) (my data|what I write|my text)", SELF[5][1]), ("are you (smart|clever|intelligent|wise|good|bright)", SELF[6][1]), ("(who|which people|which company) (made|built|wrote|created|programmed|taught) you", SELF[7][1]), ("(who|where) (was it that|were you) (trained|made|built) (by|you)", SELF[7][1]), ("who trains (models like you|you all)", SELF[7][1]),
         ("(help|help me|I need help|what now|how does this work)", SELF[8][1]), ("~(help|can you help) me with my (homework|essay|work|exam)", SELF[9][1]), ("~tell me (about|something about|all about) (history|science|the world|art|space|politics|animals|Rome|yourself and history)", SELF[10][1]), ("~(write|compose|make|sing) (a poem|me a song|a story|a haiku|some lyrics|a nice poem|verses|a limerick)( about {item}| for {person}|)", SELF[11][1]), ("~write (me |) a (novel|song|story|rhyme|play)", SELF[11][1]),
         ("what is the meaning of (life|it all|everything|the world)", SELF[12][1])]
HELLO = [(["hello", "hi", "hey", "hey there", "hi there", "hello you", "good day", "hallo", "greetings", "hey you", "hello again", "is anybody there", "are you there"], ["Hello! What can I do for you?", "Hi! How can I help?"]), (["good morning", "morning"], ["Good morning! What can I do for you?"]), (["good evening", "evening"], ["Good evening! How can I help?"]),
         (["thanks", "thank you", "thank you very much", "many thanks", "thanks so much", "thank you a lot", "ok thanks", "thanks again", "thanks for that", "cheers"], ["You are welcome."]), (["great", "perfect", "super", "well done", "nice", "cool", "wonderful", "that was good"], ["Glad to help."]), (["bye", "goodbye", "see you later", "bye bye", "good night", "farewell"], ["Goodbye!"]), (["see you"], ["See you!"])]

# phrases that hold a field's value, beside those of dialogues.py
HOLD = {
    "name": ["(my|the) name( is|:) {}", "(I am|I'm|this is|it's|here is|you speak with|signed,|yours,|greetings from|regards,|best wishes,) {}", "(call|you can call|just call|people call|friends call|everyone calls) me {}", "(the|my|a) (customer|guest|user|friend|person) (is|is called|is named) {}", "I am called {}", "{} is (my name|writing|here|speaking)", "they (named|know) me (as |) {}", "name( is|:|) {}"],
    "city": ["I (live|work|stay|grew up|am|was born|am staying) in {}", "(from|in|near|out of|over in) {}", "(my|the|our) (city|town|place|home town|home city|address|destination|office)( is|:| is in|) {}", "we (are|live|meet|moved to|come) (from |in |) {}", "(home|city|place|town)(:| is|) {}", "my (house|flat) is in {}", "I (moved|go|travel|drive|fly) to {}", "{} is (my home|my city|where I live|our town)", "at home in {}"],
    "day": ["(on|for|until|by|this|next) {}", "(it is|it's|that is) (for|on) {}", "(come|see me|meet me|visit|call|do it) on {}", "(the|my) (day|date)( is|:|) {}", "(let's|let us|we) (say|meet|take) {}", "{} (is best|is fine|is good|works|suits me|would be best|is the day)", "(better|preferably|perhaps|latest|only|again|best) {}", "(good|free|open|better) on {}", "how about {}"],
    "time": ["(at|around|about|by|until|before|after|from|since) {}", "(the|my) (time|hour)( is|:|) {}", "(it|the show|this|everything) (starts|begins|opens|ends|is) at {}", "from {} on", "(be|come|arrive|meet me|ring|get) (here|there|in|by|home|back)( at| by|) {}", "be (ready|back|here) at {}", "{} (o'clock|sharp|is the time|is fine|works)", "I (arrive|come|am there|will be there) at {}"],
    "item": ["I (want|need|order|take|buy|will have|like|choose|wish for) (some |the |) {}", "(it is|this is|that is) about {}", "(send|give|bring|get|sell|deliver|ship)( me| us|) {}", "(we|you) (need|want|have|would take|ordered|like) {}", "(the|my) (item|product|thing|article)( is|:| are|) {}", "(I'd|we would|she would) like {}", "looking for {}", "{} (please|are what I want|would be nice|for me)"],
    "quantity": ["{} (pieces|of them|in all|in total|altogether|units|copies|items|together|or so|as ever|of those|of it)", "(the |) (number|count|amount|quantity)( is|:| of them is|) {}", "(we|I|they) (take|need|want|have|count|counted|order) {}", "(about|exactly|only|just|as many as|a total of|all|up to) {}", "(make it|it is|it was|say|that's) {} (pieces|in all|of them|in number)", "{} (rounds|turns|sets|pairs|goes)", "(repeated|done|used) {} times", "{} times (over|in all|each)"],
    "language": ["(I|we|they|you) (speak|use|know|talk|learn|read) {}", "in {} (if possible|please|only|if you can|best)", "(my|the|our) (language|mother tongue|native language)( is|:|) {}", "(write|answer|reply|speak|talk|respond|do it|read it)( to me| me| back|) in {}", "please (write|reply|speak|respond|use|talk)( in| only in|) {}", "(answers|texts|letters) in {}", "{} (is my language|would be best|is what I speak|only)", "(language|tongue)(:| is|) {}"],
    "room": ["(it is|it's|put it|leave it|we sit|I am|meet me|find me|it stands|we wait|everything is) in the {}", "the {} (one|is the place|is it|please|would be fine)", "(for|from|in|inside|near|behind|next to|to) the {}", "(bring|carry|take|move|send) it (to|into) the {}", "(the |my |) room( is|:|) (the |) {}", "we (meet|are|sit|wait) (at|by|near|inside) the {}", "(they|all) meet in the {}", "we (are|sit|eat) in the {}"],
    "currency": ["(I|we|they|you) (pay|count|reckon|earn|charge|use|take|have) (in |only |) {}", "(the|my|a) (price|cost|sum|money|amount|total|invoice|salary|account) (is|was|comes|counts) in {}", "(paid|priced|charged|counted|billed) in {}", "(currency|money)( is|:|) {}", "the bill (comes|was paid|counts) in {}", "a bill in {}", "{} (is the currency|is what I pay with|only|in cash)"],
    "title": ["(the|my|a) (title|song|book|film|heading|headline)( is|:| is called|) {}", "(it|this|that|the song|the book) (is called|is named|was called|is titled|goes by the name)(:|) {}", "(the song|the book|about|titled|called|the film|with the title|under the title) {}", "it (bears|got|carries|had) the (title|name) {}", "with title {}", "the name of the (song|book|film) is {}", "(it has|has) the (name|heading) {}"],
    "code": ["(the|my|your|a|our) (code|number|voucher|key|ticket|password|pin|booking|reference)( is|:| says|) {}", "(code|number|voucher|reference|ticket)(:| is|) {}", "(it says|it reads|it shows|I have|I got|enter|type|take|apply|with|given) (the code |code |) {}", "(use|using) (my code|code|this code:|the number|the voucher) {}", "{} is (the code|my code|the number)"],
    "note": ["(note|message|remark|comment|text|memo|my message|the note|a note|this note)( is|)(:| says:) {}", "(write|add|mention|tell them|put|remember|also|please add|say that|please say)(:| this:) {}", "(the|my) (message|note|text|comment)( is|)(:| says:| reads:) {}", "I (say|write|add)(:|,) {}", "please (note|write)(:|) {}"],
    "price": ["(it|this|that|all|each) (costs|cost|sells for|goes for|went for|was sold for|comes to|is priced at|was) {}", "(the|my|a|our) (price|cost|total|sum|fee|bill)( is|:| was| will be|) {}", "(for|at|only|worth|at most|priced at|priced) {}", "(I|we|she|they) (paid|spent|gave|pay|offered|offer|give|owe) {}", "its (cost|value|price) (is|comes to) {}", "(price|cost)(:| is| was) {}", "{} (is the price|was the price|to pay|is what it costs|in price)"],
}
HELD_HOLD = {core(phrases[-1]) for phrases in FIELDS.values()}


def written(rng, text):
    """People write with and without full stops and question marks."""
    r = rng.random()
    return text + ("." if r < 0.2 else "?" if r < 0.3 else "!" if r < 0.34 else "")


def request(rng, tool, arguments, capital=True):
    patterns = PHRASES[tool] if rng.random() < 0.8 else [p for p in TOOLS[tool]["ask"] if core(p) not in HELD]
    return phrase(rng, patterns, capital=capital).format(**arguments)


def chat(rng):
    """What is said to a chat, and its answer."""
    r = rng.random()
    if r < 0.3:
        q, a = rng.choice(SELF + GREETINGS)
        q = rng.choice(OPENERS) + " " + q if rng.random() < 0.15 and q.split()[0] in ("tell", "write", "help") else q
    elif r < 0.5:
        says, answers = rng.choice(HELLO)
        q, a = rng.choice(says), rng.choice(answers)
        if core(q) in HELD:
            return chat(rng)
        if rng.random() < 0.2:
            asked, a = rng.choice(ASKED)
            q = f"{q}{rng.choice([', ', '! ', '. '])}{phrase(rng, [asked], capital=False)}"
    else:
        asked, a = rng.choice(ASKED)
        q = phrase(rng, [asked])
    q = q.format(item=value(rng, "item", False), person=value(rng, "person", False))
    return (q[0].upper() + q[1:] if rng.random() < 0.6 else q), a


def foreign(rng):
    """What no tool of the catalogue does."""
    v = lambda kind: value(rng, kind, False)
    return phrase(rng, FOREIGN).format(city=v("city"), item=v("item"), person=v("person"), room=v("room"), percent=v("percent"), quantity=v("count"), currency=v("currency"), language=v("language"), day=v("day"))


def lesson(rng):
    """Three in ten are the requests and schemas of heldout.jsonl's kinds; no request of e2e/first_minute.jsonl is among any."""
    while True:
        r = rng.random()
        made = extraction(rng) if r < 0.08 else turns(rng) if r < 0.29 else visit(rng)
        if not any(m["role"] == "user" and aside.folded(m["content"]) in aside.requests() for m in made["messages"]):
            return made


def turns(rng):
    near = rng.sample(rng.choice(NEAR), rng.choice([1, 2, 2])) if rng.random() < 0.35 else []
    size = rng.choice([1, 1, 2, 2, 2, 3, 3, 4, 5, 6])
    empty = rng.random() < 0.1
    box = Toolbox(rng, False, "made" if rng.random() < 0.45 else None, near, max(0, size - len(near)))
    inside = list(box.names)
    messages = []
    say = lambda role, content, **about: messages.append({"role": role, "content": content} | about)
    call = lambda tool, arguments: {"name": box.names[tool], "arguments": arguments}
    for _ in range(rng.randint(3, 6)):
        tool, sort = rng.choice(inside), rng.random()
        spec, arguments = TOOLS[tool], fill(rng, tool, False)
        if sort < (0.6 if empty else 0.07):  # a page without tools is talked to
            q, a = chat(rng)
            say("user", written(rng, q)), say("assistant", a, tool=None)
            continue
        if sort < 0.38 or empty:
            others = [t for t in TOOLS if empty or t not in box.names]
            other = rng.choice(others)
            if rng.random() < 0.3:
                q = foreign(rng)
            elif other in VAGUE and rng.random() < 0.08:
                q = phrase(rng, VAGUE[other])
            else:
                q = request(rng, other, fill(rng, other, False))
            say("user", written(rng, q)), say("assistant", rng.choice(NO_TOOL), tool=None)
            continue
        calls = [call(tool, arguments)]
        if sort < 0.48 and spec["vague"]:
            (missing, questions), = spec["question"].items()
            say("user", written(rng, phrase(rng, VAGUE[tool] if rng.random() < 0.6 else spec["vague"]))), say("assistant", rng.choice(questions), tool=box.names[tool])
            if rng.random() < 0.25:
                continue
            say("user", expand(rng, rng.choice(["{}", "{}", "{}", "(hm|well|ok|oh|let me see|maybe|say), {}", "{}(.|!| please|, please| I think| will do|, thanks)"])).format(arguments[missing]))
        elif sort < 0.7 and len(inside) > 1:
            second = rng.choice([t for t in inside if t != tool])
            more = fill(rng, second, False)
            calls.append(call(second, more))
            joined = rng.choice([" and ", ", then ", " and then ", ", and also ", " and also ", ", and ", ", after that ", ". Then ", " and please "])
            say("user", written(rng, request(rng, tool, arguments) + joined + request(rng, second, more, False)))
        else:
            say("user", written(rng, request(rng, tool, arguments)))
        say("assistant", calls_text(calls), tool=box.names[tool])
        if rng.random() < 0.35:
            result = result_of(rng, tool, False)
            say("tool", result if len(calls) == 1 else f"{result}, ok")
            say("assistant", rng.choice(spec["done"]).format(**arguments, result=result))
            if len(calls) == 1 and rng.random() < 0.75:
                arguments = fill(rng, tool, False)
                q = phrase(rng, CHANGE[tool], 0.1) if rng.random() < 0.6 else rng.choice(spec["change"])
                say("user", q.format(**arguments)), say("assistant", calls_text([call(tool, arguments)]), tool=box.names[tool])
    return {"messages": messages, "tools": [] if empty else box.schemas}


def hold(rng, field, given, capital):
    while True:
        text = expand(rng, rng.choice(HOLD[field] if rng.random() < 0.75 else FIELDS[field][2:-1]))
        if core(text) not in HELD_HOLD:
            return (text[0].upper() + text[1:] if capital else text).format(given)


def extraction(rng):
    """One schema, and texts whose values are to be filled in."""
    fields = rng.sample(list(FIELDS), rng.randint(2, 4))
    schema = {"type": "object", "properties": {f: {"type": FIELDS[f][0]} for f in fields}, "required": fields}
    messages = [{"role": "system", "content": "Answer with JSON of this schema: " + json.dumps(schema)}]
    for _ in range(rng.randint(2, 4)):
        values = {f: value(rng, FIELDS[f][1], False) for f in fields}
        text = rng.choice([", ", ", ", " and ", " and ", ". ", ". ", "; ", ", and ", " - "]).join(hold(rng, f, values[f], i == 0 and rng.random() < 0.4) for i, f in enumerate(rng.sample(fields, len(fields))))
        messages += [{"role": "user", "content": written(rng, text)}, {"role": "assistant", "content": json.dumps(values, ensure_ascii=False)}]
    return {"messages": messages, "tools": []}


if __name__ == "__main__":
    from dialogues import render
    rng = random.Random(1)
    for _ in range(12):
        d = lesson(rng)
        print(render(d["messages"], d["tools"])[0], "\n")
