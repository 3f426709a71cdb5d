"""Golden vectors of two dense LFM2 models with drawn weights, computed by transformers in float32.

usage: dense.py OUT_DIR LLAMA_QUANTIZE
Reads OUT_DIR/model/tokenizer*.json (tokenizer.py); writes model/, gguf/*.gguf, logits/*.f32, expected.json and activations.safetensors.
Files are of the narrow model where their format has blocks of 32 or none, of the wide one where blocks of 256 occur.
"""
import json, pathlib, subprocess, sys
import gguf, numpy as np, torch, transformers
from safetensors.torch import save_file
from transformers import AutoTokenizer, Lfm2Config, Lfm2ForCausalLM
from weights import draw

out, llama_quantize = pathlib.Path(sys.argv[1]), sys.argv[2]
SEED = 2574  # of 1 to 3000 the one whose T7 continues longest in every file before two tokens come within 0.1
VOCAB, HEADS, KV_HEADS = 1024, 4, 2
CONV, ATTENTION = "conv", "full_attention"
NARROW = {"hidden": 64, "ffn": 96, "layers": [CONV, ATTENTION, ATTENTION, CONV]}
WIDE = {"hidden": 256, "ffn": 256, "layers": [CONV, ATTENTION]}
MIXES = {"Q8_0": (NARROW, False), "Q5_1": (NARROW, True), "Q5_0": (NARROW, True), "Q4_1": (NARROW, True),
         "Q6_K": (WIDE, False), "Q5_K_M": (WIDE, False), "Q4_K_M": (WIDE, False), "Q4_0": (WIDE, False)}  # type: (model, --pure)
torch.set_num_threads(2)

def make(shape):
    config = Lfm2Config(vocab_size=VOCAB, hidden_size=shape["hidden"], intermediate_size=shape["ffn"], num_hidden_layers=len(shape["layers"]),
                        num_attention_heads=HEADS, num_key_value_heads=KV_HEADS, layer_types=shape["layers"], conv_L_cache=3, conv_bias=False, norm_eps=1e-5,
                        block_auto_adjust_ff_dim=False, rope_theta=1e6, max_position_embeddings=128000, tie_word_embeddings=True,
                        bos_token_id=1, eos_token_id=7, pad_token_id=0, attn_implementation="eager")
    return Lfm2ForCausalLM(config).float().eval()
def names(shape): return [n for n in make(shape).state_dict() if n != "lm_head.weight"]
def drawn(shape):
    state = make(shape).state_dict()
    return {n: torch.from_numpy(draw(n, tuple(state[n].shape))) for n in names(shape)}

# ---- the Hugging Face directory: the narrow model
model = out / "model"
save_file({n: t.bfloat16().contiguous() for n, t in drawn(NARROW).items()}, str(model / "model.safetensors"), metadata={"format": "pt"})
layers = NARROW["layers"]
json.dump({"architectures": ["Lfm2ForCausalLM"], "model_type": "lfm2", "vocab_size": VOCAB, "hidden_size": 64, "block_dim": 64,
           # int(2/3 · 132) = 88, up to a multiple of 32: 96
           "block_ff_dim": 132, "intermediate_size": 132, "block_auto_adjust_ff_dim": True, "block_ffn_dim_multiplier": 1.0, "block_multiple_of": 32,
           "num_hidden_layers": len(layers), "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "layer_types": layers,
           "full_attn_idxs": [i for i, l in enumerate(layers) if l == ATTENTION], "conv_L_cache": 3, "conv_bias": False, "norm_eps": 1e-5,
           "rope_theta": 1000000.0, "max_position_embeddings": 128000, "tie_embedding": True, "bos_token_id": 1, "eos_token_id": 7, "pad_token_id": 0,
           "torch_dtype": "bfloat16", "use_cache": True}, open(model / "config.json", "w"), indent=1)
json.dump({"bos_token_id": 1, "eos_token_id": 7, "pad_token_id": 0, "temperature": 0.3, "min_p": 0.15, "repetition_penalty": 1.05},
          open(model / "generation_config.json", "w"))

# ---- GGUF
TOP = {"model.embed_tokens.weight": "token_embd.weight", "model.embedding_norm.weight": "token_embd_norm.weight"}
PART = {"operator_norm": "attn_norm", "ffn_norm": "ffn_norm", "conv.in_proj": "shortconv.in_proj", "conv.conv": "shortconv.conv", "conv.out_proj": "shortconv.out_proj",
        "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.out_proj": "attn_output",
        "self_attn.q_layernorm": "attn_q_norm", "self_attn.k_layernorm": "attn_k_norm", "feed_forward.w1": "ffn_gate", "feed_forward.w3": "ffn_up", "feed_forward.w2": "ffn_down"}
def gguf_name(n):
    if n in TOP: return TOP[n]
    _, _, i, rest = n.split(".", 3)
    return f"blk.{i}.{PART[rest.removesuffix('.weight')]}.weight"
tokenizer = json.load(open(model / "tokenizer.json"))
vocab = sorted(tokenizer["model"]["vocab"], key=tokenizer["model"]["vocab"].get)
special = {a["id"] for a in tokenizer["added_tokens"]}
def write_gguf(path, shape, ftype, cast):
    w = gguf.GGUFWriter(str(path), "lfm2")
    w.add_name("tiny-lfm2"); w.add_file_type(ftype); w.add_block_count(len(shape["layers"])); w.add_context_length(128000); w.add_embedding_length(shape["hidden"])
    w.add_feed_forward_length(shape["ffn"]); w.add_head_count(HEADS); w.add_head_count_kv([KV_HEADS if l == ATTENTION else 0 for l in shape["layers"]])
    w.add_layer_norm_rms_eps(1e-5); w.add_rope_freq_base(1e6); w.add_vocab_size(VOCAB); w.add_uint32("lfm2.shortconv.l_cache", 3)
    w.add_tokenizer_model("gpt2"); w.add_tokenizer_pre("lfm2"); w.add_token_list(vocab); w.add_token_types([3 if i in special else 1 for i in range(VOCAB)])
    w.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]]); w.add_bos_token_id(1); w.add_eos_token_id(7); w.add_pad_token_id(0)
    w.add_add_bos_token(True); w.add_add_eos_token(False); w.add_chat_template(json.load(open(model / "tokenizer_config.json"))["chat_template"])
    for n, t in drawn(shape).items():
        a = t.numpy()
        if "conv.conv" in n: a = a[:, 0, :]
        values, dtype = (a, None) if a.ndim == 1 or "conv.conv" in n else cast(a)
        w.add_tensor(gguf_name(n), values, raw_dtype=dtype)
    w.write_header_to_file(); w.write_kv_data_to_file(); w.write_tensors_to_file(); w.close()
folder = out / "gguf"; folder.mkdir(exist_ok=True)
BF16 = gguf.GGMLQuantizationType.BF16
write_gguf(folder / "tiny-F16.gguf", NARROW, 1, lambda a: (a.astype(np.float16), None))
write_gguf(folder / "tiny-BF16.gguf", NARROW, 32, lambda a: (gguf.quantize(a, BF16), BF16))
whole = out / "tiny-F32.gguf"
for mix, (shape, pure) in MIXES.items():
    write_gguf(whole, shape, 0, lambda a: (a, None))
    subprocess.run([llama_quantize, *(["--pure"] if pure else []), str(whole), str(folder / f"tiny-{mix}.gguf"), mix, "2"], check=True, capture_output=True)
whole.unlink()

# ---- logits and continuations
rng = np.random.default_rng(SEED)
prompts = {f"T{n}": [1] + rng.integers(500, VOCAB, n - 1).tolist() for n in (1, 2, 3, 7, 33, 130, 515)}
chat = AutoTokenizer.from_pretrained(str(model)).apply_chat_template([{"role": "user", "content": "What is a tide pool?"}], add_generation_prompt=True, tokenize=True)
prompts["chat"] = list(chat if isinstance(chat, list) else chat["input_ids"])
def load(path):
    if path.name == "model.safetensors": return Lfm2ForCausalLM.from_pretrained(str(model), dtype=torch.float32, attn_implementation="eager").eval(), None
    tensors = gguf.GGUFReader(str(path)).tensors
    values = {t.name: torch.from_numpy(gguf.dequantize(t.data, t.tensor_type).astype(np.float32)) for t in tensors}
    shape = WIDE if values["token_embd_norm.weight"].numel() == WIDE["hidden"] else NARROW
    m = make(shape); like = m.state_dict()
    m.load_state_dict({n: values[gguf_name(n)].reshape(like[n].shape) for n in names(shape)}, strict=False); m.tie_weights()
    return m, {t.name: t.tensor_type.name for t in tensors}
def last(m, ids):
    with torch.no_grad(): return m(torch.tensor([ids]), use_cache=False).logits[0, -1].float()
def greedy(m, ids, count=24):
    new, margins = [], []
    for _ in range(count):
        v, i = last(m, ids + new).topk(2); new.append(int(i[0])); margins.append(round(float(v[0] - v[1]), 4))
    return new, margins
(out / "logits").mkdir(exist_ok=True)
files = {}
for path in [model / "model.safetensors", *sorted(folder.glob("*.gguf"))]:
    m, types = load(path)
    rows = {p: last(m, ids) for p, ids in prompts.items()}
    stem = path.name.removesuffix(".gguf").removesuffix(".safetensors")
    np.stack([r.numpy() for r in rows.values()]).astype("<f4").tofile(out / "logits" / f"{stem}.f32")
    new, margins = greedy(m, prompts["T7"])
    best = {p: {"top5": [[int(i), round(float(v), 5)] for v, i in zip(*r.topk(5))], "std": round(float(r.std()), 5)} for p, r in rows.items()}
    files[path.name] = {"logits_file": f"logits/{stem}.f32", "logits_shape": [len(rows), VOCAB], "last_token_logits": best,
                        "greedy_from_T7": new, "greedy_margins": margins, "tensor_types": types}
    print(f"{path.name:18s} {path.stat().st_size:8d} bytes, T7 std {best['T7']['std']}, greedy margins from {min(margins)}, first below 0.1 at {next((i for i, x in enumerate(margins) if x < 0.1), None)}")
generator = f"transformers {transformers.__version__}, torch {torch.__version__}, float32, eager attention"
json.dump({"generator": generator, "seed": SEED, "prompts": prompts, "files": files}, open(out / "expected.json", "w"), separators=(",", ":"))

# ---- the output of every module of the directory, prompt T7
LEAVES = ("in_proj", "out_proj", "q_proj", "k_proj", "v_proj", "w1", "w2", "w3", "operator_norm", "ffn_norm", "embedding_norm", "embed_tokens", "lm_head")
m, _ = load(model / "model.safetensors")
outputs = {}
def hook(name):
    def record(_, __, output):
        output = output[0] if isinstance(output, tuple) else output
        outputs[name] = output.detach().float().reshape(-1, output.shape[-1]).contiguous().clone()
    return record
for name, module in m.named_modules():
    if name.split(".")[-1] in LEAVES or name.split(".")[-1].isdigit(): module.register_forward_hook(hook(name))
last(m, prompts["T7"])
save_file(outputs, str(out / "activations.safetensors"))
print(len(outputs), "activations;", sum(f.stat().st_size for f in out.rglob("*") if f.is_file()), "bytes in all")
