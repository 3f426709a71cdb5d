/**
 * Runs a plan on the GPU with the state of one conversation. All dispatches are prepared at the start: for each bucket
 * of T and, for one token, for each bucket of the context. Decode encodes a window of steps in one pass and one submit;
 * the GPU itself advances position and token.
 */
import { CONV_RING_POSITIONS } from 'virtual:rivulet-kernels';
import { fail } from '../../errors';
import type { CompileOptions, Runner, TuneOptions, ShapeTuningResult } from '../backend';
import { convStatesOf, kvCachesOf, tablesOf, type Plan } from '../plan';
import { sequenceBounds } from '../sequences';
import type { ChosenLogprob, SamplingParams } from '../sampling';
import { encodeDispatches, type OpenedDevice, type PreparedDispatch } from './device';
import { STEP, wholeBuffer, type DispatchContext } from './dispatch';
import { lowerPlanToDispatches, planOutputRegion, shortestTunedSpan } from './lower';
import { embedDrawnTokenLibrary } from './linear';
import { createGpuLogprobs } from './logprobs';
import { createReadbackPool } from './readback';
import type { GpuMatrix } from './repack';
import { createGpuTokenSampler, type GpuTokenSampler } from './sampler';
import { tuneKernels } from './tune';
import { allocateRunnerState, growKvCaches, contextBucket, releaseRunnerState, type RunnerState } from './state';

/** Most steps of one submit; `decode` splits longer calls. */
export const WINDOW_STEPS = 64;

/**
 * A prefill batch goes to the GPU in submits of about this many milliseconds: a watchdog kills submits of a second or
 * two, and the page has to render in between. The time of the previous batch gives the number of submits.
 */
const SUBMIT_MS = 50;
/** Tokens per workgroup of the prefill kernels: the cost of a batch is proportional to its tiles. */
const TILE_TOKENS = 64;

interface PreparedPlan {
  /** T → dispatches, for T > 1 */
  prefill: Map<number, PreparedDispatch[]>;
  /** context bucket → dispatches of one token, its embedding first */
  decode: Map<number, PreparedDispatch[]>;
  /** the smallest context bucket */
  span: number;
}

export interface WebGpuRunner extends Runner {
  /** for tools: profile.ts measures the dispatches of a decode step, describe_runner.ts lists them */
  internals(): {
    opened: OpenedDevice;
    plan: Plan;
    gpu: DispatchContext;
    state: RunnerState;
    sampler: GpuTokenSampler | undefined;
    /** dispatches of a decode step that the draw before it replaces */
    skipped: number;
    contextLength: number;
    prepared: PreparedPlan;
  };
}

/**
 * The numbers of tokens for which dispatches are prepared, ascending; a batch takes the smallest bucket that holds it.
 */
export const prefillBuckets = (prefillBatch: number): number[] =>
  [...new Set([1, 8, 64, prefillBatch].filter((T) => T <= prefillBatch))].sort((a, b) => a - b);

/** @throws MemoryError, DeviceError; then all its buffers are released */
export async function createWebGpuRunner(
  opened: OpenedDevice,
  plan: Plan,
  { contextLength, prefillBatch }: CompileOptions,
  f16Cache: boolean,
  exact = false,
): Promise<WebGpuRunner> {
  const { device } = opened;
  const { queue } = device;
  const held: (() => void)[] = [];
  let disposed = false;
  const dispose = (): void => {
    disposed = true;
    held.forEach((release) => release());
  };
  const take = async (label: string, bytes: number, usage?: GPUBufferUsageFlags): Promise<GPUBuffer> => {
    const buffer = await opened.allocateBuffer(label, bytes, usage);
    held.push(() => opened.releaseBuffer(buffer));
    return buffer;
  };

  const { nodes: [firstNode], outputs: [{ cols: V, rows: outputRows }] } = plan; // prettier-ignore
  const [table] = tablesOf(firstNode) as (GpuMatrix | undefined)[];
  const vocabulary = table?.rows ?? Infinity;
  const buckets = prefillBuckets(prefillBatch);
  const { step, tokens, gpu, state, output, sampler, logprobsOf, ids, rows, first } = await create().catch(
    (error: unknown) => {
      dispose();
      throw error;
    },
  );
  let prepared = first;
  /** dispatches of a decode step that the draw before it replaces: the embedding of its token */
  const skipped = sampler && table?.parts.length === 1 ? 1 : 0;

  async function create() {
    const { STORAGE, UNIFORM, COPY_SRC, COPY_DST } = GPUBufferUsage;
    const step = await take('step', STEP.bytes, STORAGE | UNIFORM | COPY_SRC | COPY_DST);
    const tokens = await take('tokens', 4 * (contextLength + 1));
    const gpu: DispatchContext = { ...opened, step: wholeBuffer(step), tokens: wholeBuffer(tokens) };
    const state = await allocateRunnerState(gpu, plan, contextLength, prefillBatch, f16Cache);
    held.push(() => releaseRunnerState(gpu, state));
    const output = planOutputRegion(plan, state, 1);
    const sampler =
      outputRows === 1
        ? await createGpuTokenSampler(
            opened,
            gpu,
            output,
            V,
            embedDrawnTokenLibrary(gpu, table, state.slots[firstNode.out.slot]),
            take,
          )
        : undefined;
    const ids = createReadbackPool(opened, 'ids', 4 * WINDOW_STEPS, 3);
    const rows = createReadbackPool(opened, 'logits', output.size, 1);
    held.push(ids.dispose, rows.dispose);
    const logprobsOf = sampler && (await createGpuLogprobs(opened, gpu, output, V, take, ids));
    return { step, tokens, gpu, state, output, sampler, logprobsOf, ids, rows, first: await prepare(gpu, state) };
  }

  /** tokens read so far */
  let position = 0;
  /** the convolution rings hold the positions from here on, also after a rewind */
  let ringStart = 0;
  let pending = false;
  /** tokens of the last prefill, which are the rows of the output in a plan without `last` */
  let lastCount = 0;
  let hasLogits = false;
  let promptMarked = false;
  let growing: Promise<void> | undefined;
  let batchDone: Promise<void> = Promise.resolve();
  let lastDone = 0;
  /** ms per tile of the last batch of each bucket */
  const tileMs = new Map<number, number>();

  /** Prepares all dispatches; those that do not depend on the context bucket are shared by all buckets. */
  async function prepare(gpu: DispatchContext, state: RunnerState): Promise<PreparedPlan> {
    const prefill: PreparedPlan['prefill'] = new Map();
    for (const T of buckets)
      if (T > 1) prefill.set(T, await opened.prepare(lowerPlanToDispatches(gpu, plan, state, T).flat()));
    const shared = await Promise.all(
      lowerPlanToDispatches(gpu, plan, state, 1).map((dispatches) => opened.prepare(dispatches)),
    );
    const span = shortestTunedSpan(gpu, plan, state);
    const decode: PreparedPlan['decode'] = new Map([[span, shared.flat()]]);
    for (let context = 2 * span; context <= contextBucket(state.capacity, span); context *= 2) {
      const nodes = lowerPlanToDispatches(gpu, plan, state, 1, context);
      const own = await Promise.all(
        nodes.map((dispatches, i) => (kvCachesOf(plan.nodes[i]).length ? opened.prepare(dispatches) : shared[i])),
      );
      decode.set(context, own.flat());
    }
    return { prefill, decode, span };
  }

  /** Grows the KV caches: they are shorter than the context only if the device refused more. */
  function ensureCapacity(positions: number): Promise<void> {
    return reprepare(async () => {
      if (positions <= state.capacity) return false;
      await growKvCaches(gpu, plan, state, Math.min(contextLength, Math.max(positions, 2 * state.capacity)), positions);
      return true;
    });
  }

  /** Prepares all dispatches again when `change` returns true. One change runs at a time, and calls wait for it. */
  function reprepare(change: () => Promise<boolean>): Promise<void> {
    const grown = (growing ?? Promise.resolve()).then(async () => {
      if (await change()) prepared = await prepare(gpu, state);
    });
    growing = grown;
    return grown.finally(() => {
      if (growing === grown) growing = undefined;
    });
  }

  function checkContext(more: number): void {
    if (position + more > contextLength)
      fail('ContextError', {
        what: 'The context is full',
        got: position + more,
        wanted: `at most ${contextLength} tokens`,
        cure: 'Start a new conversation, or load the model with a longer context.',
      });
  }

  async function prefill(ids: Uint32Array, sequences?: Uint32Array): Promise<void> {
    opened.throwIfFailed();
    checkContext(ids.length);
    const wrong = ids.findIndex((id) => id >= vocabulary);
    if (wrong >= 0)
      fail('RequestError', {
        what: 'A token is outside the vocabulary',
        got: ids[wrong],
        wanted: `below ${vocabulary}`,
      });
    if (plan.bounds !== undefined) {
      const bounds = sequenceBounds(ids.length, sequences, prefillBatch);
      queue.writeBuffer(state.slots[plan.bounds].buffer, 0, bounds);
    }
    await ensureCapacity(position + ids.length);
    for (let at = 0; at < ids.length; at += prefillBatch) {
      const piece = ids.slice(at, at + prefillBatch);
      pending = false;
      promptMarked = false;
      queue.writeBuffer(tokens, 4 * position, piece);
      queue.writeBuffer(step, 0, STEP.pack({ position, count: piece.length, prompt: position + piece.length }));
      const bucket = buckets.find((T) => T >= piece.length)!;
      const begun = performance.now();
      const tiles = Math.ceil(piece.length / TILE_TOKENS);
      const dispatches = bucket === 1 ? decodeDispatches(position + 1) : prepared.prefill.get(bucket)!;
      const known = bucket === 1 ? 0 : tileMs.get(bucket);
      if (known === undefined) await submitGradually(dispatches);
      else {
        const length = Math.ceil(dispatches.length / Math.max(1, Math.ceil((known * tiles) / SUBMIT_MS)));
        for (let at = 0; at < dispatches.length; at += length) submit(dispatches.slice(at, at + length));
      }
      position += piece.length;
      ringStart = Math.max(ringStart, position - CONV_RING_POSITIONS);
      lastCount = piece.length;
      hasLogits = true;
      // at most two batches are queued on the GPU
      const before = batchDone;
      batchDone = opened.waitFor(queue.onSubmittedWorkDone()).then(() => {
        const now = performance.now();
        tileMs.set(bucket, (now - Math.max(begun, lastDone)) / tiles);
        lastDone = now;
      });
      batchDone.catch(() => undefined); // the next batch or the next readback reports the error
      await before;
    }
    opened.throwIfFailed();
  }

  const decodeDispatches = (positions: number): PreparedDispatch[] =>
    prepared.decode.get(contextBucket(positions, prepared.span))!;

  function submit(dispatches: PreparedDispatch[]): void {
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    encodeDispatches(pass, dispatches);
    pass.end();
    queue.submit([encoder.finish()]);
  }

  /** Submits a batch of unknown time: it waits for each submit, and the next one has up to twice as many dispatches. */
  async function submitGradually(dispatches: PreparedDispatch[]): Promise<void> {
    for (let at = 0, length = 1; at < dispatches.length;) {
      const begun = performance.now();
      submit(dispatches.slice(at, at + length));
      at += length;
      await opened.waitFor(queue.onSubmittedWorkDone());
      length = Math.max(1, Math.floor(length * Math.min(2, SUBMIT_MS / 2 / (performance.now() - begun))));
    }
  }

  async function decode(steps: number, sampling: SamplingParams): Promise<Uint32Array> {
    opened.throwIfFailed();
    if (!hasLogits || !sampler) fail('RequestError', { what: 'decode needs a prefill before it' });
    if (sampling.mask && steps !== 1)
      fail('RequestError', { what: 'A token mask applies to one step only', got: `${steps} steps`, wanted: 1 });
    const reads = pending ? steps : steps - 1;
    checkContext(reads);
    // advance at once: the next call may come while this one still waits for its cache
    let at = position;
    let readsPending = pending;
    position += reads;
    ringStart = Math.max(ringStart, position - CONV_RING_POSITIONS);
    pending = true;
    if (growing || position > state.capacity) await ensureCapacity(position);
    const windows: Promise<ArrayBuffer>[] = [];
    for (let left = steps; left > 0; left -= WINDOW_STEPS) {
      const window = Math.min(left, WINDOW_STEPS);
      windows.push(submitWindow(sampler, at, readsPending, window, sampling));
      at += readsPending ? window : window - 1;
      readsPending = true;
    }
    const chosen = new Uint32Array(steps);
    for (const [i, window] of (await Promise.all(windows)).entries())
      chosen.set(new Uint32Array(window), i * WINDOW_STEPS);
    return chosen;
  }

  /**
   * Encodes a window of decode steps in one pass and one submit; it creates nothing but the encoder.
   * @param at tokens read before it
   * @param readsPending whether the first step reads a pending token
   */
  function submitWindow(
    sampler: GpuTokenSampler,
    at: number,
    readsPending: boolean,
    steps: number,
    sampling: SamplingParams,
  ): Promise<ArrayBuffer> {
    const draw = sampler.drawDispatches(sampling);
    const encoder = device.createCommandEncoder();
    if (!promptMarked) sampler.markPrompt(encoder, at);
    promptMarked = true;
    const pass = encoder.beginComputePass();
    for (let i = 0; i < steps; i++) {
      const read = readsPending ? at + i + 1 : at + i; // tokens read when this one is drawn
      if (readsPending || i > 0) encodeDispatches(pass, decodeDispatches(read), skipped);
      encodeDispatches(pass, draw);
    }
    pass.end();
    const copy = ids.copy(encoder, tokens, 4 * (readsPending ? at + 1 : at), 4 * steps);
    queue.submit([encoder.finish()]);
    return copy.read();
  }

  function rewind(to: number): boolean {
    if (to < 0 || to > position) return false;
    const convHistory = Math.max(0, ...plan.nodes.flatMap(convStatesOf).map(({ length }) => length - 1));
    if (to > 0 && convHistory > 0 && Math.max(0, to - convHistory) < ringStart) return false;
    position = to;
    if (to === 0) ringStart = 0;
    pending = false;
    hasLogits = false;
    return true;
  }

  async function logits(): Promise<Float32Array> {
    opened.throwIfFailed();
    if (!hasLogits) fail('RequestError', { what: 'There are no logits before a prefill' });
    const encoder = device.createCommandEncoder();
    const bytes = 4 * V * (outputRows === 'T' ? lastCount : 1);
    const copy = rows.copy(encoder, output.buffer, output.offset, bytes);
    queue.submit([encoder.finish()]);
    return new Float32Array(await copy.read());
  }

  async function logprobs(chosen: number, n: number): Promise<ChosenLogprob> {
    opened.throwIfFailed();
    if (!hasLogits || !logprobsOf) fail('RequestError', { what: 'There are no logits before a prefill' });
    return logprobsOf(chosen, n);
  }

  let tuning: Promise<ShapeTuningResult[]> | undefined;
  function tune({ isIdle = () => true, ...options }: TuneOptions = {}): Promise<ShapeTuningResult[]> {
    tuning ??= (async () => {
      const rows = await tuneKernels(opened, plan, state, exact, { ...options, isIdle: () => !disposed && isIdle() });
      const changed = rows.some((row) => Object.keys(row.tuning).length > 0);
      if (changed && !disposed) await reprepare(() => Promise.resolve(true));
      return rows;
    })().finally(() => (tuning = undefined));
    return tuning;
  }

  return {
    get position() {
      return position;
    },
    prefill,
    decode,
    rewind,
    logits,
    logprobs,
    tune,
    dispose,
    internals: () => ({ opened, plan, gpu, state, sampler, skipped, contextLength, prepared }),
  };
}
