/**
 * The one table of cases that every backend must compute like the reference: small plans over made-up weights, with odd shapes.
 * A case is built by the same code on both sides; it is run for every T of `LENGTHS`, from position 0, and then once more in pieces.
 */
import type { Act, Matrix, Norm, Ops, Vector } from '../model/ops';
import { DTYPES, type Dtype } from '../tensor/dtype';
import type { Backend } from './backend';
import { record } from './plan';
import { noise, randomRows, write } from './synthetic';

export const LENGTHS = [1, 2, 3, 7, 33, 65, 130];
const LONGEST = 130;
const VOCABULARY = 131;

export interface Case {
  name: string;
  build: (op: Ops, make: Make) => Act;
  /** int8 activations round here, because what they quantise is not on an int8 grid */
  rounds?: boolean;
}

/** Has it a linear map of blocks, as int8 activations on WebGPU want? In all else they change no kernel. */
export const takesIntegers = ({ name }: Case): boolean => /^(linear|swiglu) .*[QK]/.test(name);

/** What a backend rounds on purpose. */
export interface Accuracy {
  /** activations to int8, with a scale for every 32 columns (WASM) or 16 (WebGPU): the grid is exact in both */
  integers?: boolean;
  /** keys and values to f16 (WebGPU) or int16 (WASM) */
  cache?: 'f16' | 'int16';
}

/** The bound a run of a case misses; undefined when it holds. `rms` is of the reference's values, `nmse` over their power. */
export function missed({ name, rounds }: Case, { integers, cache }: Accuracy, { maxAbs, rms, nmse }: { maxAbs: number; rms: number; nmse: number }): string | undefined {
  const below = (what: string, got: number, bound: number): string | undefined => (got < bound ? undefined : `${what} ${got}, bound ${bound}`);
  // int8 activations off the grid: llama.cpp's own error on these formats (2.5e-3); all else is f32 rounding of long sums
  if (integers && rounds) return below('nmse', nmse, 2.5e-3);
  // f16: 2^-11 at most, 8e-8 of the power on average, in scores and in values
  // int16: off by 2^-16 of a row's largest value at most, 1e-9 of the power as measured
  if (cache && name.startsWith('attend')) return below('nmse', nmse, cache === 'f16' ? 5e-7 : 5e-9);
  return below('largest difference over rms', maxAbs / rms, 1e-4);
}

/** Made-up weights; the same names give the same numbers on every backend. */
export interface Make {
  /** one dtype, or [dtype, rows] a segment */
  matrix(name: string, rows: number, cols: number, dtype: Dtype | [Dtype, number][]): Matrix;
  vector(name: string, length: number): Vector;
  norm(name: string, length: number): Norm;
  /** embeds the tokens in rows that int8 with one scale per 16 or 32 represents exactly */
  input(op: Ops, cols: number): Act;
}

const dtypes = Object.keys(DTYPES) as Dtype[];
const floats: Dtype[] = ['F32', 'F16', 'BF16'];
const width = (dtype: Dtype, blocks: number): number => (floats.includes(dtype) ? 32 * blocks + 5 : Math.max(DTYPES[dtype].blockLength, 32) * blocks);

export const CASES: Case[] = [
  ...dtypes.map((dtype): Case => ({ name: `embed ${dtype}`, build: (op, make) => op.embed(make.matrix('table', VOCABULARY, width(dtype, 1), dtype)) })),
  ...dtypes.flatMap((dtype) =>
    [1, 5, 33, 130].map((rows): Case => {
      const cols = width(dtype, rows === 33 ? 3 : 1);
      return { name: `linear ${dtype} ${rows}×${cols}`, build: (op, make) => op.linear(make.matrix('w', rows, cols, dtype), make.input(op, cols)) };
    }),
  ),
  ...dtypes.map((dtype): Case => {
    const cols = width(dtype, 2);
    return {
      name: `linear ${dtype} norm bias add`,
      rounds: true,
      build: (op, make) => {
        const x = make.input(op, cols);
        const square = make.matrix('w', cols, cols, dtype);
        return op.linear(square, x, { norm: make.norm('norm', cols), bias: make.vector('bias', cols), add: x });
      },
    };
  }),
  ...dtypes.map((dtype): Case => {
    const cols = width(dtype, 1);
    return {
      name: `swiglu ${dtype}`,
      rounds: true,
      build: (op, make) =>
        op.swiglu(make.matrix('w1', 97, cols, dtype), make.matrix('w3', 97, cols, dtype), make.input(op, cols), { norm: make.norm('norm', cols) }),
    };
  }),
  {
    name: 'linear of segments Q4_K, Q4_K, Q6_K',
    build: (op, make) => op.linear(make.matrix('qkv', 160, 256, [['Q4_K', 96], ['Q4_K', 32], ['Q6_K', 32]]), make.input(op, 256)), // prettier-ignore
  },
  {
    name: 'linear of segments F16, Q8_0, BF16, odd rows',
    build: (op, make) => op.linear(make.matrix('w', 70, 64, [['F16', 37], ['Q8_0', 20], ['BF16', 13]]), make.input(op, 64)), // prettier-ignore
  },
  { name: 'last', build: (op, make) => op.linear(make.matrix('w', 40, 64, 'F32'), op.last(make.input(op, 64)), { norm: make.norm('n', 64) }), rounds: true },
  ...([[32, 3], [33, 3], [130, 4], [96, 2], [65, 1]] as const).map(([D, L]): Case => ({ // prettier-ignore
    name: `shortConv D ${D} L ${L}`,
    build: (op, make) =>
      op.shortConv(make.input(op, 3 * D), make.vector('taps', D * L), { kind: 'conv', layer: 0, channels: D, length: L }, { bias: D === 33 ? make.vector('b', D) : undefined }),
  })),
  {
    name: 'linear then shortConv, as in a conv layer',
    rounds: true,
    build: (op, make) => {
      const x = make.input(op, 64);
      const bcx = op.linear(make.matrix('in', 192, 64, 'Q8_0'), x, { norm: make.norm('n', 64) });
      const y = op.shortConv(bcx, make.vector('taps', 64 * 3), { kind: 'conv', layer: 0, channels: 64, length: 3 });
      return op.linear(make.matrix('out', 64, 64, 'Q4_0'), y, { add: x });
    },
  },
  ...([[4, 2, 64], [16, 8, 64], [3, 1, 32], [4, 4, 16], [6, 2, 80], [2, 1, 128]] as const).map(([H, K, d]): Case => ({ // prettier-ignore
    name: `attend H ${H} K ${K} d ${d}`,
    build: (op, make) =>
      op.attend(
        make.input(op, (H + 2 * K) * d),
        { kind: 'kv', layer: 0, kvHeads: K, headDim: d },
        { qNorm: make.norm('q', d), kNorm: make.norm('k', d), heads: H, ropeTheta: 10000 },
      ),
  })),
];

export { noise, randomRows, write };

export interface Outcome {
  /** 'T 33', or 'pieces' */
  run: string;
  values: Float32Array;
}

/** Runs a case on a backend: for every T, and then LONGEST tokens in pieces of which the last is one token. */
export async function runCase({ build }: Case, backend: Backend): Promise<Outcome[]> {
  const specs = new Map<string, Matrix>();
  const vectors = new Map<string, Vector>();
  const values = (name: string, length: number, low: number, high: number): Float32Array => {
    const next = noise(name);
    return Float32Array.from({ length }, () => low + (next() / 2 ** 32) * (high - low));
  };
  const vector = (name: string, v: Float32Array): Vector => vectors.get(name) ?? (vectors.set(name, backend.vector(name, v)), vectors.get(name)!);
  const handles = new Map<string, Matrix>();
  const matrix = (spec: Matrix): Matrix => (specs.set(spec.name, spec), handles.get(spec.name) ?? spec);
  const make: Make = {
    matrix: (name, rows, cols, dtype) => {
      const parts: [Dtype, number][] = typeof dtype === 'string' ? [[dtype, rows]] : dtype;
      return matrix({ name, rows, cols, segments: parts.map(([type, n], i) => ({ name: `${name}.${i}`, rows: n, dtype: type })) });
    },
    vector: (name, length) => vector(name, values(name, length, -1, 1)),
    norm: (name, length) => ({ weight: vector(name, values(name, length, 0.3, 1.7)), eps: 1e-5 }),
    input: (op, cols) => op.embed(matrix({ name: 'grid', rows: VOCABULARY, cols, segments: [{ name: 'grid', rows: VOCABULARY, dtype: 'F32' }] })),
  };
  record((op) => build(op, make)); // names the matrices
  for (const spec of specs.values()) handles.set(spec.name, spec.name === 'grid' ? await writeGrid(backend, spec) : await write(backend, spec));
  const plan = record((op) => build(op, make));

  const runner = await backend.compile(plan, { contextLength: 256, chunk: LONGEST });
  const next = noise('tokens');
  const tokens = Uint32Array.from({ length: LONGEST }, () => next() % VOCABULARY);
  const outcomes: Outcome[] = [];
  for (const T of LENGTHS) {
    if (!runner.rewind(0)) throw new Error('rewind(0) was refused');
    await runner.prefill(tokens.slice(0, T));
    outcomes.push({ run: `T ${T}`, values: await runner.logits() });
  }
  runner.rewind(0);
  for (let at = 0, piece = 1; at < LONGEST; at += piece, piece = at + 2 * piece < LONGEST ? 2 * piece : LONGEST - at > 1 ? LONGEST - at - 1 : 1)
    await runner.prefill(tokens.slice(at, at + piece));
  outcomes.push({ run: 'pieces', values: await runner.logits() });
  runner.dispose();
  return outcomes;
}

/** Rows of k/127 · s with |k| ≤ 127 that reach ±127 in every 16, one s per 32: exactly what int8 activations can hold. */
function writeGrid(backend: Backend, spec: Matrix): Promise<Matrix> | Matrix {
  const next = noise('grid');
  const values = new Float32Array(spec.rows * spec.cols);
  for (let r = 0, i = 0; r < spec.rows; r++)
    for (let c = 0; c < spec.cols; c++, i++) {
      const scale = 2 ** -((r + (c >> 5)) % 3) / 127;
      values[i] = scale * (c % 16 === 7 ? 127 : (next() % 255) - 127);
    }
  const writer = backend.matrix(spec);
  const done = writer.write(0, 0, new Uint8Array(values.buffer));
  return done ? done.then(() => writer.finish()) : writer.finish();
}
