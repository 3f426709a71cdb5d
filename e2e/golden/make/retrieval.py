"""Golden vectors of the retrieval models, on the weights of dense/model: numpy, float64, a forward pass of its own.

usage: python make/retrieval.py retrieval dense/model
Writes retrieval/{causal,centred,text}: the files of a model beside those of dense/model, expected.json, vectors.safetensors.
Weights as stored (bfloat16). Tokens: those of `tokenizers`.
"""
import json, pathlib, string, struct, sys
import numpy as np
from weights import draw

root, base = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
cfg = json.load(open(base / "config.json"))
D, H, K, EPS, THETA, OUT, QLEN, DLEN = cfg["hidden_size"], cfg["num_attention_heads"], cfg["num_key_value_heads"], cfg["norm_eps"], cfg["rope_theta"], 32, 24, 64
d, BOS, EOS, Q, M = D // H, 1, 7, 3, 4            # <|fim_pre|> and <|fim_mid|> mark queries and documents
QUERIES = ["what lives in a tide pool?", "Tell me at length why the husband of the singer left the house that night, and where he went after the long winter was over."]
DOCS = ["A tide pool holds crabs, snails and small fish; the sea fills it twice a day.", "(Prices: $12.50, or 3 for $30!)", "The air was cold. Years later she still cared; he did not."]

def read(path):
    raw = open(path, "rb").read(); n, = struct.unpack("<Q", raw[:8]); head = json.loads(raw[8:8 + n]); out = {}
    for name, t in head.items():
        if name == "__metadata__": continue
        a, b = t["data_offsets"]; bits = np.frombuffer(raw[8 + n + a:8 + n + b], "<u2").astype(np.uint32) << 16
        out[name.removeprefix("model.")] = bits.view(np.float32).astype(np.float64).reshape(t["shape"])
    return out
def write(path, tensors, dtype):
    head, body = {}, b""
    for name, v in tensors.items():
        raw = (np.ascontiguousarray(v, "<f4").view("<u4") >> 16).astype("<u2").tobytes() if dtype == "BF16" else np.ascontiguousarray(v, "<f4").tobytes()
        head[name] = {"dtype": dtype, "shape": list(v.shape), "data_offsets": [len(body), len(body) + len(raw)]}; body += raw
    text = json.dumps(head).encode(); text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True); path.write_bytes(struct.pack("<Q", len(text)) + text + body)

w = read(base / "model.safetensors")
def encode(ids, real, causal, zeroed):
    """ids [T], of which the first `real` are no padding -> the rows after the last norm, [T, D]"""
    T = len(ids); mask = np.arange(T) < real
    norm = lambda x, n: w[n + ".weight"] * x / np.sqrt((x * x).mean(-1, keepdims=True) + EPS)
    lin = lambda x, n: x @ w[n + ".weight"].T
    ang = np.arange(T)[:, None] / THETA ** (np.arange(0, d, 2) / d); cos, sin = np.cos(ang)[:, None], np.sin(ang)[:, None]
    def rope(x): a, b = x[..., :d // 2], x[..., d // 2:]; return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)
    h = w["embed_tokens.weight"][ids]
    for i, kind in enumerate(cfg["layer_types"]):
        p, x = f"layers.{i}.", norm(h, f"layers.{i}.operator_norm")
        if kind == "conv":
            B, C, X = np.split(lin(x * mask[:, None] if zeroed else x, p + "conv.in_proj"), 3, -1)
            taps = w[p + "conv.conv.weight"][:, 0]; L = taps.shape[1]; left = L - 1 if causal else (L - 1) // 2
            u = np.pad(B * X, ((left, L - 1 - left), (0, 0)))
            h = h + lin(C * sum(u[k:k + T] * taps[:, k] for k in range(L)), p + "conv.out_proj")
        else:
            p += "self_attn."; q, k, v = (lin(x, p + n).reshape(T, -1, d) for n in ("q_proj", "k_proj", "v_proj"))
            q, k = rope(norm(q, p + "q_layernorm")), rope(norm(k, p + "k_layernorm")); k, v = k.repeat(H // K, 1), v.repeat(H // K, 1)
            s = np.einsum("thd,shd->hts", q, k) / np.sqrt(d)
            s = np.where((mask[None, :] & (np.tri(T, dtype=bool) if causal else True)), s, -np.inf); s = np.exp(s - s.max(-1, keepdims=True)); s /= s.sum(-1, keepdims=True)
            h = h + lin(np.einsum("hts,shd->thd", s, v).reshape(T, -1), p + "out_proj")
        p, x = f"layers.{i}.feed_forward.", norm(h, f"layers.{i}.ffn_norm"); a = lin(x, p + "w1")
        h = h + lin(a / (1 + np.exp(-a)) * lin(x, p + "w3"), p + "w2")
    return norm(h, "embedding_norm")
unit = lambda x: x / np.sqrt((x * x).sum(-1, keepdims=True))

from tokenizers import Tokenizer
tok = Tokenizer.from_file(str(base / "tokenizer.json"))
tokens = lambda text: [BOS] + tok.encode(text, add_special_tokens=False).ids
skip = {tok.token_to_id(c) for c in string.punctuation}
r5 = lambda t: [[round(float(x), 5) for x in row] for row in t]
def save(path, value): path.parent.mkdir(parents=True, exist_ok=True); path.write_text(json.dumps(value, indent=1) + "\n")
def model(out, arch, modules, st, extra=()):
    m = out / "model"; save(m / "config.json", {**cfg, "architectures": [arch]}); save(m / "config_sentence_transformers.json", st)
    save(m / "modules.json", [{"idx": i, "name": str(i), "path": p, "type": t} for i, (p, t) in enumerate(modules)])
    for path, value in extra: save(m / path, value)

def token_vectors(name, arch, causal):
    out = root / name; dense = draw(f"{name}.linear.weight", (OUT, D)).astype(np.float64)
    model(out, arch, [("", "sentence_transformers.models.Transformer"), ("1_Dense", "pylate.models.Dense.Dense")],
          {"query_prefix": "<|fim_pre|>", "document_prefix": "<|fim_mid|>", "query_length": QLEN, "document_length": DLEN, "attend_to_expansion_tokens": False, "do_query_expansion": True, "skiplist_words": list(string.punctuation)},
          [("1_Dense/config.json", {"in_features": D, "out_features": OUT, "bias": False, "activation_function": "torch.nn.modules.linear.Identity"})])
    write(out / "model/1_Dense/model.safetensors", {"linear.weight": dense}, "BF16")
    def query(text):
        ids = tokens(text)[:QLEN - 1]; n = len(ids) + 1; ids = [ids[0], Q] + ids[1:]
        return {"text": text, "ids": ids + [EOS] * (QLEN - n), "attention_mask": [1] * n + [0] * (QLEN - n)}
    def document(text):
        ids = tokens(text)[:DLEN - 1]; ids = [ids[0], M] + ids[1:]
        return {"text": text, "ids": ids, "kept": [i for i, t in enumerate(ids) if t not in skip]}
    queries, docs, vec = [query(t) for t in QUERIES], [document(t) for t in DOCS], {}
    vectors = lambda ids, real, zeroed: unit(encode(ids, real, causal, zeroed) @ dense.T)
    for i, q in enumerate(queries):
        for how in ("zeroed", "kept"): vec[f"q{i}.{how}"] = vectors(q["ids"], sum(q["attention_mask"]), how == "zeroed")
    for i, x in enumerate(docs): vec[f"d{i}"] = vectors(x["ids"], len(x["ids"]), False)[x["kept"]]
    score = lambda how: r5([[(vec[f"q{i}.{how}"] @ vec[f"d{j}"].T).max(-1).sum() for j in range(len(docs))] for i in range(len(queries))])
    default = "zeroed" if causal else "kept"; other = "kept" if causal else "zeroed"
    save(out / "expected.json", {"base": "../../dense/model", "default": default, "queries": queries, "documents": docs, "files": {"model.safetensors": {"scores": score(default), f"scores_{other}": score(other)}}})
    write(out / "vectors.safetensors", vec, "F32"); print(name, score(default), score(other))

def text_vectors(name):
    out = root / name
    model(out, "Lfm2BidirectionalModel", [("", "sentence_transformers.models.Transformer"), ("1_Pooling", "sentence_transformers.models.Pooling"), ("2_Normalize", "sentence_transformers.models.Normalize")],
          {"prompts": {"query": "query: ", "document": "document: "}, "similarity_fn_name": "cosine"},
          [("1_Pooling/config.json", {"word_embedding_dimension": D, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False, "include_prompt": True}), ("sentence_bert_config.json", {"max_seq_length": DLEN, "do_lower_case": False})])
    texts = [{"kind": k, "text": t, "ids": tokens(f"{k}: {t}")[:DLEN]} for k, t in [("query", t) for t in QUERIES] + [("document", t) for t in DOCS]]
    e = unit(np.stack([encode(t["ids"], len(t["ids"]), False, False)[0] for t in texts])); n = len(QUERIES)
    save(out / "expected.json", {"base": "../../dense/model", "texts": texts, "files": {"model.safetensors": {"cosine": r5(e[:n] @ e[n:].T)}}})
    write(out / "vectors.safetensors", {"embeddings": e}, "F32"); print(name, r5(e[:n] @ e[n:].T))

token_vectors("causal", "Lfm2Model", True)
token_vectors("centred", "Lfm2BidirectionalModel", False)
text_vectors("text")
