/**
 * One conversation on the GPU. Everything is prepared when it is made: for each bucket of T the dispatches of the plan, for T = 1 and each
 * number of positions that attention reaches too. Decoding records a window of steps in one pass and one submit; position and token move on the GPU.
 */
import { fail } from '../../errors';
import type { CompileOptions, KernelTime, Runner, TuneOptions, TuneRow } from '../backend';
import type { Plan } from '../plan';
import { GREEDY, TYPICAL, type ChosenLogprob, type Sampling } from '../sampling';
import { encode, STEP_BYTES, type OpenedDevice, type PreparedStep } from './device';
import { whole, type Gpu, type Step } from './gpu';
import { lower, outputRegion, spanOf } from './lower';
import { embedNext } from './linear';
import { profile } from './profile';
import { createRanking } from './ranking';
import { createReadback } from './readback';
import type { GpuMatrix } from './repack';
import { createSampler, type Sampler } from './sampler';
import { tune } from './tune';
import { allocateState, cacheBytes, growCaches, reachOf, releaseState, RING, type State } from './state';

/** Most steps of one submit; longer calls of `decode` are cut. */
const WINDOW = 64;

/**
 * A chunk of the prompt goes to the GPU in submits of about this many milliseconds: watchdogs end what takes a second or two, and the page's own
 * pictures have to pass between. How many that are is known from the chunk before.
 */
const SUBMIT_MS = 50;
/** Kernels of chunks take tokens by so many: what a chunk costs goes by blocks begun. */
const BLOCK = 64;

interface Prepared {
  /** T → dispatches, for T > 1 */
  prefill: Map<number, PreparedStep[]>;
  /** positions reached → dispatches of one token, its lookup first */
  decode: Map<number, PreparedStep[]>;
  /** the least of them */
  span: number;
}

/** The numbers of tokens that dispatches are prepared for, ascending; a chunk takes the least that holds it. */
export const bucketsOf = (chunk: number): number[] => [...new Set([1, 8, 64, chunk].filter((T) => T <= chunk))].sort((a, b) => a - b);

/** @throws MemoryError, DeviceError; then nothing is left on the device */
export async function createRunner(opened: OpenedDevice, plan: Plan, { contextLength, chunk }: CompileOptions, halves: boolean, exact = false): Promise<Runner> {
  const { device } = opened;
  const { queue } = device;
  const held: (() => void)[] = [];
  let disposed = false;
  const dispose = (): void => {
    disposed = true;
    held.forEach((release) => release());
  };
  const take = async (label: string, bytes: number, usage?: GPUBufferUsageFlags): Promise<GPUBuffer> => {
    const buffer = await opened.allocate(label, bytes, usage);
    held.push(() => opened.release(buffer));
    return buffer;
  };

  const V = plan.output.cols;
  const [begin] = plan.nodes;
  const table = begin.op === 'embed' ? (begin.table as GpuMatrix) : undefined;
  const vocabulary = table?.rows ?? Infinity;
  const buckets = bucketsOf(chunk);
  const { step, tokens, gpu, state, output, sampler, ranking, ids, rows, first } = await make().catch((error: unknown) => {
    dispose();
    throw error;
  });
  let prepared = first;
  /** dispatches of a decode step that the draw before has done: the lookup of its token */
  const done = sampler && table?.parts.length === 1 ? 1 : 0;

  async function make() {
    const { STORAGE, UNIFORM, COPY_SRC, COPY_DST } = GPUBufferUsage;
    const step = await take('step', STEP_BYTES, STORAGE | UNIFORM | COPY_SRC | COPY_DST);
    const tokens = await take('tokens', 4 * (contextLength + 1));
    const gpu: Gpu = { ...opened, step: whole(step), tokens: whole(tokens) };
    const state = await allocateState(gpu, plan, contextLength, chunk, halves);
    held.push(() => releaseState(gpu, state));
    const output = outputRegion(plan, state, 1);
    const sampler = plan.output.rows === 1 ? await createSampler(opened, gpu, output, V, embedNext(gpu, table, state.slots[begin.out.slot]), take) : undefined;
    const ids = createReadback(opened, 'ids', 4 * WINDOW, 3);
    const rows = createReadback(opened, 'logits', output.size, 1);
    held.push(ids.dispose, rows.dispose);
    const ranking = sampler && (await createRanking(opened, gpu, output, V, take, ids));
    return { step, tokens, gpu, state, output, sampler, ranking, ids, rows, first: await prepare(gpu, state) };
  }

  /** tokens read */
  let position = 0;
  /** the rings hold the positions from here on, also after a rewind */
  let floor = 0;
  let pending = false;
  /** tokens of the last prefill: rows of the output of a plan without `last` */
  let lastCount = 0;
  let hasLogits = false;
  let promptMarked = false;
  let growing: Promise<void> | undefined;
  let chunkDone: Promise<void> = Promise.resolve();
  let lastDone = 0;
  /** what a blockful of the last chunk of a bucket took */
  const blockMs = new Map<number, number>();

  /** All dispatches; what does not depend on the reach of attention is prepared once. */
  async function prepare(gpu: Gpu, state: State): Promise<Prepared> {
    const prefill: Prepared['prefill'] = new Map();
    for (const T of buckets) if (T > 1) prefill.set(T, await opened.prepare(lower(gpu, plan, state, T).flat()));
    const shared = await Promise.all(lower(gpu, plan, state, 1).map((steps) => opened.prepare(steps)));
    const span = spanOf(gpu, plan, state);
    const decode: Prepared['decode'] = new Map([[span, shared.flat()]]);
    for (let reach = 2 * span; reach <= reachOf(state.capacity, span); reach *= 2) {
      const nodes = lower(gpu, plan, state, 1, reach);
      const own = await Promise.all(nodes.map((steps, i) => (plan.nodes[i].op === 'attend' ? opened.prepare(steps) : shared[i])));
      decode.set(reach, own.flat());
    }
    return { prefill, decode, span };
  }

  /** The caches are shorter than the context only where the device refused the whole. */
  function makeRoom(positions: number): Promise<void> {
    return renew(async () => {
      if (positions <= state.capacity) return false;
      await growCaches(gpu, plan, state, Math.min(contextLength, Math.max(positions, 2 * state.capacity)), positions);
      return true;
    });
  }

  /** Prepares all dispatches anew where `change` says so; one change at a time, and calls wait for it. */
  function renew(change: () => Promise<boolean>): Promise<void> {
    const grown = (growing ?? Promise.resolve()).then(async () => {
      if (await change()) prepared = await prepare(gpu, state);
    });
    growing = grown;
    return grown.finally(() => {
      if (growing === grown) growing = undefined;
    });
  }

  function checkRoom(more: number): void {
    if (position + more > contextLength)
      fail('ContextError', { what: 'The context is full', got: position + more, wanted: `at most ${contextLength} tokens`, cure: 'Start a new conversation, or load with a longer context.' });
  }

  async function prefill(ids: Uint32Array): Promise<void> {
    opened.check();
    checkRoom(ids.length);
    const wrong = ids.findIndex((id) => id >= vocabulary);
    if (wrong >= 0) fail('RequestError', { what: 'A token is outside the vocabulary', got: ids[wrong], wanted: `below ${vocabulary}` });
    await makeRoom(position + ids.length);
    for (let at = 0; at < ids.length; at += chunk) {
      const piece = ids.slice(at, at + chunk);
      pending = false;
      promptMarked = false;
      queue.writeBuffer(tokens, 4 * position, piece);
      queue.writeBuffer(step, 0, new Uint32Array([position, piece.length, position + piece.length, 0]));
      const bucket = buckets.find((T) => T >= piece.length)!;
      const begun = performance.now();
      const blocks = Math.ceil(piece.length / BLOCK);
      const steps = bucket === 1 ? decodeSteps(position + 1) : prepared.prefill.get(bucket)!;
      const known = bucket === 1 ? 0 : blockMs.get(bucket);
      if (known === undefined) await explore(steps);
      else {
        const length = Math.ceil(steps.length / Math.max(1, Math.ceil((known * blocks) / SUBMIT_MS)));
        for (let at = 0; at < steps.length; at += length) submit(steps.slice(at, at + length));
      }
      position += piece.length;
      floor = Math.max(floor, position - RING);
      lastCount = piece.length;
      hasLogits = true;
      // at most two chunks wait for the GPU
      const before = chunkDone;
      chunkDone = opened.settled(queue.onSubmittedWorkDone()).then(() => {
        const now = performance.now();
        blockMs.set(bucket, (now - Math.max(begun, lastDone)) / blocks);
        lastDone = now;
      });
      chunkDone.catch(() => undefined); // the next chunk tells, or the next reading
      await before;
    }
    opened.check();
  }

  const decodeSteps = (positions: number): PreparedStep[] => prepared.decode.get(reachOf(positions, prepared.span))!;

  function submit(steps: PreparedStep[]): void {
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    encode(pass, steps);
    pass.end();
    queue.submit([encoder.finish()]);
  }

  /** A chunk of which the time is not known: each submit is waited for, and takes up to twice as many dispatches as the one before. */
  async function explore(steps: PreparedStep[]): Promise<void> {
    for (let at = 0, length = 1; at < steps.length; ) {
      const begun = performance.now();
      submit(steps.slice(at, at + length));
      at += length;
      await opened.settled(queue.onSubmittedWorkDone());
      length = Math.max(1, Math.floor(length * Math.min(2, SUBMIT_MS / 2 / (performance.now() - begun))));
    }
  }

  async function decode(steps: number, sampling: Sampling): Promise<Uint32Array> {
    opened.check();
    if (!hasLogits || !sampler) fail('RequestError', { what: 'decode was called before a prefill' });
    if (sampling.mask && steps !== 1) fail('RequestError', { what: 'A token mask holds for one step', got: `${steps} steps`, wanted: 1 });
    const reads = pending ? steps : steps - 1;
    checkRoom(reads);
    // the next call begins where this one ends, even if this one has to wait for room
    let at = position;
    let reading = pending;
    position += reads;
    floor = Math.max(floor, position - RING);
    pending = true;
    if (growing || position > state.capacity) await makeRoom(position);
    const windows: Promise<ArrayBuffer>[] = [];
    for (let left = steps; left > 0; left -= WINDOW) {
      const window = Math.min(left, WINDOW);
      windows.push(submitWindow(sampler, at, reading, window, sampling));
      at += reading ? window : window - 1;
      reading = true;
    }
    const chosen = new Uint32Array(steps);
    for (const [i, window] of (await Promise.all(windows)).entries()) chosen.set(new Uint32Array(window), i * WINDOW);
    return chosen;
  }

  /**
   * One pass and one submit; nothing is created but the encoder.
   * @param at tokens read before it
   * @param reading there is a pending token to read first
   */
  function submitWindow(sampler: Sampler, at: number, reading: boolean, steps: number, sampling: Sampling): Promise<ArrayBuffer> {
    const draw = sampler.use(sampling);
    const encoder = device.createCommandEncoder();
    if (!promptMarked) sampler.markPrompt(encoder, at);
    promptMarked = true;
    const pass = encoder.beginComputePass();
    for (let i = 0; i < steps; i++) {
      const read = reading ? at + i + 1 : at + i; // tokens, when this one is drawn
      if (reading || i > 0) encode(pass, decodeSteps(read), done);
      encode(pass, draw);
    }
    pass.end();
    const copy = ids.copy(encoder, tokens, 4 * (reading ? at + 1 : at), 4 * steps);
    queue.submit([encoder.finish()]);
    return copy.read();
  }

  function rewind(to: number): boolean {
    if (to < 0 || to > position) return false;
    const reach = Math.max(0, ...plan.nodes.map((node) => (node.op === 'shortConv' ? node.state.length - 1 : 0)));
    if (to > 0 && reach > 0 && Math.max(0, to - reach) < floor) return false;
    position = to;
    if (to === 0) floor = 0;
    pending = false;
    hasLogits = false;
    return true;
  }

  async function logits(): Promise<Float32Array> {
    opened.check();
    if (!hasLogits) fail('RequestError', { what: 'There are no logits before a prefill' });
    const encoder = device.createCommandEncoder();
    const bytes = 4 * V * (plan.output.rows === 'T' ? lastCount : 1);
    const copy = rows.copy(encoder, output.buffer, output.offset, bytes);
    queue.submit([encoder.finish()]);
    return new Float32Array(await copy.read());
  }

  async function logprobs(chosen: number, n: number): Promise<ChosenLogprob> {
    opened.check();
    if (!hasLogits || !ranking) fail('RequestError', { what: 'There are no logits before a prefill' });
    return ranking(chosen, n);
  }

  async function times(): Promise<KernelTime[]> {
    opened.check();
    const at = Math.min(position, contextLength - 1);
    const reach = reachOf(at + 1, prepared.span);
    const steps = [...lower(gpu, plan, state, 1, reach).flat().slice(done), ...(sampler?.steps().greedy ?? [])];
    const draw = sampler?.use(GREEDY) ?? [];
    // the draw moves the position on: it is put back before every kernel that depends on it, by measuring the draw last
    queue.writeBuffer(step, 0, new Uint32Array([at, 1, at + 1, 0]));
    const node = plan.nodes.find((n) => n.op === 'attend');
    const attended = node ? 2 * cacheBytes(node.cache, at + 1, state.halves) : 0;
    const measured = await profile(opened, { steps, prepared: [...prepared.decode.get(reach)!.slice(done), ...draw], cacheBytes: attended, sampled: () => sampler?.use(TYPICAL) ?? [] });
    position = 0;
    pending = false;
    hasLogits = false;
    return measured;
  }

  let tuning: Promise<TuneRow[]> | undefined;
  function tuneOnce({ idle = () => true, ...options }: TuneOptions = {}): Promise<TuneRow[]> {
    tuning ??= (async () => {
      const rows = await tune(opened, plan, state, exact, { ...options, idle: () => !disposed && idle() });
      const taken = rows.some((row) => Object.keys(row.tuning).length > 0);
      if (taken && !disposed) await renew(() => Promise.resolve(true));
      return rows;
    })().finally(() => (tuning = undefined));
    return tuning;
  }

  function describe(): string {
    const line = ({ label, grid, sources }: Step, node: string): string => `${node.padEnd(10)} ${label.padEnd(32)} ${grid.join('×').padEnd(12)} ${sources.at(-1)}`;
    const list = (reach: number): string[] => [
      ...lower(gpu, plan, state, 1, reach).flatMap((steps, i) => (i < done ? [] : steps.map((s) => line(s, plan.nodes[i].op)))),
      ...(sampler?.steps().greedy ?? []).map((s) => line(s, 'sample')),
    ];
    const { span } = prepared;
    const short = list(span);
    const long = state.capacity > span ? `, ${list(state.capacity).length} from position ${span} on` : '';
    return [`${short.length} dispatches a token${long}`, ...short].join('\n');
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
    profile: times,
    tune: tuneOnce,
    describe,
    dispose,
  };
}

