"""Trains the embedded model and exports it as a Hugging Face directory and as GGUF.

    python train.py --out OUT [--minutes 60] [--threads 2] [--seed 7] [--device cpu|cuda]

The schedule follows the wall clock, so that the learning rate ends where the time does. A checkpoint is written every ten minutes and at the end.
"""
import argparse
import json
import math
import pathlib
import random
import time

import torch
import torch.nn.functional as F
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import Lfm2Config, Lfm2ForCausalLM

from dialogues import dialogue, render

HERE = pathlib.Path(__file__).parent
VOCABULARY, LONGEST = 3072, 640
LAYERS = ["conv", "full_attention", "conv", "full_attention", "conv", "full_attention"]
SHAPE = dict(hidden_size=256, intermediate_size=768, num_attention_heads=4, num_key_value_heads=2)
# ids as in LFM2 (0 … 13); the next 50 are reserved
SPECIAL = ["<|pad|>", "<|startoftext|>", "<|endoftext|>", "<|fim_pre|>", "<|fim_mid|>", "<|fim_suf|>", "<|im_start|>", "<|im_end|>", "<|tool_list_start|>", "<|tool_list_end|>", "<|tool_call_start|>",
           "<|tool_call_end|>", "<|tool_response_start|>", "<|tool_response_end|>"] + [f"<|reserved_{i}|>" for i in range(14, 64)]
SPLIT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def train_tokenizer(seed):
    rng = random.Random(seed)
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(SPLIT), behavior="isolated", invert=False), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    special = [AddedToken(s, special=True, normalized=False) for s in SPECIAL]
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    texts = []
    for _ in range(6000):
        d = dialogue(rng)
        texts.append(render(d["messages"], d["tools"])[0])
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<|startoftext|> $A", pair="<|startoftext|> $A <|startoftext|> $B", special_tokens=[("<|startoftext|>", 1)])
    assert [tokenizer.token_to_id(s) for s in SPECIAL] == list(range(len(SPECIAL)))
    return tokenizer


def example(tokenizer, rng):
    """Token ids and the weight of each as a target: 1 for what the assistant writes, a little for the rest."""
    while True:
        d = dialogue(rng)
        text, spans = render(d["messages"], d["tools"])
        encoding = tokenizer.encode(text, add_special_tokens=False)
        if len(encoding.ids) <= LONGEST:
            break
    weights = [1.0 if any(a <= s and e <= b for a, b in spans) else 0.03 for s, e in encoding.offsets]
    return encoding.ids, weights


def batches(tokenizer, seed, tokens):
    """Batches of about `tokens` tokens, of dialogues of like length."""
    rng = random.Random(seed)
    while True:
        pool = sorted((example(tokenizer, rng) for _ in range(256)), key=lambda x: len(x[0]))
        groups, group = [], []
        for x in pool:
            if group and (len(group) + 1) * len(x[0]) > tokens:
                groups.append(group)
                group = []
            group.append(x)
        groups.append(group)
        rng.shuffle(groups)
        for group in groups:
            width = max(len(ids) for ids, _ in group)
            ids = torch.tensor([i + [0] * (width - len(i)) for i, _ in group])
            weights = torch.tensor([w + [0.0] * (width - len(w)) for _, w in group])
            yield ids, weights


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--tokens", type=int, default=4096, help="tokens of a batch")
    parser.add_argument("--rate", type=float, default=2.5e-3)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    o = parser.parse_args()
    torch.manual_seed(o.seed)
    torch.set_num_threads(o.threads)
    tokenizer = train_tokenizer(o.seed)
    config = Lfm2Config(vocab_size=VOCABULARY, num_hidden_layers=len(LAYERS), layer_types=LAYERS, conv_L_cache=3, conv_bias=False, norm_eps=1e-5, block_auto_adjust_ff_dim=False,
                        rope_theta=10000.0, max_position_embeddings=2048, tie_word_embeddings=True, bos_token_id=1, eos_token_id=7, pad_token_id=0, **SHAPE)
    config._attn_implementation = "sdpa"
    model = Lfm2ForCausalLM(config).to(o.device).train()
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters, {len(tokenizer.get_vocab())} tokens", flush=True)
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() <= 1]
    optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.05}, {"params": vectors, "weight_decay": 0.0}], lr=o.rate, betas=(0.9, 0.98))

    start, saved, seen, mean = time.time(), time.time(), 0, None
    for step, (ids, weights) in enumerate(batches(tokenizer, o.seed + 1, o.tokens)):
        done = (time.time() - start) / (60 * o.minutes)
        if done >= 1:
            break
        rate = o.rate * min(1, (step + 1) / 100) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        ids, weights = ids.to(o.device), weights.to(o.device)
        logits = model(ids[:, :-1]).logits
        losses = F.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten(), reduction="none")
        w = weights[:, 1:].flatten()
        loss = (losses * w).sum() / w.sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        seen += ids.numel()
        answer = (losses * (w == 1)).sum() / (w == 1).sum()
        mean = answer.item() if mean is None else 0.98 * mean + 0.02 * answer.item()
        if step % 50 == 0:
            print(f"step {step}  {seen / 1e6:.2f} M tokens  {(time.time() - start) / 60:.1f} min  loss of answers {mean:.4f}", flush=True)
        if time.time() - saved > 600:
            export(model, tokenizer, o.out)
            saved = time.time()
    export(model, tokenizer, o.out)
    print(f"{step} steps, {seen / 1e6:.1f} M tokens in {(time.time() - start) / 60:.1f} minutes; loss of answers {mean:.4f}")


def export(model, tokenizer, out):
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(out)
    tokenizer.save(str(out / "tokenizer.json"))
    template = (HERE / "chat_template.jinja").read_text()
    (out / "tokenizer_config.json").write_text(json.dumps({
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": SPECIAL[1], "eos_token": SPECIAL[7], "pad_token": SPECIAL[0], "model_max_length": 2048,
        "clean_up_tokenization_spaces": False, "add_bos_token": True, "add_eos_token": False, "chat_template": template}, indent=1))
    (out / "generation_config.json").write_text(json.dumps({"bos_token_id": 1, "eos_token_id": 7, "pad_token_id": 0, "temperature": 0.0}))


if __name__ == "__main__":
    main()
