"""Where an answer copies from: pairs (span in the answer, span in what stood before), in characters of the rendered dialogue. Training shows these places to the copying heads."""
import re

CALL = re.compile(r"(?<=[\[ ])(\w+)\((.*?)\)(?=, \w+\(|\]<)")
ARGUMENT = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|[^",)]+)')
PAIR = re.compile(r'"(\w+)": ("(?:[^"\\]|\\.)*"|[^",}]+)')


def before(text, wanted, start):
    """The last place before `start` where `wanted` stands as a word of its own, in the last two messages of the user."""
    turn = text.rfind("<|im_start|>user", 0, start)
    first = max(0, text.rfind("<|im_start|>user", 0, max(0, turn)))
    at = text.rfind(wanted, first, start)
    while at >= 0 and ((text[at - 1].isalnum() and wanted[0].isalnum()) or (text[at + len(wanted)].isalnum() and wanted[-1].isalnum())):
        at = text.rfind(wanted, first, at)
    return at


def named(text, argument, listed):
    """Where the line of the tool names the argument."""
    found = re.compile(rf"\b{argument}\??: ").search(text, listed) if listed >= 0 else None
    return found.start() if found else -1


def copies(text, spans):
    """[(start, end, source)] of all answers `spans` in `text`"""
    found = []

    def add(start, value, source):
        if source >= 0:
            found.append((start, start + len(value), source))

    for start, end in spans:
        answer = text[start:end]
        if answer.startswith("<|tool_call_start|>"):
            for call in CALL.finditer(answer):
                listed = text.find(f" = {call[1]}(")
                add(start + call.start(1), call[1], listed + 3 if listed >= 0 else -1)
                for argument in ARGUMENT.finditer(call[2]):
                    at = start + call.start(2)
                    add(at + argument.start(1), argument[1], named(text, argument[1], listed))
                    value = argument[2].strip('"')
                    add(at + argument.start(2) + argument[2].startswith('"'), value, before(text, value, start))
        elif answer.startswith('{"'):
            required = text.find('"required": [')
            for pair in PAIR.finditer(answer):
                listed = text.find(f'"{pair[1]}"', required)
                add(start + pair.start(1), pair[1], listed + 1 if 0 <= listed < start else -1)
                value = pair[2].strip('"')
                add(start + pair.start(2) + pair[2].startswith('"'), value, before(text, value, start))
    return found
