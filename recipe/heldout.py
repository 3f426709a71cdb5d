"""Writes heldout.jsonl, the cases of `npm run eval`:  python heldout.py [--n 1040] [--seed 99]

One case a line: {skill, messages, tools, expect}. Every phrase, name and value is one that training never sees (dialogues.py, split "held"); names of renamed tools are made-up words.
"""
import argparse
import json
import pathlib
import random

from dialogues import dialogue

# skill → what the generator is asked for, and its share of the cases
SKILLS = {"call": ("call", None, 25), "renamed tools": ("call", "made", 15), "two calls": ("two", None, 12), "asking back": ("ask", None, 10), "no tool fits": ("plain", None, 12),
          "follow-up": ("follow", None, 12), "JSON": ("json", None, 15), "about itself": ("self", None, 3)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=1040)
    parser.add_argument("--seed", type=int, default=99)
    o = parser.parse_args()
    rng, lines = random.Random(o.seed), []
    for skill, (kind, rename, share) in SKILLS.items():
        for _ in range(round(o.n * share / 104)):
            d = dialogue(rng, "held", kind, rename)
            lines.append({"skill": skill, "messages": d["messages"][:d["last"]], "tools": d["tools"], "expect": d["expect"]})
    path = pathlib.Path(__file__).parent / "heldout.jsonl"
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    print(f"{path}: {len(lines)} cases, {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
