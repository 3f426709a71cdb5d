/**
 * One conversation on the WASM backend: its state in the memory, and the steps that threads walk. A step runs in the calling thread before
 * its call returns: whoever wants to hear messages pauses between steps.
 */
import { fail } from '../../errors';
import type { CompileOptions, Runner } from '../backend';
import { printPlan, type Node, type Plan } from '../plan';
import { logprobs, type Sampling } from '../sampling';
import { lower, PAGE, RING, writeRope, type Addresses } from './lower';
import type { Heap } from './memory';
import type { Kernels } from './module';
import { fastest, type Team } from './threads';

// Plan of kernels/plan.h: words, then Sampling
const PLAN = [
  'T', 'position', 'draws', 'first', 'end', 'prompt', 'ops', 'history', 'pages', 'logits', 'vocabulary', 'normed', 'int8', 'scratch',
  'scratchBytes', 'tile', 'widest', 'candidates', 'marks', 'times',
] as const; // prettier-ignore
const SAMPLING = PLAN.length * 4;
const SAMPLING_WORDS = SAMPLING + 7 * 8;
const PLAN_BYTES = SAMPLING_WORDS + 6 * 4;

const TILE_FLOATS = (chunk: number): number => Math.max(64 * chunk, 512);
/** bytes of weights that are walked to measure threads: more than a cache holds, a few ms */
const MEASURED_BYTES = 48e6;

const align = (bytes: number): number => Math.ceil(bytes / 64) * 64;

export interface RunnerContext {
  heap: Heap;
  kernels: Kernels;
  team: Team;
  addresses: Addresses;
  /** packed bytes of a node's weights */
  bytesOf(node: Node): number;
  /** threads to use; undefined to measure */
  threads: number | undefined;
  /** keys and values as int16, else f32 */
  int16: boolean;
  /** throws when the backend is gone */
  check(): void;
}

export interface WasmRunner extends Runner {
  readonly threads: number;
}

/** @throws MemoryError, DeviceError */
export function createRunner(plan: Plan, { contextLength, chunk }: CompileOptions, context: RunnerContext): WasmRunner {
  const { heap, kernels, team, addresses, check } = context;
  const lowered = lower(plan, chunk, context.int16, heap, kernels, addresses);
  const { count, ropes, pageBytes, convLength, held } = lowered;
  const alloc = (bytes: number, what: string): number => {
    const address = heap.zeros(bytes, what);
    held.push(address);
    return address;
  };

  const V = plan.output.cols;
  const inputs = Math.max(...plan.nodes.map((node) => (node.op === 'embed' ? node.table.rows : 0)));
  const widest = Math.ceil(lowered.widest / 16) * 16;
  const tile = TILE_FLOATS(chunk);
  const scratchBytes = align(Math.max(widest * 4 + kernels.quantized_size(1, widest), lowered.attentionBytes)) + 2 * tile * 4;
  const history = alloc((contextLength + 1) * 4, 'the history');
  const pages = alloc(Math.ceil(contextLength / PAGE + 1) * 4, 'the page table');
  const output = lowered.slots[plan.output.slot];
  const times = alloc(2 * (count + 1) * 8, 'the profile');
  const header = alloc(PLAN_BYTES, 'the plan');
  const mask = alloc(Math.ceil(V / 32) * 4, 'the mask');
  let bias = { address: 0, room: 0 };
  const pageAddresses: number[] = [];

  const set = (values: Partial<Record<(typeof PLAN)[number], number>>): void => {
    for (const [name, value] of Object.entries(values)) heap.u32[header / 4 + PLAN.indexOf(name as (typeof PLAN)[number])] = value;
  };
  set({
    first: 0, end: count, ops: lowered.ops, history, pages, logits: output, vocabulary: V, normed: alloc(chunk * widest * 4, 'activations'),
    int8: alloc(kernels.quantized_size(chunk, widest), 'activations'), scratch: alloc(scratchBytes * team.size, 'scratch'), scratchBytes, tile, widest,
    candidates: alloc(V * 20, 'the sampler'), marks: alloc(Math.max(V, inputs) * 4, 'the sampler'), times,
  }); // prettier-ignore

  let position = 0;
  let floor = 0; // the rings hold B ⊙ x of the positions from here on
  let pending = false;
  let promptLength = 0;
  let rows = 0; // of the output, 0 when there is none
  let threads = 1;
  const tokensRead = [0, 0]; // in steps of one token, and of more

  function reserve(end: number): void {
    while (pageAddresses.length * PAGE < end) {
      const address = alloc(pageBytes + 64, `position ${end} of the context`);
      writeRope(heap.f32, address, pageAddresses.length * PAGE, ropes);
      heap.u32[pages / 4 + pageAddresses.length] = address;
      pageAddresses.push(address);
    }
  }

  function step(T: number, draws: number): void {
    const reads = T + Math.max(draws - 1, 0);
    set({ T, position, draws, prompt: promptLength });
    team.step(header, threads);
    tokensRead[T > 1 ? 1 : 0] += reads;
    position += reads;
    floor = Math.max(floor, position - RING);
  }

  function writeSampling(s: Sampling): void {
    const ids = [...(s.bias ?? [])].filter(([id]) => id >= 0 && id < V);
    if (ids.length > bias.room) {
      heap.release(bias.address);
      bias = { address: alloc(ids.length * 12, 'the bias'), room: ids.length };
    }
    const values = bias.address;
    const keys = values + ids.length * 8;
    ids.forEach(([id, value], i) => {
      heap.f64[values / 8 + i] = value;
      heap.u32[keys / 4 + i] = id;
    });
    if (s.mask) heap.u32.fill(0, mask / 4, mask / 4 + Math.ceil(V / 32)).set(s.mask.subarray(0, Math.ceil(V / 32)), mask / 4);
    const at = header + SAMPLING;
    heap.f64.set([s.temperature, s.topP, s.minP, Math.log(s.minP), s.repetitionPenalty, s.frequencyPenalty, s.presencePenalty], at / 8);
    heap.u32.set([s.topK, s.seed, ids.length, keys, values, s.mask ? mask : 0], (header + SAMPLING_WORDS) / 4);
  }

  /** The number of threads that walks the first layers fastest. Their state is written from position 0 on, as the first prompt will. */
  function measure(): number {
    let bytes = 0;
    const end = plan.nodes.findIndex((node) => node.out.rows === 1 || (bytes += node.op === 'embed' ? 0 : context.bytesOf(node)) > MEASURED_BYTES);
    set({ end: end < 0 ? count : Math.max(end, 1), T: 1, position: 0, draws: 0 });
    const best = fastest((n) => team.step(header, n), team.size);
    set({ end: count });
    heap.f64.fill(0, times / 8, times / 8 + 2 * (count + 1));
    return best;
  }

  try {
    reserve(1);
    threads = context.threads ?? (team.size > 1 ? measure() : 1);
  } catch (error) {
    held.forEach((address) => heap.release(address));
    throw error;
  }

  return {
    threads,
    get position() {
      return position;
    },

    async prefill(tokens) {
      check();
      const T = tokens.length;
      if (T < 1 || T > chunk) fail('RequestError', { what: 'Wrong number of tokens in one prefill', got: T, wanted: `1 … ${chunk}` });
      if (position + T > contextLength) tooLong(position + T, contextLength);
      const foreign = tokens.find((token) => token >= inputs);
      if (foreign !== undefined) fail('RequestError', { what: 'A token is outside the vocabulary', got: foreign, wanted: `less than ${inputs}` });
      reserve(position + T);
      heap.u32.set(tokens, history / 4 + position);
      step(T, 0);
      promptLength = position;
      pending = false;
      rows = plan.output.rows === 1 ? 1 : T;
    },

    async decode(steps, sampling) {
      check();
      if (rows === 0) fail('RequestError', { what: 'decode needs a prefill before it' });
      if (steps < 1) return new Uint32Array();
      const reads = steps - (pending ? 0 : 1);
      if (position + reads > contextLength) tooLong(position + reads, contextLength);
      reserve(position + reads);
      writeSampling(sampling);
      const first = position + (pending ? 1 : 0);
      step(pending ? 1 : 0, steps);
      pending = true;
      if (reads > 0) rows = 1;
      const chosen = heap.u32.slice(history / 4 + first, history / 4 + first + steps);
      return chosen;
    },

    rewind(to) {
      check();
      if (to > position || (to > 0 && Math.max(0, to - (convLength - 1)) < floor)) return false;
      position = to;
      if (to === 0) floor = 0;
      promptLength = Math.min(promptLength, to);
      pending = false;
      rows = 0;
      return true;
    },

    async logits() {
      check();
      if (rows === 0) fail('RequestError', { what: 'There are no logits before a prefill' });
      return heap.f32.slice(output / 4, output / 4 + rows * V);
    },

    async logprobs(chosen, n) {
      return logprobs(await this.logits(), chosen, n);
    },

    describe: () => describe(plan, context, heap.f64.subarray(times / 8, times / 8 + 2 * (count + 1)), tokensRead, threads),

    dispose() {
      held.splice(0).forEach((address) => heap.release(address));
    },
  };
}

const tooLong = (got: number, wanted: number): never =>
  fail('ContextError', { what: 'The context is full', got: `${got} tokens`, wanted: `at most ${wanted}`, cure: 'Shorten the prompt or open the model with a longer context.' });

/** Time by kind of op since the model was loaded, then the plan with the milliseconds of each op a decoded token. */
function describe(plan: Plan, { bytesOf }: RunnerContext, times: Float64Array, tokens: number[], threads: number): string {
  const n = plan.nodes.length;
  const nameOf = (i: number): string => (i === n ? 'sample' : plan.nodes[i].out === plan.output ? 'head' : plan.nodes[i].op);
  const macsOf = (node: Node | undefined): number =>
    node?.op === 'linear' ? node.w.rows * node.w.cols : node?.op === 'swiglu' ? 2 * node.w1.rows * node.w1.cols : 0;
  const kinds = [...new Set(Array.from({ length: n + 1 }, (_, i) => nameOf(i)))];
  const mode = (title: string, offset: number, count: number): string[] => {
    if (!count) return [];
    const sum = (from: (i: number) => number, kind?: string): number =>
      Array.from({ length: n + 1 }, (_, i) => (kind === undefined || nameOf(i) === kind ? from(i) : 0)).reduce((a, b) => a + b);
    const ms = (i: number): number => times[offset + i] / count;
    const rate = (kind?: string): string => {
      const time = sum(ms, kind);
      const macs = sum((i) => macsOf(plan.nodes[i]), kind) / time / 1e6;
      const bytes = sum((i) => (plan.nodes[i]?.op === 'embed' || i === n ? 0 : bytesOf(plan.nodes[i])), kind) / time / 1e6;
      return `${time.toFixed(3).padStart(8)} ms${macs > 0 ? `${macs.toFixed(1).padStart(7)} GMAC/s` : ''}${bytes > 0 && offset === 0 ? `${bytes.toFixed(1).padStart(7)} GB/s` : ''}`;
    };
    return [`${title.padEnd(14)}${rate()}`, ...kinds.map((kind) => `  ${kind.padEnd(12)}${rate(kind)}`)];
  };
  const lines = printPlan(plan).split('\n');
  return [
    `${n} ops on ${threads} thread${threads > 1 ? 's' : ''}`,
    ...mode('decoded token', 0, tokens[0]),
    ...mode('prompt token', n + 1, tokens[1]),
    ...lines.map((line, i) => `${tokens[0] ? `${(times[i] / tokens[0]).toFixed(3).padStart(7)} ms  ` : ''}${line}`),
  ].join('\n');
}
