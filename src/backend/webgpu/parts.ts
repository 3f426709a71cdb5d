/** What a program and its states consist of on the GPU. */
import type { CompileOptions, PagingStats } from '../backend';
import type { Plan } from '../plan';
import type { SamplingParams } from '../sampling';
import type { CursorLimits, StateCursor } from '../state_cursor';
import type { SubmitBatch } from './batches';
import type { BufferGroup } from './buffer_group';
import type { OpenedDevice, PreparedDispatch } from './device';
import type { BufferRegion } from './dispatch';
import type { ComputeGpuLogprobs } from './logprobs';
import type { PreparedDispatches, PreparedPlan } from './prepared';
import type { ReadbackPool } from './readback';
import type { GpuTokenSampler } from './sampler';
import type { ProgramScratch } from './scratch';
import type { StateBuffers } from './state_buffers';

/** Experts that are read when a token needs them. */
export interface GpuPagedExperts {
  /**
   * Runs the dispatches of T tokens.
   * @throws what reading throws, AbortError; then the state is at its position
   */
  run(one: StateParts, dispatches: PreparedDispatch[], T: number, signal?: AbortSignal): Promise<void>;
  /** As State.decode, token by token. */
  decode(one: StateParts, steps: number, sampling: SamplingParams): Promise<Uint32Array>;
  stats(): PagingStats;
}

/** What the states of a program share. */
export interface ProgramParts extends CompileOptions {
  opened: OpenedDevice;
  plan: Plan;
  limits: CursorLimits;
  /** the struct of lib/step.wgsl, for the state that computes */
  step: BufferRegion;
  scratch: ProgramScratch;
  /** where the plan's first output stands: rows of V values, the logits */
  output: BufferRegion;
  /** the first one among them */
  outputs: BufferRegion[];
  /** dispatches of several tokens that look up their rows: the first ones */
  lookups: number;
  V: number;
  outputRows: 1 | 'T';
  /** of all rows of the output */
  logitBytes: number;
  /** absent where the output has several rows */
  sampler?: GpuTokenSampler;
  logprobsOf?: ComputeGpuLogprobs;
  /** dispatches of a decode step that the draw before it replaces: the embedding of its token */
  skipped: number;
  ids: ReadbackPool;
  rows: ReadbackPool;
  submitBatch: SubmitBatch;
  /** of a program with a memory budget */
  experts?: GpuPagedExperts;
  /** prepared dispatches that bind no buffer of a state */
  shared: PreparedDispatches;
  conversations: Set<StateParts>;
  /** the state whose values stand in `step` and in the activations */
  owner?: StateParts;
}

export interface StateParts {
  program: ProgramParts;
  cursor: StateCursor;
  group: BufferGroup;
  /** with the tokens of this state */
  gpu: OpenedDevice;
  buffers: StateBuffers;
  /** u32 [V], for the penalties; absent where the program draws nothing */
  counts?: BufferRegion;
  /** token ids by position, as on the GPU */
  history: Uint32Array<ArrayBuffer>;
  prepared: PreparedPlan;
  /** position → convolution columns before it, as copyColumns has them */
  marks: Map<number, BufferRegion>;
  /** the logits while another state computes; made when that first happens */
  keptLogits?: BufferRegion;
  /** the tokens read are counted as prompt */
  promptCounted: boolean;
  /** the first activation slot may lack the embedding of the pending token */
  embedLost: boolean;
  /** a change of its buffers or dispatches under way: calls wait for it */
  changing?: Promise<void>;
}
