/** What the bench in a page and the bench on Dawn both do: time a runner, compare with the reference, print times by kernel. */
import type { KernelTime, Runner, TuneRow } from '../src/backend/backend';
import type { Outcome } from '../src/backend/conformance';
import type { Plan } from '../src/backend/plan';
import { GREEDY, type Sampling } from '../src/backend/sampling';
import type { Matrix } from '../src/model/ops';
import { rowBytes } from '../src/tensor/dtype';

/** Milliseconds of a prefill of `prompt` tokens in chunks, and of `steps` decode steps after it, `window` a call and two calls under way. */
export async function time(runner: Runner, vocabSize: number, prompt: number, steps: number, chunk: number, window: number, sampling: Sampling = GREEDY): Promise<{ prefillMs: number; decodeMs: number }> {
  const tokens = Uint32Array.from({ length: prompt }, (_, i) => (i * 7919 + 257) % vocabSize);
  runner.rewind(0);
  const start = performance.now();
  for (let at = 0; at < prompt; at += chunk) await runner.prefill(tokens.subarray(at, at + chunk));
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

/** Time by kernel of a decode step after `position` tokens; empty where the backend cannot tell. */
export async function profileAt(runner: Runner, position: number, chunk: number): Promise<KernelTime[]> {
  runner.rewind(0);
  for (let at = 0; at < Math.max(1, position); at += chunk) await runner.prefill(new Uint32Array(Math.min(chunk, Math.max(1, position) - at)));
  return (await runner.profile?.()) ?? [];
}

/** Every matrix a token is multiplied by; the embedding table is read, not multiplied. */
const matrices = (plan: Plan): Matrix[] => plan.nodes.flatMap((node) => (node.op === 'linear' ? [node.w] : node.op === 'swiglu' ? [node.w1, node.w3] : []));

/** Multiply-adds of one token. */
export const macsOf = (plan: Plan): number => matrices(plan).reduce((sum, { rows, cols }) => sum + rows * cols, 0);

/** Bytes of weights, as stored, that one decoded token must read. */
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
export function compare(name: string, wanted: Outcome, got: Outcome): Difference {
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

/** Runner.describe() begins with the number of dispatches of a decode step. */
export function dispatchesOf(plan: string): number | undefined {
  const match = /^(\d+) dispatches/.exec(plan);
  return match ? Number(match[1]) : undefined;
}

/** Without what was measured beside the kernels. */
export const kernelsOf = (times: KernelTime[]): KernelTime[] => times.filter(({ kernel }) => kernel !== 'copy' && kernel !== 'nothing');

/**
 * Lines of a table: µs a dispatch, GB/s and share of the roofline by kernel, then of a whole token. The roofline is napkin arithmetic: what a
 * kernel must read, at the bandwidth of a plain copy measured beside it; where a kernel reads next to nothing, dispatch cost is all there is.
 */
export function profileTable(times: KernelTime[]): string[] {
  const kernels = kernelsOf(times);
  const [copy, nothing] = ['copy', 'nothing'].map((name) => times.find(({ kernel }) => kernel === name));
  if (!copy || !nothing) return ['this backend does not tell times by kernel'];
  const sum = (key: 'dispatches' | 'micros' | 'bytes'): number => kernels.reduce((total, entry) => total + entry[key], 0);
  const token: KernelTime = { kernel: 'token', dispatches: sum('dispatches'), micros: sum('micros'), bytes: sum('bytes'), clock: copy.clock };
  const rate = ({ bytes, micros }: KernelTime): number => bytes / micros / 1000;
  const row = (entry: KernelTime): string => {
    const floor = entry.bytes / rate(copy) / 1000;
    const share = entry.bytes ? `${((100 * rate(entry)) / rate(copy)).toFixed(0).padStart(4)} %` : '     –';
    const each = (entry.micros / entry.dispatches).toFixed(1).padStart(9);
    const cells = [String(entry.dispatches).padStart(4), each, entry.micros.toFixed(0).padStart(9), floor.toFixed(0).padStart(9), rate(entry).toFixed(1).padStart(8)];
    return `${entry.kernel.padEnd(38)} ${cells.join(' ')} ${share}`;
  };
  const head = `${'kernel'.padEnd(38)} ${['   ×', '  µs each', ' µs token', '  µs roof', '    GB/s'].join(' ')}  roof`;
  const overhead = token.micros - token.bytes / rate(copy) / 1000;
  return [
    `timed by ${copy.clock === 'timestamp' ? 'timestamp queries' : 'the clock of the CPU around a submit: this device has no timestamp queries'}; copy bandwidth ${rate(copy).toFixed(1)} GB/s (read and write)`,
    head,
    ...kernels.map(row),
    row(token),
    `over the roofline: ${overhead.toFixed(0)} µs a token, ${(overhead / token.dispatches).toFixed(2)} µs a dispatch; a dispatch that does nothing: ${nothing.micros.toFixed(2)} µs`,
  ];
}

/** Lines of a table of what the tuner tried. */
export function tuneTable(rows: TuneRow[]): string[] {
  if (!rows.length) return ['nothing to tune: every shape has been tuned on this device, or the budget is too small'];
  const named = ({ tuning }: TuneRow): string => Object.entries(tuning).map(([name, value]) => `${name} ${value}`).join(', ') || 'as usual'; // prettier-ignore
  return [
    `${'shape'.padEnd(32)} ${'usual µs'.padStart(9)} ${'taken µs'.padStart(9)}  gain  kernel`,
    ...rows.flatMap((row) => [
      `${row.shape.padEnd(32)} ${row.usualMicros.toFixed(1).padStart(9)} ${row.micros.toFixed(1).padStart(9)} ${(100 * (1 - row.micros / row.usualMicros)).toFixed(0).padStart(4)} %  ${named(row)}`,
      ...row.refused.map((reason) => `  refused ${reason}`),
    ]),
  ];
}
