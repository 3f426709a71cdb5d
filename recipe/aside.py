"""What measures the model and is never trained: the requests of e2e/first_minute.jsonl and heldout_words.jsonl, and the descriptions of the latter's tools."""
import functools
import json
import pathlib
import re

HERE = pathlib.Path(__file__).parent


def folded(text):
    """Letters and digits of a text, for comparison."""
    return " ".join(re.findall(r"\w+", text.lower()))


def cases(path):
    return [json.loads(line) for line in path.read_text().splitlines() if line] if path.exists() else []


@functools.cache
def requests():
    asked = [case["request"] for case in cases(HERE.parent / "e2e" / "first_minute.jsonl")]
    asked += [m["content"] for case in cases(HERE / "heldout_words.jsonl") for m in case["messages"] if m["role"] == "user"]
    return set(map(folded, asked))


@functools.cache
def descriptions():
    """Those of the chat page's own tools, which the second set has, too, do not count."""
    from tools import TOOLS
    tools = [tool.get("function", tool) for case in cases(HERE / "heldout_words.jsonl") for tool in case.get("tools") or []]
    return {folded(tool["description"]) for tool in tools if tool.get("description")} - {folded(spec["about"]) for spec in TOOLS.values()}
