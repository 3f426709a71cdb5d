"""Trains the tokenizer of the golden models: byte-level BPE with LFM2's pre-tokenizer and the ids of its named special tokens.

usage: tokenizer.py MODEL_DIR
Reads corpus.txt beside this file; writes tokenizer.json and tokenizer_config.json. The ids that LFM2 reserves belong to ordinary tokens here.
"""
import json, pathlib, sys
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

out = pathlib.Path(sys.argv[1])
VOCAB = 1024
SPECIALS = dict(enumerate(["<|pad|>", "<|startoftext|>", "<|endoftext|>", "<|fim_pre|>", "<|fim_mid|>", "<|fim_suf|>", "<|im_start|>", "<|im_end|>",
                           *(f"<|tool_{part}_{edge}|>" for part in ("list", "call", "response") for edge in ("start", "end"))]))
SPECIALS |= dict(enumerate(["<|audio_start|>", "<|text_start|>", "<|text_end|>", "<|mixed_start|>", "<|mixed_end|>"], 128))
SPECIALS |= dict(enumerate(["<image>", *(f"<|img_row_{r}_col_{c}|>" for r in range(1, 11) for c in range(1, 11)),
                            "<|img_thumbnail|>", "<|image_start|>", "<|image_end|>"], 396))
SPLIT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
TEMPLATE = ("{{- bos_token -}}{%- for m in messages -%}{{- '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' -}}{%- endfor -%}"
            "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}")

tok = Tokenizer(models.BPE(ignore_merges=True))
tok.pre_tokenizer = pre_tokenizers.Sequence([
    pre_tokenizers.Split(Regex(SPLIT), behavior="isolated", invert=False),
    pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=False)])
tok.decoder = decoders.ByteLevel()
tok.train([str(pathlib.Path(__file__).with_name("corpus.txt"))], trainers.BpeTrainer(
    vocab_size=VOCAB - len(SPECIALS), initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
tok.post_processor = processors.TemplateProcessing(single="<|startoftext|> $A", pair="<|startoftext|> $A <|startoftext|> $B",
                                                   special_tokens=[("<|startoftext|>", 1)])

text = json.loads(tok.to_str())
trained = sorted(text["model"]["vocab"], key=text["model"]["vocab"].get)
free = [i for i in range(VOCAB) if i not in SPECIALS]
assert len(trained) == len(free), (len(trained), len(free))
vocab = {**SPECIALS, **dict(zip(free, trained))}
text["model"]["vocab"] = {vocab[i]: i for i in range(VOCAB)}
text["added_tokens"] = [{"id": i, "content": name, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
                        for i, name in SPECIALS.items()]
out.mkdir(parents=True, exist_ok=True)
(out / "tokenizer.json").write_text(json.dumps(text, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
tok = Tokenizer.from_file(str(out / "tokenizer.json"))
assert tok.get_vocab_size() == VOCAB and all(tok.token_to_id(name) == i for i, name in vocab.items())
json.dump({"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|startoftext|>", "eos_token": "<|im_end|>", "pad_token": "<|pad|>",
           "model_max_length": 128000, "clean_up_tokenization_spaces": False, "add_bos_token": True, "add_eos_token": False,
           "chat_template": TEMPLATE}, open(out / "tokenizer_config.json", "w"), indent=1)
print(out, VOCAB, "tokens,", len(text["model"]["merges"]), "merges")
