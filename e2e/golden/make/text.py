"""Golden texts: token ids and decodings by Hugging Face tokenizers, chats rendered by jinja2 as transformers sets it up.

usage: text.py GOLDEN_DIR
Reads GOLDEN_DIR/dense/model/tokenizer.json and GOLDEN_DIR/chat/templates/*.jinja; writes GOLDEN_DIR/tokenizer/vectors.json and GOLDEN_DIR/chat/rendered.json.
"""
import itertools, json, pathlib, random, sys
import jinja2
from tokenizers import Tokenizer
from transformers.utils.chat_template_utils import _compile_jinja_template  # render_jinja_template refuses tools that are texts

golden = pathlib.Path(sys.argv[1])
SEED = 3
def save(path, value): path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")

# ---- texts and ids
texts = ["", " ", "  ", "\n", "\n\n\n", "\t\t y", "Good morning, valley!", "the  weather   today !", "I'll you've WE'RE don't 'S 'Tis they'd I'm", "2.71828 9876543210 42 1,000,000",
         "naïve café jalapeño Ångström", "Река течёт до моря, верно?", "今天天气很好,我们去海边。", "今日の天気はとても良いです", "날씨가 아주 좋습니다", "النهر يجري إلى البحر", "שלום לכולם", "नदी समुद्र तक जाती है", "แม่น้ำ",
         "👩‍👩‍👧‍👦 family 🏳️‍🌈 🇯🇵 👍🏿", "o\u0308 vs ö", "\u00a0nbsp\u2003em\u200bzero", "a\r\nb\r\n\r\nc", "def g(y):\n    return y // 3  # cut\n", "{\"b\": [7, 1.5e-2, true], \"a\": \"\\u00fc\"}",
         "<|im_start|>user\nhello<|im_end|>\n", "a<|tool_call_start|>[now(zone=\"utc\")]<|tool_call_end|>b", "<|startoftext|>", "<|no_such_token|>", "<image>", "<|im_start|", "<|img_row_10_col_1|><|img_row_1_col_10|>", "   before", "after   ",
         "uPpEr aNd lOwEr", "?!?!...;;", "—–-_=+~", "z" * 200, "of " * 60, "\ufffd \x00\x01\x7f", "\ufefftext"]
alphabet = "the XYZ\n\t.,;!?'\"0123456789éßÆжя中文字ひら한글🙂🚀\u0301\u200d  "
rnd = random.Random(SEED)
texts += ["".join(rnd.choice(alphabet) for _ in range(rnd.randint(1, 80))) for _ in range(120)]
tokenizer = Tokenizer.from_file(str(golden / "dense/model/tokenizer.json"))
vectors = []
for text in texts:
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    vectors.append({"text": text, "ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=False), "decoded_skip_special": tokenizer.decode(ids, skip_special_tokens=True)})
save(golden / "tokenizer/vectors.json", {"note": "add_special_tokens=false; special tokens in the text are recognised", "vectors": vectors})

# ---- chats
def turn(role, content=None, **fields): return {"role": role, **({} if content is None else {"content": content}), **fields}
def call(name, **arguments): return {"type": "function", "function": {"name": name, "arguments": arguments}}
plain = [{"name": "tide", "description": "High water", "parameters": {"type": "object", "properties": {"port": {"type": "string", "enum": ["Hull"]}}, "required": ["port"]}},
         {"name": "alarm", "description": "Rings — “once”", "parameters": {"minutes": {"type": "integer", "minimum": 1}}}]
TOOLS = {"none": None, "plain": plain, "openai": [{"type": "function", "function": tool} for tool in plain], "text": ["tide(port)", "alarm(minutes)"]}
said = "<|tool_call_start|>[tide(port=\"Brest\")]<|tool_call_end|>"
parts = [{"type": "text", "text": "Look: "}, {"type": "image"}, {"type": "text", "text": " what is “it”?"}]
TALKS = {
    "single": [turn("user", "Good morning")],
    "system": [turn("system", "Answer in one word."), turn("user", "Ready?")],
    "multi": [turn("system", "Answer in one word."), turn("user", "Ready?"), turn("assistant", "Yes."), turn("user", "Sure?")],
    "unicode": [turn("user", "Füße 海边 🌊\n\nnext line  ")],
    "tool_round": [turn("system", "Tools are at hand."), turn("user", "When is high water in Brest?"), turn("assistant", said), turn("tool", "{\"high\": \"04:10\", \"metres\": 6.5}")],
    "think": [turn("user", "5+5?"), turn("assistant", "<think>add</think> 10"), turn("user", "6+6?"), turn("assistant", "<think>once more</think>12"), turn("user", "Right")],
    "think_twice": [turn("user", "?"), turn("assistant", "<think>a</think><think>b</think>\n c \n"), turn("user", "</think>"), turn("assistant", "no end <think>")],
    "empty_system": [turn("system", ""), turn("user", "y")],
    "assistant_last": [turn("user", "Count"), turn("assistant", "One, two, ")],
}
STRUCTURED = {
    "parts": [turn("user", parts)],
    "parts_system": [turn("system", [{"type": "text", "text": "Be"}, {"type": "text", "text": " kind."}]), turn("user", parts), turn("assistant", [{"type": "text", "text": "A shell."}])],
    "parts_other": [turn("user", [{"type": "audio", "seconds": 3, "of": {"a": [1, "ä"]}}, {"type": "text", "text": "x"}])],
    "calls": [turn("user", "Both, please"), turn("assistant", tool_calls=[call("tide", port="Brest"), call("alarm", minutes=5)]), turn("tool", "{\"high\": \"04:10\"}"), turn("assistant", "At 04:10.")],
    "calls_nested": [turn("user", "Go"), turn("assistant", "Well: ", tool_calls=[call("f", a={"b": ["c", 2, None, True]}, d="it's “e”\n", g=-3, h=0.5)])],
    "calls_none": [turn("user", "Go"), turn("assistant", "", tool_calls=[call("f")])],
    "calls_unfinished": [turn("user", "Go"), turn("assistant", "I go and [to be continued]", tool_calls=[call("f", x="y")])],
    "unfinished": [turn("user", "Go"), turn("assistant", "I go and [to be continued]")],
    "thinking": [turn("user", "a"), turn("assistant", "b", thinking="early"), turn("user", "c"), turn("assistant", "d", thinking="late")],
    "no_content": [turn("system"), turn("user"), turn("assistant")],
}
ALL, PARTS, STRICT = ["tool-markers", "past-thinking", "content-parts", "strict-roles"], "content-parts", "strict-roles"
asked = [(t, name, TALKS[name], tools, {}) for t, name, tools in itertools.product(ALL, TALKS, ("none", "plain"))]
asked += [(t, name, TALKS[name], "openai", {}) for t, name in itertools.product(ALL, ("single", "multi"))]
asked += [(t, "multi", TALKS["multi"], "text", {}) for t in ALL[:3]]
asked += [(PARTS, name, talk, tools, {}) for (name, talk), tools in itertools.product(STRUCTURED.items(), ("none", "plain"))]
asked += [(t, name, STRUCTURED[name], "none", {}) for t, name in itertools.product(ALL[:2], ("parts", "parts_other"))] + [(STRICT, "parts", STRUCTURED["parts"], "none", {})]
asked += [("past-thinking", name, TALKS[name], "none", {"keep_past_thinking": True}) for name in ("think", "think_twice")]
asked += [(PARTS, name, {**TALKS, **STRUCTURED}[name], "none", {"preserve_thinking": True}) for name in ("think", "think_twice", "thinking")]
asked += [(STRICT, name, talk, "none", {}) for name, talk in {"two_users": [turn("user", "a"), turn("user", "b")], "assistant_first": [turn("assistant", "a")],
                                                          "system_later": [turn("user", "a"), turn("system", "b")]}.items()]
renderings = []
for template, name, talk, tools, variables in asked:
    for ask in (True, False):
        entry = {"template": template + ".jinja", "case": name, "messages": talk, "tools": TOOLS[tools], "add_generation_prompt": ask, **({"variables": variables} if variables else {})}
        try:
            source = (golden / "chat/templates" / entry["template"]).read_text(encoding="utf-8")
            entry["rendered"] = _compile_jinja_template(source).render(messages=talk, tools=TOOLS[tools], documents=None, add_generation_prompt=ask,
                                                                       bos_token="<|startoftext|>", eos_token="<|im_end|>", pad_token="<|pad|>", **variables)
        except jinja2.TemplateError as error: entry["error"] = str(error)  # what raise_exception raises; anything else is a mistake in this script
        renderings.append(entry)
save(golden / "chat/rendered.json", renderings)
print(f"{len(vectors)} texts; {len(renderings)} renderings, {sum('error' in r for r in renderings)} of them refused")
