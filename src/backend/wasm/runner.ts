/**
 * Runs a plan on the WASM backend with the state of one conversation. A step blocks the calling thread until it is
 * done: the caller must pause between steps to receive messages.
 */
import { CONV_RING_POSITIONS, KV_PAGE_POSITIONS, SAMPLER_TOKEN_BYTES } from 'virtual:rivulet-kernels';
import { fail } from '../../errors';
import type { CompileOptions, Runner } from '../backend';
import { tablesOf, type PlanNode, type Plan } from '../plan';
import { logprobs, type SamplingParams } from '../sampling';
import { sequenceBounds } from '../sequences';
import { lowerPlanToWasmOps, writeRopeTables, type WeightAddressLookup } from './lower';
import type { WasmHeap } from './memory';
import type { KernelExports } from './module';
import { PLAN, SAMPLING } from './structs';
import { fastestThreadCount, type ThreadPool } from './threads';

const tileFloats = (prefillBatch: number): number => Math.max(64 * prefillBatch, 512);
/** bytes of weights read by each run that measures threads: more than a cache holds, and a few ms */
const MEASURED_BYTES = 48e6;

const align = (bytes: number): number => Math.ceil(bytes / 64) * 64;

export interface WasmRunnerContext {
  heap: WasmHeap;
  kernels: KernelExports;
  pool: ThreadPool;
  addresses: WeightAddressLookup;
  /** packed bytes of the matrices of which a node reads all rows */
  weightBytes(node: PlanNode): number;
  /** threads to use; undefined to measure */
  threads: number | undefined;
  /** keep keys and values in int16, else in f32 */
  int16: boolean;
  /** @throws DeviceError when the backend is closed */
  check(): void;
}

export interface WasmRunner extends Runner {
  readonly threads: number;
  /** for tools: describe_runner.ts */
  internals(): {
    plan: Plan;
    weightBytes(node: PlanNode): number;
    /** ms of each op and of the sampler since the model was loaded: in steps of one token, then in steps of several */
    times: Float64Array;
    /** tokens read in both */
    tokensRead: number[];
  };
}

/** @throws MemoryError, DeviceError */
export function createWasmRunner(
  plan: Plan,
  { contextLength, prefillBatch }: CompileOptions,
  context: WasmRunnerContext,
): WasmRunner {
  const { heap, kernels, pool, addresses, check } = context;
  const lowered = lowerPlanToWasmOps(plan, prefillBatch, context.int16, heap, kernels, addresses);
  const { count, ropes, pageBytes, convLength, held } = lowered;
  const alloc = (bytes: number, what: string): number => {
    const address = heap.zeros(bytes, what);
    held.push(address);
    return address;
  };

  const [{ cols: V, rows: outputRows, slot: outputSlot }] = plan.outputs;
  const vocabulary = Math.max(0, ...plan.nodes.flatMap(tablesOf).map((table) => table.rows));
  const widest = Math.ceil(lowered.widest / 16) * 16;
  const tile = tileFloats(prefillBatch);
  const scratchBytes =
    align(Math.max(widest * 4 + kernels.quantized_size(1, widest), lowered.attentionBytes)) + 2 * tile * 4;
  const history = alloc((contextLength + 1) * 4, 'the history');
  const pages = alloc(Math.ceil(contextLength / KV_PAGE_POSITIONS + 1) * 4, 'the page table');
  const output = lowered.slots[outputSlot];
  const times = alloc(2 * (count + 1) * 8, 'the profile');
  const header = alloc(PLAN.bytes, 'the plan');
  const mask = alloc(Math.ceil(V / 32) * 4, 'the mask');
  let bias = { address: 0, room: 0 };
  const pageAddresses: number[] = [];

  const set = (values: Record<string, number>): void => PLAN.write(heap, header, values);
  set({
    first: 0, end: count, ops: lowered.ops, history, pages, logits: output, vocabulary: V, normed: alloc(prefillBatch * widest * 4, 'activations'),
    int8: alloc(kernels.quantized_size(prefillBatch, widest), 'activations'), scratch: alloc(scratchBytes * pool.size, 'scratch'), scratchBytes, tile, widest,
    candidates: alloc(V * SAMPLER_TOKEN_BYTES, 'the sampler'), marks: alloc(Math.max(V, vocabulary) * 4, 'the sampler'), times,
  }); // prettier-ignore

  let position = 0;
  let ringStart = 0; // the convolution rings hold the positions from here on
  let pending = false;
  let promptLength = 0;
  let rows = 0; // rows of the output; 0 before a prefill
  let threads = 1;
  const tokensRead = [0, 0]; // in steps of one token, and in steps of several

  function allocatePages(end: number): void {
    while (pageAddresses.length * KV_PAGE_POSITIONS < end) {
      const address = alloc(pageBytes + 64, `position ${end} of the context`);
      writeRopeTables(heap.f32, address, pageAddresses.length * KV_PAGE_POSITIONS, ropes);
      heap.u32[pages / 4 + pageAddresses.length] = address;
      pageAddresses.push(address);
    }
  }

  function step(T: number, draws: number): void {
    const reads = T + Math.max(draws - 1, 0);
    set({ T, position, draws, prompt: promptLength });
    pool.runStep(header, threads);
    tokensRead[T > 1 ? 1 : 0] += reads;
    position += reads;
    ringStart = Math.max(ringStart, position - CONV_RING_POSITIONS);
  }

  function writeSampling(s: SamplingParams): void {
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
    if (s.mask)
      heap.u32.fill(0, mask / 4, mask / 4 + Math.ceil(V / 32)).set(s.mask.subarray(0, Math.ceil(V / 32)), mask / 4);
    const derived = {
      logMinP: Math.log(s.minP),
      biasCount: ids.length,
      biasIds: keys,
      bias: values,
      mask: s.mask ? mask : 0,
    };
    SAMPLING.write(heap, header + PLAN.offset('sampling'), { ...s, ...derived });
  }

  /**
   * Measures the fastest number of threads on the first layers. It writes their state from position 0 on, which the
   * first prompt overwrites.
   */
  function measureThreads(): number {
    let bytes = 0;
    const end = plan.nodes.findIndex(
      (node) => node.out.rows === 1 || (bytes += context.weightBytes(node)) > MEASURED_BYTES,
    );
    set({ end: end < 0 ? count : Math.max(end, 1), T: 1, position: 0, draws: 0 });
    const best = fastestThreadCount((n) => pool.runStep(header, n), pool.size);
    set({ end: count });
    heap.f64.fill(0, times / 8, times / 8 + 2 * (count + 1));
    return best;
  }

  try {
    allocatePages(1);
    threads = context.threads ?? (pool.size > 1 ? measureThreads() : 1);
  } catch (error) {
    held.forEach((address) => heap.release(address));
    throw error;
  }

  return {
    threads,
    get position() {
      return position;
    },

    async prefill(tokens, sequences) {
      check();
      const T = tokens.length;
      if (T < 1 || T > prefillBatch)
        fail('RequestError', {
          what: 'The number of tokens in one prefill is wrong',
          got: T,
          wanted: `1 … ${prefillBatch}`,
        });
      if (position + T > contextLength) tooLong(position + T, contextLength);
      const unknown = tokens.find((token) => token >= vocabulary);
      if (unknown !== undefined)
        fail('RequestError', {
          what: 'A token is outside the vocabulary',
          got: unknown,
          wanted: `less than ${vocabulary}`,
        });
      if (plan.bounds !== undefined) heap.u32.set(sequenceBounds(T, sequences), lowered.slots[plan.bounds] / 4);
      allocatePages(position + T);
      heap.u32.set(tokens, history / 4 + position);
      step(T, 0);
      promptLength = position;
      pending = false;
      rows = outputRows === 1 ? 1 : T;
    },

    async decode(steps, sampling) {
      check();
      if (rows === 0) fail('RequestError', { what: 'decode needs a prefill before it' });
      if (steps < 1) return new Uint32Array();
      const reads = steps - (pending ? 0 : 1);
      if (position + reads > contextLength) tooLong(position + reads, contextLength);
      allocatePages(position + reads);
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
      if (to > position || (to > 0 && Math.max(0, to - (convLength - 1)) < ringStart)) return false;
      position = to;
      if (to === 0) ringStart = 0;
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

    internals: () => ({
      plan,
      weightBytes: context.weightBytes,
      times: heap.f64.subarray(times / 8, times / 8 + 2 * (count + 1)),
      tokensRead,
    }),

    dispose() {
      held.splice(0).forEach((address) => heap.release(address));
    },
  };
}

const tooLong = (got: number, wanted: number): never =>
  fail('ContextError', {
    what: 'The context is full',
    got: `${got} tokens`,
    wanted: `at most ${wanted}`,
    cure: 'Start a new conversation, or load the model with a longer context.',
  });
