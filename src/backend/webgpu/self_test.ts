/**
 * The self test: a small model with random weights runs on the same kernels as the real model: matmul, matvec with few
 * and with many rows and columns, both attention kernels, the convolution, the draws. It runs once for each weight
 * format in use. A second small plan covers long prompts: attention over several tiles and spans, and a batch that
 * fills the convolution ring. Three more run only if the model has norms after linear maps, a window and gates, or a
 * mixture of experts. The results are compared with those of the reference (self_test_golden.ts), log probabilities
 * with the device's own logits. If a kernel is wrong or does not compile, the next simpler variant is tested: halves
 * decoded by integer operations, no subgroups, an f32 cache. If all fail, the backend refuses the device.
 */
import { fail } from '../../errors';
import type { Matrix, Norm, Ops, Vector } from '../../model/ops';
import { DTYPES, type Dtype } from '../../tensor/dtype';
import type { Backend, CompileOptions, Program, State } from '../backend';
import { recordPlan, weightsOf, type Plan } from '../plan';
import { GREEDY_SAMPLING, logprobs } from '../sampling';
import { seededRandom, writeRandomMatrix } from '../random_weights';
import { precompilePipelines } from './precompile';
import type { OpenedDevice } from './device';
import { SELF_TEST_GOLDEN, type SelfTestCaseName, type SelfTestOutput } from './self_test_golden';
import { wholeBuffer, type GpuWeightVector } from './dispatch';
import { createMatrixWriter, releaseMatrix, type GpuMatrix } from './repack';
import { createWebGpuProgram } from './program';
import { persistDeviceResult, loadPersistedDeviceResult } from './device_results';

/** The features that the kernels use on a device. */
export interface DeviceKernelVariant {
  subgroups: boolean;
  /** keep the KV cache in f16 */
  f16Cache: boolean;
  /** decode the halves of weights by integer operations: the device flushes subnormal halves */
  integerHalfDecode?: boolean;
}

export const kernelVariantName = ({ subgroups, f16Cache, integerHalfDecode }: DeviceKernelVariant): string =>
  `${subgroups ? 'subgroups' : 'workgroup memory'}, cache ${f16Cache ? 'f16' : 'f32'}${integerHalfDecode ? ', halves by integers' : ''}`;

/** The others give an output for every token: they need no draw, and no kernels for one. */
const draws = (testCase: SelfTestCaseName): testCase is Dtype => testCase in DTYPES;

/** Prompts that are read one after the other; each takes other kernels. */
const PROMPTS = [
  { tokens: 11, as: 'a batch' },
  { tokens: 3, as: 'a few tokens' },
  { tokens: 1, as: 'one token' },
];
/** two full batches and a piece whose convolution reads their last positions */
const LONG_PROMPTS = [
  { tokens: 514, as: 'a long prompt' },
  { tokens: 1, as: 'one token over several spans' },
];
/** one expert takes more entries of the first than a tile has */
const EXPERTS_PROMPTS = [{ tokens: 130, as: 'a long prompt' }, ...PROMPTS.slice(1)];
const promptsOf = (testCase: SelfTestCaseName): typeof PROMPTS =>
  draws(testCase) ? PROMPTS : testCase === 'experts' ? EXPERTS_PROMPTS : LONG_PROMPTS;
export const selfTestCompileOptions = (testCase: SelfTestCaseName): CompileOptions =>
  draws(testCase) ? { contextLength: 64, prefillBatch: 16 } : { contextLength: 640, prefillBatch: 256 };

type Weights = Pick<Backend, 'matrix' | 'vector'>;

/**
 * V is so large that several workgroups take part in a draw; F is so large that an invocation of matvec takes several
 * units.
 */
const [V, D, F, H, K, d, L] = [4096, 256, 1280, 4, 2, 64, 3];

/** Random matrices of a dtype, vectors of numbers from `least` to `least` + 1, and norms. */
function randomTensors(weights: Weights, dtype: Dtype) {
  const matrix = (name: string, rows: number, cols = D, parts = ['']): Promise<Matrix> => {
    const segments = parts.map((part) => ({ name: name + part, rows: rows / parts.length, dtype }));
    return writeRandomMatrix(weights, { name, rows, cols, segments });
  };
  const vector = (name: string, length: number, least = 0.5): Vector => {
    const next = seededRandom(name);
    return weights.vector(
      name,
      Float32Array.from({ length }, () => least + next() / 2 ** 32),
    );
  };
  const norm = (name: string, length = D): Norm => ({ weight: vector(name, length), eps: 1e-5 });
  return { matrix, vector, norm };
}

export type RandomTensors = ReturnType<typeof randomTensors>;

let planOfExperts: ((make: RandomTensors, table: Matrix) => Promise<Plan>) | undefined;
/** The side file `experts` has the plan of its case. */
export const registerPlanOfExperts = (plan: typeof planOfExperts): void => void (planOfExperts = plan);

/** For long prompts: attention and a convolution, a norm after a linear map, or a mixture of experts. */
async function longPlan(make: RandomTensors, testCase: SelfTestCaseName): Promise<Plan> {
  const { matrix, vector, norm } = make;
  const [heads, channels] = [3, d]; // with one key/value head
  const gate = testCase === 'window';
  const cols = (heads + 2) * d + (gate ? heads : 0);
  const table = await matrix('table', 67, cols);
  if (testCase === 'normAdd') {
    const [w, post] = [await matrix('w', cols, cols), norm('post', cols)];
    return recordPlan((op) => {
      const x = op.embed(table);
      return op.linear(w, x, { post, add: x });
    });
  }
  if (testCase === 'experts') return planOfExperts!(make, table);
  const norms = [norm('q_norm', d), norm('k_norm', d)];
  const kernel = vector('long_taps', channels * L);
  const build = (op: Ops) => {
    const attended = op.attend(
      op.embed(table),
      { kind: 'kv', layer: 0, kvHeads: 1, headDim: d },
      { qNorm: norms[0], kNorm: norms[1], heads, rope: { theta: 1e6 }, ...(gate && { gate, window: 300 }) },
    );
    return op.shortConv(attended, kernel, { kind: 'conv', layer: 1, channels, length: L });
  };
  return recordPlan(build);
}

/** A conv layer, an attention layer and a head, as in LFM2; or a plan for long prompts. */
export async function selfTestPlan(weights: Weights, testCase: SelfTestCaseName): Promise<Plan> {
  const dtype = draws(testCase) ? testCase : 'F32';
  const make = randomTensors(weights, dtype);
  if (!draws(testCase)) return longPlan(make, testCase);
  const { matrix, vector, norm } = make;
  const embed = await matrix('vocabulary', V);
  const inProj = await matrix('bcx', 3 * D);
  // two formats, as in many checkpoints: one dispatch over two parts
  const segments = [
    { name: 'qk', rows: (H + K) * d, dtype },
    { name: 'v', rows: K * d, dtype: dtype === 'F32' ? ('BF16' as const) : ('F32' as const) },
  ];
  const qkv = await writeRandomMatrix(weights, { name: 'qkv', rows: (H + 2 * K) * d, cols: D, segments });
  const [convOut, attentionOut] = [await matrix('conv_out', D), await matrix('attention_out', H * d)];
  const [w1, w2, w3] = [await matrix('w1', F), await matrix('w2', D, F), await matrix('w3', F)];
  const norms = {
    conv: norm('conv_norm'),
    attention: norm('attention_norm'),
    ffn: norm('ffn_norm'),
    final: norm('final_norm'),
    q: norm('q_norm', d),
    k: norm('k_norm', d),
  };
  const taps = vector('taps', D * L, -0.5); // so that B · x · C is not too small

  const build = (op: Ops) => {
    let x = op.embed(embed);
    const y = op.shortConv(op.linear(inProj, x, { norm: norms.conv }), taps, {
      kind: 'conv',
      layer: 0,
      channels: D,
      length: L,
    });
    x = op.linear(convOut, y, { add: x });
    const bundle = op.linear(qkv, x, { norm: norms.attention });
    const attended = op.attend(
      bundle,
      { kind: 'kv', layer: 1, kvHeads: K, headDim: d },
      { qNorm: norms.q, kNorm: norms.k, heads: H, rope: { theta: 1e6 } },
    );
    x = op.linear(attentionOut, attended, { add: x });
    x = op.linear(w2, op.swiglu(w1, w3, x, { norm: norms.ffn }), { add: x });
    return op.linear(embed, op.last(x), { norm: norms.final });
  };
  return recordPlan(build);
}

export async function runSelfTestCase(state: State, testCase: SelfTestCaseName): Promise<SelfTestOutput> {
  const next = seededRandom('prompt');
  const { prefillBatch } = selfTestCompileOptions(testCase);
  const projections: number[] = [];
  for (const { tokens: T } of promptsOf(testCase)) {
    const tokens = Uint32Array.from({ length: T }, () => next() % (draws(testCase) ? V : 67));
    for (let at = 0; at < T; at += prefillBatch) await state.prefill(tokens.slice(at, at + prefillBatch));
    // of the last token, but of all of them where none reads another
    const logits = (await state.logits()).slice(draws(testCase) || testCase === 'experts' ? 0 : -d);
    const size = Math.sqrt(logits.reduce((sum, v) => sum + v * v, 0));
    const sign = seededRandom(`projection ${T}`);
    for (let i = 0; i < 2; i++)
      projections.push(logits.reduce((sum, v) => sum + (v * (sign() - 2 ** 31)) / 2 ** 31, 0) / size);
  }
  if (!draws(testCase)) return { projections, drawn: [] };
  const sampled = {
    ...GREEDY_SAMPLING,
    temperature: 0.8,
    topK: 20,
    topP: 0.9,
    minP: 0.02,
    repetitionPenalty: 1.1,
    seed: 7,
  };
  // too many tokens are left for the list of sample.wgsl, yet the result is certain
  const wide = { ...GREEDY_SAMPLING, temperature: 1, bias: new Map([[2222, 1000]]) };
  return {
    projections,
    drawn: [
      ...(await state.decode(4, GREEDY_SAMPLING)),
      ...(await state.decode(4, sampled)),
      ...(await state.decode(1, wide)),
    ],
  };
}

/** Describes an error in the log probabilities of the last token drawn; undefined when they are right. */
async function wrongLogprobs(state: State, chosen: number): Promise<string | undefined> {
  const [got, wanted] = [await state.logprobs(chosen, 20), logprobs(await state.logits(), chosen, 20)].map(
    (logprob) => [logprob, ...logprob.top],
  );
  const off = wanted.findIndex(
    ({ id, logprob }, i) => got[i].id !== id || !(Math.abs(got[i].logprob - logprob) <= 1e-3),
  );
  return off < 0
    ? undefined
    : `log probabilities: got ${got[off].logprob} of ${got[off].id}, wanted ${wanted[off].logprob} of ${wanted[off].id}`;
}

/** Describes the first error of a case; undefined when all results are right. */
async function findError(
  opened: OpenedDevice,
  testCase: SelfTestCaseName,
  f16Cache: boolean,
): Promise<string | undefined> {
  const buffers: GPUBuffer[] = [];
  const held: Matrix[] = [];
  let program: Program | undefined;
  try {
    const plan = await selfTestPlan(
      {
        matrix(spec) {
          const { write, finish } = createMatrixWriter(opened, spec);
          const finishAndHold = async (): Promise<Matrix> => {
            const matrix = await finish();
            held.push(matrix);
            return matrix;
          };
          return { write, finish: finishAndHold };
        },
        vector(name, values) {
          const { buffer } = opened.createBuffer(name, values.byteLength);
          buffers.push(buffer);
          opened.device.queue.writeBuffer(buffer, 0, values as Float32Array<ArrayBuffer>);
          return { name, length: values.length, region: wholeBuffer(buffer) } as GpuWeightVector;
        },
      },
      testCase,
    );
    // starts all compilations at once, for drivers with several threads; errors appear again below
    precompilePipelines(opened, plan, selfTestCompileOptions(testCase), f16Cache).catch(() => undefined);
    program = await createWebGpuProgram(opened, plan, selfTestCompileOptions(testCase), f16Cache);
    const state = await program.newState();
    const got = await runSelfTestCase(state, testCase);
    const wanted = SELF_TEST_GOLDEN[testCase];
    const tolerance = f16Cache && plan.nodes.some((node) => 'cache' in node) ? 2e-2 : 2e-3;
    const off = wanted.projections.findIndex((w, i) => !(Math.abs(got.projections[i] - w) <= tolerance));
    if (off >= 0)
      return `${promptsOf(testCase)[off >> 1].as}, ${testCase}: got ${got.projections[off]}, wanted ${wanted.projections[off]}`;
    if (got.drawn.join() !== wanted.drawn.join())
      return `draws over ${testCase}: got ${got.drawn.join(' ')}, wanted ${wanted.drawn.join(' ')}`;
    return draws(testCase) ? await wrongLogprobs(state, got.drawn.at(-1)!) : undefined;
  } catch (error) {
    opened.throwIfFailed(); // a lost device or a lack of memory is no wrong kernel
    if ((error as Error).name === 'MemoryError') throw error;
    return (error as Error).message;
  } finally {
    program?.dispose();
    for (const matrix of held) releaseMatrix(opened, matrix as GpuMatrix);
    for (const buffer of buffers) opened.releaseBuffer(buffer);
  }
}

export interface VariantSelection {
  variant: DeviceKernelVariant;
  /** the variants that failed, with the reason */
  notes: string[];
  /** the cases that passed */
  cases: SelfTestCaseName[];
}

/**
 * Finds the fastest variant whose results are right in these cases, and saves the choice for this adapter, browser
 * and build.
 * @throws DeviceError when no variant passes; MemoryError
 */
export async function selectPassingVariant(
  opened: OpenedDevice,
  wanted: DeviceKernelVariant,
  needed: readonly SelfTestCaseName[],
  useSaved: boolean,
): Promise<VariantSelection> {
  const known = useSaved
    ? await loadPersistedDeviceResult<VariantSelection>(opened, kernelVariantName(wanted))
    : undefined;
  const notes = known?.notes ?? [];
  let untested = needed.filter((testCase) => !known?.cases.includes(testCase));
  const all = [...new Set([...(known?.cases ?? []), ...needed])];
  for (const variant of withFallbacks(known?.variant ?? wanted)) {
    Object.assign(opened.features, { subgroups: variant.subgroups, integerHalfDecode: variant.integerHalfDecode });
    let reason: string | undefined;
    for (const testCase of untested) reason ??= await findError(opened, testCase, variant.f16Cache);
    if (!reason) {
      const selection: VariantSelection = { variant, notes, cases: all };
      if (useSaved && untested.length) await persistDeviceResult(opened, kernelVariantName(wanted), selection);
      return selection;
    }
    notes.push(`WebGPU with ${kernelVariantName(variant)} failed its self test (${reason}).`);
    untested = all; // no case has run with the next variant yet
  }
  return fail('DeviceError', {
    what: 'This GPU failed the self test',
    got: notes.join(' '),
    cure: 'Use the WASM backend.',
  });
}

/** A variant and the simpler ones, in the order in which they are tested. */
function withFallbacks(variant: DeviceKernelVariant): DeviceKernelVariant[] {
  const variants = [variant];
  if (!variant.integerHalfDecode) variants.push({ ...variant, integerHalfDecode: true });
  if (variant.subgroups) variants.push({ ...variant, subgroups: false });
  if (variant.f16Cache) variants.push({ subgroups: false, f16Cache: false, integerHalfDecode: true });
  return variants;
}

/** The cases that test what a plan runs. */
export function selfTestCases({ nodes }: Plan): SelfTestCaseName[] {
  const dtypes = nodes.flatMap(weightsOf).flatMap(({ segments }) => segments.map(({ dtype }) => dtype));
  const window = nodes.some((node) => 'qkv' in node && (node.gate || ('window' in node && node.window)));
  const found = new Set<string>([...dtypes, 'long', ...nodes.map(({ op }) => op), window ? 'window' : '']);
  if (nodes.some((node) => 'chosen' in node)) found.add('experts');
  return (Object.keys(SELF_TEST_GOLDEN) as SelfTestCaseName[]).filter((one) => found.has(one));
}
