"""Says what a trained state gets wrong, by kind, with the tools that are held back from training (every 20th of written/tools_*.txt):

    python probe.py OUT [--n 300] [--cases FILE.jsonl] [--show]

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
from copies import ARGUMENT, CALL
from dialogues import calls_text, render
from model import Lfm2
from rows import every
from visits import compatible, toolbox, typed, unfit, vocabulary


def made_up(rng):
    """(kind, messages, tools, wanted answer or None where any answer without a call will do)"""
    german = rng.random() < 0.35
    tool = foreign.hand_written(rng, rng.choice([row for row in every() if row.back]))
    box = [t for t in toolbox(rng, rng.choice([1, 2, 3, 4, 5, 7])) if compatible(tool, [t])] + [tool]
    rng.shuffle(box)
    kind = "German" if german else "English"
    r = rng.random()
    if r < 0.15:
        box.remove(tool)
        if not box:
            return made_up(rng)
        text = foreign.request(rng, tool, german)[0] if rng.random() < 0.5 else unfit(rng, box, set().union(*map(vocabulary, box)), german)
        if not text or not compatible(tool, box):
            return made_up(rng)
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


def fault(answer, wanted):
    """What is wrong with an answer, or None."""
    called = answer.startswith("<|tool_call_start|>")
    if wanted is None:
        return "call where none is wanted" if called else None
    if answer == wanted:
        return None
    if not called:
        return "no call"
    mine, right = CALL.search(answer), CALL.search(wanted)
    if not mine or mine[1] != right[1]:
        return "wrong tool"
    mine, right = (dict(ARGUMENT.findall(m[2])) for m in (mine, right))
    if mine.keys() != right.keys():
        return "other arguments"
    for name in right:
        a, b = mine[name].strip('"'), right[name].strip('"')
        if a != b:
            return "value too short" if b.startswith(a) or b.endswith(a) else "value too long" if b in a else "number" if re.fullmatch("[0-9.:]+", b) else "wrong value"


class Answers:
    def __init__(self, path):
        state = torch.load(path, weights_only=False, map_location="cpu")
        self.tokenizer = Tokenizer.from_str(state["tokenizer"])
        self.model = Lfm2(state["config"]).eval()
        self.model.load_state_dict(state["model"])
        self.seen = state["seen"]

    @torch.no_grad()
    def __call__(self, prompt, most=80):
        ids = self.tokenizer.encode(prompt, add_special_tokens=False).ids
        first, end = len(ids), self.tokenizer.token_to_id("<|im_end|>")
        while len(ids) < first + most:
            best = self.model(torch.tensor([ids]), torch.tensor([len(ids) - 1]))[0].argmax().item()
            if best == end:
                break
            ids.append(best)
        return self.tokenizer.decode(ids[first:], skip_special_tokens=False)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--n", type=int, default=300)
    parser.add_argument("--cases", type=pathlib.Path)
    parser.add_argument("--show", action="store_true")
    o = parser.parse_args()
    torch.set_num_threads(1)
    answers, rng = Answers(o.out / "state.pt"), random.Random(3)
    counts, faults = collections.Counter(), collections.Counter()
    for kind, messages, tools, wanted in given(o.cases) if o.cases else (made_up(rng) for _ in range(o.n)):
        answer = answers(render(messages, tools, generation=True)[0])
        wrong = fault(answer, wanted)
        counts[kind] += 1
        faults[kind, wrong] += 1
        if o.show and wrong:
            print(f"{wrong}: {messages[-1]['content']}\n   wanted {wanted}\n   got    {answer}")
    print(f"{answers.seen / 1e6:.1f} M tokens")
    for kind, n in counts.items():
        print(f"{kind:32} {n:4} cases, {100 * faults[kind, None] / n:5.1f} % right; " + ", ".join(f"{wrong} {m}" for (k, wrong), m in faults.most_common() if k == kind and wrong))


if __name__ == "__main__":
    main()
