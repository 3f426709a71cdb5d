"""A second witness: the logits of expected.json again, by a plain float64 forward pass written apart from transformers.

usage: check.py OUT_DIR
"""
import json, pathlib, sys
import gguf, numpy as np

out = pathlib.Path(sys.argv[1])
expected = json.load(open(out / "expected.json"))

def rms(x, weight): return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5) * weight
def silu(x): return x / (1 + np.exp(-x))
def rope(x):  # [T, heads, d]: halves turn together
    T, _, d = x.shape
    angle = np.outer(np.arange(T), 1e6 ** (-np.arange(0, d, 2) / d))[:, None, :]
    a, b = x[..., : d // 2], x[..., d // 2 :]
    return np.concatenate([a * np.cos(angle) - b * np.sin(angle), b * np.cos(angle) + a * np.sin(angle)], -1)
def conv(x, w, at):
    b, c, h = np.split(x @ w[at + "shortconv.in_proj"].T, 3, axis=-1)
    taps, bh = w[at + "shortconv.conv"], b * h
    padded = np.concatenate([np.zeros((taps.shape[1] - 1, bh.shape[1])), bh])
    return (c * sum(padded[k : k + len(bh)] * taps[:, k] for k in range(taps.shape[1]))) @ w[at + "shortconv.out_proj"].T
def attention(x, w, at, heads=4, kv_heads=2):
    T, D = x.shape
    q, k, v = ((x @ w[at + f"attn_{n}"].T).reshape(T, -1, D // heads) for n in "qkv")
    q, k = rope(rms(q, w[at + "attn_q_norm"])), rope(rms(k, w[at + "attn_k_norm"]))
    k, v = (np.repeat(a, heads // kv_heads, axis=1) for a in (k, v))
    scores = np.einsum("ihd,jhd->hij", q, k) / np.sqrt(D // heads)
    scores[:, np.triu(np.ones((T, T), bool), 1)] = -np.inf
    p = np.exp(scores - scores.max(-1, keepdims=True))
    return np.einsum("hij,jhd->ihd", p / p.sum(-1, keepdims=True), v).reshape(T, D) @ w[at + "attn_output"].T
def forward(w, ids):
    x = w["token_embd"][ids]
    for i in range(1 + max(int(n.split(".")[1]) for n in w if n.startswith("blk."))):
        at = f"blk.{i}."
        x = x + (conv if at + "shortconv.conv" in w else attention)(rms(x, w[at + "attn_norm"]), w, at)
        y = rms(x, w[at + "ffn_norm"])
        x = x + (silu(y @ w[at + "ffn_gate"].T) * (y @ w[at + "ffn_up"].T)) @ w[at + "ffn_down"].T
    return w["token_embd"] @ rms(x[-1], w["token_embd_norm"])

worst = 0
for path in sorted((out / "gguf").glob("*.gguf")):
    weights = {t.name.removesuffix(".weight"): gguf.dequantize(t.data, t.tensor_type).astype(np.float64) for t in gguf.GGUFReader(str(path)).tensors}
    entry = expected["files"][path.name]
    rows = np.fromfile(out / entry["logits_file"], "<f4").reshape(entry["logits_shape"])
    difference = max(np.abs(forward(weights, ids) - row).max() for ids, row in zip(expected["prompts"].values(), rows))
    worst = max(worst, difference)
    print(f"{path.name:18s} largest difference {difference:.1e}")
same = np.fromfile(out / "logits/model.f32", "<f4"), np.fromfile(out / "logits/tiny-BF16.f32", "<f4")
print(f"model.safetensors against tiny-BF16.gguf {np.abs(same[0] - same[1]).max():.1e}; worst of all {worst:.1e}")
assert worst < 1e-4 and np.abs(same[0] - same[1]).max() < 1e-5
