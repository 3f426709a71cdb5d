"""Trains the embedded model.

    python train.py --out OUT [--minutes 600] [--workers 2] [--seed 7] [--resume] [--device cpu|cuda]

The learning rate follows the wall clock: a short warm-up, constant, and a linear decay over the last part of the time. OUT/state.pt holds all that is needed to go on (--resume); a file
OUT/stop ends the training after the step.
"""
import argparse
import bisect
import copy
import os
import pathlib
import random
import subprocess
import sys
import time

import gguf
import torch
import torch.nn.functional as F
from tokenizers.models import BPE

from copies import copies
from dialogues import dialogue, render
from lessons import lesson
from model import Lfm2
from to_gguf import name_of
from vocabulary import SPECIAL, build

LONGEST = 576
CHOOSING = []
CALL = SPECIAL.index("<|tool_call_start|>")
CONFIG = dict(hidden_size=256, intermediate_size=704, num_attention_heads=4, num_key_value_heads=2, layer_types=["conv", "full_attention"] * 3, conv_L_cache=3, rope_theta=1000000.0,
              max_position_embeddings=2048)


def example(tokenizer, rng, split="train", kind=None, rename=None):
    """Token ids of a dialogue; what those weigh that the assistant writes (of a held-out one only the answer that counts), 0 for the others; and where to look for them: (position before, position of the
    source, weight); before an answer that is the name of its tool, or the first token where no tool fits. Inside a value that is copied, the start of a word and the end weigh more: there it is decided how long
    the value is. At its end the place to look at is what comes next in the source."""
    while True:
        d = lesson(rng) if split == "train" else dialogue(rng, split, kind, rename)
        messages = d["messages"] if split == "train" else d["messages"][:d["last"] + 1]
        text, spans = render(messages, d["tools"])
        if split != "train":
            spans = spans[-1:]
        encoding = tokenizer.encode(text, add_special_tokens=False)
        if len(encoding.ids) <= LONGEST:
            wanted, points = [0.0] * len(encoding.ids), []
            starts, ends = [s for s, _ in encoding.offsets], [e for _, e in encoding.offsets]
            for a, b in spans:
                for i in range(bisect.bisect_left(starts, a), bisect.bisect_right(ends, b)):
                    wanted[i] = 1.0
            for a, b, source in copies(text, spans):
                first = bisect.bisect_left(ends, a + 1)
                for i in range(first, bisect.bisect_right(ends, b)):
                    j = bisect.bisect_left(ends, ends[i] - a + source)
                    if j < i and tokenizer.id_to_token(encoding.ids[j]).lstrip("Ġ") == tokenizer.id_to_token(encoding.ids[i]).lstrip("Ġ"):
                        points.append((i - 1, j, 3 if i == first else 1))
                        if i > first and text[starts[i] - 1:starts[i] + 1].strip() != text[starts[i] - 1:starts[i] + 1]:
                            wanted[i] = 2.5
                after = bisect.bisect_left(starts, b)
                if text[b] == '"' and after < len(starts) and text[source - 1:source] != '"' and split == "train":
                    wanted[after] = 2.5
                    points.append((after - 1, bisect.bisect_left(starts, source + b - a), 1))
            for (a, _), m in zip(spans, (m for m in messages if m["role"] == "assistant")):
                if "tool" in m:
                    listed = text.find(f" = {m['tool']}(")
                    points.append((bisect.bisect_left(starts, a) - 1, bisect.bisect_left(ends, listed + 4) if listed >= 0 else 0, 3))
            return encoding.ids, wanted, points


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
    """ids (B, T), the wanted targets (B, T), and the places to copy from: rows, positions, sources, weights"""
    width = max(len(ids) for ids, _, _ in group)
    points = torch.tensor([(row, *point) for row, (_, _, points) in enumerate(group) for point in points], dtype=torch.long).view(-1, 4)
    return torch.tensor([ids + [0] * (width - len(ids)) for ids, _, _ in group]), torch.tensor([w + [0.0] * (width - len(w)) for _, w, _ in group]), points.T.contiguous()


def weights(ids, wanted):
    """Of the wanted targets: those that choose weigh more: the first token of an answer, of a tool's name, of a value, and what `example` marks."""
    before = torch.isin(ids, torch.tensor(CHOOSING, device=ids.device)) | (wanted == 0)
    marked = wanted[:, 1:] > 0
    return torch.where(before[:, :-1][marked], 2.5, wanted[:, 1:][marked])


def losses(model, ids, wanted, point=None):
    """Of the wanted targets: cross entropy, the likeliest token, the row, the target."""
    rows, columns = wanted[:, 1:].nonzero(as_tuple=True)
    targets = ids[rows, columns + 1]
    logits = model(ids, rows * ids.shape[1] + columns, point).float()
    return F.cross_entropy(logits, targets, reduction="none"), logits.detach().argmax(-1), rows, targets


class Together:
    """Sums vectors over the workers, in memory that they share. There are two places for each, in turn: a worker that is ahead never writes what another still reads."""

    def __init__(self, rank, workers, size, path, others=()):
        self.rank, self.workers, self.others, self.parent, self.turn = rank, workers, others, os.getppid(), 0
        self.files = [path, path.with_suffix(".turns")]
        if workers > 1:
            self.places = torch.from_file(str(self.files[0]), shared=True, size=2 * workers * size).view(2, workers, size)
            self.arrived = torch.from_file(str(self.files[1]), shared=True, size=workers, dtype=torch.int64)

    def sum(self, vector):
        if self.workers == 1:
            return
        self.turn += 1
        place = self.places[self.turn % 2, :, :len(vector)]
        place[self.rank].copy_(vector)
        self.arrived[self.rank] = self.turn
        while int(self.arrived.min()) < self.turn:
            time.sleep(0.0003)
            ended = any(other.poll() is not None for other in self.others) or (self.rank and os.getppid() != self.parent)
            if ended and int(self.arrived.min()) < self.turn:
                raise SystemExit(f"worker {self.rank}: another worker has ended")
        if self.turn == 1 and self.rank == 0:  # all have them open: the system frees the memory with the last worker
            for file in self.files:
                file.unlink()
        vector.copy_(place.sum(0))


class Muon(torch.optim.Optimizer):
    """Momentum made orthogonal by a Newton-Schulz iteration (Jordan 2024), for the matrices between embedding and head. The workers share the iterations."""

    def __init__(self, parameters, together, lr, momentum=0.95, decay=0.02):
        super().__init__(parameters, dict(lr=lr, momentum=momentum, decay=decay))
        self.together = together

    @torch.no_grad()
    def step(self):
        rank, workers = self.together.rank, self.together.workers
        (group,) = self.param_groups
        updates = torch.zeros(sum(p.numel() for p in group["params"]), device=group["params"][0].device)
        parts = [u.view_as(p) for u, p in zip(updates.split([p.numel() for p in group["params"]]), group["params"])]
        for i, (p, update) in enumerate(zip(group["params"], parts)):
            m = self.state[p].setdefault("momentum", torch.zeros_like(p))
            m.lerp_(p.grad, 1 - group["momentum"])
            if i % workers == rank:
                update.copy_(orthogonal(p.grad.lerp(m, group["momentum"])))
        self.together.sum(updates)
        for p, update in zip(group["params"], parts):
            p.mul_(1 - group["lr"] * group["decay"]).add_(update, alpha=-group["lr"] * max(1, p.shape[0] / p.shape[1]) ** 0.5)


def orthogonal(x):
    turned = x.shape[0] > x.shape[1]
    x = x.T if turned else x
    x = (x / (x.norm() + 1e-7)).bfloat16()
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + torch.addmm(a, a, a, beta=-4.7750, alpha=2.0315) @ x
    return x.T if turned else x


@torch.no_grad()
def held_out(model, tokenizer, n, seed=5):
    """Share of held-out answers that greedy decoding gets right, by kind: every token is the likeliest one, or, where no call is wanted, none is begun."""
    model.eval()
    shares = {}
    for kind, rename in [("call", None), ("call", "made"), ("two", None), ("ask", None), ("plain", None), ("follow", None), ("json", None)]:
        rng, right = random.Random(seed), 0
        pool = sorted((example(tokenizer, rng, "held", kind, rename) for _ in range(n)), key=lambda x: len(x[0]))
        for i in range(0, n, 16):
            ids, wanted, _ = (x.to(model.embed_tokens.weight.device) for x in stack(pool[i:i + 16]))
            _, best, rows, targets = losses(model, ids, wanted)
            for row in range(len(ids)):
                mine, should = best[rows == row], targets[rows == row]
                right += bool((mine == should).all()) if kind == "json" or should[0] == CALL else bool(mine[0] != CALL)
        shares[kind + (" renamed" if rename else "")] = right / n
    model.train()
    return shares


@torch.no_grad()
def begin(model, tokenizer, path):
    """Takes the weights of a GGUF file."""
    read = gguf.GGUFReader(path)
    values = {t.name: torch.from_numpy(gguf.quants.dequantize(t.data, t.tensor_type).copy()) for t in read.tensors}
    tokens = {t: i for i, t in enumerate(read.fields["tokenizer.ggml.tokens"].contents())}
    merges = [tuple(m.split(" ")) for m in read.fields["tokenizer.ggml.merges"].contents()]
    pieces = BPE(vocab=tokens, merges=merges)
    for name, p in model.named_parameters():
        value = values[name_of(f"model.{name}")]
        if "embed_tokens" in name:
            value = torch.stack([value[tokens[t]] if t in tokens else value[[x.id for x in pieces.tokenize(t)]].mean(0) for t in map(tokenizer.id_to_token, range(len(p)))])
        p.copy_(value.view_as(p))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--minutes", type=float, default=600)
    parser.add_argument("--workers", type=int, default=1, help="processes that share each batch; two of one thread are twice as fast as one of two")
    parser.add_argument("--rank", type=int, default=0, help="number of this worker; the first starts the others")
    parser.add_argument("--meeting", type=int, help="number of the first worker's process, for the others")
    parser.add_argument("--threads", type=int, default=1, help="of a worker")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--tokens", type=int, default=4096, help="tokens of a batch")
    parser.add_argument("--rate", type=float, default=0.012, help="of Muon; AdamW takes a tenth")
    parser.add_argument("--decay", type=float, default=0.5, help="share of the time over which the rate falls")
    parser.add_argument("--point", type=float, default=0.2, help="weight of the loss that shows the copying heads where to look")
    parser.add_argument("--from", dest="start", type=pathlib.Path, help="GGUF file of this recipe whose weights to begin with; tokens that it lacks begin as the mean of their pieces")
    parser.add_argument("--wall", action="store_true", help="the time of pauses counts, too")
    parser.add_argument("--resume", action="store_true", help="go on from OUT/state.pt")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    o = parser.parse_args()
    torch.manual_seed(o.seed)
    torch.set_num_threads(o.threads)
    o.out.mkdir(parents=True, exist_ok=True)
    meeting = pathlib.Path("/dev/shm" if os.path.isdir("/dev/shm") else o.out) / f"meeting-{o.meeting or os.getpid()}"
    others = [subprocess.Popen([sys.executable, *sys.argv, "--rank", str(rank), "--meeting", str(os.getpid())], start_new_session=True) for rank in range(1, o.workers)] if o.rank == 0 else []
    state = torch.load(o.out / "state.pt", weights_only=False) if o.resume else None
    tokenizer = build(o.seed, state and state["tokenizer"])
    config = CONFIG | {"vocab_size": tokenizer.get_vocab_size()}
    model = Lfm2(config).to(o.device).train()
    model.rope = tuple(r.to(o.device) for r in model.rope)
    matrices = [p for name, p in model.named_parameters() if p.dim() == 2 and "embed" not in name]
    rest = [p for name, p in model.named_parameters() if p.dim() != 2 or "embed" in name]
    total = sum(p.numel() for p in matrices + rest)
    together = Together(o.rank, o.workers, total + 2, meeting, others)
    optimizers = [Muon(matrices, together, lr=o.rate), torch.optim.AdamW(rest, lr=o.rate / 10, betas=(0.9, 0.98), weight_decay=0.0)]
    seen, step = 0, 0
    if state:
        model.load_state_dict(state["model"])
        for optimizer, saved in zip(optimizers, state["optimizers"]):
            optimizer.load_state_dict(saved)
        seen, step = state["seen"], state["step"]
    if o.rank == 0:
        print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters, {config['vocab_size']} tokens", flush=True)
    if o.start and not state:
        begin(model, tokenizer, o.start)
    # products in bfloat16, weights and optimizers in float32
    fast = copy.deepcopy(model).to(torch.bfloat16)
    rng = random.Random(o.seed + step + 1 + 1_000_003 * o.rank)
    CHOOSING[:] = [i for i in map(tokenizer.token_to_id, ("[", "),", '="', "=", 'Ġ"', "Ġ")) if i is not None]
    dialogues = batches(lambda: example(tokenizer, rng), o.tokens // o.workers)
    # all gradients in one vector, with the tokens of the batch and the share of the time that is over behind them
    parameters = matrices + rest
    shared = torch.zeros(total + 2, device=o.device)
    for p, part in zip(parameters, shared[:total].split([p.numel() for p in parameters])):
        p.grad = part.view_as(p)
    doubles = dict(fast.named_parameters())
    doubles = [(p, doubles[name]) for name, p in model.named_parameters()]

    def save():
        torch.save({"model": model.state_dict(), "optimizers": [x.state_dict() for x in optimizers], "seen": seen, "step": step, "config": config, "tokenizer": tokenizer.to_str()}, o.out / "new.pt")
        (o.out / "new.pt").rename(o.out / "state.pt")

    stop, saved = o.out / "stop", time.time()
    first, told, last, spent, mean, hit, seek = step, time.time(), time.time(), 0.0, 0.0, 0.0, 0.0
    while True:
        ids, wanted, point = (x.to(o.device) for x in next(dialogues))
        shared.zero_()
        with torch.no_grad():
            for p, double in doubles:
                double.copy_(p)
                double.grad = None
        loss, best, _, targets = losses(fast, ids, wanted, point)
        weight = weights(ids, wanted)
        pointed = fast.pointed()
        ((loss * weight).sum() / weight.sum() + o.point * pointed).backward()
        for p, double in doubles:
            p.grad.copy_(double.grad)
        spent += min(time.time() - last, 1e9 if o.wall else 15)  # a step that took longer was paused
        last = time.time()
        shared[total] += ids.numel() * o.workers
        shared[total + 1] += o.workers if stop.exists() else spent / (60 * o.minutes)
        together.sum(shared)
        shared /= o.workers
        done = shared[total + 1].item()
        if done >= 1:
            break
        rate = min(1, (step - first + 1) / (15 if first else 60), max(0.01, (1 - done) / o.decay))
        for optimizer, base in zip(optimizers, (o.rate, o.rate / 10)):
            for group in optimizer.param_groups:
                group["lr"] = base * rate
            optimizer.step()
        seen += int(shared[total].item())
        step += 1
        keep = min(0.98, 1 - 1 / (step - first))
        mean, hit = keep * mean + (1 - keep) * loss.mean().item(), keep * hit + (1 - keep) * (best == targets).float().mean().item()
        seek = keep * seek + (1 - keep) * pointed.item()
        if o.rank:
            continue
        if step % 20 == 0:
            print(f"step {step}  {seen / 1e6:.2f} M tokens  {spent / 60:.1f} min  rate {base * rate * 10:.4f}  loss {mean:.4f}  hits {hit:.4f}  looking {seek:.3f}", flush=True)
        if time.time() - saved > 120:
            save()
            saved = time.time()
        if time.time() - told > 600:
            print("held out:", "  ".join(f"{k} {100 * v:.0f} %" for k, v in held_out(fast, tokenizer, 16).items()), flush=True)
            told = last = time.time()
    if o.rank:
        return
    save()
    if stop.exists():
        stop.unlink()
        return
    print(f"{step} steps, {seen / 1e6:.1f} M tokens in {spent / 60:.1f} minutes; loss {mean:.4f}")
    print("held out:", "  ".join(f"{k} {100 * v:.0f} %" for k, v in held_out(model, tokenizer, 200).items()))


if __name__ == "__main__":
    main()
