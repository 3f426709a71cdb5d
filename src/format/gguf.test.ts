import { describe, expect, test } from 'vitest';
import { ggufBytes, tinyGguf, tinyModel, type TinyModel, type TinyValue } from '../../e2e/tools/tiny';
import { joinShards, parseGguf, type GgufHeader } from './gguf';

const SMALL = { hidden: 64, headDim: 16, layers: ['conv', 'attention'] as ('conv' | 'attention')[], vocab: 272 };

function parse(bytes: Uint8Array, size = bytes.length): GgufHeader {
  const header = parseGguf(bytes, { name: 'a.gguf', size });
  if ('need' in header) throw new Error(`needs ${header.need}`);
  return header;
}

function message(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  }
  return 'no error';
}

/** A file whose model was changed before it was written. */
const changed = (change: (model: TinyModel) => void): Uint8Array => {
  const model = tinyModel(SMALL);
  change(model);
  return ggufBytes(model);
};

const withValue = (value: TinyValue): Uint8Array => changed(({ metadata }) => (metadata['a.key'] = value));

describe('parseGguf', () => {
  test('metadata and tensors, versions 2 and 3', () => {
    const model = tinyModel(SMALL);
    for (const version of [2, 3]) {
      const bytes = ggufBytes(model, version);
      const { metadata, tensors, ...rest } = parse(bytes);
      expect(rest).toMatchObject({ version, alignment: 32 });
      expect(metadata.get('lfm2.attention.head_count_kv')).toEqual([0, 2]);
      expect(metadata.get('tokenizer.ggml.add_bos_token')).toBe(true);
      expect((metadata.get('tokenizer.ggml.tokens') as string[]).slice(6, 10)).toEqual([
        '<|im_start|>',
        '<|im_end|>',
        'Ā',
        'ā',
      ]);
      expect(tensors.map(({ name, shape, dtype }) => ({ name, shape, dtype }))).toEqual(
        model.tensors.map(({ name, shape, dtype }) => ({ name, shape, dtype })),
      );
      for (const [i, { offset, byteLength }] of tensors.entries())
        expect(Buffer.compare(bytes.subarray(offset, offset + byteLength), model.tensors[i].bytes)).toBe(0);
    }
  });

  test.each<[string, TinyValue, unknown]>([
    ['u8', [0, 255], 255],
    ['i8', [1, -2], -2],
    ['u16', [2, 65535], 65535],
    ['i16', [3, -3], -3],
    ['u32', [4, 4294967295], 4294967295],
    ['i32', [5, -5], -5],
    ['f32', [6, 0.5], 0.5],
    ['u64', [10, 2 ** 40], 2 ** 40],
    ['i64', [11, -(2 ** 40)], -(2 ** 40)],
    ['f64', [12, 0.1], 0.1],
    ['empty list', [9, 8, []], []],
    ['texts with NUL, BOM and nothing', [9, 8, ['a\0b', '\ufeffc', '', 'ü€😀']], ['a\0b', '\ufeffc', '', 'ü€😀']],
    ['booleans', [9, 7, [true, false]], [true, false]],
  ])('value of type %s', (_, value, expected) =>
    expect(parse(withValue(value)).metadata.get('a.key')).toEqual(expected),
  );

  test('asks for more until the header is whole', () => {
    const bytes = tinyGguf(SMALL);
    const file = { name: 'a.gguf', size: bytes.length };
    let length = 1;
    for (let rounds = 0; ; rounds++) {
      const header = parseGguf(bytes.subarray(0, length), file);
      if (!('need' in header)) {
        expect(header.tensors).toEqual(parse(bytes).tensors);
        break;
      }
      expect(header.need).toBeGreaterThan(length);
      expect(rounds).toBeLessThan(5000);
      length = Math.max(header.need, length + 13);
    }
  });

  test('every truncation of the file is an error, of the head a wish for more', () => {
    const bytes = tinyGguf(SMALL);
    const { tensors } = parse(bytes);
    const headerEnd = tensors[0].offset - 32;
    const dataEnd = Math.max(...tensors.map(({ offset, byteLength }) => offset + byteLength));
    const wrong: number[] = [];
    for (let n = 0; n < headerEnd; n++) {
      const head = bytes.subarray(0, n);
      const wish = parseGguf(head, { name: 'a.gguf', size: bytes.length });
      const wished = 'need' in wish && wish.need > n && wish.need <= headerEnd + 32;
      if (
        !wished ||
        !/^CheckpointError: .*incomplete/.test(message(() => parseGguf(head, { name: 'a.gguf', size: n })))
      )
        wrong.push(n);
    }
    expect(wrong).toEqual([]);
    for (const n of [headerEnd + 32, dataEnd - 1])
      expect(message(() => parse(bytes, n))).toMatch(
        /^CheckpointError: a.gguf is incomplete: tensor .* got \d+ bytes, wanted at least \d+/,
      );
  });

  const tensor = (i: number, change: Partial<TinyModel['tensors'][0]>) =>
    changed(({ tensors }) => Object.assign(tensors[i], change));
  const poke = (at: number, ...values: number[]): Uint8Array => {
    const bytes = tinyGguf(SMALL);
    bytes.set(values, at);
    return bytes;
  };
  const huge = [255, 255, 255, 255, 255, 255, 255, 255];
  /** the byte after the name of a tensor */
  const after = (name: string): number => {
    const text = Buffer.from(tinyGguf(SMALL));
    return text.indexOf(name) + name.length;
  };
  const embedding = after('token_embd.weight');

  test.each<[string, () => Uint8Array, RegExp]>([
    [
      'wrong magic',
      () => new TextEncoder().encode('<!doctype html>'),
      /not a GGUF file: got first bytes 3c 21 64 6f, wanted/,
    ],
    ['nothing', () => new Uint8Array(0), /incomplete/],
    ['version 1', () => poke(4, 1), /version .* got 1, wanted/],
    ['version 4', () => poke(4, 4), /version .* got 4, wanted/],
    ['big-endian', () => poke(4, 0, 0, 0, 3), /big-endian/],
    ['2^64 tensors', () => poke(8, ...huge), /states 18446744073709552000 tensors/],
    ['2^64 entries', () => poke(16, ...huge), /states 18446744073709552000 metadata entries/],
    ['a key of 2^64 bytes', () => poke(24, ...huge), /bytes of a metadata key/],
    ['a text of 2^60 bytes', () => poke(24 + 8 + 20 + 4, 0, 0, 0, 0, 0, 0, 0, 16), /bytes of general.architecture/],
    ['unknown value type', () => withValue([13, 0]), /a\.key has an unknown type: got 13/],
    [
      'a list of 2^31 values',
      () => poke(after('tokenizer.ggml.tokens') + 8, 0, 0, 0, 128),
      /values of tokenizer.ggml.tokens/,
    ],
    ['lists in lists in lists', () => nested(3), /nested too deeply/],
    ['a key twice', twice, /the same metadata key twice: got aa/],
    ['alignment 0', () => changed((m) => (m.metadata['general.alignment'] = [4, 0])), /general\.alignment .* got 0/],
    ['alignment 24', () => changed((m) => (m.metadata['general.alignment'] = [4, 24])), /general\.alignment .* got 24/],
    [
      'a tensor twice',
      () => tensor(1, { name: 'token_embd.weight' }),
      /two tensors with the same name: got token_embd.weight/,
    ],
    ['no dimensions', () => poke(embedding, 0), /dimensions: got 0/],
    ['five dimensions', () => poke(embedding, 5), /dimensions: got 5/],
    [
      'a shape beyond 2^53',
      () => poke(embedding + 4, 0, 0, 0, 0, 0, 0, 32, 0),
      /shape of tensor token_embd.weight is not valid/,
    ],
    ['a length of zero', () => poke(embedding + 4, 0), /shape of tensor token_embd.weight is not valid/],
    ['unknown type', () => poke(embedding + 20, 99), /type that is not supported: got type 99/],
    [
      'types that are not run, each once',
      () => withTypes(22, 18, 22),
      /a\.gguf has tensors of a type that is not supported: got IQ2_S, IQ3_XXS, wanted F32, F16/,
    ],
    [
      'rows that are no whole blocks',
      () => poke(embedding + 20, 12),
      /not whole blocks of Q4_K: got 64, wanted a multiple of 256/,
    ],
    ['an offset that is not aligned', () => poke(embedding + 24, 4), /not aligned: got offset 4/],
    [
      'overlap',
      () => poke(after('token_embd_norm.weight') + 16, 32, 0, 0, 0),
      /token_embd.weight and token_embd_norm.weight of a.gguf overlap/,
    ],
    [
      'an offset beyond the file',
      () => poke(embedding + 24, 0, 0, 0, 0, 1),
      /incomplete: tensor token_embd.weight ends after the file/,
    ],
    ['an offset of 2^63', () => poke(embedding + 24, ...huge.slice(1).map(() => 0), 128), /too large|not aligned/],
  ])('%s', (_, bytes, expected) => {
    const file = bytes();
    const start = performance.now();
    const got = message(() => parse(file));
    expect(got).toMatch(expected);
    expect(got).toMatch(/^CheckpointError: /);
    expect(performance.now() - start).toBeLessThan(1000);
  });

  /** a file whose first matrices have these ggml types */
  function withTypes(...types: number[]): Uint8Array {
    const matrices = tinyModel(SMALL).tensors.filter(({ shape }) => shape.length === 2);
    const bytes = tinyGguf(SMALL);
    types.forEach((type, i) => (bytes[after(matrices[i].name) + 20] = type));
    return bytes;
  }

  function twice(): Uint8Array {
    const bytes = changed(({ metadata }) => Object.assign(metadata, { aa: [4, 1], ab: [4, 1] }));
    bytes[Buffer.from(bytes).indexOf('ab\x04\0\0\0\x01') + 1] = 97;
    return bytes;
  }

  /** a metadata value of lists in each other */
  function nested(depth: number): Uint8Array {
    const bytes = withValue([9, 10, Array.from({ length: 6 }, () => 0)]);
    const view = new DataView(bytes.buffer);
    let at = Buffer.from(bytes).indexOf('a.key') + 5 + 4;
    for (let i = 0; i < depth; i++, at += 12) {
      view.setUint32(at, 9, true);
      view.setBigUint64(at + 4, 1n, true);
    }
    return bytes;
  }
});

describe('joinShards', () => {
  const shard = (no: number, count: number, tensors: number[]): GgufHeader => {
    const model = tinyModel(SMALL);
    Object.assign(model.metadata, { 'split.no': [2, no], 'split.count': [2, count] });
    const header = parseGguf(
      ggufBytes({ ...model, tensors: tensors.map((i) => model.tensors[i]) }),
      { name: `${no}`, size: 1e9 },
      no,
    );
    if ('need' in header) throw new Error('short');
    return header;
  };

  test('tensors of all, metadata of number 0, whatever the order', () => {
    const { metadata, tensors } = joinShards([shard(1, 2, [2]), shard(0, 2, [0, 1])]);
    expect(metadata.get('split.no')).toBe(0);
    expect(tensors.map(({ file }) => file)).toEqual([1, 0, 0]);
  });

  test.each<[string, GgufHeader[], RegExp]>([
    ['one missing', [shard(0, 2, [0])], /not the shards of one model.*wanted all 2 files/],
    ['one twice', [shard(0, 2, [0]), shard(0, 2, [1])], /not the shards/],
    ['another model', [shard(0, 1, [0]), shard(0, 1, [0])], /not the shards/],
    ['a number beyond', [shard(0, 2, [0]), shard(7, 2, [1])], /not the shards/],
    ['a tensor in both', [shard(0, 2, [0]), shard(1, 2, [0])], /same tensor: got token_embd.weight/],
  ])('%s', (_, headers, expected) => expect(message(() => joinShards(headers))).toMatch(expected));
});
