"""The tokenizer: byte-level BPE with LFM2's pre-tokenizer and first special ids, trained so that copying is the same task for every word.

Pieces of words never hold the space or the quote before them, and digits stand alone: a word is spelled with the same tokens in the request and in the call. Only the commonest words of the
phrases exist with their space, as one token.
"""
import collections
import json
import random
import re

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from dialogues import MORE, POOLS, SPELLINGS, render, word
from lessons import lesson
from values import in_words

PIECES, SPACED = 3700, 1300
SPECIAL = ["<|pad|>", "<|startoftext|>", "<|endoftext|>", "<|fim_pre|>", "<|fim_mid|>", "<|fim_suf|>", "<|im_start|>", "<|im_end|>", "<|tool_list_start|>", "<|tool_list_end|>", "<|tool_call_start|>",
           "<|tool_call_end|>", "<|tool_response_start|>", "<|tool_response_end|>"] + [f"<|reserved_{i}|>" for i in range(14, 64)]
SPLIT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def build(seed, saved=None):
    """The tokenizer, from its JSON if there is one; made-up words are then spelled with all of its pieces."""
    tokenizer = Tokenizer.from_str(saved) if saved else learn(seed)
    SPELLINGS[:] = sorted(t for t in tokenizer.get_vocab() if t.isascii() and t.isalpha() and (t.islower() or t[1:].islower()))
    return tokenizer


def learn(seed):
    rng = random.Random(seed)
    texts = [render(d["messages"], d["tools"])[0] for d in (lesson(rng) for _ in range(6000))]
    special = [AddedToken(s, special=True, normalized=False) for s in SPECIAL]
    split = lambda pattern: pre_tokenizers.Split(Regex(pattern), behavior="isolated", invert=False)
    spelling = Tokenizer(models.BPE())
    spelling.pre_tokenizer = pre_tokenizers.Sequence([split(SPLIT), split(r"\p{L}+|\p{N}"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    trainer = trainers.BpeTrainer(vocab_size=PIECES, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False, max_token_length=12)
    numbers = [in_words(n, german) for n in [*range(1, 13)] * 40 + [*range(13, 100)] * 8 for german in (False, True)]  # are turned into digits: whole words are easier to learn
    spelling.train_from_iterator(texts + numbers + [word(rng, False) for _ in range(4000)], trainer)
    assert [spelling.token_to_id(s) for s in SPECIAL] == list(range(len(SPECIAL)))

    model = json.loads(spelling.to_str())["model"]
    vocabulary, merges = model["vocab"], [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in model["merges"]]
    values = set(" ".join(sum([*POOLS.values(), *MORE.values()], [])).split()) - {"the", "a", "my", "on"}
    merges = [m for m in merges if not any(part.startswith("ĠÃ") for part in (*m, m[0] + m[1]))]  # of ` ×`: it would take the first half of the letter from ` Öl`
    words = lambda before: collections.Counter(m for text in texts for m in re.findall(before + r"([^\W\d_]+)", text))
    spaced, first = words(" "), words('="')
    spelled = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    for text, count in spaced.most_common():
        if len(vocabulary) >= PIECES + SPACED or count < 20:
            break
        whole = spelled.pre_tokenize_str(text)[0][0]
        if whole in vocabulary and text not in values and first[text] < 0.04 * count:  # what often begins a value is spelled alike behind a space and behind a quote
            vocabulary["Ġ" + whole] = len(vocabulary)  # without a merge: only whole words, or ` attic` would begin with ` at`, and `"attic"` with `at`
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split(SPLIT), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(special)
    tokenizer.post_processor = processors.TemplateProcessing(single="<|startoftext|> $A", pair="<|startoftext|> $A <|startoftext|> $B", special_tokens=[("<|startoftext|>", 1)])
    return tokenizer

