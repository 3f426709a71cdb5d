"""Trains the embedded model and exports it as a Hugging Face directory.

    python train.py --out OUT [--minutes 600] [--threads 2] [--seed 7] [--device cpu|cuda]

The learning rate follows the wall clock: a short warm-up, constant, and a linear decay over the last part of the time. OUT/state.pt holds all that is needed to go on (--resume).
"""
import argparse
import json
import pathlib
import random
import time

import torch
import torch.nn.functional as F

from dialogues import dialogue, render
from model import Lfm2
from vocabulary import SPECIAL, build

HERE = pathlib.Path(__file__).parent
LONGEST = 448
CALL = SPECIAL.index("<|tool_call_start|>")
CONFIG = dict(hidden_size=256, intermediate_size=704, num_attention_heads=4, num_key_value_heads=2, layer_types=["conv", "full_attention"] * 3, conv_L_cache=3, rope_theta=1000000.0,
              max_position_embeddings=2048)


def example(tokenizer, rng, split="train", kind=None, rename=None):
    """Token ids of a dialogue, and which of them the assistant writes; of a held-out one only the answer that counts."""
    while True:
        d = dialogue(rng, split, kind, rename)
        messages = d["messages"] if split == "train" else d["messages"][:d["last"] + 1]
        text, spans = render(messages, d["tools"])
        if split != "train":
            spans = spans[-1:]
        encoding = tokenizer.encode(text, add_special_tokens=False)
        if len(encoding.ids) <= LONGEST:
            return encoding.ids, [any(a <= s and e <= b for a, b in spans) for s, e in encoding.offsets]


def batches(make, tokens):
    """Batches of about `tokens` tokens, of examples of like length."""
    while True:
        pool = sorted((make() for _ in range(256)), key=lambda x: len(x[0]))
        groups, group = [], []
        for x in pool:
            if group and (len(group) + 1) * len(x[0]) > tokens:
                groups.append(group)
                group = []
            group.append(x)
        random.Random(len(pool[0][0])).shuffle(groups)
        for group in groups:
            yield stack(group)


def stack(group):
    """ids (B, T) and the wanted targets (B, T)"""
    width = max(len(ids) for ids, _ in group)
    return torch.tensor([ids + [0] * (width - len(ids)) for ids, _ in group]), torch.tensor([w + [False] * (width - len(w)) for _, w in group])


def losses(model, ids, wanted):
    """Of the wanted targets: cross entropy, the likeliest token, the row, the target."""
    rows, columns = wanted[:, 1:].nonzero(as_tuple=True)
    targets = ids[rows, columns + 1]
    logits = model(ids, rows * ids.shape[1] + columns).float()
    return F.cross_entropy(logits, targets, reduction="none"), logits.argmax(-1), rows, targets


class Muon(torch.optim.Optimizer):
    """Momentum made orthogonal by a Newton-Schulz iteration (Jordan 2024), for the matrices between embedding and head."""

    def __init__(self, parameters, lr, momentum=0.95, decay=0.02):
        super().__init__(parameters, dict(lr=lr, momentum=momentum, decay=decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                m = self.state[p].setdefault("momentum", torch.zeros_like(p))
                m.lerp_(p.grad, 1 - group["momentum"])
                x = p.grad.lerp(m, group["momentum"])
                turned = x.shape[0] > x.shape[1]
                x = x.T if turned else x
                x = x / (x.norm() + 1e-7)
                for _ in range(5):
                    a = x @ x.T
                    x = 3.4445 * x + torch.addmm(a, a, a, beta=-4.7750, alpha=2.0315) @ x
                x = x.T if turned else x
                p.mul_(1 - group["lr"] * group["decay"]).add_(x, alpha=-group["lr"] * max(1, p.shape[0] / p.shape[1]) ** 0.5)


@torch.no_grad()
def held_out(model, tokenizer, n, seed=5):
    """Share of held-out answers that greedy decoding gets right, by kind: every token is the likeliest one, or, where no call is wanted, none is begun."""
    model.eval()
    shares = {}
    for kind, rename in [("call", None), ("call", "made"), ("two", None), ("ask", None), ("plain", None), ("follow", None), ("json", None)]:
        rng, right = random.Random(seed), 0
        pool = sorted((example(tokenizer, rng, "held", kind, rename) for _ in range(n)), key=lambda x: len(x[0]))
        for i in range(0, n, 16):
            ids, wanted = (x.to(model.embed_tokens.weight.device) for x in stack(pool[i:i + 16]))
            _, best, rows, targets = losses(model, ids, wanted)
            for row in range(len(ids)):
                mine, should = best[rows == row], targets[rows == row]
                right += bool((mine == should).all()) if kind == "json" or should[0] == CALL else bool(mine[0] != CALL)
        shares[kind + (" renamed" if rename else "")] = right / n
    model.train()
    return shares


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--minutes", type=float, default=600)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--tokens", type=int, default=3072, help="tokens of a batch")
    parser.add_argument("--rate", type=float, default=0.02, help="of Muon; AdamW takes a tenth")
    parser.add_argument("--decay", type=float, default=0.3, help="share of the time over which the rate falls")
    parser.add_argument("--resume", action="store_true", help="go on from OUT/state.pt")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    o = parser.parse_args()
    torch.manual_seed(o.seed)
    torch.set_num_threads(o.threads)
    o.out.mkdir(parents=True, exist_ok=True)
    state = torch.load(o.out / "state.pt", weights_only=False) if o.resume else None
    tokenizer = build(o.seed, state and state["tokenizer"])
    config = CONFIG | {"vocab_size": tokenizer.get_vocab_size()}
    model = Lfm2(config).to(o.device).train()
    model.rope = tuple(r.to(o.device) for r in model.rope)
    matrices = [p for name, p in model.named_parameters() if p.dim() == 2 and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.dim() != 2 or "embed" in name]
    optimizers = [Muon(matrices, lr=o.rate), torch.optim.AdamW(others, lr=o.rate / 10, betas=(0.9, 0.98), weight_decay=0.0)]
    seen, step = 0, 0
    if state:
        model.load_state_dict(state["model"])
        for optimizer, saved in zip(optimizers, state["optimizers"]):
            optimizer.load_state_dict(saved)
        seen, step = state["seen"], state["step"]
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters, {config['vocab_size']} tokens", flush=True)
    rng = random.Random(o.seed + step + 1)
    dialogues = batches(lambda: example(tokenizer, rng), o.tokens)

    def save():
        torch.save({"model": model.state_dict(), "optimizers": [x.state_dict() for x in optimizers], "seen": seen, "step": step, "config": config, "tokenizer": tokenizer.to_str()}, o.out / "new.pt")
        (o.out / "new.pt").rename(o.out / "state.pt")

    began, first, told, mean, hit = time.time(), step, time.time(), 0.0, 0.0
    while (done := (time.time() - began) / (60 * o.minutes)) < 1:
        rate = min(1, (step - first + 1) / 60, max(0.01, (1 - done) / o.decay))
        for optimizer, base in zip(optimizers, (o.rate, o.rate / 10)):
            for group in optimizer.param_groups:
                group["lr"] = base * rate
        ids, wanted = (x.to(o.device) for x in next(dialogues))
        loss, best, _, targets = losses(model, ids, wanted)
        loss.mean().backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        seen += ids.numel()
        step += 1
        weight = min(0.98, 1 - 1 / (step - first))
        mean, hit = weight * mean + (1 - weight) * loss.mean().item(), weight * hit + (1 - weight) * (best == targets).float().mean().item()
        if step % 20 == 0:
            print(f"step {step}  {seen / 1e6:.2f} M tokens  {(time.time() - began) / 60:.1f} min  loss {mean:.4f}  hits {hit:.4f}", flush=True)
        if time.time() - told > 240:
            save()
            print("held out:", "  ".join(f"{k} {100 * v:.0f} %" for k, v in held_out(model, tokenizer, 48).items()), flush=True)
            told = time.time()
    save()
    print(f"{step} steps, {seen / 1e6:.1f} M tokens in {(time.time() - began) / 60:.1f} minutes; loss {mean:.4f}")
    print("held out:", "  ".join(f"{k} {100 * v:.0f} %" for k, v in held_out(model, tokenizer, 200).items()))


if __name__ == "__main__":
    main()
