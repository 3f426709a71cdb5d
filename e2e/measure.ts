/**
 * Shared by the benchmarks in a page and on Dawn: measures a state, compares with the reference, prints times of
 * kernels.
 */
import type { KernelRow, Profile } from '../demo/bench/profile';
import { promptTokens } from '../demo/bench/prompt';
import type { State, ShapeTuningResult } from '../src/backend/backend';
import type { CaseRunOutput } from '../src/backend/conformance';
import { macsOf, matricesOf, shareRead, type Plan } from '../src/backend/plan';
import { GREEDY_SAMPLING, type SamplingParams } from '../src/backend/sampling';
import { rowBytes } from '../src/tensor/dtype';

/**
 * Milliseconds of a prefill of `prompt` tokens in batches, and of `steps` decode steps after it, `window` per call and
 * two calls in flight.
 */
export async function time(
  state: State,
  vocabSize: number,
  prompt: number,
  steps: number,
  prefillBatch: number,
  window: number,
  sampling: SamplingParams = GREEDY_SAMPLING,
): Promise<{ prefillMs: number; decodeMs: number }> {
  const tokens = Uint32Array.from(promptTokens(prompt, vocabSize));
  state.rewind(0);
  const start = performance.now();
  for (let at = 0; at < prompt; at += prefillBatch) await state.prefill(tokens.subarray(at, at + prefillBatch));
  await state.decode(1, sampling); // the first token needs no forward pass: it ends the prefill
  const middle = performance.now();
  let before: Promise<unknown> | undefined;
  for (let left = steps; left > 0; left -= window) {
    const call = state.decode(Math.min(left, window), sampling);
    if (window === 1) await call;
    await before;
    before = call;
  }
  await before;
  return { prefillMs: middle - start, decodeMs: performance.now() - middle };
}

/** Multiply-adds per token. */
export const macsPerToken = (plan: Plan): number => plan.nodes.reduce((sum, node) => sum + macsOf(node), 0);

/** Bytes of weights in the checkpoint that one decoded token must read. */
export const weightBytesOf = (plan: Plan): number =>
  plan.nodes
    .flatMap((node) => matricesOf(node).map((matrix) => ({ ...matrix, share: shareRead(node) })))
    .reduce(
      (sum, { cols, segments, share }) =>
        sum + share * segments.reduce((s, { rows, dtype }) => s + rows * rowBytes(dtype, cols), 0),
      0,
    );

export { profileOf, type KernelRow, type Profile } from '../demo/bench/profile';
export { spread, type Spread } from '../demo/bench/stats';

export interface Difference {
  name: string;
  run: string;
  maxAbs: number;
  rms: number;
  nmse: number;
}

/** @throws when the lengths differ */
export function compare(name: string, wanted: CaseRunOutput, got: CaseRunOutput): Difference {
  if (got.values.length !== wanted.values.length)
    throw new Error(`${name}, ${wanted.run}: ${got.values.length} values, the reference has ${wanted.values.length}`);
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

/** The number of dispatches of a decode step, with which describeProgram begins. */
export function dispatchesOf(plan: string): number | undefined {
  const match = /^(\d+) dispatches/.exec(plan);
  return match ? Number(match[1]) : undefined;
}

/** Lines of a table: µs per dispatch, GB/s and share of the roofline for each kernel, then for a whole token. */
export function profileTable(profile: Profile | undefined): string[] {
  if (!profile) return ['this backend does not measure kernels'];
  const { clock, copyGigabytesPerSecond, emptyDispatchMicros, sampledDrawMicros, kernels, token, overheadMicrosEach } =
    profile;
  const line = ({
    kernel,
    dispatches,
    micros,
    microsEach,
    roofMicros,
    gigabytesPerSecond,
    shareOfCopy,
  }: KernelRow): string => {
    const cells = [
      String(dispatches).padStart(4),
      microsEach.toFixed(1).padStart(9),
      micros.toFixed(0).padStart(9),
      roofMicros.toFixed(0).padStart(9),
      gigabytesPerSecond.toFixed(1).padStart(8),
    ];
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
  if (!rows.length)
    return ['nothing to tune: all kernels are tuned on this device already, or the time limit is too short'];
  const named = ({ tuning }: ShapeTuningResult): string =>
    Object.entries(tuning)
      .map(([name, value]) => `${name} ${value}`)
      .join(', ') || 'default';
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
