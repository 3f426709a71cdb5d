/** Runs the op list of a program for one state at a time. */
import { CONV_RING_POSITIONS, KV_PAGE_POSITIONS, SAMPLER_TOKEN_BYTES } from 'virtual:rivulet-kernels';
import { fail } from '../../errors';
import type { CompileOptions, InputRows, PagingStats } from '../backend';
import type { Plan, PlanActivation, PlanNode } from '../plan';
import type { SamplingParams } from '../sampling';
import { cursorLimits, type CursorLimits } from '../state_cursor';
import { lowerPlanToWasmOps, type LoweredPlan, type LoweringTarget, type WeightAddressLookup } from './lower';
import type { HeapScope, WasmHeap } from './memory';
import { fastestThreadCount } from './threads';

/** The experts of a program with paged matrices. */
export interface PagedExperts {
  /** Goes on with a step that stopped, until it is at op `end`. @throws what reading throws, MemoryError, AbortError */
  goOn(program: Interpreter, end: number, signal?: AbortSignal): Promise<void>;
  paging(program: Interpreter): PagingStats;
  dispose(): void;
}

/** @param other bytes of the budget that experts do not get */
type CreatePagedExperts = (
  heap: WasmHeap,
  plan: Plan,
  lowered: LoweredPlan,
  at: WeightAddressLookup,
  memory: { budget: number; other: number },
) => PagedExperts;

let createPagedExperts: CreatePagedExperts | undefined;
/** The side file `experts` has them. */
export const registerPagedExperts = (create: CreatePagedExperts): void => void (createPagedExperts = create);

const tileFloats = (prefillBatch: number): number => Math.max(64 * prefillBatch, 512);
/** bytes of weights read by each run that measures threads: more than a cache holds, and a few ms */
const MEASURED_BYTES = 48e6;

const align = (bytes: number): number => Math.ceil(bytes / 64) * 64;

export interface WasmProgramContext extends LoweringTarget {
  /** packed bytes of the matrices that a node reads for a token */
  weightBytes(node: PlanNode): number;
  /** threads to use; undefined to measure */
  threads: number | undefined;
  /** @throws DeviceError when the backend is closed */
  check(): void;
}

export interface StepOptions {
  /** what the host does after ops, by their index */
  after?: ReadonlyMap<number, () => void>;
  /** ends the reading of experts */
  signal?: AbortSignal;
}

/** What the op list needs of a state: addresses that the struct Plan names while it runs. */
export interface InterpretedState {
  readonly history: number;
  readonly pages: number;
  readonly rings: number;
  /** copies the logits out of the output that all states share. @throws MemoryError */
  keepLogits(): void;
  dispose(): void;
}

/**
 * The memory that all states of a program share, with the C struct Plan. It runs the op list for one state at a time.
 */
export class Interpreter {
  readonly heap: WasmHeap;
  readonly lowered: LoweredPlan;
  readonly limits: CursorLimits;
  readonly states = new Set<InterpretedState>();
  /** address of the logits of the state that ran last, floats of a row, and rows at most */
  readonly logits: number;
  readonly columns: number;
  readonly logitRows: number;
  readonly tokensRead = [0, 0]; // in steps of one token, and in steps of several
  threads = 1;
  /** of a plan with paged matrices */
  readonly experts?: PagedExperts;
  /** the state whose history, pages and rings the struct names */
  private current: InterpretedState | undefined;
  private closed = false;
  private readonly header: number;
  private readonly timesAddress: number;
  private readonly mask: number;
  private bias = { address: 0, room: 0 };

  /** @throws MemoryError, DeviceError; then `scope` must be disposed */
  constructor(
    readonly plan: Plan,
    { contextLength, prefillBatch, memoryBudget }: CompileOptions,
    readonly context: WasmProgramContext,
    readonly scope: HeapScope,
  ) {
    const { heap, kernels, pool } = context;
    const alloc = (bytes: number, what: string): number => scope.alloc(bytes, what);
    const lowered = (this.lowered = lowerPlanToWasmOps(plan, prefillBatch, scope, context));
    const [{ cols: V, rows, slot }] = plan.outputs;
    this.heap = heap;
    this.limits = cursorLimits(plan, { contextLength, prefillBatch }, CONV_RING_POSITIONS);
    this.logits = lowered.slots[slot];
    this.columns = V;
    this.logitRows = rows === 1 ? 1 : prefillBatch;
    const { vocabulary } = this.limits;
    const widest = Math.ceil(lowered.widest / 16) * 16;
    const tile = tileFloats(prefillBatch);
    const { attentionBytes, experts } = lowered;
    const preparedBytes = align(Math.max(widest * 4 + kernels.quantized_size(1, widest), attentionBytes));
    const scratchBytes = preparedBytes + align(experts.rows * 4) + 2 * tile * 4;
    const floats = Math.ceil(experts.floats / 32) * 32;
    this.timesAddress = alloc(2 * (lowered.count + 1) * 8, 'the profile');
    this.header = alloc(heap.build.structs.PLAN.bytes, 'the plan');
    this.mask = alloc(Math.ceil(V / 32) * 4, 'the mask');
    this.set({
      first: 0,
      end: lowered.count,
      count: lowered.count,
      ops: lowered.ops,
      logits: this.logits,
      vocabulary: V,
      normed: alloc(Math.max(prefillBatch * widest, floats) * 4, 'activations'),
      int8: alloc(
        Math.max(kernels.quantized_size(prefillBatch, widest), kernels.quantized_size(1, floats)),
        'activations',
      ),
      scratch: alloc(scratchBytes * pool.size, 'scratch'),
      scratchBytes,
      sortedRows: preparedBytes,
      tile,
      widest,
      candidates: alloc(V * SAMPLER_TOKEN_BYTES, 'the sampler'),
      marks: alloc(Math.max(V, vocabulary < Infinity ? vocabulary : 0) * 4, 'the sampler'),
      times: this.timesAddress,
    });
    if (!lowered.list.some(({ lastUsed }) => lastUsed)) return;
    const pages = Math.ceil(contextLength / KV_PAGE_POSITIONS);
    const other = heap.used + lowered.ringBytes + pages * lowered.pageBytes; // one state with a full context
    const budget = Math.min(memoryBudget ?? Infinity, heap.build.maxBytes);
    this.experts = createPagedExperts!(heap, plan, lowered, context.at, { budget, other });
  }

  /** ms of each op and of the sampler since the model was loaded: in steps of one token, then in steps of several */
  get times(): Float64Array {
    return this.heap.f64.subarray(this.timesAddress / 8, this.timesAddress / 8 + 2 * (this.lowered.count + 1));
  }

  /** @throws DeviceError when the backend, the program or the state is closed */
  check(state?: InterpretedState): void {
    this.context.check();
    if (this.closed || (state && !this.states.has(state)))
      fail('DeviceError', { what: 'The conversation is closed', cure: 'Begin a new one.' });
  }

  isCurrent(state: InterpretedState): boolean {
    return this.current === state;
  }

  /**
   * The next steps are those of this state; the one before keeps its logits. @throws MemoryError; then nothing changed
   */
  enter(state: InterpretedState): void {
    this.current?.keepLogits();
    this.current = state;
    this.set({ history: state.history, pages: state.pages, rings: state.rings });
  }

  leave(state: InterpretedState): void {
    this.states.delete(state);
    if (this.current === state) this.current = undefined;
  }

  /**
   * Reads T tokens of the history from `position` on, then draws, for the state that was entered.
   */
  async run(
    T: number,
    position: number,
    draws: number,
    prompt: number,
    { after, signal }: StepOptions = {},
  ): Promise<void> {
    const { count } = this.lowered;
    this.tokensRead[T > 1 ? 1 : 0] += T + Math.max(draws - 1, 0);
    this.set({ T, position, draws, prompt });
    try {
      let first = 0;
      for (const [index, act] of after ?? []) {
        await this.runOps(first, index + 1, signal);
        first = index + 1;
        act();
      }
      await this.runOps(first, count, signal);
    } finally {
      this.set({ first: 0, end: count });
    }
  }

  /** Runs ops, and reads the experts that these lack. */
  private async runOps(first: number, end: number, signal?: AbortSignal): Promise<void> {
    this.runUpTo(first, end);
    await this.experts?.goOn(this, end, signal);
  }

  /** Runs ops, of a step that stopped the rest; Plan.stopped is then `end`, or the op that lacks experts. */
  runUpTo(first: number, end: number): void {
    this.set({ first, end, stopped: end });
    this.context.pool.runStep(this.header, this.threads);
  }

  /** A number of the struct Plan that C writes. */
  word(field: string): number {
    return this.heap.u32[(this.header + this.heap.build.structs.PLAN.offset(field)) / 4];
  }

  /** The rows [T, cols] of an activation of this step. */
  rowsOf({ slot, cols }: PlanActivation, T: number): Float32Array {
    const first = this.lowered.slots[slot] / 4;
    return this.heap.f32.subarray(first, first + T * cols);
  }

  /** Rows in place of those that the first op writes, or that of the inputs. */
  writeRows(given: InputRows[], T: number): void {
    given.forEach(({ at, values }, n) => {
      const { out } = this.plan.nodes[n];
      const rows = this.rowsOf(out, T);
      at.forEach((t, i) => rows.set(values.subarray(i * out.cols, (i + 1) * out.cols), t * out.cols));
    });
  }

  /** Of the sequences of the next call, for a plan that needs them. */
  writeBounds(bounds: ArrayLike<number>): void {
    this.heap.u32.set(bounds, this.lowered.slots[this.plan.bounds!] / 4);
  }

  writeSampling(s: SamplingParams): void {
    const { heap, scope, mask, columns: V } = this;
    const ids = [...(s.bias ?? [])].filter(([id]) => id >= 0 && id < V);
    if (ids.length > this.bias.room) {
      scope.release(this.bias.address);
      this.bias = { address: 0, room: 0 };
      this.bias = { address: scope.alloc(ids.length * 12, 'the bias'), room: ids.length };
    }
    const values = this.bias.address;
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
    const { PLAN, SAMPLING } = heap.build.structs;
    SAMPLING.write(heap, this.header + PLAN.offset('sampling'), { ...s, ...derived });
  }

  /** The fastest number of threads for the first layers. It writes over position 0 of the state that was entered. */
  measureThreads(): number {
    const { plan, header, context: { pool, weightBytes }, lowered: { count } } = this; // prettier-ignore
    if (plan.bounds !== undefined) this.writeBounds([0, 1]);
    let bytes = 0;
    const end = plan.nodes.findIndex((node) => node.out.rows === 1 || (bytes += weightBytes(node)) > MEASURED_BYTES);
    this.set({ end: end < 0 ? count : Math.max(end, 1), T: 1, position: 0, draws: 0 });
    const best = fastestThreadCount((n) => pool.runStep(header, n), pool.size);
    this.set({ end: count, expertUses: 0 });
    this.times.fill(0);
    return best;
  }

  dispose(): void {
    this.closed = true;
    for (const state of this.states) state.dispose();
    this.experts?.dispose();
    this.scope.dispose();
  }

  set(values: Record<string, number>): void {
    const { PLAN } = this.heap.build.structs;
    PLAN.write(this.heap, this.header, values);
  }
}
