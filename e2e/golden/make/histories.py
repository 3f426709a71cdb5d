"""Random histories with what jinja2, set up by transformers, makes of them: more than the golden chats, to be made anew with any seed.

usage: histories.py DIR SEED COUNT
Reads DIR/templates/*.jinja and writes DIR/rendered.json for `npm run verify:chat -- --expected DIR`: COUNT histories for each template, in the
form that src/text/history.ts leaves as it is. Numbers, keys and escapes are written in every way that JSON has.
"""
import json, pathlib, random, sys
from transformers.utils.chat_template_utils import _compile_jinja_template

folder, rnd, count = pathlib.Path(sys.argv[1]), random.Random(int(sys.argv[2])), int(sys.argv[3])
NUMBERS = "0 1 -3 42 1.0 0.5 -2.75 1e-7 1E22 3.0e2 1e16 1e15 0.00001 -0.0 9007199254740993 123456789012345678901234567890 0.1 100000.0 123456.789".split()
KEYS = ["a", "city", "10", "2", "1", "items", "get", "keys", "update", "pop", "é", "class", "a b", "__proto__", "constructor", "type", "text", "name", "values"]
WORDS = ["hello", "Füße", "海边", "🌊", "it's", '"q"', "\\", "\n", "  ", "\t", "<think>x</think>", "</think>y", "[to be continued]", "\u2028", "{{ x }}", "{% if %}", "<b>&amp;", "\u00a0z", "a\r\nb"]

def quoted(text): return json.dumps(text, ensure_ascii=rnd.random() < 0.3)
def words(): return quoted("".join(rnd.choice(WORDS) for _ in range(rnd.randint(1, 4))))
def value(depth=0):
    kind = rnd.choices(["number", "text", "word", "list", "object"], [30, 25, 15, 15, 15] if depth < 3 else [1, 1, 1, 0, 0])[0]
    if kind == "number": return rnd.choice(NUMBERS)
    if kind == "text": return words()
    if kind == "word": return rnd.choice(["null", "true", "false"])
    return "[" + ", ".join(value(depth + 1) for _ in range(rnd.randint(0, 3))) + "]" if kind == "list" else fields(depth + 1)
def fields(depth=0): return "{" + ",".join(f"{quoted(key)}:{value(depth)}" for key in rnd.sample(KEYS, rnd.randint(0, 4))) + "}"
def content(): return words() if rnd.random() < 0.8 else f'[{{"type":"text","text":{words()}}},{{"type":"image"}},{{"type":"audio","n":{value(2)}}}]'
def call(): return f'{{"id":"c","type":"function","function":{{"name":{quoted(rnd.choice(KEYS))},"arguments":{fields()}}}}}'
def message(role, source):
    parts = [f'"role":"{role}"', f'"content":{words() if role == "tool" else content()}']
    if role == "assistant" and "tool_calls" in source and rnd.random() < 0.4: parts.append('"tool_calls":[' + ",".join(call() for _ in range(rnd.randint(1, 2))) + "]")
    if role == "assistant" and "thinking" in source and rnd.random() < 0.3: parts.append(f'"thinking":{words()}')
    return "{" + ",".join(parts + ([f'"extra":{value()}'] if rnd.random() < 0.1 else [])) + "}"
def tool():
    if rnd.random() < 0.2: return words()
    plain = f'{{"name":{quoted(rnd.choice(KEYS))},"description":{words()},"parameters":{fields()}}}'
    return plain if rnd.random() < 0.5 else f'{{"type":"function","function":{plain}}}'

entries, refused = [], 0
for path in sorted((folder / "templates").glob("*.jinja")):
    source = path.read_text(encoding="utf-8")
    template = _compile_jinja_template(source)
    for number in range(count):
        roles = ["system"] * (rnd.random() < 0.3) + [rnd.choice(["user", "assistant", "tool"]) for _ in range(rnd.randint(1, 5))]
        given = {"messages": "[" + ",".join(message(role, source) for role in roles) + "]", "tools": rnd.choice(["null", "[" + ",".join(tool() for _ in range(rnd.randint(0, 3))) + "]"]),
                 "add_generation_prompt": rnd.choice(["true", "false"]), "variables": rnd.choice(["{}", '{"keep_past_thinking":true}', '{"preserve_thinking":true}'])}
        read = {name: json.loads(text) for name, text in given.items()}
        try: answer = {"rendered": template.render(documents=None, bos_token="<|startoftext|>", eos_token="<|im_end|>", **read.pop("variables"), **read)}
        except Exception as error: answer, refused = {"error": repr(error)}, refused + 1
        entries.append(f'{{"template":{json.dumps(path.name)},"case":"{number}",' + ",".join(f'"{name}":{text}' for name, text in given.items()) + "," + json.dumps(answer)[1:])
(folder / "rendered.json").write_text("[\n" + ",\n".join(entries) + "\n]\n", encoding="utf-8")
print(f"{len(entries)} renderings, {refused} of them refused")
