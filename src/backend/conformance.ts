/**
 * The cases that every backend must compute like the reference: small plans of odd shapes over random weights. The same
 * code builds a case for both. A case runs for every T of CONFORMANCE_PROMPT_LENGTHS, from position 0, and once more in
 * pieces; or in its own pieces only.
 */
import type { Attend, Matrix, Vector } from '../model/ops';
import { DTYPES, type Dtype } from '../tensor/dtype';
import { firstState, type Backend, type PrefillOptions, type State } from './backend';
import type { CaseTensorFactory, ConformanceCase } from './conformance_case';
import { EXPERT_CASES } from './conformance_experts';
import { recordPlan } from './plan';
import { seededRandom, writeRandomMatrix } from './random_weights';

export const CONFORMANCE_PROMPT_LENGTHS = [1, 2, 3, 7, 33, 65, 130];
export const LONGEST = 130;
/** LONGEST tokens in pieces; a piece of one token takes the kernels of decode */
const PIECES = [1, 2, 4, 8, 16, 32, 64, 2, 1];
const VOCABULARY = 131;

/** Whether WebGPU can run the case with int8 activations: it has a linear map with quantized weights. */
export const canUseInt8Activations = ({ name }: ConformanceCase): boolean =>
  /^(linear|swiglu|experts) .*[QK]/.test(name);

/** The values that a backend rounds by design. */
export interface ReducedPrecision {
  /** activations become int8 with a scale for every 32 columns (WASM) or 16 (WebGPU); `input` is exact in both */
  int8Activations?: boolean;
  /** keys and values become f16 (WebGPU) or int16 (WASM) */
  cache?: 'f16' | 'int16';
}

/**
 * Describes the error bound that a run exceeds; undefined when all hold. `rms` is that of the reference's values;
 * `nmse` is relative to their power.
 */
export function exceededErrorBound(
  { name, offGrid }: ConformanceCase,
  { int8Activations, cache }: ReducedPrecision,
  { maxAbs, rms, nmse }: { maxAbs: number; rms: number; nmse: number },
): string | undefined {
  const bounded = (what: string, got: number, bound: number): string | undefined =>
    got < bound ? undefined : `${what} ${got}, bound ${bound}`;
  // off the int8 grid the bound is llama.cpp's own error on these formats; everything else is f32 rounding of long sums
  if (int8Activations && offGrid) return bounded('nmse', nmse, 2.5e-3);
  // f16 rounds by at most 2^-11, on average 8e-8 of the power, in scores and in values;
  // int16 by at most 2^-16 of a row's largest value, which was measured as 1e-9 of the power
  if (cache && name.startsWith('attend')) return bounded('nmse', nmse, cache === 'f16' ? 5e-7 : 5e-9);
  return bounded('largest difference over rms', maxAbs / rms, 1e-4);
}

/** Attention with norms and RoPE if the options do not say otherwise: over a cache, or within sequences. */
export function attendCase(
  name: string,
  [H, K, d]: readonly [number, number, number],
  options: Partial<Attend> = {},
  more: Partial<ConformanceCase> = {},
): ConformanceCase {
  return {
    name: `attend H ${H} K ${K} d ${d}${name}`,
    build: (op, make) =>
      op.attend(
        make.input(op, (H + 2 * K) * d + (options.gate ? H : 0)),
        more.sequences ? undefined : { kind: 'kv', layer: 0, kvHeads: K, headDim: d },
        {
          qNorm: 'qNorm' in options ? undefined : make.norm('q', d),
          kNorm: 'kNorm' in options ? undefined : make.norm('k', d),
          heads: H,
          kvHeads: more.sequences && K,
          rope: { theta: 10000 },
          ...options,
        },
      ),
    ...more,
  };
}

/** the first two pairs turn, as in the full layers of LFM3 the first half */
export const factors = (d: number): number[] => Array.from({ length: d / 2 }, (_, i) => (i < 2 ? 1 + i : 1e30));
/** after a longer prompt: in threes and one by one */
const WINDOW_PIECES = [3, 3, 3, 1, 1, 1];
/** over several pages and spans; the last pieces take the kernels of decode */
const LONG_PIECES = [130, 130, 130, 120, 1, 1, 1, 40, 1];

const dtypes = Object.keys(DTYPES) as Dtype[];
const floats: Dtype[] = ['F32', 'F16', 'BF16'];
const width = (dtype: Dtype, blocks: number): number =>
  floats.includes(dtype) ? 32 * blocks + 5 : Math.max(DTYPES[dtype].blockLength, 32) * blocks;

export const CONFORMANCE_CASES: ConformanceCase[] = [
  ...dtypes.map((dtype): ConformanceCase => ({
    name: `embed ${dtype}`,
    build: (op, make) => op.embed(make.matrix('table', VOCABULARY, width(dtype, 1), dtype)),
  })),
  ...dtypes.flatMap((dtype) =>
    [1, 5, 33, 130].map((rows): ConformanceCase => {
      const cols = width(dtype, rows === 33 ? 3 : 1);
      return {
        name: `linear ${dtype} ${rows}×${cols}`,
        build: (op, make) => op.linear(make.matrix('w', rows, cols, dtype), make.input(op, cols)),
      };
    }),
  ),
  ...dtypes.map((dtype): ConformanceCase => {
    const cols = width(dtype, 2);
    return {
      name: `linear ${dtype} norm bias add`,
      offGrid: true,
      build: (op, make) => {
        const x = make.input(op, cols);
        const square = make.matrix('w', cols, cols, dtype);
        return op.linear(square, x, { norm: make.norm('norm', cols), bias: make.vector('bias', cols), add: x });
      },
    };
  }),
  ...dtypes.map((dtype): ConformanceCase => {
    const cols = width(dtype, 1);
    return {
      name: `swiglu ${dtype}`,
      offGrid: true,
      build: (op, make) =>
        op.swiglu(make.matrix('w1', 97, cols, dtype), make.matrix('w3', 97, cols, dtype), make.input(op, cols), {
          norm: make.norm('norm', cols),
        }),
    };
  }),
  ...(['F32', 'Q4_0', 'Q6_K'] as const).map((dtype): ConformanceCase => {
    const cols = width(dtype, 2);
    return {
      name: `linear ${dtype} post add`,
      offGrid: true,
      build: (op, make) => {
        const x = make.input(op, cols);
        const norms = { norm: make.norm('norm', cols), post: make.norm('post', cols) };
        return op.linear(make.matrix('w', cols, cols, dtype), x, { ...norms, add: x });
      },
    };
  }),
  {
    name: 'linear F32 bias post',
    build: (op, make) => {
      const options = { bias: make.vector('bias', 70), post: make.norm('post', 70) };
      return op.linear(make.matrix('w', 70, 37, 'F32'), make.input(op, 37), options);
    },
  },
  {
    name: 'linear F32 post add of the last row',
    build: (op, make) => {
      const x = op.last(make.input(op, 64));
      return op.linear(make.matrix('w', 64, 64, 'F32'), x, { post: make.norm('post', 64), add: x });
    },
  },
  ...EXPERT_CASES,
  {
    name: 'linear of segments Q4_K, Q4_K, Q6_K',
    build: (op, make) =>
      op.linear(
        make.matrix('qkv', 160, 256, [
          ['Q4_K', 96],
          ['Q4_K', 32],
          ['Q6_K', 32],
        ]),
        make.input(op, 256),
      ),
  },
  {
    name: 'linear of segments F16, Q8_0, BF16, odd rows',
    build: (op, make) =>
      op.linear(
        make.matrix('w', 70, 64, [
          ['F16', 37],
          ['Q8_0', 20],
          ['BF16', 13],
        ]),
        make.input(op, 64),
      ),
  },
  {
    name: 'last',
    build: (op, make) =>
      op.linear(make.matrix('w', 40, 64, 'F32'), op.last(make.input(op, 64)), { norm: make.norm('n', 64) }),
    offGrid: true,
  },
  {
    name: 'last, and a second output that is computed in the place of its input',
    build: (op, make) => {
      const row = op.last(make.input(op, 64));
      const other = op.linear(
        make.matrix('u', 64, 64, 'F32'),
        op.linear(make.matrix('v', 64, 64, 'F32'), make.input(op, 64)),
      );
      return [op.linear(make.matrix('w', 40, 64, 'F32'), row), other];
    },
  },
  {
    name: 'input of rows',
    rows: 'all',
    build: (op, make) => op.linear(make.matrix('w', 40, 64, 'F32'), op.input(64), { norm: make.norm('n', 64) }),
  },
  {
    name: 'two inputs of rows',
    rows: 'all',
    build: (op, make) => {
      const [x, add] = [op.input(40), op.input(64)];
      return op.linear(make.matrix('w', 64, 40, 'F32'), x, { add });
    },
  },
  {
    name: 'embed with rows in place of others, as tokens of an image have',
    rows: 'some',
    build: (op, make) => {
      const x = op.embed(make.matrix('table', VOCABULARY, 64, 'Q8_0'));
      return op.linear(make.matrix('w', 64, 64, 'F32'), x, { add: x });
    },
  },
  {
    name: 'the second of two outputs, the last row beside its logits',
    output: 1,
    build(op, make) {
      const row = op.last(op.linear(make.matrix('v', 64, 64, 'F32'), make.input(op, 64)));
      return [op.linear(make.matrix('w', 40, 64, 'F32'), row), row];
    },
  },
  ...(
    [
      [32, 3],
      [33, 3],
      [130, 4],
      [96, 2],
      [65, 1],
    ] as const
  ).map(([D, L]): ConformanceCase => ({
    // prettier-ignore
    name: `shortConv D ${D} L ${L}`,
    build: (op, make) =>
      op.shortConv(
        make.input(op, 3 * D),
        make.vector('taps', D * L),
        { kind: 'conv', layer: 0, channels: D, length: L },
        { bias: D === 33 ? make.vector('b', D) : undefined },
      ),
  })),
  {
    name: 'linear then shortConv, as in a conv layer',
    offGrid: true,
    build: (op, make) => {
      const x = make.input(op, 64);
      const bcx = op.linear(make.matrix('in', 192, 64, 'Q8_0'), x, { norm: make.norm('n', 64) });
      const y = op.shortConv(bcx, make.vector('taps', 64 * 3), { kind: 'conv', layer: 0, channels: 64, length: 3 });
      return op.linear(make.matrix('out', 64, 64, 'Q4_0'), y, { add: x });
    },
  },
  ...(
    [
      [4, 2, 64],
      [16, 8, 64],
      [3, 1, 32],
      [4, 4, 16],
      [6, 2, 80],
      [2, 1, 128],
    ] as const
  ).map((shape) => attendCase('', shape)),
  attendCase(' without norms', [4, 2, 64], { qNorm: undefined, kNorm: undefined }),
  attendCase(' without a norm of k and a rotation', [3, 1, 32], { kNorm: undefined, rope: undefined }),
  attendCase(' factors', [6, 2, 80], { rope: { theta: 1e6, factors: factors(80) } }),
  attendCase(' window 5', [3, 1, 32], { window: 5 }),
  attendCase(' window 1', [4, 2, 64], { window: 1 }, { pieces: [130, ...WINDOW_PIECES] }),
  attendCase(' window 7', [3, 1, 32], { window: 7 }, { pieces: [130, ...WINDOW_PIECES] }),
  attendCase(' window 256', [4, 1, 64], { window: 256 }, { pieces: [130, 130, 130, ...WINDOW_PIECES] }),
  attendCase(' window 64', [4, 2, 64], { window: 64 }),
  attendCase(' gate', [8, 2, 80], { gate: true }),
  attendCase(' window 300 gate, long', [4, 1, 32], { window: 300, gate: true }, { pieces: LONG_PIECES }),
  attendCase(' window 40, long', [3, 1, 32], { window: 40 }, { pieces: LONG_PIECES }),
];

export interface CaseRunOutput {
  /** 'T 33', or 'pieces' */
  run: string;
  values: Float32Array;
}

/** Runs a case on a backend: for every T, and then LONGEST tokens in PIECES and in sequences; or its own pieces. */
export async function runConformanceCase(one: ConformanceCase, backend: Backend): Promise<CaseRunOutput[]> {
  const { build } = one;
  const specs = new Map<string, Matrix>();
  const vectors = new Map<string, Vector>();
  const values = (name: string, length: number, low: number, high: number): Float32Array => {
    const next = seededRandom(name);
    return Float32Array.from({ length }, () => low + (next() / 2 ** 32) * (high - low));
  };
  const vector = (name: string, v: Float32Array): Vector =>
    vectors.get(name) ?? (vectors.set(name, backend.vector(name, v)), vectors.get(name)!);
  const handles = new Map<string, Matrix>();
  const matrix = (spec: Matrix): Matrix => (specs.set(spec.name, spec), handles.get(spec.name) ?? spec);
  const make: CaseTensorFactory = {
    matrix: (name, rows, cols, dtype) => {
      const parts = typeof dtype === 'string' ? [[dtype, rows] as [Dtype, number]] : dtype;
      return matrix({
        name,
        rows,
        cols,
        segments: parts.map(([type, n, part], i) => ({ name: part ?? `${name}.${i}`, rows: n, dtype: type })),
      });
    },
    vector: (name, length, size = 1) => vector(name, values(name, length, -size, size)),
    norm: (name, length) => ({ weight: vector(name, values(name, length, 0.3, 1.7)), eps: 1e-5 }),
    layerNorm: (name, length, biased) => ({
      ...make.norm(name, length),
      kind: 'layer',
      bias: biased ? make.vector(`${name} bias`, length) : undefined,
    }),
    input: (op, cols) =>
      op.embed(
        matrix({ name: 'grid', rows: VOCABULARY, cols, segments: [{ name: 'grid', rows: VOCABULARY, dtype: 'F32' }] }),
      ),
  };
  recordPlan((op) => build(op, make)); // collects the matrices to write
  for (const spec of specs.values())
    handles.set(
      spec.name,
      spec.name === 'grid' ? await writeGrid(backend, spec) : await writeRandomMatrix(backend, spec),
    );
  const plan = recordPlan((op) => build(op, make));

  const contextLength = one.pieces ? 1024 : 256;
  const state = await firstState(backend, plan, { contextLength, prefillBatch: LONGEST });
  const inputs = plan.nodes.flatMap(({ op, out }, i) => (i && op !== 'input' ? [] : out.cols));
  const outcomes = await runPieces(state, one, inputs);
  state.program.dispose();
  return outcomes;
}

async function runPieces(
  state: State,
  { pieces, sequences, bounds, rows, output }: ConformanceCase,
  inputs: number[],
): Promise<CaseRunOutput[]> {
  const next = seededRandom('tokens');
  const tokens = Uint32Array.from({ length: pieces ? 1024 : LONGEST }, () => next() % VOCABULARY);
  const given = inputs.map((D) => Float32Array.from({ length: rows ? LONGEST * D : 0 }, () => next() / 2 ** 31 - 1));
  const outcomes: CaseRunOutput[] = [];
  const read = async (first: number, end: number, seen: PrefillOptions = {}): Promise<void> => {
    const at = Uint32Array.from({ length: end - first }, (_, i) => i).filter((t) => rows === 'all' || t % 3 !== 1);
    const valuesOf = (D: number, n: number): Float32Array<ArrayBuffer> =>
      Float32Array.from([...at].flatMap((t) => [...given[n].subarray((first + t) * D, (first + t + 1) * D)]));
    await state.prefill(tokens.slice(first, end), {
      ...seen,
      ...(rows && { rows: inputs.map((D, n) => ({ at, values: valuesOf(D, n) })) }),
    });
  };
  const add = async (run: string): Promise<void> => void outcomes.push({ run, values: await state.logits(output) });
  let at = 0;
  for (const piece of pieces ?? []) {
    await read(at, (at += piece));
    await add(`${piece} tokens to ${at}`);
  }
  if (pieces) return outcomes;
  for (const T of CONFORMANCE_PROMPT_LENGTHS) {
    if (!state.rewind(0)) throw new Error('rewind(0) was refused');
    await read(0, T);
    await add(`T ${T}`);
  }
  state.rewind(0);
  for (const piece of PIECES) await read(at, (at += piece));
  await add('pieces');
  if (sequences) {
    state.rewind(0);
    await read(0, LONGEST, { sequences: Uint32Array.from(sequences) });
    await add('sequences');
  }
  if (bounds) {
    state.rewind(0);
    await read(0, LONGEST, { bounds });
    await add('bounds');
  }
  return outcomes;
}

/**
 * Rows of k/127 · s with |k| ≤ 127: one s per 32 columns, and k reaches ±127 in every 16, so that int8 activations are
 * exact.
 */
function writeGrid(backend: Backend, spec: Matrix): Promise<Matrix> | Matrix {
  const next = seededRandom('grid');
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
