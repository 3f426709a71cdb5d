/**
 * Which kernel for which shape, tried out on the user's own device: the real weights, many dispatches over different layers a sample, in idle
 * time and within a budget. A kernel is taken only when it is faster by MARGIN and gives the results of the one that passed the self test.
 */
import type { TuneOptions, TuneRow } from '../backend';
import type { Plan } from '../plan';
import { noise } from '../synthetic';
import { encode, STEP_BYTES, type OpenedDevice, type PreparedStep } from './device';
import { ANY, whole, type Step, type Tuning } from './gpu';
import { lower } from './lower';
import { createTimer, roundsOf, weightBytes } from './profile';
import { allocateState, attends, cacheBytes, releaseState, SPAN, type State } from './state';
import { keep, recall } from './verdicts';

/** A kernel must be faster by this share of its time: less is noise, and no reader would notice. */
export const MARGIN = 0.05;
const BUDGET_MS = 1500;
/** Attention is tried at the end of the longest span, where only shorter ones pay for a merge: beyond it all do, far below it there is little to win. */
const POSITIONS = SPAN;
/** Of largest differences over the rms of the results: other orders of the same sums; and of squares, where activations become int8. */
const [SUMS, INTEGERS] = [1e-4, 2.5e-3];

/** What can be tried on a device. */
export interface Trials {
  /** what tells a kernel from another: settings may make no difference to a shape */
  kernel(shape: string, tuning: Partial<Tuning>): string;
  /** µs of a dispatch */
  measure(shape: string, tuning: Partial<Tuning>): Promise<number>;
  /** why this kernel must not be taken; undefined when its results are right */
  wrong(shape: string, tuning: Partial<Tuning>): Promise<string | undefined>;
}

export interface Budget {
  ms: number;
  /** false ends it before the next sample */
  idle(): boolean;
  now(): number;
}

/**
 * One setting after another is changed, the better kept. Shapes that the budget does not reach are left out; the first is taken as far as it went.
 * @param settings tried in this order
 */
export async function choose(shapes: readonly string[], settings: readonly Partial<Tuning>[], { kernel, measure, wrong }: Trials, { ms, idle, now }: Budget): Promise<Omit<TuneRow, 'bytes'>[]> {
  const end = now() + ms;
  const rows: Omit<TuneRow, 'bytes'>[] = [];
  for (const shape of shapes) {
    if (!idle() || now() >= end) return rows;
    const row: (typeof rows)[number] = { shape, tuning: {}, usualMicros: await measure(shape, {}), micros: Infinity, refused: [] };
    row.micros = row.usualMicros;
    for (const setting of settings) {
      if (!idle()) return rows;
      if (now() >= end) return rows.length ? rows : [row]; // a slow device must come to an end with some shape each time
      const tuning = { ...row.tuning, ...setting };
      if (kernel(shape, tuning) === kernel(shape, row.tuning)) continue;
      try {
        let micros = await measure(shape, tuning);
        if (micros >= (1 - MARGIN) * row.micros) continue;
        // once more, the one and the other: a clock that changed in between must not decide
        row.micros = Math.min(row.micros, await measure(shape, row.tuning));
        if (!Object.keys(row.tuning).length) row.usualMicros = row.micros;
        micros = Math.max(micros, await measure(shape, tuning));
        if (micros >= (1 - MARGIN) * row.micros) continue;
        const reason = await wrong(shape, tuning);
        if (reason) row.refused.push(`${JSON.stringify(setting)}: ${reason}`);
        else Object.assign(row, { tuning, micros });
      } catch (error) {
        row.refused.push(`${JSON.stringify(setting)}: ${(error as Error).message}`);
      }
    }
    rows.push(row);
  }
  return rows;
}

/** What a device can be asked, and a model may want. */
export function settingsFor({ features }: OpenedDevice, exact: boolean): Partial<Tuning>[] {
  const settings: Partial<Tuning>[] = [{ rows: 8 }, { rows: 4 }, { groupSize: 64 }, { groupSize: 32 }];
  if (features.subgroups) settings.push({ groupSize: 128 }, { subgroups: false });
  if (features.dp4a && !exact) settings.push({ integers: true });
  settings.push({ span: 256 }, { span: 128 }); // of attention, which knows nothing of the others
  return settings;
}

/**
 * Tunes the shapes of a plan that are not tuned yet; the results are kept for this adapter, browser and build. Nothing of the conversation's
 * state is touched: kernels run on the real weights and activations of their own.
 * @returns a row for each shape tried; `opened.tunings` has them then
 */
export async function tune(opened: OpenedDevice, plan: Plan, state: State, exact: boolean, options: TuneOptions = {}): Promise<TuneRow[]> {
  if (opened.software && !options.software) return [];
  /** of a token, and of one dispatch */
  const bytes = new Map<string, { all: number; each: number }>();
  for (const [i, step] of lower(opened, plan, state, 1).flatMap((steps, i) => steps.map((step) => [i, step] as const))) {
    if (!step.shape || opened.tunings.has(step.shape)) continue;
    const node = plan.nodes[i];
    const each = node.op === 'attend' ? 2 * cacheBytes(node.cache, POSITIONS, state.halves) : weightBytes(step);
    bytes.set(step.shape, { all: (bytes.get(step.shape)?.all ?? 0) + each, each });
  }
  const shapes = [...bytes.keys()].sort((a, b) => bytes.get(b)!.all - bytes.get(a)!.all); // what a token reads most of goes first
  if (!shapes.length) return [];
  const trials = await createTrials(opened, plan, state);
  try {
    const measure = options.measure ?? trials.measure;
    const budget: Budget = { ms: options.budgetMs ?? BUDGET_MS, idle: options.idle ?? (() => true), now: options.now ?? (() => performance.now()) };
    const rows = await choose(shapes, settingsFor(opened, exact), { ...trials, measure }, budget);
    for (const { shape, tuning } of rows) opened.tunings.set(shape, tuning);
    if (rows.length) await keep(opened, about(exact), [...(await known(opened, exact)), ...rows.map(({ shape, tuning }) => [shape, tuning] as const)]);
    return rows.map((row) => ({ ...row, bytes: bytes.get(row.shape)!.each }));
  } finally {
    trials.dispose();
  }
}

type Kept = (readonly [shape: string, tuning: Partial<Tuning>])[];
const about = (exact: boolean): string => `tunings${exact ? ', exact' : ''}`;
const known = async (opened: OpenedDevice, exact: boolean): Promise<Kept> => (await recall<Kept>(opened, about(exact))) ?? [];

/** Takes over what was found out before. */
export async function recallTunings(opened: OpenedDevice, exact: boolean): Promise<void> {
  for (const [shape, tuning] of await known(opened, exact)) opened.tunings.set(shape, tuning);
}

/** Kernels of a plan at one token, on its weights and on a state of their own. */
async function createTrials(opened: OpenedDevice, plan: Plan, real: State): Promise<Trials & { dispose(): void }> {
  const { device } = opened;
  const { STORAGE, UNIFORM, COPY_DST, MAP_READ } = GPUBufferUsage;
  const widest = Math.max(...plan.slots.map(({ cols }) => cols));
  const state = await allocateState(opened, plan, POSITIONS, 1, real.halves);
  const buffers: GPUBuffer[] = [];
  const take = async (bytes: number, usage?: GPUBufferUsageFlags): Promise<GPUBuffer> => {
    const buffer = await opened.allocate('trials', bytes, usage);
    buffers.push(buffer);
    return buffer;
  };
  const dispose = (): void => {
    releaseState(opened, state);
    for (const buffer of buffers) opened.release(buffer);
  };
  const make = async () => ({ step: whole(await take(STEP_BYTES, STORAGE | UNIFORM | COPY_DST)), result: await take(4 * widest, MAP_READ | COPY_DST), timer: await createTimer(opened) });
  const { step, result, timer } = await make().catch((error: unknown) => {
    dispose();
    throw error;
  });
  device.queue.writeBuffer(step.buffer, 0, new Uint32Array([POSITIONS - 1, 1, POSITIONS, 0]));
  const next = noise('activations');
  const values = Float32Array.from({ length: widest + 3 }, () => next() / 2 ** 31 - 1); // buffers are whole multiples of 16 bytes
  const fill = (): void => state.slots.forEach(({ buffer }) => device.queue.writeBuffer(buffer, 0, values, 0, buffer.size / 4));
  fill();
  // any two halves without the bits of exponents that make them 1 and more
  const most = Math.max(0, ...attends(plan).map(({ cache }) => cacheBytes(cache, POSITIONS, state.halves))) / 4;
  const kept = state.halves ? Uint32Array.from({ length: most }, () => next() & 0xbbffbbff) : Float32Array.from({ length: most }, () => next() / 2 ** 31 - 1);
  for (const { keys, values } of state.caches.values()) for (const { buffer } of [keys, values]) device.queue.writeBuffer(buffer, 0, kept, 0, Math.min(most, buffer.size / 4));

  const made = new Map<string, Step[]>();
  function stepsOf(shape: string, tuning: Partial<Tuning>): Step[] {
    const key = shape + JSON.stringify(tuning);
    let steps = made.get(key);
    if (!steps) {
      const all = lower({ ...opened, step, tunings: new Map([[ANY, tuning]]) }, plan, state, 1, POSITIONS);
      made.set(key, (steps = all.flatMap((node) => node.filter((s, i) => (s.shape ?? node[i - 1]?.shape) === shape))));
    }
    return steps;
  }
  const lengthOf = (steps: Step[]): number => steps.filter((s) => s.shape).length;
  const ready = new Map<Step[], Promise<PreparedStep[]>>();
  function prepared(steps: Step[]): Promise<PreparedStep[]> {
    let one = ready.get(steps);
    if (!one) ready.set(steps, (one = opened.prepare(steps)));
    return one;
  }

  /** of the first layer that has it */
  async function resultOf(shape: string, tuning: Partial<Tuning>): Promise<Float32Array> {
    const steps = stepsOf(shape, tuning);
    const length = steps[1] && !steps[1].shape ? 2 : 1;
    const first = (await prepared(steps)).slice(0, length);
    const { y } = steps[length - 1].bindings;
    fill();
    const encoder = device.createCommandEncoder();
    for (const { buffer } of state.rings.values()) encoder.clearBuffer(buffer);
    const pass = encoder.beginComputePass();
    encode(pass, first);
    pass.end();
    encoder.copyBufferToBuffer(y.buffer, y.offset, result, 0, y.size);
    device.queue.submit([encoder.finish()]);
    await opened.settled(result.mapAsync(GPUMapMode.READ, 0, y.size));
    const got = new Float32Array(result.getMappedRange(0, y.size).slice(0));
    result.unmap();
    return got;
  }

  const rounds = new Map<string, number>();
  return {
    kernel(shape, tuning) {
      const [{ sources, constants }] = stepsOf(shape, tuning);
      return JSON.stringify([sources, constants]); // of the first: a merge differs as the attention before it does
    },

    async measure(shape, tuning) {
      const steps = stepsOf(shape, tuning);
      const all = await prepared(steps);
      const pass = (times: number): Promise<number> => timer.measure((pass) => { for (let i = 0; i < times; i++) encode(pass, all); }); // prettier-ignore
      if (!rounds.has(shape)) rounds.set(shape, await roundsOf(pass, all.length, timer.clock));
      else await pass(1); // warms
      const times = rounds.get(shape)!;
      return (await pass(times)) / times / lengthOf(steps);
    },

    async wrong(shape, tuning) {
      const [wanted, got] = [await resultOf(shape, {}), await resultOf(shape, tuning)];
      const power = wanted.reduce((sum, v) => sum + v * v, 0);
      const error = got.reduce((sum, v, i) => sum + (v - wanted[i]) ** 2, 0) / power;
      const most = got.reduce((top, v, i) => (Math.abs(v - wanted[i]) <= top ? top : Math.abs(v - wanted[i])), 0) / Math.sqrt(power / wanted.length);
      const right = tuning.integers ? error <= INTEGERS : most <= SUMS;
      return right ? undefined : `off by ${most.toExponential(1)} of the rms, ${error.toExponential(1)} of the power`;
    },

    dispose() {
      timer.dispose();
      dispose();
    },
  };
}
