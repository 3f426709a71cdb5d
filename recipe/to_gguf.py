"""Writes a trained directory as GGUF:  python to_gguf.py DIR OUT.gguf [--type Q8_0|Q4_0|F16|F32]

Norms and conv taps stay F32, as llama.cpp keeps them; all other matrices get the type.
"""
import argparse
import json
import pathlib

import gguf
import numpy as np
from safetensors.numpy import load_file

TYPES = {"Q8_0": 7, "Q4_0": 2, "F16": 1, "F32": 0}  # and the number of the file type
PARTS = {"operator_norm": "attn_norm", "ffn_norm": "ffn_norm", "conv.in_proj": "shortconv.in_proj", "conv.conv": "shortconv.conv", "conv.out_proj": "shortconv.out_proj",
         "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.out_proj": "attn_output", "self_attn.q_layernorm": "attn_q_norm",
         "self_attn.k_layernorm": "attn_k_norm", "feed_forward.w1": "ffn_gate", "feed_forward.w3": "ffn_up", "feed_forward.w2": "ffn_down"}


def name_of(hf):
    if hf == "model.embed_tokens.weight":
        return "token_embd.weight"
    if hf == "model.embedding_norm.weight":
        return "token_embd_norm.weight"
    _, _, layer, rest = hf.split(".", 3)
    return f"blk.{layer}.{PARTS[rest.removesuffix('.weight')]}.weight"


def write(source, out, type):
    config = json.loads((source / "config.json").read_text())
    tokenizer = json.loads((source / "tokenizer.json").read_text())
    weights = {k: v for k, v in load_file(source / "model.safetensors").items() if k != "lm_head.weight"}
    theta = config.get("rope_theta") or config["rope_parameters"]["rope_theta"]

    w = gguf.GGUFWriter(str(out), "lfm2")
    w.add_name("Rivulet tiny")
    w.add_description("The miniature that comes with Rivulet: calls page tools, fills in JSON")
    w.add_license("Apache-2.0")
    w.add_file_type(TYPES[type])
    w.add_block_count(config["num_hidden_layers"])
    w.add_context_length(config["max_position_embeddings"])
    w.add_embedding_length(config["hidden_size"])
    w.add_feed_forward_length(weights["model.layers.0.feed_forward.w1.weight"].shape[0])
    w.add_head_count(config["num_attention_heads"])
    w.add_head_count_kv([config["num_key_value_heads"] if t == "full_attention" else 0 for t in config["layer_types"]])
    w.add_layer_norm_rms_eps(config["norm_eps"])
    w.add_rope_freq_base(theta)
    w.add_vocab_size(config["vocab_size"])
    w.add_uint32("lfm2.shortconv.l_cache", config["conv_L_cache"])
    vocabulary = sorted(tokenizer["model"]["vocab"].items(), key=lambda item: item[1])
    special = {t["id"] for t in tokenizer["added_tokens"]}
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("lfm2")
    w.add_token_list([t for t, _ in vocabulary])
    w.add_token_types([3 if i in special else 1 for _, i in vocabulary])
    w.add_token_merges([" ".join(m) if isinstance(m, list) else m for m in tokenizer["model"]["merges"]])
    w.add_bos_token_id(1)
    w.add_eos_token_id(7)
    w.add_pad_token_id(0)
    w.add_add_bos_token(True)
    w.add_add_eos_token(False)
    w.add_chat_template((pathlib.Path(__file__).parent / "chat_template.jinja").read_text())
    for name, value in weights.items():
        value = value.astype(np.float32)
        if "conv.conv" in name:
            value = value[:, 0, :]
        if value.ndim == 1 or "conv.conv" in name:
            w.add_tensor(name_of(name), value)
        elif type in ("F16", "F32"):
            w.add_tensor(name_of(name), value.astype(np.float16 if type == "F16" else np.float32))
        else:
            kind = gguf.GGMLQuantizationType[type]
            w.add_tensor(name_of(name), gguf.quantize(value, kind), raw_dtype=kind)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    print(f"{out}: {out.stat().st_size / 1e6:.2f} MB")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("source", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--type", default="Q8_0", choices=TYPES)
    o = parser.parse_args()
    write(o.source, o.out, o.type)


if __name__ == "__main__":
    main()
