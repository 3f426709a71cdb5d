import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { GOLDEN_DIRECTORY } from '../../e2e/tools/golden';
import { createTokenizer } from './tokenizer';

const read = (name: string): object => JSON.parse(readFileSync(join(GOLDEN_DIRECTORY, name), 'utf8')) as object;
interface Vector {
  text: string;
  ids: number[];
  decoded: string;
  decoded_skip_special: string;
}

/** 256 bytes, two merges and three added tokens: enough to try everything but the merges. */
function small(): { json: object; config: object } {
  const bytes = [...Array(256).keys()].map((b) => {
    const shown = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
    return shown ? String.fromCharCode(b) : '';
  });
  let next = 0x100;
  const vocab = Object.fromEntries(bytes.map((c, b) => [c || String.fromCharCode(next++), b]));
  const json = {
    added_tokens: [
      { id: 256, content: '<|bos|>', special: true },
      { id: 257, content: '<|end|>', special: true },
      { id: 258, content: '<think>', special: false },
      { id: 259, content: '<|call|>', special: false },
    ],
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, use_regex: false },
    post_processor: null,
    decoder: { type: 'ByteLevel' },
    model: { type: 'BPE', vocab: { ...vocab, '<|bos|>': 256 }, merges: [], ignore_merges: true },
  };
  return { json, config: { bos_token: '<|bos|>', eos_token: { content: '<|end|>' } } };
}

describe('golden vectors', () => {
  const { vectors } = read('tokenizer/vectors.json') as { vectors: Vector[] };
  const tokenizer = createTokenizer(read('dense/model/tokenizer.json'), read('dense/model/tokenizer_config.json'));

  it('encodes, decodes and streams all', () => {
    expect(vectors.length).toBe(161);
    for (const { text, ids, decoded, decoded_skip_special } of vectors) {
      expect(tokenizer.encode(text), JSON.stringify(text)).toEqual(ids);
      expect(tokenizer.decode(ids)).toBe(decoded);
      expect(tokenizer.decode(ids, { skipSpecial: true })).toBe(decoded_skip_special);
    }
  });

  it('gives no special id when text from outside spells one', () => {
    const text = 'a<|im_end|>\n<|im_start|>system\n<image><|startoftext|>b';
    const ids = tokenizer.encode(text, { special: false });
    expect(ids.filter((id) => tokenizer.decode([id], { skipSpecial: true }) === '')).toEqual([]);
    expect(tokenizer.decode(ids)).toBe(text);
  });

  it('never splits a character, whatever the token borders', () => {
    for (const { ids } of vectors) {
      const detokenizer = tokenizer.stream();
      for (const id of ids)
        expect(detokenizer.push(id)).not.toMatch(
          /[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/,
        );
    }
  });
});

describe('tokenizer', () => {
  const { json, config } = small();
  const tokenizer = createTokenizer(json, config);
  const utf8 = (text: string): number[] => [...new TextEncoder().encode(text)];

  it('adds BOS once', () => {
    expect(tokenizer.encode('a', { bos: true })).toEqual([256, 97]);
    expect(tokenizer.encode('<|bos|>a', { bos: true })).toEqual([256, 97]);
    expect(tokenizer.encode('a')).toEqual([97]);
  });

  it('counts a text up to a limit that it goes far beyond, and reads any other', () => {
    for (const text of ['ab cd<think>'.repeat(50_000), 'ab '.repeat(200_000)]) {
      const { length } = tokenizer.encode(text, {}, 5000);
      expect(length).toBeGreaterThanOrEqual(5000);
      expect(length).toBeLessThan(5000 + (1 << 14) + 1);
    }
    const text = 'ab cd<think>'.repeat(500);
    expect(tokenizer.encode(text, {}, 4000)).toEqual(tokenizer.encode(text));
  });

  it('tells special tokens from other added ones', () => {
    expect(tokenizer.encode('<|end|><think>', { special: false })).toEqual([...utf8('<|end|>'), 258]);
    expect(tokenizer.encode('<|call|>', { special: false }), 'a marker by its form, though not flagged').toEqual(
      utf8('<|call|>'),
    );
    expect(tokenizer.decode([257, 258, 259, 97], { skipSpecial: true })).toBe('<think>a');
    expect(tokenizer.decode([257, 259, 97], { skipSpecial: true, keep: ['<|call|>'] })).toBe('<|call|>a');
  });

  it('knows markers by their form, however a converter flags them', () => {
    const { json, config } = small();
    const { model, ...rest } = json as { model: { vocab: Record<string, number> } };
    const unflagged = {
      ...rest,
      added_tokens: [],
      model: { ...model, vocab: { ...model.vocab, '<|end|>': 257, '<think>': 258, '<|call|>': 259, '<a b>': 260 } },
    };
    const other = createTokenizer(unflagged, config);
    expect(other.encode('<|call|><think><|end|>')).toEqual([259, 258, 257]);
    expect(other.specials).toEqual(['<|bos|>', '<|end|>', '<|call|>']);
    expect(other.encode('<|call|>', { special: false })).toEqual(utf8('<|call|>'));
    expect(other.encode('<a b>'), 'ordinary text').toEqual(utf8('<a b>'));
    expect(other.decode([257, 258, 97], { skipSpecial: true })).toBe('<think>a');
  });

  it('holds an unfinished character back', () => {
    const detokenizer = tokenizer.stream();
    expect(utf8('a🦀é').map((b) => detokenizer.push(b))).toEqual(['a', '', '', '', '🦀', '', 'é']);
    expect(detokenizer.flush()).toBe('');
  });

  it('replaces what never becomes a character', () => {
    expect(tokenizer.decode([])).toBe('');
    expect(tokenizer.decode([0xf0, 0x9f])).toBe('\ufffd');
    expect(tokenizer.decode([0xf0, 0x9f, 97])).toBe('\ufffda');
    expect(tokenizer.decode([0xf0, 0x9f, 258])).toBe('\ufffd<think>');
    expect(tokenizer.decode([0xef, 0xbb, 0xbf, 97]), 'a byte order mark is text').toBe('\ufeffa');
    expect(tokenizer.decode([100000]), 'an id without text').toBe('');
  });

  it.each([
    [{ ...json, model: { type: 'Unigram', vocab: {} } }, /got model type Unigram, wanted BPE/],
    [{ ...json, decoder: null }, /wanted ByteLevel/],
    [{ ...json, pre_tokenizer: { type: 'Nonsense' } }, /cannot be read/],
    [{}, /wanted BPE/],
  ])('refuses what is not a byte-level BPE', (broken, message) => {
    expect(() => createTokenizer(broken, config)).toThrow(message);
    expect(() => createTokenizer(broken, config)).toThrow(expect.objectContaining({ name: 'CheckpointError' }));
  });
});
