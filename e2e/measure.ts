/** Shared by the benchmarks in a page and on Dawn: measures a runner, compares with the reference, prints times of kernels. */
import { PROFILE_BASELINES, type KernelTime, type Runner, type ShapeTuningResult } from '../src/backend/backend';
import type { CaseRunOutput } from '../src/backend/conformance';
import type { Plan } from '../src/backend/plan';
import { GREEDY_SAMPLING, type SamplingParams } from '../src/backend/sampling';
import type { Matrix } from '../src/model/ops';
import { rowBytes } from '../src/tensor/dtype';

/** Milliseconds of a prefill of `prompt` tokens in batches, and of `steps` decode steps after it, `window` per call and two calls in flight. */
export async function time(runner: Runner, vocabSize: number, prompt: number, steps: number, prefillBatch: number, window: number, sampling: SamplingParams = GREEDY_SAMPLING): Promise<{ prefillMs: number; decodeMs: number }> {
  const tokens = Uint32Array.from({ length: prompt }, (_, i) => (i * 7919 + 257) % vocabSize);
  runner.rewind(0);
  const start = performance.now();
  for (let at = 0; at < prompt; at += prefillBatch) await runner.prefill(tokens.subarray(at, at + prefillBatch));
  await runner.decode(1, sampling); // the first token needs no forward pass: it ends the prefill
  const middle = performance.now();
  let before: Promise<unknown> | undefined;
  for (let left = steps; left > 0; left -= window) {
    const call = runner.decode(Math.min(left, window), sampling);
    if (window === 1) await call;
    await before;
    before = call;
  }
  await before;
  return { prefillMs: middle - start, decodeMs: performance.now() - middle };
}

/** The time of each kernel of a decode step after `position` tokens; empty when the backend does not measure kernels. */
export async function profileAt(runner: Runner, position: number, prefillBatch: number): Promise<KernelTime[]> {
  runner.rewind(0);
  for (let at = 0; at < Math.max(1, position); at += prefillBatch) await runner.prefill(new Uint32Array(Math.min(prefillBatch, Math.max(1, position) - at)));
  return (await runner.profile?.()) ?? [];
}

/** The matrices of the linear maps; the embedding table is not one of them. */
const matrices = (plan: Plan): Matrix[] => plan.nodes.flatMap((node) => (node.op === 'linear' ? [node.w] : node.op === 'swiglu' ? [node.w1, node.w3] : []));

/** Multiply-adds per token. */
export const macsOf = (plan: Plan): number => matrices(plan).reduce((sum, { rows, cols }) => sum + rows * cols, 0);

/** Bytes of weights in the checkpoint that one decoded token must read. */
export const weightBytesOf = (plan: Plan): number =>
  matrices(plan).reduce((sum, { cols, segments }) => sum + segments.reduce((s, { rows, dtype }) => s + rows * rowBytes(dtype, cols), 0), 0);

export interface Difference {
  name: string;
  run: string;
  maxAbs: number;
  rms: number;
  nmse: number;
}

/** @throws when the lengths differ */
export function compare(name: string, wanted: CaseRunOutput, got: CaseRunOutput): Difference {
  if (got.values.length !== wanted.values.length) throw new Error(`${name}, ${wanted.run}: ${got.values.length} values, the reference has ${wanted.values.length}`);
  let maxAbs = 0;
  let error = 0;
  let power = 0;
  wanted.values.forEach((w, i) => {
    const delta = Math.abs(got.values[i] - w);
    if (!(delta <= maxAbs)) maxAbs = delta; // NaN counts
    error += delta * delta;
    power += w * w;
  });
  return { name, run: wanted.run, maxAbs, rms: Math.sqrt(power / wanted.values.length), nmse: error / power };
}

export interface Spread {
  median: number;
  min: number;
  max: number;
}

export function spread(values: number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const round = (v: number): number => Number(v.toFixed(2));
  return { median: round(sorted[sorted.length >> 1]), min: round(sorted[0]), max: round(sorted[sorted.length - 1]) };
}

/** The number of dispatches of a decode step, with which Runner.describe() begins. */
export function dispatchesOf(plan: string): number | undefined {
  const match = /^(\d+) dispatches/.exec(plan);
  return match ? Number(match[1]) : undefined;
}

/** The times of one kernel of a token, or of all its kernels, compared with a memory copy. */
export interface KernelRow {
  kernel: string;
  dispatches: number;
  /** µs of all its dispatches together */
  micros: number;
  microsEach: number;
  /** µs for the bytes that must be read, at the bandwidth of the copy */
  roofMicros: number;
  gigabytesPerSecond: number;
  /** share of the bandwidth of the copy; absent when the kernel reads no weights */
  shareOfCopy?: number;
}

export interface Profile {
  clock: KernelTime['clock'];
  /** of a memory copy, read and write */
  copyGigabytesPerSecond: number;
  /** µs of a dispatch with almost no work, after another dispatch */
  emptyDispatchMicros: number;
  /** µs of a draw with every filter and penalty; the token measured here has a greedy draw instead */
  sampledDrawMicros: number;
  kernels: KernelRow[];
  token: KernelRow;
  /** µs per dispatch beyond the roofline */
  overheadMicrosEach: number;
}

/**
 * The roofline is an estimate: the bytes that a kernel must read, at the bandwidth of a memory copy on the same device. A kernel that reads
 * almost nothing costs a dispatch. Returns undefined when the backend does not measure kernels.
 */
export function profileOf(times: KernelTime[]): Profile | undefined {
  const [copy, empty, draw] = [PROFILE_BASELINES.memoryCopy, PROFILE_BASELINES.emptyDispatch, PROFILE_BASELINES.sampledDraw].map((name) => times.find(({ kernel }) => kernel === name));
  if (!copy || !empty || !draw) return undefined;
  const kernels = times.filter((entry) => entry !== copy && entry !== empty && entry !== draw);
  const sum = (key: 'dispatches' | 'micros' | 'bytes'): number => kernels.reduce((total, entry) => total + entry[key], 0);
  const rate = ({ bytes, micros }: Pick<KernelTime, 'bytes' | 'micros'>): number => bytes / micros / 1000;
  const round = (v: number): number => Number(v.toPrecision(4));
  const row = (entry: Omit<KernelTime, 'clock'>): KernelRow => ({
    kernel: entry.kernel,
    dispatches: entry.dispatches,
    micros: round(entry.micros),
    microsEach: round(entry.micros / entry.dispatches),
    roofMicros: round(entry.bytes / rate(copy) / 1000),
    gigabytesPerSecond: round(rate(entry)),
    ...(entry.bytes && { shareOfCopy: round(rate(entry) / rate(copy)) }),
  });
  const token = row({ kernel: 'token', dispatches: sum('dispatches'), micros: sum('micros'), bytes: sum('bytes') });
  return {
    clock: copy.clock,
    copyGigabytesPerSecond: round(rate(copy)),
    emptyDispatchMicros: round(empty.micros),
    sampledDrawMicros: round(draw.micros),
    kernels: kernels.map(row),
    token,
    overheadMicrosEach: round((token.micros - token.roofMicros) / token.dispatches),
  };
}

/** Lines of a table: µs per dispatch, GB/s and share of the roofline for each kernel, then for a whole token. */
export function profileTable(profile: Profile | undefined): string[] {
  if (!profile) return ['this backend does not measure kernels'];
  const { clock, copyGigabytesPerSecond, emptyDispatchMicros, sampledDrawMicros, kernels, token, overheadMicrosEach } = profile;
  const line = ({ kernel, dispatches, micros, microsEach, roofMicros, gigabytesPerSecond, shareOfCopy }: KernelRow): string => {
    const cells = [String(dispatches).padStart(4), microsEach.toFixed(1).padStart(9), micros.toFixed(0).padStart(9), roofMicros.toFixed(0).padStart(9), gigabytesPerSecond.toFixed(1).padStart(8)];
    return `${kernel.padEnd(38)} ${cells.join(' ')} ${shareOfCopy === undefined ? '     –' : `${(100 * shareOfCopy).toFixed(0).padStart(4)} %`}`;
  };
  return [
    `timed by ${clock === 'timestamp' ? 'timestamp queries' : 'the clock of the CPU around a submit: this device has no timestamp queries'}; copy bandwidth ${copyGigabytesPerSecond.toFixed(1)} GB/s (read and write)`,
    `${'kernel'.padEnd(38)} ${['   ×', '  µs each', ' µs token', '  µs roof', '    GB/s'].join(' ')}  roof`,
    ...kernels.map(line),
    line(token),
    `µs each: one dispatch. µs roof: the bytes that it must read, at the bandwidth of the copy; above 100 % they came from a cache.`,
    `over the roofline: ${(token.micros - token.roofMicros).toFixed(0)} µs per token, ${overheadMicrosEach.toFixed(2)} µs per dispatch; an empty dispatch: ${emptyDispatchMicros.toFixed(2)} µs`,
    `a sampled draw, in place of process_logits and argmax: ${sampledDrawMicros.toFixed(1)} µs`,
  ];
}

/** Lines of a table of the tuner's results. */
export function tuneTable(rows: ShapeTuningResult[]): string[] {
  if (!rows.length) return ['nothing to tune: all kernels are tuned on this device already, or the time limit is too short'];
  const named = ({ tuning }: ShapeTuningResult): string => Object.entries(tuning).map(([name, value]) => `${name} ${value}`).join(', ') || 'default'; // prettier-ignore
  const rate = (bytes: number, micros: number): string => (bytes / micros / 1000).toFixed(1).padStart(7);
  return [
    `${'shape'.padEnd(32)} ${'default µs'.padStart(10)} ${'GB/s'.padStart(7)} ${'tuned µs'.padStart(9)} ${'GB/s'.padStart(7)}  gain  kernel`,
    ...rows.flatMap((row) => [
      `${row.tuneKey.padEnd(32)} ${row.defaultMicros.toFixed(1).padStart(10)} ${rate(row.bytes, row.defaultMicros)} ${row.micros.toFixed(1).padStart(9)} ${rate(row.bytes, row.micros)} ${(100 * (1 - row.micros / row.defaultMicros)).toFixed(0).padStart(4)} %  ${named(row)}`,
      ...row.rejected.map((reason) => `  rejected ${reason}`),
    ]),
    'shape: rows×columns of the weights, or H/K×d of attention over 512 positions. µs: one dispatch (attention with its merge), measured over all layers in turn; GB/s: of the weights or the KV cache. A kernel is taken when it is 5 % faster in two samples and its results agree.',
  ];
}
