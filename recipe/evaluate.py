"""Greedy answers to held-out dialogues:  python evaluate.py DIR [--n 200] [--seed 99] [--show 5]

Every phrase, name and value of these dialogues is one that training never sees (dialogues.py, split "held").
"""
import argparse
import json
import pathlib
import random

import torch
from tokenizers import Tokenizer
from transformers import Lfm2ForCausalLM

from dialogues import calls_text, dialogue, render


def answer(model, tokenizer, messages, tools):
    ids = tokenizer.encode(render(messages, tools, generation=True)[0], add_special_tokens=False).ids
    with torch.no_grad():
        out = model.generate(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long), max_new_tokens=96, do_sample=False, eos_token_id=7, pad_token_id=0)
    return tokenizer.decode(out[0, len(ids):].tolist(), skip_special_tokens=False).removesuffix("<|im_end|>")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--seed", type=int, default=99)
    parser.add_argument("--show", type=int, default=5, help="failures shown a kind")
    parser.add_argument("--split", default="held")
    o = parser.parse_args()
    model = Lfm2ForCausalLM.from_pretrained(o.model).eval()
    tokenizer = Tokenizer.from_file(str(o.model / "tokenizer.json"))
    rng = random.Random(o.seed)
    for kind, rename in [("call", None), ("call", "made"), ("two", None), ("ask", None), ("plain", None), ("follow", None), ("json", None), ("self", None)]:
        right = decided = shown = 0
        for _ in range(o.n // 8):
            d = dialogue(rng, o.split, kind, rename)
            last = max(i for i, m in enumerate(d["messages"]) if m["role"] == "assistant" and (kind in ("plain", "self", "json", "ask") or "tool_call_start" in m["content"]))
            got = answer(model, tokenizer, d["messages"][:last], d["tools"])
            wanted = d["messages"][last]["content"]
            if "calls" in d["expect"]:
                ok, decision = got == calls_text(d["expect"]["calls"]), "<|tool_call_start|>" in got
            elif "json" in d["expect"]:
                try:
                    ok = json.loads(got) == d["expect"]["json"]
                except ValueError:
                    ok = False
                decision = "<|tool_call_start|>" not in got
            else:
                ok = decision = "<|tool_call_start|>" not in got
            right += ok
            decided += decision
            if not ok and shown < o.show:
                shown += 1
                print(f"  {kind}: {d['messages'][last - 1]['content']!r}\n     wanted {wanted}\n     got    {got}")
        n = o.n // 8
        print(f"{kind + (' renamed' if rename else ''):14} exact {right}/{n}   decision {decided}/{n}", flush=True)


if __name__ == "__main__":
    main()
