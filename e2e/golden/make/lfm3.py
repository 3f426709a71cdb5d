"""Golden vectors of a small LFM3 model with drawn weights, by a plain float64 forward pass on numpy, from the facts of llama.cpp's lfm3.cpp (b12242).

usage: lfm3.py OUT_DIR TOKENIZER_DIR
Reads TOKENIZER_DIR/tokenizer*.json; writes gguf/*.gguf, logits/*.f32 and expected.json. Prints how far each of eight mistakes moves the logits.
"""
import json, pathlib, sys
import gguf, numpy as np
from weights import bfloat, draw

out, tokenizers = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
V, D, F, H, K, d, L, WINDOW = 1024, 64, 96, 4, 2, 32, 7, 24  # H·d is not D
LAYERS = ["conv", "full", "conv", "sliding", "conv"]
THETA, SLIDING_THETA, EPS, TURNING = 1e6, 1e4, 1e-5, 8  # pairs of a head that turn in full layers, of d/2
SEED = 426  # of 1 to 499 the one whose T7 continues longest in both files before two tokens come within 0.1
Q = gguf.GGMLQuantizationType

def shapes():
    yield "token_embd", (V, D)
    yield "output_norm", (D,)
    for i, kind in enumerate(LAYERS):
        at = f"blk.{i}."
        for name in ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"): yield at + name, (D,)
        if kind == "conv": parts = {"shortconv.in_proj": (3 * D, D), "shortconv.conv": (D, L), "shortconv.out_proj": (D, D)}
        else: parts = {"attn_q": (H * d, D), "attn_k": (K * d, D), "attn_v": (K * d, D), "attn_output": (D, H * d), "attn_q_norm": (d,), "attn_k_norm": (d,), "attn_gate": (H, D)}
        for name, shape in {**parts, "ffn_gate": (F, D), "ffn_up": (F, D), "ffn_down": (D, F)}.items(): yield at + name, shape
def drawn(name, shape):
    if name == "token_embd": return bfloat(draw("embed_tokens", shape) * 0.5)
    return bfloat(2 * draw(name, shape)) if "attn_gate" in name else draw(name.replace("shortconv.conv", "conv.conv").replace("attn_q_norm", "q_layernorm").replace("attn_k_norm", "k_layernorm"), shape)
FACTORS = np.where(np.arange(d // 2) < TURNING, 1 + np.arange(d // 2) / 8, 1e30).astype(np.float32)  # not all 1, so that they must be read

# ---- the forward pass
def rms(x, weight): return x / np.sqrt((x * x).mean(-1, keepdims=True) + EPS) * weight
def sigmoid(x): return 1 / (1 + np.exp(-x))
def forward(w, ids, bug=""):
    T = len(ids)
    def rope(x, kind):  # [T, heads, d]: halves turn together
        theta = SLIDING_THETA if kind == "sliding" and bug != "one base" else THETA
        factors = FACTORS if kind == "full" and bug != "all pairs turn" else np.ones(d // 2)
        if bug == "factors for all layers": factors = FACTORS
        angle = np.outer(np.arange(T), theta ** (-np.arange(0, d, 2) / d) / factors)[:, None, :]
        a, b = x[..., : d // 2], x[..., d // 2 :]
        return np.concatenate([a * np.cos(angle) - b * np.sin(angle), b * np.cos(angle) + a * np.sin(angle)], -1)
    def conv(x, at):
        b, c, h = np.split(x @ w[at + "shortconv.in_proj"].T, 3, axis=-1)
        taps, bh = w[at + "shortconv.conv"], np.concatenate([np.zeros((L - 1, D)), b * h])
        return (c * sum(bh[k : k + T] * taps[:, k] for k in range(L))) @ w[at + "shortconv.out_proj"].T
    def attention(x, at, kind, before):
        q, k, v = ((x @ w[at + f"attn_{n}"].T).reshape(T, -1, d) for n in "qkv")
        q, k = rope(rms(q, w[at + "attn_q_norm"]), kind), rope(rms(k, w[at + "attn_k_norm"]), kind)
        k, v = (np.repeat(a, H // K, axis=1) for a in (k, v))
        p, s = np.arange(T)[:, None], np.arange(T)[None]
        seen = s <= p
        if kind == "sliding" and bug != "no window": seen &= s > p - WINDOW - (bug == "window one too wide")
        scores = np.where(seen, np.einsum("ihd,jhd->hij", q, k) / np.sqrt(d), -np.inf)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        y = np.einsum("hij,jhd->ihd", scores / scores.sum(-1, keepdims=True), v)
        gate = sigmoid((before if bug == "gate before the norm" else x) @ w[at + "attn_gate"].T)
        return (y if bug == "no gate" else y * gate[..., None]).reshape(T, -1) @ w[at + "attn_output"].T
    h = w["token_embd"][ids]
    for i, kind in enumerate(LAYERS):
        at = f"blk.{i}."
        x = rms(h, w[at + "attn_norm"])
        y = conv(x, at) if kind == "conv" else attention(x, at, kind, h)
        h = h + (y if bug == "no post norms" else rms(y, w[at + "post_attention_norm"]))
        x = rms(h, w[at + "ffn_norm"])
        gate = x @ w[at + "ffn_gate"].T
        y = (gate * sigmoid(gate) * (x @ w[at + "ffn_up"].T)) @ w[at + "ffn_down"].T
        h = h + (y if bug == "no post norms" else rms(y, w[at + "post_ffw_norm"]))
    return w["token_embd"] @ rms(h[-1], w["output_norm"])

# ---- GGUF
tokenizer = json.load(open(tokenizers / "tokenizer.json"))
vocab = sorted(tokenizer["model"]["vocab"], key=tokenizer["model"]["vocab"].get)
special = {a["id"] for a in tokenizer["added_tokens"]}
def write_gguf(path, ftype, dtype):
    w = gguf.GGUFWriter(str(path), "lfm3")
    w.add_name("tiny-lfm3"); w.add_file_type(ftype); w.add_block_count(len(LAYERS)); w.add_context_length(262144); w.add_embedding_length(D); w.add_feed_forward_length(F)
    w.add_head_count(H); w.add_head_count_kv([0 if kind == "conv" else K for kind in LAYERS]); w.add_key_length(d); w.add_value_length(d); w.add_layer_norm_rms_eps(EPS)
    w.add_rope_freq_base(THETA); w.add_float32("lfm3.rope.freq_base_swa", SLIDING_THETA); w.add_rope_dimension_count(d); w.add_sliding_window(WINDOW)
    w.add_array("lfm3.attention.sliding_window_pattern", [kind == "sliding" for kind in LAYERS]); w.add_uint32("lfm3.shortconv.l_cache", L); w.add_vocab_size(V)
    w.add_tokenizer_model("gpt2"); w.add_tokenizer_pre("lfm2"); w.add_token_list(vocab); w.add_token_types([3 if i in special else 1 for i in range(V)])
    w.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]]); w.add_bos_token_id(1); w.add_eos_token_id(7); w.add_pad_token_id(0)
    w.add_add_bos_token(False); w.add_add_eos_token(False); w.add_chat_template(json.load(open(tokenizers / "tokenizer_config.json"))["chat_template"])
    w.add_tensor("rope_freqs.weight", FACTORS)
    for name, shape in shapes():
        values = drawn(name, shape).astype(np.float32)
        plain = values.ndim == 1 or name.endswith("shortconv.conv")
        w.add_tensor(f"{name}.weight", values if plain else gguf.quantize(values, dtype), raw_dtype=None if plain else dtype)
    w.write_header_to_file(); w.write_kv_data_to_file(); w.write_tensors_to_file(); w.close()
for folder in ("gguf", "logits"): (out / folder).mkdir(parents=True, exist_ok=True)
write_gguf(out / "gguf/tiny-Q4_0.gguf", 2, Q.Q4_0)
write_gguf(out / "gguf/tiny-Q8_0.gguf", 7, Q.Q8_0)

# ---- logits and continuations
rng = np.random.default_rng(SEED)
prompts = {f"T{n}": [1] + rng.integers(500, V, n - 1).tolist() for n in (1, 2, 7, WINDOW, WINDOW + 1, 61, 200)}
files = {}
for path in sorted((out / "gguf").glob("*.gguf")):
    tensors = gguf.GGUFReader(str(path)).tensors
    w = {t.name.removesuffix(".weight"): gguf.dequantize(t.data, t.tensor_type).astype(np.float64) for t in tensors}
    rows = {name: forward(w, ids) for name, ids in prompts.items()}
    np.stack(list(rows.values())).astype("<f4").tofile(out / "logits" / f"{path.stem}.f32")
    new, margins = [], []
    for _ in range(WINDOW + 8):
        row = forward(w, prompts["T7"] + new)
        second, first = np.argsort(row)[-2:]
        new.append(int(first)); margins.append(round(float(row[first] - row[second]), 4))
    best = {name: {"top5": [[int(i), round(float(row[i]), 5)] for i in np.argsort(row)[::-1][:5]], "std": round(float(row.std()), 5)} for name, row in rows.items()}
    files[path.name] = {"logits_file": f"logits/{path.stem}.f32", "logits_shape": [len(rows), V], "last_token_logits": best, "greedy_from_T7": new, "greedy_margins": margins,
                        "tensor_types": {t.name: t.tensor_type.name for t in tensors}}
    right = rows["T200"]
    moved = {bug: float(np.abs(forward(w, prompts["T200"], bug) - right).max() / right.std()) for bug in
             ("no post norms", "no gate", "gate before the norm", "no window", "window one too wide", "one base", "all pairs turn", "factors for all layers")}
    print(path.name, path.stat().st_size, "bytes, std", round(float(right.std()), 3), "least margin", min(margins), {bug: round(shift, 2) for bug, shift in moved.items()})
json.dump({"generator": f"numpy {np.__version__}, float64", "seed": SEED, "sliding_window": WINDOW, "prompts": prompts, "files": files}, open(out / "expected.json", "w"), separators=(",", ":"))
