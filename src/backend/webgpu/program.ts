/**
 * A plan on the GPU: the activations and kernels that all its states share. Dispatches are prepared when a state is
 * made: for each bucket of T and, for one token, for each bucket of the context.
 */
import { CONV_RING_POSITIONS } from 'virtual:rivulet-kernels';
import type { CompileOptions, Program, ShapeTuningResult, TuneOptions } from '../backend';
import { tablesOf, type Plan } from '../plan';
import { cursorLimits, StateCursor } from '../state_cursor';
import { createBatchSubmitter } from './batches';
import { createBufferGroup } from './buffer_group';
import { closeConversation, openConversation, prepareAgain, roomFor } from './conversation';
import type { OpenedDevice } from './device';
import { STEP } from './dispatch';
import { embedDrawnTokenLibrary } from './linear';
import { createGpuLogprobs } from './logprobs';
import { planOutputRegions } from './lower';
import type { ProgramParts } from './parts';
import { createReadbackPool } from './readback';
import type { GpuMatrix } from './repack';
import { createGpuTokenSampler } from './sampler';
import { allocateScratch } from './scratch';
import { createWebGpuState, WINDOW_STEPS, type WebGpuState } from './state';
import { MIN_KV_CACHE_POSITIONS } from './state_buffers';
import { tuneKernels } from './tune';

let pageExperts: ((parts: ProgramParts, held: (() => void)[]) => Promise<void>) | undefined;
/** The side file `experts` reads experts when a token needs them. */
export const registerGpuPagedExperts = (page: typeof pageExperts): void => void (pageExperts = page);

export interface WebGpuProgram extends Program {
  newState(): Promise<WebGpuState>;
  /** for saved.ts, and for tools: describe_program.ts lists the dispatches of a decode step */
  internals(): ProgramParts;
}

/** @throws MemoryError, DeviceError; then all its buffers are released */
export async function createWebGpuProgram(
  opened: OpenedDevice,
  plan: Plan,
  options: CompileOptions,
  f16Cache: boolean,
  exact = false,
): Promise<WebGpuProgram> {
  const { contextLength } = options;
  const held: (() => void)[] = [];
  const release = (): void => held.forEach((free) => free());
  const make = async (): Promise<ProgramParts> => {
    const made = await createParts(opened, plan, options, f16Cache, held);
    if (options.memoryBudget !== undefined) await pageExperts!(made, held);
    return made;
  };
  const parts = await make().catch((error: unknown) => {
    release();
    throw error;
  });
  const { conversations, limits } = parts;
  let disposed = false;
  let tuning: Promise<ShapeTuningResult[]> | undefined;

  async function tune({ isIdle = () => true, ...tuneOptions }: TuneOptions): Promise<ShapeTuningResult[]> {
    const wanted = { ...tuneOptions, isIdle: () => !disposed && isIdle() };
    if (parts.experts) return [];
    const rows = await tuneKernels(opened, plan, f16Cache, exact, wanted);
    if (rows.some((row) => Object.keys(row.tuning).length > 0))
      for (const one of conversations) await prepareAgain(one);
    return rows;
  }

  const program: WebGpuProgram = {
    async newState() {
      opened.throwIfFailed();
      const room = conversations.size
        ? roomFor(0, contextLength)
        : ([contextLength, Math.min(contextLength, MIN_KV_CACHE_POSITIONS)] as const);
      return createWebGpuState(program, await openConversation(parts, new StateCursor(limits), room));
    },
    paging: () => parts.experts?.stats(),
    tune: (tuneOptions = {}) => (tuning ??= tune(tuneOptions).finally(() => (tuning = undefined))),
    dispose() {
      disposed = true;
      conversations.forEach(closeConversation);
      release();
    },
    internals: () => parts,
  };
  return program;
}

async function createParts(
  opened: OpenedDevice,
  plan: Plan,
  options: CompileOptions,
  f16Cache: boolean,
  held: (() => void)[],
): Promise<ProgramParts> {
  const { nodes: [firstNode], outputs: [{ cols: V, rows: outputRows }] } = plan; // prettier-ignore
  const { STORAGE, UNIFORM, COPY_SRC, COPY_DST } = GPUBufferUsage;
  const group = createBufferGroup(opened);
  held.push(group.release);
  const step = await group.take('step', STEP.bytes, STORAGE | UNIFORM | COPY_SRC | COPY_DST);
  const scratch = await allocateScratch(opened, group, plan, options, f16Cache);
  const outputs = planOutputRegions(plan, scratch);
  const [output] = outputs;
  const ids = createReadbackPool(opened, 'ids', 4 * WINDOW_STEPS, 3);
  const rows = createReadbackPool(opened, 'logits', Math.max(...outputs.map(({ size }) => size)), 1);
  held.push(ids.dispose, rows.dispose);
  // the draw must not overwrite an output
  const [table] = plan.outputs.some(({ slot }) => slot === firstNode.out.slot)
    ? []
    : (tablesOf(firstNode) as GpuMatrix[]);
  const parts: ProgramParts = {
    ...options,
    opened,
    plan,
    limits: cursorLimits(plan, options, CONV_RING_POSITIONS),
    step,
    scratch,
    output,
    outputs,
    lookups: tablesOf(firstNode).reduce((sum, one) => sum + (one as GpuMatrix).parts.length, 0),
    V,
    outputRows,
    logitBytes: 4 * V * (outputRows === 'T' ? options.prefillBatch : 1),
    skipped: 0,
    ids,
    rows,
    submitBatch: createBatchSubmitter(opened),
    shared: new Map(),
    conversations: new Set(),
  };
  if (outputRows === 'T') return parts;
  const lookup = embedDrawnTokenLibrary(opened, table, scratch.slots[firstNode.out.slot]);
  parts.sampler = await createGpuTokenSampler({ ...opened, step }, output, V, lookup, group.take);
  parts.logprobsOf = await createGpuLogprobs(opened, output, V, group.take, ids);
  if (table?.parts.length === 1) parts.skipped = 1;
  return parts;
}
