/**
 * The tuner: it measures kernel settings for each shape on the user's own device, in idle time and within a time limit.
 * A sample runs many dispatches over the real weights of different layers. A kernel is taken only if it is faster by
 * MIN_TUNING_GAIN and its results agree with those of the default kernel, which passed the self test.
 */
import type { TuneOptions, ShapeTuningResult } from '../backend';
import { kvCachesOf, type Plan } from '../plan';
import { seededRandom } from '../random_weights';
import { createBufferGroup } from './buffer_group';
import { encodeDispatches, type OpenedDevice, type PreparedDispatch } from './device';
import { ANY_KERNEL, STEP, type Dispatch, type KernelTuning } from './dispatch';
import { createGpuTimer, repetitionsPerSample } from './gpu_timer';
import { bytesRead, lowerPlanToDispatches } from './lower';
import { allocateScratch, MAX_ATTENTION_SPAN } from './scratch';
import { allocateStateBuffers, keyCacheBytes, unallocatedBuffers } from './state_buffers';
import { persistDeviceResult, loadPersistedDeviceResult } from './device_results';

/** A kernel must be faster by this share of its time; less is within the noise. */
export const MIN_TUNING_GAIN = 0.05;
const DEFAULT_LIMIT_MS = 1500;
/**
 * Positions at which attention is measured: the longest span is full, and only shorter spans need a merge. Beyond, all
 * need one; far below, little is to be gained.
 */
const POSITIONS = MAX_ATTENTION_SPAN;
/** Bound of the largest difference over the rms: the same sums in another order. */
const MAX_ERROR = 1e-4;
/** Bound of the squared error over the power, for int8 activations. */
const MAX_INT8_NMSE = 2.5e-3;

/** The measurements and checks that the search needs. */
export interface TuningEvaluator {
  /** identifies a kernel: some settings make no difference to a shape */
  kernelId(tuneKey: string, tuning: Partial<KernelTuning>): string;
  /** µs of one dispatch */
  measure(tuneKey: string, tuning: Partial<KernelTuning>): Promise<number>;
  /** the reason why the kernel's results are wrong; undefined when they are right */
  check(tuneKey: string, tuning: Partial<KernelTuning>): Promise<string | undefined>;
}

export interface TuningStopConditions {
  limitMs: number;
  /** false ends the search before the next sample */
  isIdle(): boolean;
  now(): number;
}

/**
 * Greedy search: it changes one setting after another and keeps the faster kernel. A shape that the time limit
 * interrupts is left out, except the first one.
 * @param settings in the order in which they are tried
 */
export async function searchTunings(
  tuneKeys: readonly string[],
  settings: readonly Partial<KernelTuning>[],
  { kernelId, measure, check }: TuningEvaluator,
  { limitMs, isIdle, now }: TuningStopConditions,
): Promise<Omit<ShapeTuningResult, 'bytes'>[]> {
  const end = now() + limitMs;
  const rows: Omit<ShapeTuningResult, 'bytes'>[] = [];
  for (const tuneKey of tuneKeys) {
    if (!isIdle() || now() >= end) return rows;
    const row: (typeof rows)[number] = {
      tuneKey,
      tuning: {},
      defaultMicros: await measure(tuneKey, {}),
      micros: Infinity,
      rejected: [],
    };
    row.micros = row.defaultMicros;
    for (const setting of settings) {
      if (!isIdle()) return rows;
      if (now() >= end) return rows.length ? rows : [row]; // so that a slow device finishes at least one shape per call
      const tuning = { ...row.tuning, ...setting };
      if (kernelId(tuneKey, tuning) === kernelId(tuneKey, row.tuning)) continue;
      try {
        let micros = await measure(tuneKey, tuning);
        if (micros >= (1 - MIN_TUNING_GAIN) * row.micros) continue;
        // measure both once more: a change of the GPU's clock rate must not decide
        row.micros = Math.min(row.micros, await measure(tuneKey, row.tuning));
        if (!Object.keys(row.tuning).length) row.defaultMicros = row.micros;
        micros = Math.max(micros, await measure(tuneKey, tuning));
        if (micros >= (1 - MIN_TUNING_GAIN) * row.micros) continue;
        const reason = await check(tuneKey, tuning);
        if (reason) row.rejected.push(`${JSON.stringify(setting)}: ${reason}`);
        else Object.assign(row, { tuning, micros });
      } catch (error) {
        row.rejected.push(`${JSON.stringify(setting)}: ${(error as Error).message}`);
      }
    }
    rows.push(row);
  }
  return rows;
}

/** The settings to try on a device; `exact` excludes int8 activations. */
export function deviceTuningCandidates({ features }: OpenedDevice, exact: boolean): Partial<KernelTuning>[] {
  const settings: Partial<KernelTuning>[] = [{ rows: 8 }, { rows: 4 }, { groupSize: 64 }, { groupSize: 32 }];
  if (features.subgroups) settings.push({ groupSize: 128 }, { subgroups: false });
  if (features.dp4a && !exact) settings.push({ int8Activations: true });
  settings.push({ span: 256 }, { span: 128 }); // for attention only, which ignores the other settings
  return settings;
}

/**
 * Tunes the shapes of a plan that are not tuned yet, adds the results to `opened.tunings` and saves them for this
 * adapter, browser and build.
 * Kernels run on the real weights but on activations of their own, so that no conversation's state changes.
 * @returns a result for each shape
 */
export async function tuneKernels(
  opened: OpenedDevice,
  plan: Plan,
  f16Cache: boolean,
  exact: boolean,
  options: TuneOptions = {},
): Promise<ShapeTuningResult[]> {
  if (opened.software && !options.allowSoftware) return [];
  /** bytes read for a token, and by one dispatch */
  const bytes = new Map<string, { perToken: number; perDispatch: number }>();
  const unallocated = unallocatedBuffers(plan, POSITIONS, f16Cache);
  for (const [i, dispatch] of lowerPlanToDispatches(opened, plan, unallocated, 1).flatMap((dispatches, i) =>
    dispatches.map((dispatch) => [i, dispatch] as const),
  )) {
    const { tuneKey } = dispatch;
    if (!tuneKey || opened.tunings.has(tuneKey)) continue;
    const perDispatch = bytesRead(dispatch, plan.nodes[i], unallocated, POSITIONS);
    bytes.set(tuneKey, { perToken: (bytes.get(tuneKey)?.perToken ?? 0) + perDispatch, perDispatch });
  }
  // the shapes with most bytes first
  const tuneKeys = [...bytes.keys()].sort((a, b) => bytes.get(b)!.perToken - bytes.get(a)!.perToken);
  if (!tuneKeys.length) return [];
  const evaluator = await createTuningEvaluator(opened, plan, f16Cache);
  try {
    const measure = options.measure ?? evaluator.measure;
    const stop: TuningStopConditions = {
      limitMs: options.budgetMs ?? DEFAULT_LIMIT_MS,
      isIdle: options.isIdle ?? (() => true),
      now: options.now ?? (() => performance.now()),
    };
    const rows = await searchTunings(tuneKeys, deviceTuningCandidates(opened, exact), { ...evaluator, measure }, stop);
    for (const { tuneKey, tuning } of rows) opened.tunings.set(tuneKey, tuning);
    if (rows.length)
      await persistDeviceResult(opened, resultName(exact), [
        ...(await savedTunings(opened, exact)),
        ...rows.map(({ tuneKey, tuning }) => [tuneKey, tuning] as const),
      ]);
    return rows.map((row) => ({ ...row, bytes: bytes.get(row.tuneKey)!.perDispatch }));
  } finally {
    evaluator.dispose();
  }
}

type SavedTunings = (readonly [tuneKey: string, tuning: Partial<KernelTuning>])[];
const resultName = (exact: boolean): string => `tunings${exact ? ', exact' : ''}`;
const savedTunings = async (opened: OpenedDevice, exact: boolean): Promise<SavedTunings> =>
  (await loadPersistedDeviceResult<SavedTunings>(opened, resultName(exact))) ?? [];

/** Adds the saved results to `opened.tunings`. */
export async function loadSavedTunings(opened: OpenedDevice, exact: boolean): Promise<void> {
  for (const [tuneKey, tuning] of await savedTunings(opened, exact)) opened.tunings.set(tuneKey, tuning);
}

/** Runs the kernels of a plan for one token, on its weights but on a state of their own. */
async function createTuningEvaluator(
  opened: OpenedDevice,
  plan: Plan,
  f16Cache: boolean,
): Promise<TuningEvaluator & { dispose(): void }> {
  const { device } = opened;
  const { STORAGE, UNIFORM, COPY_DST, MAP_READ } = GPUBufferUsage;
  const widest = Math.max(...plan.slots.map(({ cols }) => cols));
  const group = createBufferGroup(opened);
  const make = async () => ({
    state: {
      ...(await allocateScratch(opened, group, plan, { contextLength: POSITIONS, prefillBatch: 1 }, f16Cache)),
      ...(await allocateStateBuffers(opened, group, plan, f16Cache, [POSITIONS, POSITIONS])),
    },
    step: await group.take('tuner', STEP.bytes, STORAGE | UNIFORM | COPY_DST),
    result: (await group.take('tuner', 4 * widest, MAP_READ | COPY_DST)).buffer,
    timer: await createGpuTimer(opened),
  });
  const { state, step, result, timer } = await make().catch((error: unknown) => {
    group.release();
    throw error;
  });
  device.queue.writeBuffer(step.buffer, 0, STEP.pack({ position: POSITIONS - 1, count: 1, prompt: POSITIONS }));
  const next = seededRandom('activations');
  // buffers are padded to 16 bytes
  const values = Float32Array.from({ length: widest + 3 }, () => next() / 2 ** 31 - 1);
  const fill = (): void => {
    state.slots.forEach(({ buffer }) => device.queue.writeBuffer(buffer, 0, values, 0, buffer.size / 4));
    // different experts, so that each reads its own weights
    for (const { chosen } of plan.nodes.filter((node) => 'chosen' in node))
      device.queue.writeBuffer(
        state.slots[chosen.slot].buffer,
        0,
        Float32Array.from({ length: chosen.cols / 2 }, (_, i) => i),
      );
  };
  fill();
  // with f16 a random word is two halves; the masked bits of their exponents keep them below 1
  const most =
    Math.max(0, ...plan.nodes.flatMap(kvCachesOf).map((cache) => keyCacheBytes(cache, POSITIONS, state.f16Cache))) / 4;
  const cached = state.f16Cache
    ? Uint32Array.from({ length: most }, () => next() & 0xbbffbbff)
    : Float32Array.from({ length: most }, () => next() / 2 ** 31 - 1);
  for (const { keys, values } of state.caches.values())
    for (const { buffer } of [keys, values])
      device.queue.writeBuffer(buffer, 0, cached, 0, Math.min(most, buffer.size / 4));

  const made = new Map<string, Dispatch[]>();
  function dispatchesOf(tuneKey: string, tuning: Partial<KernelTuning>): Dispatch[] {
    const key = tuneKey + JSON.stringify(tuning);
    let dispatches = made.get(key);
    if (!dispatches) {
      const all = lowerPlanToDispatches(
        { ...opened, step, tunings: new Map([[ANY_KERNEL, tuning]]) },
        plan,
        state,
        1,
        POSITIONS,
      );
      made.set(key, (dispatches = all.flat().filter((d) => (d.tuneKey ?? d.partOf?.tuneKey) === tuneKey)));
    }
    return dispatches;
  }
  const tunedCount = (dispatches: Dispatch[]): number => dispatches.filter((d) => d.tuneKey).length;
  const ready = new Map<Dispatch[], Promise<PreparedDispatch[]>>();
  function prepared(dispatches: Dispatch[]): Promise<PreparedDispatch[]> {
    let one = ready.get(dispatches);
    if (!one) ready.set(dispatches, (one = opened.prepare(dispatches)));
    return one;
  }

  /** The result of the first layer with this key. */
  async function resultOf(tuneKey: string, tuning: Partial<KernelTuning>): Promise<Float32Array> {
    const dispatches = dispatchesOf(tuneKey, tuning);
    const length = dispatches[1]?.partOf ? 2 : 1;
    const first = (await prepared(dispatches)).slice(0, length);
    const { y } = dispatches[length - 1].bindings;
    fill();
    const encoder = device.createCommandEncoder();
    for (const { buffer } of state.rings.values()) encoder.clearBuffer(buffer);
    const pass = encoder.beginComputePass();
    encodeDispatches(pass, first);
    pass.end();
    encoder.copyBufferToBuffer(y.buffer, y.offset, result, 0, y.size);
    device.queue.submit([encoder.finish()]);
    await opened.waitFor(result.mapAsync(GPUMapMode.READ, 0, y.size));
    const got = new Float32Array(result.getMappedRange(0, y.size).slice(0));
    result.unmap();
    return got;
  }

  const repetitions = new Map<string, number>();
  return {
    kernelId(tuneKey, tuning) {
      const [{ sources, constants }] = dispatchesOf(tuneKey, tuning);
      return JSON.stringify([sources, constants]); // the first one is enough: a merge differs when its attention does
    },

    async measure(tuneKey, tuning) {
      const dispatches = dispatchesOf(tuneKey, tuning);
      const all = await prepared(dispatches);
      const pass = (times: number): Promise<number> =>
        timer.measure((pass) => {
          for (let i = 0; i < times; i++) encodeDispatches(pass, all);
        });
      if (!repetitions.has(tuneKey))
        repetitions.set(tuneKey, await repetitionsPerSample(pass, all.length, timer.clock));
      else await pass(1); // warm-up
      const times = repetitions.get(tuneKey)!;
      return (await pass(times)) / times / tunedCount(dispatches);
    },

    async check(tuneKey, tuning) {
      const [wanted, got] = [await resultOf(tuneKey, {}), await resultOf(tuneKey, tuning)];
      const power = wanted.reduce((sum, v) => sum + v * v, 0);
      const nmse = got.reduce((sum, v, i) => sum + (v - wanted[i]) ** 2, 0) / power;
      const error =
        got.reduce((top, v, i) => (Math.abs(v - wanted[i]) <= top ? top : Math.abs(v - wanted[i])), 0) /
        Math.sqrt(power / wanted.length);
      const right = tuning.int8Activations ? nmse <= MAX_INT8_NMSE : error <= MAX_ERROR;
      return right ? undefined : `off by ${error.toExponential(1)} of the rms, ${nmse.toExponential(1)} of the power`;
    },

    dispose() {
      timer.dispose();
      group.release();
    },
  };
}
