/**
 * Hostile files: whatever the bytes, a checkpoint opens or is refused by name, at once. Seeded, so that a failure can
 * be repeated.
 */
import { describe, expect, test } from 'vitest';
import { generator, ggufBytes, tinyDirectory, tinyModel, type TinyOptions, type TinyValue } from '../../e2e/tools/tiny';
import { openCheckpoint } from '../engine/checkpoint';
import { memorySource, type ByteSource } from '../store/byte_source';

const TINY: TinyOptions = {
  dtype: 'Q8_0',
  hidden: 32,
  ffn: 32,
  headDim: 8,
  heads: 4,
  layers: ['conv', 'attention'],
  vocab: 272,
};
const NAMES = ['CheckpointError', 'SourceError'];
const HUGE = [2n ** 64n - 1n, 2n ** 63n, 2n ** 60n, 2n ** 53n, 2n ** 32n - 1n, 2n ** 31n, 65536n, 0n];

interface Outcome {
  label: string;
  /** the name of the error, or 'opened' */
  name: string;
  message: string;
  /** of computing */
  ms: number;
}

async function attempt(label: string, files: ByteSource[]): Promise<Outcome> {
  const start = process.cpuUsage(); // not the clock: other processes must not make it fail
  const outcome = await openCheckpoint(files).then(
    () => ({ name: 'opened', message: '' }),
    (error: unknown) =>
      error instanceof Error
        ? { name: error.name, message: error.message }
        : { name: 'unnamed', message: String(error) },
  );
  const { user, system } = process.cpuUsage(start);
  return { label, ...outcome, ms: (user + system) / 1000 };
}

/** Every outcome is named and quick; both opened and refused ones occur. */
function judge(outcomes: Outcome[], atLeast: number): void {
  expect(outcomes.length).toBeGreaterThanOrEqual(atLeast);
  expect(outcomes.filter(({ name }) => name !== 'opened' && !NAMES.includes(name))).toEqual([]);
  // the length of a message is bounded, whatever is in the file
  expect(outcomes.filter(({ message }) => message.length > 2000)).toEqual([]);
  expect(outcomes.filter(({ ms }) => ms > 1000)).toEqual([]);
  expect(outcomes.some(({ name }) => name !== 'opened')).toBe(true);
}

/** One of five ways to damage the first `header` bytes. */
function mutate(bytes: Uint8Array, header: number, random: () => number): Uint8Array {
  const below = (n: number): number => Math.floor(random() * n);
  const copy = bytes.slice();
  switch (below(5)) {
    case 0: // bits
      for (let i = below(8); i >= 0; i--) copy[below(header)] ^= 1 << below(8);
      return copy;
    case 1: // a length, a count, an offset
      new DataView(copy.buffer).setBigUint64(below(header - 8), HUGE[below(HUGE.length)], true);
      return copy;
    case 2: // cut short
      return copy.slice(0, below(header));
    case 3: // a piece over another place
      copy.copyWithin(below(header), below(header), below(header));
      return copy;
    default: {
      // a piece put in or taken out, so that all behind it is shifted
      const at = below(header);
      const piece = copy.subarray(at, at + below(64));
      return random() < 0.5
        ? Uint8Array.from(Buffer.concat([copy.subarray(0, at), piece, copy.subarray(at)]))
        : Uint8Array.from(Buffer.concat([copy.subarray(0, at), copy.subarray(at + piece.length)]));
    }
  }
}

describe('damaged files', () => {
  test('2,000 mutations of a GGUF header', async () => {
    const random = generator(20261121);
    const bytes = ggufBytes(tinyModel(TINY));
    const header = Buffer.from(bytes).lastIndexOf('.weight') + 40;
    // where numbers matter most: the counts, the settings before the vocabulary, and the tensor infos
    const tensors = Buffer.from(bytes).indexOf('token_embd');
    const outcomes: Outcome[] = [];
    for (let i = 0; i < 2000; i++) {
      const mutated =
        i % 2 ? mutate(bytes, header, random) : mutateWithin(bytes, i % 4 ? [0, 900] : [tensors, header], random);
      outcomes.push(await attempt(`mutation ${i}`, [memorySource('a.gguf', mutated)]));
    }
    judge(outcomes, 2000);
    // not only the first check is reached
    expect(new Set(outcomes.map(({ message }) => message.slice(0, 24))).size).toBeGreaterThan(40);
    expect(outcomes.filter(({ name }) => name === 'opened').length).toBeGreaterThan(20);
  });

  function mutateWithin(bytes: Uint8Array, [from, to]: number[], random: () => number): Uint8Array {
    const tail = mutate(bytes.slice(from), to - from, random);
    return Uint8Array.from(Buffer.concat([bytes.subarray(0, from), tail]));
  }

  test('700 mutations of a safetensors header', async () => {
    const random = generator(7);
    const directory = tinyDirectory(TINY);
    const weights = directory['model.safetensors'];
    const header = 8 + Number(new DataView(weights.buffer).getBigUint64(0, true));
    const outcomes: Outcome[] = [];
    for (let i = 0; i < 700; i++) {
      const files = { ...directory, 'model.safetensors': mutate(weights, header, random) };
      outcomes.push(
        await attempt(
          `mutation ${i}`,
          Object.entries(files).map(([name, bytes]) => memorySource(name, bytes)),
        ),
      );
    }
    judge(outcomes, 700);
  });

  // JSON that a check might overlook; the last are nested deeper than a stack
  const HOSTILE = [
    'null',
    'true',
    '0',
    '-1',
    '0.5',
    '1e308',
    '1e999',
    '2147483648',
    '9007199254740993',
    '""',
    '"64"',
    `"${'x'.repeat(1e5)}"`,
    '[]',
    '[[]]',
    '[null]',
    '[-1, "a"]',
    '{}',
  ];
  HOSTILE.push(
    '{"toString": 1}',
    '{"__proto__": {"id": 1}}',
    '{"": {}}',
    '['.repeat(3e4) + ']'.repeat(3e4),
    '{"a":['.repeat(3e4) + ']}'.repeat(3e4),
  );
  const withHostile = (json: unknown, value: string): Uint8Array =>
    new TextEncoder().encode(JSON.stringify(json).replace('"@"', () => value));

  test('every setting of the JSON files replaced by every hostile value', async () => {
    const directory = tinyDirectory(TINY);
    const outcomes: Outcome[] = [];
    for (const name of ['config.json', 'generation_config.json', 'tokenizer_config.json', 'tokenizer.json']) {
      const json = JSON.parse(new TextDecoder().decode(directory[name])) as Record<string, unknown>;
      const inner = name === 'tokenizer.json' ? { vocab: 1, merges: 1 } : {};
      for (const key of [
        ...Object.keys(json),
        ...Object.keys(inner),
        'text_config',
        'rope_parameters',
        'rope_scaling',
        'quantization_config',
        'quantization',
        'theta',
        'full_attn_idxs',
      ])
        for (const value of HOSTILE) {
          const changed =
            key in inner ? { ...json, model: { ...(json.model as object), [key]: '@' } } : { ...json, [key]: '@' };
          const files = { ...directory, [name]: withHostile(changed, value) };
          outcomes.push(
            await attempt(
              `${name} ${key}`,
              Object.entries(files).map(([path, bytes]) => memorySource(path, bytes)),
            ),
          );
        }
    }
    for (const value of HOSTILE) {
      const index = { weight_map: { 'model.embed_tokens.weight': 'model.safetensors' }, metadata: {} };
      const changed = [
        { ...index, weight_map: '@' },
        { ...index, metadata: '@' },
        { ...index, metadata: { total_parameters: '@' } },
      ];
      for (const files of [
        ...changed.map((json) => ({ 'model.safetensors.index.json': withHostile(json, value) })),
        { 'chat_template.json': withHostile({ chat_template: '@' }, value) },
      ])
        outcomes.push(
          await attempt(
            'index or template',
            Object.entries({ ...directory, ...files }).map(([path, bytes]) => memorySource(path, bytes)),
          ),
        );
    }
    judge(outcomes, 500);
  });

  test('every metadata value replaced by every hostile one, every length of every shape changed', async () => {
    const values: TinyValue[] = [
      [4, 0],
      [4, 1],
      [4, 3],
      [4, 2 ** 31],
      [5, -1],
      [6, NaN],
      [6, Infinity],
      [12, 1e308],
      [10, 2 ** 53],
      [7, true],
      [8, ''],
      [8, 'x'.repeat(1e5)],
      [9, 4, []],
      [9, 5, [-1, 0, 2]],
      [9, 6, [0.5, 2]],
      [9, 8, ['a', '', 'a']],
      [9, 7, [true, false]],
      [9, 4, Array(70_000).fill(1)],
    ];
    const outcomes: Outcome[] = [];
    const model = tinyModel(TINY);
    for (const key of Object.keys(model.metadata))
      for (const value of values) {
        const bytes = ggufBytes({ ...model, metadata: { ...model.metadata, [key]: value } });
        outcomes.push(await attempt(`${key} ${value[0]}`, [memorySource('a.gguf', bytes)]));
      }
    for (const [i, tensor] of model.tensors.entries())
      for (const shape of [
        ...tensor.shape.flatMap((_, at) =>
          [0, 1, 2, 2 ** 31, 2 ** 52].map((n) => tensor.shape.with(at, tensor.shape[at] * n)),
        ),
        [...tensor.shape].reverse(),
        [...tensor.shape, 1],
        [1, ...tensor.shape],
      ]) {
        if (
          shape.join() === tensor.shape.join() ||
          (tensor.name.includes('shortconv.conv') && shape.at(-1) === 1 && shape.length === 3)
        )
          continue; // taps as MLX keeps them
        const bytes = ggufBytes({ ...model, tensors: model.tensors.with(i, { ...tensor, shape }) });
        const outcome = await attempt(`${tensor.name} [${shape.join()}]`, [memorySource('a.gguf', bytes)]);
        expect(outcome, outcome.label).toMatchObject({ name: 'CheckpointError' });
        outcomes.push(outcome);
      }
    judge(outcomes, 500);
  });

  test('headers that are as large as a header may be are refused or read in time', async () => {
    const file = (fill: (view: DataView) => void): ByteSource => {
      const bytes = new Uint8Array(34 << 20);
      bytes.set(new TextEncoder().encode('GGUF'));
      const view = new DataView(bytes.buffer);
      view.setUint32(4, 3, true);
      fill(view);
      return memorySource('a.gguf', bytes);
    };
    const key = (view: DataView, type: number): number => {
      view.setBigUint64(16, 1n, true);
      view.setBigUint64(24, 1n, true);
      view.setUint8(32, 97);
      view.setUint32(33, type, true);
      return 37;
    };
    const list = (elementType: number, length: number, inner?: [number, number]) => (view: DataView) => {
      const at = key(view, 9);
      view.setUint32(at, elementType, true);
      view.setBigUint64(at + 4, BigInt(length), true);
      if (inner) for (let i = 0; i < length; i++) view.setUint32(at + 12 + 12 * i, inner[0], true);
    };
    const outcomes = [
      await attempt('a million empty texts', [file(list(8, 2 ** 20))]),
      await attempt('a million numbers', [file(list(4, 2 ** 20))]),
      await attempt('lists in a list', [file(list(9, 65536, [4, 0]))]),
      await attempt('65,536 tensors of nothing', [file((view) => view.setBigUint64(8, 65536n, true))]),
      await attempt('65,536 entries of nothing', [file((view) => view.setBigUint64(16, 65536n, true))]),
      await attempt('a text of 32 MB', [file((view) => view.setBigUint64(key(view, 8), BigInt(32 << 20), true))]),
      await attempt('a key of 65,535 bytes', [
        file(
          (view) => (
            view.setBigUint64(16, 1n, true),
            view.setBigUint64(24, 65535n, true),
            view.setUint32(24 + 8 + 65535, 99, true)
          ),
        ),
      ]),
    ];
    judge(outcomes, 7);
  });
});
