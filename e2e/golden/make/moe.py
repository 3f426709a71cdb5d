"""Golden vectors of a small LFM2 model with experts and drawn weights, by a plain float64 forward pass on numpy, from the facts of transformers' lfm2_moe (5.18).

usage: moe.py OUT_DIR TOKENIZER_DIR
Reads TOKENIZER_DIR/*.json; writes model/, fused/, gguf/*.gguf, logits/*.f32 and expected.json. Prints how far each of ten mistakes moves the logits.
"""
import json, pathlib, shutil, sys
import gguf, numpy as np
from weights import draw

out, tokenizers = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
V, D, F, I, E, H, K, d, L = 1024, 64, 96, 32, 8, 4, 2, 16, 3
TOP, SCALE, THETA, EPS = 3, 1.5, 5e6, 1e-5
LAYERS, DENSE = ["conv", "full_attention", "conv", "full_attention"], 1  # so many layers at the start have no experts
SEED = 1046  # of 1 to 1800: no margin of a continuation is below 0.02, and of such seeds the one with the latest below 0.1
GAP = 0.08

# ---- weights: Hugging Face names with experts one by one, GGUF names with those of a layer together
NAMES = dict(pair.split("=") for pair in """operator_norm=attn_norm ffn_norm=ffn_norm conv.in_proj=shortconv.in_proj conv.conv=shortconv.conv conv.out_proj=shortconv.out_proj
    self_attn.q_proj=attn_q self_attn.k_proj=attn_k self_attn.v_proj=attn_v self_attn.out_proj=attn_output self_attn.q_layernorm=attn_q_norm self_attn.k_layernorm=attn_k_norm
    feed_forward.gate=ffn_gate_inp feed_forward.expert_bias=exp_probs_b feed_forward.w1=ffn_gate feed_forward.w3=ffn_up feed_forward.w2=ffn_down w1=ffn_gate_exps w3=ffn_up_exps w2=ffn_down_exps""".split())
def shapes():
    yield from (("model.embed_tokens.weight", (V, D)), ("model.embedding_norm.weight", (D,)))
    for i, kind in enumerate(LAYERS):
        parts = {"operator_norm": (D,), "ffn_norm": (D,)}
        if kind == "conv": parts |= {"conv.in_proj": (3 * D, D), "conv.conv": (D, 1, L), "conv.out_proj": (D, D)}
        else: parts |= {f"self_attn.{n}": shape for n, shape in (("q_proj", (H * d, D)), ("k_proj", (K * d, D)), ("v_proj", (K * d, D)), ("out_proj", (D, H * d)), ("q_layernorm", (d,)), ("k_layernorm", (d,)))}
        for at, width in [("", F)] if i < DENSE else [(f"experts.{e}.", I) for e in range(E)]: parts |= {f"feed_forward.{at}w{n}": (D, width) if n == 2 else (width, D) for n in (1, 2, 3)}
        if i >= DENSE: parts |= {"feed_forward.gate": (E, D), "feed_forward.expert_bias": (E,)}
        for name, shape in parts.items(): yield f"model.layers.{i}.{name}" + ("" if name.endswith("bias") else ".weight"), shape
def drawn(name, shape): return draw(name, shape) * np.float32(2 if "feed_forward.gate" in name else 0.5 if "expert_bias" in name else 1)  # clear decisions; biases that let every expert be chosen
def by_gguf_name(tensors):
    w = {}
    for name, values in tensors.items():
        name = name.removesuffix(".weight")
        if "layers" not in name: w["token_embd" if "tokens" in name else "token_embd_norm"] = values; continue
        _, _, i, rest = name.split(".", 3)
        if ".experts." in rest: w.setdefault(f"blk.{i}.{NAMES[rest[-2:]]}", {})[int(rest.split(".")[2])] = values
        else: w[f"blk.{i}.{NAMES[rest]}"] = values[:, 0] if rest == "conv.conv" else values
    return {name: np.stack([v[e] for e in range(E)]) if isinstance(v, dict) else v for name, v in w.items()}

# ---- the forward pass
def rms(x, weight): return x / np.sqrt((x * x).mean(-1, keepdims=True) + EPS) * weight
def sigmoid(x): return 1 / (1 + np.exp(-x))
def ffn(x, w1, w3, w2): return (x @ w1.T * sigmoid(x @ w1.T) * (x @ w3.T)) @ w2.T
def forward(w, ids, bug=""):
    """The last token's logits, and by layer the experts of each token and how far the last of them is ahead of the next."""
    T, chosen = len(ids), {}
    def rope(x):  # [T, heads, d]: halves turn together
        angle = np.outer(np.arange(T), THETA ** (-np.arange(0, d, 2) / d))[:, None, :]
        a, b = x[..., : d // 2], x[..., d // 2 :]
        return np.concatenate([a * np.cos(angle) - b * np.sin(angle), b * np.cos(angle) + a * np.sin(angle)], -1)
    def conv(x, at):
        b, c, h = np.split(x @ w[at + "shortconv.in_proj"].T, 3, axis=-1)
        taps, bh = w[at + "shortconv.conv"], np.concatenate([np.zeros((L - 1, D)), b * h])
        return (c * sum(bh[k : k + T] * taps[:, k] for k in range(L))) @ w[at + "shortconv.out_proj"].T
    def attention(x, at):
        q, k, v = ((x @ w[at + f"attn_{n}"].T).reshape(T, -1, d) for n in "qkv")
        q, k = rope(rms(q, w[at + "attn_q_norm"])), rope(rms(k, w[at + "attn_k_norm"]))
        k, v = (np.repeat(a, H // K, axis=1) for a in (k, v))
        scores = np.where(np.tri(T, dtype=bool), np.einsum("ihd,jhd->hij", q, k) / np.sqrt(d), -np.inf)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        return np.einsum("hij,jhd->ihd", scores / scores.sum(-1, keepdims=True), v).reshape(T, -1) @ w[at + "attn_output"].T
    def experts(x, at, before):
        w1, w3, w2 = (w[at + f"ffn_{n}_exps"] for n in ("gate", "up", "down"))
        if bug == "w1 and w3 swapped": w1, w3 = w3, w1
        if bug == "w2 transposed": w2 = w2.reshape(w1.shape).swapaxes(1, 2)
        if bug == "experts one off": w1, w3, w2 = (np.roll(a, 1, axis=0) for a in (w1, w3, w2))
        logits = (before if bug == "router before the norm" else x) @ w[at + "ffn_gate_inp"].T
        p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True) if bug == "softmax" else sigmoid(logits)
        scores, top = p if bug == "no bias" else p + w[at + "exp_probs_b"], TOP - (bug == "one expert fewer")
        order = np.argsort(-scores, axis=-1)
        best, falling = order[:, :top], np.take_along_axis(scores, order, -1)
        chosen[at[4:-1]] = np.sort(best, -1), falling[:, top - 1] - falling[:, top]
        factors, share = np.take_along_axis(scores if bug == "bias in the weights" else p, best, -1), np.zeros_like(p)
        if bug != "no normalisation": factors /= factors.sum(-1, keepdims=True) + 1e-6
        np.put_along_axis(share, best, factors * (1 if bug == "no scale" else SCALE), -1)
        return sum(share[:, e, None] * ffn(x, w1[e], w3[e], w2[e]) for e in range(E))
    h = w["token_embd"][ids]
    for i, kind in enumerate(LAYERS):
        at = f"blk.{i}."
        x = rms(h, w[at + "attn_norm"])
        h = h + (conv(x, at) if kind == "conv" else attention(x, at))
        x = rms(h, w[at + "ffn_norm"])
        h = h + (ffn(x, *(w[at + f"ffn_{n}"] for n in ("gate", "up", "down"))) if i < DENSE else experts(x, at, h))
    return w["token_embd"] @ rms(h[-1], w["token_embd_norm"]), chosen
def gap(chosen, at=slice(None)): return float(min(ahead[at].min() for _, ahead in chosen.values()))

# ---- the Hugging Face directories
config = {"architectures": ["Lfm2MoeForCausalLM"], "model_type": "lfm2_moe", "vocab_size": V, "hidden_size": D, "intermediate_size": F, "moe_intermediate_size": I, "num_hidden_layers": len(LAYERS),
          "num_attention_heads": H, "num_key_value_heads": K, "num_experts": E, "num_experts_per_tok": TOP, "num_dense_layers": DENSE, "norm_topk_prob": True, "use_expert_bias": True,
          "routed_scaling_factor": SCALE, "layer_types": LAYERS, "conv_L_cache": L, "conv_bias": False, "norm_eps": EPS, "max_position_embeddings": 128000, "bos_token_id": 1, "eos_token_id": 7, "pad_token_id": 0}
def write_directory(folder, shards, more):
    for name in ("tokenizer.json", "tokenizer_config.json"): shutil.copy(tokenizers / name, folder)
    json.dump(config | more, open(folder / "config.json", "w"), indent=1)
    for file, tensors in shards.items():
        header, data = {"__metadata__": {"format": "pt"}}, b""
        for name, values in tensors.items():  # every weight is exact in bfloat16
            raw = values.tobytes() if name.endswith("expert_bias") else (values.view(np.uint32) >> 16).astype("<u2").tobytes()
            header[name] = {"dtype": "F32" if name.endswith("expert_bias") else "BF16", "shape": values.shape, "data_offsets": [len(data), len(data) + len(raw)]}
            data += raw
        text = json.dumps(header, separators=(",", ":")).encode()
        (folder / file).write_bytes((len(text) + -len(text) % 8).to_bytes(8, "little") + text + b" " * (-len(text) % 8) + data)
    index = {"metadata": {"total_size": sum(v.nbytes if n.endswith("expert_bias") else v.nbytes // 2 for part in shards.values() for n, v in part.items())}}
    if len(shards) > 1: json.dump(index | {"weight_map": {name: file for file, part in shards.items() for name in part}}, open(folder / "model.safetensors.index.json", "w"), indent=0)

# ---- GGUF
def write_gguf(path, tensors, ftype, dtype):
    tokenizer, w = json.load(open(tokenizers / "tokenizer.json")), gguf.GGUFWriter(str(path), "lfm2moe")
    special, vocab = {a["id"] for a in tokenizer["added_tokens"]}, tokenizer["model"]["vocab"]
    w.add_name("tiny-lfm2moe"); w.add_file_type(ftype); w.add_block_count(len(LAYERS)); w.add_context_length(128000); w.add_embedding_length(D); w.add_feed_forward_length(F); w.add_head_count(H)
    w.add_head_count_kv([0 if kind == "conv" else K for kind in LAYERS]); w.add_layer_norm_rms_eps(EPS); w.add_rope_freq_base(THETA); w.add_vocab_size(V); w.add_shortconv_l_cache(L); w.add_expert_count(E)
    w.add_expert_used_count(TOP); w.add_expert_feed_forward_length(I); w.add_leading_dense_block_count(DENSE); w.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    w.add_expert_weights_norm(True); w.add_expert_weights_scale(SCALE); w.add_tokenizer_model("gpt2"); w.add_tokenizer_pre("lfm2"); w.add_token_list(sorted(vocab, key=vocab.get))
    w.add_token_types([3 if i in special else 1 for i in range(V)]); w.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]]); w.add_bos_token_id(1); w.add_eos_token_id(7)
    w.add_pad_token_id(0); w.add_add_bos_token(True); w.add_add_eos_token(False); w.add_chat_template(json.load(open(tokenizers / "tokenizer_config.json"))["chat_template"])
    for name, values in tensors.items():
        plain = values.ndim == 1 or name.endswith(("shortconv.conv", "ffn_gate_inp"))
        w.add_tensor(name + (".bias" if name.endswith("exp_probs_b") else ".weight"), np.ascontiguousarray(values) if plain else gguf.quantize(values, dtype), raw_dtype=None if plain else dtype)
    w.write_header_to_file(); w.write_kv_data_to_file(); w.write_tensors_to_file(); w.close()
def read_gguf(path): return {t.name.removesuffix(".weight").removesuffix(".bias"): gguf.dequantize(t.data, t.tensor_type).astype(float) for t in gguf.GGUFReader(str(path)).tensors}

# ---- logits and continuations
for folder in ("model", "fused", "gguf", "logits"): (out / folder).mkdir(parents=True, exist_ok=True)
drawn_weights = by_gguf_name(state := {name: drawn(name, shape) for name, shape in shapes()})
fused = {name: values for name, values in state.items() if ".experts." not in name}  # as transformers 5 holds them: w1 above w3
for i in range(DENSE, len(LAYERS)):
    fused[f"model.layers.{i}.feed_forward.experts.gate_up_proj"] = np.concatenate([drawn_weights[f"blk.{i}.ffn_{n}_exps"] for n in ("gate", "up")], axis=1)
    fused[f"model.layers.{i}.feed_forward.experts.down_proj"] = drawn_weights[f"blk.{i}.ffn_down_exps"]
cut = list(state).index("model.layers.1.feed_forward.experts.5.w2.weight")  # a layer's experts, and one expert's matrices, lie in two files
shards = {f"model-0000{k + 1}-of-00002.safetensors": dict(list(state.items())[part]) for k, part in enumerate((slice(cut), slice(cut, None)))}
write_directory(out / "model", shards, {"rope_theta": THETA, "tie_embedding": True, "torch_dtype": "bfloat16"})
write_directory(out / "fused", {"model.safetensors": fused}, {"rope_parameters": {"rope_theta": THETA, "rope_type": "default"}, "tie_word_embeddings": True, "dtype": "bfloat16"})
write_gguf(out / "gguf/tiny-Q4_0.gguf", drawn_weights, 2, gguf.GGMLQuantizationType.Q4_0)
write_gguf(out / "gguf/tiny-Q8_0.gguf", drawn_weights, 7, gguf.GGMLQuantizationType.Q8_0)
models = {"model.safetensors": {name: values.astype(float) for name, values in drawn_weights.items()}, **{path.name: read_gguf(path) for path in sorted((out / "gguf").glob("*.gguf"))}}
rng, files = np.random.default_rng(SEED), {}
def prompt(length):  # of random tokens those whose experts are clearly ahead in every file, so that rounding chooses no others
    ids = [1]
    while len(ids) < length:
        token = int(rng.integers(500, V))
        if all(gap(forward(w, ids + [token])[1], slice(-1, None)) >= GAP for w in models.values()): ids.append(token)
    return ids
prompts = {f"T{n}": prompt(n) for n in (1, 2, 7, 33, 130)}
for name, w in models.items():
    stem, results = name.rsplit(".", 1)[0], {p: forward(w, ids) for p, ids in prompts.items()}
    rows = {p: row for p, (row, _) in results.items()}
    np.stack(list(rows.values())).astype("<f4").tofile(out / "logits" / f"{stem}.f32")
    new, margins, gaps = [], [], []
    for _ in range(24):
        row, chosen = forward(w, prompts["T7"] + new)
        second, first = np.argsort(row)[-2:]
        new.append(int(first)); margins.append(round(float(row[first] - row[second]), 4)); gaps.append(round(gap(chosen), 4))
    best = {p: {"top5": [[int(i), round(float(row[i]), 5)] for i in np.argsort(row)[::-1][:5]], "std": round(float(row.std()), 5)} for p, row in rows.items()}
    types = {t.name: t.tensor_type.name for t in gguf.GGUFReader(str(out / "gguf" / name)).tensors} if name.endswith(".gguf") else None
    files[name] = {"logits_file": f"logits/{stem}.f32", "logits_shape": [len(rows), V], "last_token_logits": best, "greedy_from_T7": new, "greedy_margins": margins, "tensor_types": types,
                   "routing": {"T7": {layer: ids.tolist() for layer, (ids, _) in results["T7"][1].items()}}, "margins": {p: round(gap(chosen), 4) for p, (_, chosen) in results.items()}}
    moved = {bug: round(float(np.abs(forward(w, prompts["T130"], bug)[0] - rows["T130"]).max() / rows["T130"].std()), 2) for bug in
             ("bias in the weights", "no bias", "no normalisation", "no scale", "softmax", "w1 and w3 swapped", "w2 transposed", "experts one off", "one expert fewer", "router before the norm")}
    print(name, "std", best["T130"]["std"], "least margin", min(margins), "least gap", files[name]["margins"], "continuing", min(gaps), moved)
json.dump({"generator": f"numpy {np.__version__}, float64", "seed": SEED, "prompts": prompts, "files": files | {"fused.safetensors": files["model.safetensors"]}}, open(out / "expected.json", "w"), separators=(",", ":"))
