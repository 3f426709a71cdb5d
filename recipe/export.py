"""Writes a trained state as a Hugging Face directory (float32), as GGUF, and as expectations of transformers:

    python export.py OUT [--gguf FILE.gguf --type Q8_0|Q4_0|F16|F32] [--expect DIR]

OUT/hf is always written. DIR then holds what `npm run verify -- --expected DIR` compares Rivulet with: the logits and 24 greedy tokens of transformers after each of 50 held-out prompts.
"""
import argparse
import json
import pathlib
import random
import shutil

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import Lfm2Config, Lfm2ForCausalLM

import to_gguf
from dialogues import dialogue, render
from model import EPS, Lfm2
from vocabulary import SPECIAL

HERE = pathlib.Path(__file__).parent
STEPS, PROMPTS = 24, 50


def to_hf(out):
    """OUT/state.pt as OUT/hf; fails when transformers does not compute the same from it."""
    state = torch.load(out / "state.pt", weights_only=False, map_location="cpu")
    config, directory = state["config"], out / "hf"
    theta = config["rope_theta"]
    hf = Lfm2Config(**{k: v for k, v in config.items() if k != "rope_theta"}, rope_parameters={"rope_type": "default", "rope_theta": theta}, num_hidden_layers=len(config["layer_types"]),
                    conv_bias=False, norm_eps=EPS, block_auto_adjust_ff_dim=False, tie_word_embeddings=True, bos_token_id=1, eos_token_id=7, pad_token_id=0)
    model = Lfm2ForCausalLM(hf).eval()
    missing = model.load_state_dict({f"model.{k}": v for k, v in state["model"].items()}, strict=False)
    assert not missing.unexpected_keys and set(missing.missing_keys) <= {"lm_head.weight"}, missing
    model.tie_weights()
    trained = Lfm2(config).eval()
    trained.load_state_dict(state["model"])
    ids = torch.randint(64, config["vocab_size"], (2, 90))
    with torch.no_grad():
        difference = (model(ids).logits.flatten(0, 1) - trained(ids)).abs().max().item()
    assert difference < 1e-3, f"transformers differs by {difference}"
    model.save_pretrained(directory)
    (directory / "tokenizer.json").write_text(state["tokenizer"])
    (directory / "tokenizer_config.json").write_text(json.dumps({
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": SPECIAL[1], "eos_token": SPECIAL[7], "pad_token": SPECIAL[0], "model_max_length": config["max_position_embeddings"],
        "clean_up_tokenization_spaces": False, "add_bos_token": True, "add_eos_token": False, "chat_template": (HERE / "chat_template.jinja").read_text()}, indent=1))
    (directory / "generation_config.json").write_text(json.dumps({"bos_token_id": 1, "eos_token_id": 7, "pad_token_id": 0, "temperature": 0.0}))
    print(f"{directory}: {state['step']} steps, {state['seen'] / 1e6:.1f} M tokens; transformers differs by {difference:.1e}")
    return directory, model


@torch.no_grad()
def expectations(model, directory, out):
    out.mkdir(parents=True, exist_ok=True)
    (out / "logits").mkdir(exist_ok=True)
    shutil.copytree(directory, out / "model", dirs_exist_ok=True)
    tokenizer, rng = Tokenizer.from_file(str(directory / "tokenizer.json")), random.Random(50)
    prompts, rows, greedy = {}, [], {}
    while len(prompts) < PROMPTS:
        d = dialogue(rng, "held", rng.choice(["call", "two", "ask", "plain", "follow", "json", "self"]))
        ids = tokenizer.encode(render(d["messages"][:-1], d["tools"], generation=True)[0], add_special_tokens=False).ids
        name = f"P{len(prompts)}"
        prompts[name], tokens, margins = ids, [], []
        given = model(torch.tensor([ids]), use_cache=True)
        rows.append(given.logits[0, -1].numpy())
        while len(tokens) < STEPS:
            best = given.logits[0, -1].topk(2)
            tokens.append(best.indices[0].item())
            margins.append(round((best.values[0] - best.values[1]).item(), 4))
            given = model(best.indices[None, :1], past_key_values=given.past_key_values, use_cache=True)
        greedy[name] = {"tokens": tokens, "margins": margins}
    np.stack(rows).astype("<f4").tofile(out / "logits" / "model.f32")
    entry = {"logits_file": "logits/model.f32", "logits_shape": [len(rows), len(rows[0])], "greedy": greedy, "tensor_types": None}
    (out / "expected.json").write_text(json.dumps({"generator": f"transformers, torch {torch.__version__}, float32", "prompts": prompts, "files": {"model.safetensors": entry}}))
    print(f"{out}: {len(prompts)} prompts, {STEPS} greedy tokens each")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--gguf", type=pathlib.Path)
    parser.add_argument("--type", default="Q8_0", choices=to_gguf.TYPES)
    parser.add_argument("--expect", type=pathlib.Path)
    o = parser.parse_args()
    torch.manual_seed(1)
    directory, model = to_hf(o.out)
    if o.gguf:
        to_gguf.write(directory, o.gguf, o.type)
    if o.expect:
        expectations(model, directory, o.expect)


if __name__ == "__main__":
    main()
