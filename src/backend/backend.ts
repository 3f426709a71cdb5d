/** What a backend is: it takes weights row by row, takes a recorded plan, and turns tokens into logits and logits into tokens. */
import type { Matrix, Vector } from '../model/ops';
import type { Plan } from './plan';
import type { ChosenLogprob, Sampling } from './sampling';

export type BackendName = 'webgpu' | 'wasm' | 'reference';

/** What the engine reports of the backend it took. */
export interface BackendInfo {
  name: BackendName;
  /** adapter, or the instruction set and threads: 'apple m3', 'relaxed-simd × 4' */
  device: string;
  /** the kernels chosen: 'subgroups f16', 'relaxed' … */
  variant: string;
  /** why something better was not taken, in order */
  notes: string[];
  threads?: number;
}

/**
 * Takes one matrix. Rows of a segment come in order and whole, as they stand in the checkpoint (block formats of spec 1.9), `firstRow` a
 * multiple of `ROW_STEP`; every slice but a segment's last has a multiple of `ROW_STEP` rows. The bytes are the caller's again on return.
 */
export interface MatrixWriter {
  write(segment: number, firstRow: number, bytes: Uint8Array): void | Promise<void>;
  /** throws when rows are missing */
  finish(): Matrix | Promise<Matrix>;
}

/** Rows are handed over in multiples of this, so that row-interleaved layouts never see a torn group. */
export const ROW_STEP = 16;

export interface CompileOptions {
  /** positions that must fit; KV memory may be taken by need up to it */
  contextLength: number;
  /** most tokens of one prefill call */
  chunk: number;
}

export interface Backend {
  readonly info: BackendInfo;
  /**
   * @param bytes of all weights as stored, so that memory can be reserved or refused at once
   * @throws MemoryError naming the size and the alternative
   */
  reserve(bytes: number): void | Promise<void>;
  matrix(spec: Matrix): MatrixWriter;
  vector(name: string, values: Float32Array): Vector;
  /**
   * A plan of these shapes will be compiled when its weights are there: what can be done before is begun. Matrices and vectors are names and
   * shapes only. What goes wrong is told by `compile`.
   */
  expect?(plan: Plan, options: CompileOptions): void;
  /** @throws MemoryError */
  compile(plan: Plan, options: CompileOptions): Promise<Runner>;
  /** bytes now held for weights, state and scratch */
  memory(): number;
  /** The device is gone, and only a new backend helps; absent where there is no device to lose. */
  lost?(): boolean;
  /** Frees everything. No call may follow. */
  dispose(): void | Promise<void>;
}

/** What `profile` tells beside the kernels of a greedy token: a sampled draw, a dispatch that does next to nothing, a plain copy of memory. */
export const BESIDE = { draw: 'sampled draw', nothing: 'nothing', copy: 'copy' } as const;

export interface KernelTime {
  /** as in `describe`, on WebGPU with the shape of its matrix; or one of BESIDE */
  kernel: string;
  /** of one token */
  dispatches: number;
  /** of all of them together */
  micros: number;
  /** that they must read, or for `copy` read and write */
  bytes: number;
  /** what the time was taken with: the device's timestamp queries, or the clock here around a submit */
  clock: 'timestamp' | 'submit';
}

export interface TuneOptions {
  /** most milliseconds of it; default 1500 */
  budgetMs?: number;
  /** on a software adapter, too: there is nothing to be won */
  software?: boolean;
  /** asked before each sample, which takes some 40 ms at most; false ends the tuning, and the next call goes on */
  idle?(): boolean;
  /** µs of a kernel in place of the device's own clock, and that clock: for tests */
  measure?(shape: string, tuning: object): Promise<number>;
  now?(): number;
}

export interface TuneRow {
  /** 'swiglu q4_0 4608×1024', 'attend f16 16/8×64' (heads, kv heads, width) */
  shape: string;
  /** of weights that one dispatch reads, or of the cache */
  bytes: number;
  /** how the kernel now taken differs from the usual one */
  tuning: { rows?: 4 | 8; groupSize?: number; subgroups?: boolean; integers?: boolean; span?: 128 | 256 | 512 };
  /** of a dispatch with the usual kernel, and with the one taken; of attention over 512 positions with its merge */
  usualMicros: number;
  micros: number;
  /** faster ones that were not taken, and why */
  refused: string[];
}

/**
 * One conversation's state on a backend: the tokens read so far, and one chosen token that is not yet read ("pending").
 * Calls are made one after another, except that `decode` may be called again before the promise of the last one is settled.
 */
export interface Runner {
  /** tokens read into the state, including those of calls under way */
  readonly position: number;
  /** Reads 1 … chunk tokens of the prompt; logits are those of the last. Drops a pending token. */
  prefill(tokens: Uint32Array): Promise<void>;
  /**
   * `steps` times: read the pending token, if there is one; choose the next from the logits, which becomes pending.
   * Resolves to the chosen tokens, in order. A mask holds for one step only. For the penalties, tokens read by or before the last
   * prefill are prompt, those after it output.
   */
  decode(steps: number, sampling: Sampling): Promise<Uint32Array>;
  /**
   * Goes back to `position` tokens read, drops the pending token and all after it; needs a prefill before the next decode.
   * False when the ring of a conv layer no longer reaches there: then only 0 is possible.
   */
  rewind(position: number): boolean;
  /**
   * The plan's output for the tokens last read: the logits [V] of the last token; a plan without `last` (conformance cases) gives every
   * row of the last prefill, [T, cols]. For checks; decode does not need it.
   */
  logits(): Promise<Float32Array>;
  /**
   * Log probabilities (sampling.ts, `logprobs`) of the chosen token and of the `n` most likely ones, by the logits that it was drawn from.
   * @param chosen the pending token
   * @param n 0 … 20
   */
  logprobs(chosen: number, n: number): Promise<ChosenLogprob>;
  /**
   * Time of each kernel of a greedy decode step at the position reached, where the backend can tell; then those of BESIDE.
   * The state is lost: only rewind(0) may follow.
   */
  profile?(): Promise<KernelTime[]>;
  /** Tries out kernels and takes the fastest for each shape, for this runner and later ones on this device. Needs no turn of its own. */
  tune?(options?: TuneOptions): Promise<TuneRow[]>;
  /** One line a step of what is replayed, with the number of dispatches or ops of a decode step first. */
  describe(): string;
  dispose(): void;
}
