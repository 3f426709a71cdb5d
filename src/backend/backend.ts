/**
 * The interface of a backend: it takes weights row by row and compiles a plan into a program, whose states turn tokens
 * into logits and draw tokens.
 */
import type { Matrix, Vector } from '../model/ops';
import type { Plan } from './plan';
import type { ChosenLogprob, SamplingParams } from './sampling';

export type BackendName = 'webgpu' | 'wasm' | 'reference';

/** The engine's report about the backend in use. */
export interface BackendInfo {
  name: BackendName;
  /** adapter, or the instruction set and threads: 'apple m3', 'relaxed-simd × 4' */
  device: string;
  /** the kernels in use: 'subgroups, cache f16', 'relaxed' … */
  variant: string;
  /** why a faster backend or kernel is not in use, in the order in which they were tried */
  notes: string[];
  threads?: number;
}

/**
 * Receives one matrix. The rows of a segment arrive whole and in order, in the block format of the checkpoint
 * (src/tensor/dequant.ts). `firstRow` is a multiple of ROW_SLICE_MULTIPLE, and so is the number of rows of every slice
 * except a segment's last. The writer keeps no reference to `bytes`.
 */
export interface MatrixWriter {
  write(segment: number, firstRow: number, bytes: Uint8Array): void | Promise<void>;
  /** @throws CheckpointError when rows are missing */
  finish(): Matrix | Promise<Matrix>;
}

/** Slices of rows begin at multiples of this, so that layouts that interleave rows never get half a group. */
export const ROW_SLICE_MULTIPLE = 16;

export interface CompileOptions {
  /** most positions of the context; a backend may allocate KV memory as the context grows */
  contextLength: number;
  /** most tokens of one prefill call */
  prefillBatch: number;
  /** most bytes of everything together, if matrices are paged */
  memoryBudget?: number;
}

export interface SegmentReader {
  /** Hands the rows of a segment to `use`, in the block format of the checkpoint: valid until its promise settles. */
  (segment: number, use: (bytes: Uint8Array) => void | Promise<void>): Promise<void>;
  /** Copies of whole experts, asked of the reader of W1: W1, W3 and W2 as the backend wants them. */
  readonly packed?: () => Promise<PackedExperts | undefined>;
}

export interface PackedExperts {
  /** Fills `bytes` with a copy. @returns false if there is none */
  read(expert: number, bytes: Uint8Array): boolean;
  /** Keeps a copy, if there is room. */
  write(expert: number, bytes: Uint8Array): void;
}

/** How the experts of a paged model were found. */
export interface PagingStats {
  /** experts of all layers, and how many of them fit into memory */
  experts: number;
  inMemory: number;
  /** experts that steps took, each once in a step, and those of them that had to be read */
  uses: number;
  misses: number;
  /** of those that were missing, how many were read from the swap file */
  swapped: number;
  bytesRead: number;
  /** tokens read by the model */
  tokens: number;
}

/** Bytes of the parts of a plan: what a backend tells. */
export interface PlanSizes {
  matrix(matrix: Matrix): number;
  vector(vector: Vector): number;
  /** a program, and one state of it with a full context */
  compiled(plan: Plan, options: CompileOptions): Promise<{ scratch: number; state: number }>;
  /** what the backend holds without a model */
  empty: number;
}

/** How much work one call of a state takes. */
export interface BatchSizes {
  /** tokens of one prefill call; fixed, because the batch size changes the rounding */
  prefillBatch: number;
  /** decode calls that run at the same time */
  decodesInFlight: number;
  /** most decode steps of one call */
  decodeSteps: number;
}

/** What a backend does best, and what it cannot exceed. */
export interface BackendLimits extends BatchSizes {
  /** `prefillBatch` where experts are paged, if it differs: each batch may read them all */
  pagedBatch?: number;
  /** most bytes of everything together; absent where only an attempt shows what the device has */
  memory?: number;
}

export interface Backend {
  readonly info: BackendInfo;
  readonly limits: BackendLimits;
  /**
   * Reserves memory for the weights, so that a model that is too large fails before its download.
   * @param bytes of all weights in the checkpoint
   * @throws MemoryError with the size and a way out
   */
  reserve(bytes: number): void | Promise<void>;
  matrix(spec: Matrix): MatrixWriter;
  /** A matrix of experts, a segment each, that are read when a token needs them. Absent on the reference. */
  pagedMatrix?(spec: Matrix, read: SegmentReader): Matrix;
  vector(name: string, values: Float32Array): Vector;
  /**
   * Starts to compile the kernels of a plan while its weights load; its matrices and vectors have names and shapes
   * only. Errors appear in `compile`.
   */
  precompile?(plan: Plan, options: CompileOptions): void;
  /** @throws MemoryError */
  compile(plan: Plan, options: CompileOptions): Promise<Program>;
  /** bytes now held for weights, state and scratch */
  memory(): number;
  /** True when the device is lost; then only a new backend helps. Absent on backends without a device. */
  lost?(): boolean;
  /** Frees everything. No other call may follow. */
  dispose(): void | Promise<void>;
}

/**
 * The profile measures these after the kernels of a greedy token: they show what any draw, any dispatch and any byte
 * costs.
 */
export const PROFILE_BASELINES = {
  sampledDraw: 'sampled draw',
  emptyDispatch: 'empty dispatch',
  memoryCopy: 'memory copy',
} as const;

export interface KernelTime {
  /** the label of its dispatches, followed by the shape of the matrix; or one of PROFILE_BASELINES */
  kernel: string;
  /** per token */
  dispatches: number;
  /** µs of all its dispatches together */
  micros: number;
  /** bytes that they read at least; read and written for the memory copy */
  bytes: number;
  /** timestamp queries of the device, or performance.now() around a submit */
  clock: 'timestamp' | 'submit';
}

export interface TuneOptions {
  /** time limit in ms, 1500 by default */
  budgetMs?: number;
  /** also tune on a software adapter, which gains nothing: tests */
  allowSoftware?: boolean;
  /** called before each sample of at most about 40 ms; false stops the tuning, and the next call continues it */
  isIdle?(): boolean;
  /** replace the measured µs of a kernel and the clock: tests */
  measure?(tuneKey: string, tuning: object): Promise<number>;
  now?(): number;
}

export interface ShapeTuningResult {
  /** op, format and shape: 'swiglu q4_0 4608×1024', 'attend f16 16/8×64' (H, K, d) */
  tuneKey: string;
  /** of the weights or of the KV cache that one dispatch reads */
  bytes: number;
  /** the settings of the kernel in use that differ from the default */
  tuning: { rows?: 4 | 8; groupSize?: number; subgroups?: boolean; int8Activations?: boolean; span?: 128 | 256 | 512 };
  /**
   * µs of one dispatch with the default kernel, and with the kernel in use; attention covers 512 positions and includes
   * its merge
   */
  defaultMicros: number;
  micros: number;
  /** the faster kernels that were not taken, each with the reason */
  rejected: string[];
}

/**
 * A compiled plan on a device: kernels, activations and scratch, which all its states share. Calls of one state, or of
 * the program, may not overlap with calls of another state: each begins when those before it have settled.
 */
export interface Program {
  /** An empty state. @throws MemoryError */
  newState(): Promise<State>;
  /**
   * Measures kernel settings and takes the fastest for each shape, for this program and later ones. May run beside
   * other calls.
   */
  tune?(options?: TuneOptions): Promise<ShapeTuningResult[]>;
  /** of a program with paged matrices */
  paging?(): PagingStats | undefined;
  /** for tools and side files, more than the plan on most backends: describe_program.ts, saved_state.ts */
  internals?(): { plan: Plan };
  /** Frees everything but the weights, with all its states. No other call may follow. */
  dispose(): void;
}

/**
 * What one conversation adds to a program: the tokens read so far, keys and values, convolution columns, and at most
 * one drawn token that is not yet read ("pending"). Whatever other states do in between, its calls give the same bits.
 * A call waits for the one before, except that `decode` may be called again before the promise of the last `decode`
 * settles.
 */
export interface State {
  readonly program: Program;
  /** tokens read into the state, including those of calls that still run */
  readonly position: number;
  /** bytes that it holds now; they grow with the position */
  readonly bytes: number;
  /**
   * Reads 1 … prefillBatch tokens of the prompt; the logits are then those of the last one. Drops a pending token. A
   * plan that keeps nothing of them, neither keys nor columns, begins at position 0 again.
   * @throws RequestError, ContextError, MemoryError
   */
  prefill(tokens: Uint32Array, options?: PrefillOptions): Promise<void>;
  /**
   * Repeats `steps` times: reads the pending token, if there is one, and draws the next one, which becomes pending.
   * Resolves to the drawn tokens, in order. A mask holds for one step: with more it is refused. For the penalties, all
   * tokens up to the last prefill are prompt, and those after it are output.
   */
  decode(steps: number, sampling: SamplingParams): Promise<Uint32Array>;
  /**
   * Keeps the convolution columns of this position, so that the state can go back to it later from any distance. A
   * rewind to before it forgets it, and so do many later marks.
   */
  mark(): void;
  /**
   * The last position up to `position` to which the state can go back: any of the last few dozen tokens, those of
   * `mark`, and 0.
   */
  rewindTarget(position: number): number;
  /**
   * Goes back to the state after the first `position` tokens, without a pending token; the next decode needs a prefill
   * before it. Returns false, and changes nothing, unless `position` is its own `rewindTarget`.
   */
  rewind(position: number): boolean;
  /** An independent copy, without a pending token. @throws MemoryError; then this state is as before */
  fork(): Promise<State>;
  /**
   * The plan's first output: the logits [V] of the last token read. A plan without the op `last` (conformance cases)
   * gives every row of the last prefill, [T, cols]. Decode does not need it.
   * @param output another output of the plan, by its index: it is there until another state computes
   * @throws RequestError
   */
  logits(output?: number): Promise<Float32Array>;
  /**
   * Log probabilities (sampling.ts, `logprobs`) of the pending token and of the `n` most likely tokens, from the
   * logits it was drawn from.
   * @param chosen the pending token
   * @param n 0 … 20
   */
  logprobs(chosen: number, n: number): Promise<ChosenLogprob>;
  dispose(): void;
}

/** Rows [n, D] in place of the rows that a plan looks up for tokens: embeddings of an image or of a sound. */
export interface InputRows {
  /** which of the call's tokens they replace, ascending: u32 [n]. All of them where a plan begins with the op input */
  at: Uint32Array;
  /** [n, D], D columns of the plan's first activation, or of that input */
  values: Float32Array<ArrayBuffer>;
}

export interface PrefillOptions {
  /**
   * for a plan with nodes that read a sequence and no state: the ends of the sequences among these tokens, ascending,
   * the last one their number; by default all are one sequence
   */
  sequences?: Uint32Array;
  /**
   * in their place, for each token what it sees: begin and end of the rows that it attends to, then of those that its
   * convolutions read, [T, 4]. Not checked: a token attends to some rows of this call, and from one token to the next
   * begins and ends never fall. RoPE counts from the first begin. A token outside of the rows that its convolution
   * would read gets zeros
   */
  bounds?: Uint32Array<ArrayBuffer>;
  /** one, or one for each op input with which a plan begins, in their order */
  rows?: InputRows[];
  /** ends the call with an AbortError where it waits for experts; the state stays at its position */
  signal?: AbortSignal;
  /** lets other tasks run, before this call reads anything */
  pass?: () => Promise<unknown>;
}

/** The first state of a new program. @throws MemoryError, DeviceError */
export async function firstState(backend: Backend, plan: Plan, options: CompileOptions): Promise<State> {
  const program = await backend.compile(plan, options);
  try {
    return await program.newState();
  } catch (error) {
    program.dispose();
    throw error;
  }
}
