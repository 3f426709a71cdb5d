/**
 * Experts of a model that is larger than its memory budget, on the GPU. Matrices of frames, which hold some experts of
 * several layers, stand in place of the matrices of a layer. A step is submitted up to a choice of experts; the choice
 * is read back, and the step goes on when its experts are in frames.
 */
import { fail } from '../../errors';
import type { Matrix } from '../../model/ops';
import { rowBytes } from '../../tensor/dtype';
import type { PagingStats, SegmentReader } from '../backend';
import { ExpertFrames, type ExpertFrame, type ExpertLayer } from '../expert_frames';
import { convStatesOf, kvCachesOf, mapMatrices, type NodeOf, type Plan, type PlanActivation } from '../plan';
import { makeReady, nextStep } from './conversation';
import { encodeDispatches, type OpenedDevice, type PreparedDispatch } from './device';
import type { GpuPagedExperts, ProgramParts } from './parts';
import { createReadbackPool } from './readback';
import { createMatrixWriter, packedMatrixBytes, releaseMatrix, type GpuMatrix, type GpuMatrixWriter } from './repack';
import { decodeDispatches, submitWindow } from './state';
import { submitDispatches } from './batches';
import { keyCacheBytes } from './state_buffers';
import { CONV_RING_POSITIONS } from 'virtual:rivulet-kernels';

/** A matrix whose segments, one for each expert, are read when a token needs them. */
interface PagedMatrix extends Matrix {
  readonly read: SegmentReader;
}

/** The experts of a layer. */
interface Layer extends ExpertLayer {
  chosen: PlanActivation;
  /** W1, W3, W2 */
  matrices: PagedMatrix[];
  /** u32 [256], the frame of each expert that is in one (frames_paged.wgsl) */
  table: Uint32Array<ArrayBuffer>;
  /** the clock at the last use of each expert */
  uses: Uint32Array;
  frames?: ExpertFrames<Layer, Frame>;
}

interface Frame extends ExpertFrame<Layer> {
  index: number;
}

const MAX_EXPERTS = 256;
const megabytes = (bytes: number): string => `${Math.ceil(bytes / 1e6)} MB`;
const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

function layersOf({ nodes }: Plan): Layer[] {
  return nodes.flatMap((node, i): Layer[] => {
    if (!('chosen' in node && 'w1' in node)) return [];
    const { w } = nodes[i + 1] as NodeOf<'expertsLinear'>;
    const count = w.segments.length;
    const uses = new Uint32Array(count);
    return [
      {
        count,
        chosen: node.chosen,
        matrices: [node.w1, node.w3, w] as PagedMatrix[],
        table: new Uint32Array(MAX_EXPERTS),
        uses,
        lastUsed: (expert) => uses[expert],
      },
    ];
  });
}

/** A matrix of so many frames for experts like those of `matrix`. */
const framesLike = ({ name, cols, segments }: Matrix, frames: number): Matrix => ({
  name,
  cols,
  rows: frames * segments[0].rows,
  segments: Array.from({ length: frames }, () => ({ ...segments[0], name })),
});

/** Layers whose experts can take each other's frames: equal shapes and formats. */
const kindOf = ({ matrices }: Layer): string =>
  JSON.stringify(matrices.map(({ cols, segments }) => [cols, segments[0].rows, segments.map(({ dtype }) => dtype)]));

const frameBytes = ({ matrices }: Layer): number =>
  sum(matrices.map((matrix) => packedMatrixBytes(framesLike(matrix, 1))));

/** Bytes of the first state, with a full context. */
function stateBytes({ plan, contextLength, scratch, V }: ProgramParts): number {
  const caches = plan.nodes
    .flatMap(kvCachesOf)
    .map((cache) => 2 * keyCacheBytes(cache, contextLength, scratch.f16Cache));
  const rings = plan.nodes.flatMap(convStatesOf).map(({ channels }) => 4 * CONV_RING_POSITIONS * channels);
  return [...caches, ...rings].reduce((sum, bytes) => sum + bytes, 4 * (contextLength + 1 + V));
}

/**
 * How many frames each kind of layers gets: those that one layer may need, and a share of the rest.
 * @throws RequestError if the budget has no room for the experts of a layer of each kind
 */
function framesByKind(kinds: Layer[][], budget: number, other: number): number[] {
  const bytes = kinds.map(([layer]) => frameBytes(layer));
  const least = kinds.map(([{ count }]) => count);
  const rest = kinds.map((layers, i) => layers.length * least[i] - least[i]);
  const sum = (counts: number[]): number => counts.reduce((total, n, i) => total + n * bytes[i], 0);
  const room = budget - other - sum(least);
  if (room < 0)
    fail('RequestError', {
      what: 'The memory budget is too small for the model',
      got: megabytes(budget),
      wanted: `at least ${megabytes(other + sum(least))}, which holds the experts of one layer`,
      cure: 'Raise memoryBudget, shorten the context, or use a smaller model.',
    });
  const share = Math.min(1, room / Math.max(sum(rest), 1));
  return least.map((n, i) => n + Math.floor(share * rest[i]));
}

/** Frames for the experts of some layers, in matrices for W1, W3 and W2 that stand in place of those of each layer. */
async function createFrames(
  gpu: OpenedDevice,
  layers: Layer[],
  count: number,
  stats: PagingStats,
): Promise<{ matrices: GpuMatrix[]; dispose(): void }> {
  const writers: GpuMatrixWriter[] = [];
  const matrices: GpuMatrix[] = [];
  const dispose = (): void => matrices.forEach((matrix) => releaseMatrix(gpu, matrix));
  try {
    for (const like of layers[0].matrices) {
      const spec = framesLike(like, count);
      const writer = createMatrixWriter(gpu, spec);
      writers.push(writer);
      matrices.push(await writer.matrix());
    }
  } catch (error) {
    dispose();
    throw error;
  }
  const sizes = layers[0].matrices.map(({ cols, segments: [{ rows, dtype }] }) => rows * rowBytes(dtype, cols));
  const starts = sizes.map((_, i) => sum(sizes.slice(0, i)));
  const spare: Uint8Array[] = [];
  let made = 0;
  const frames = new ExpertFrames<Layer, Frame>(
    layers,
    {
      newFrame: () => ({ index: made++, expert: 0 }),
      async read({ index, layer: { matrices: sources }, expert }) {
        const packed = await sources[0].read.packed?.();
        // W1, W3 and W2 one after the other, as they are in the checkpoint: the GPU packs them
        const copy = packed && (spare.pop() ?? new Uint8Array(sum(sizes)));
        const use = async (i: number, bytes: Uint8Array): Promise<void> => {
          await writers[i].write(index, 0, bytes);
          if (bytes.buffer !== copy?.buffer) copy?.set(bytes, starts[i]);
        };
        const found = packed?.read(expert, copy!);
        const reads = await Promise.allSettled(
          sources.map((matrix, i) =>
            found
              ? use(i, copy!.subarray(starts[i], starts[i] + sizes[i]))
              : matrix.read(expert, (bytes) => use(i, bytes)),
          ),
        );
        if (copy) spare.push(copy);
        for (const read of reads) if (read.status === 'rejected') throw read.reason;
        if (found) stats.swapped++;
        else packed?.write(expert, copy!);
        return sum(sizes);
      },
      filled: ({ index, layer, expert }) => void (layer.table[expert] = index),
      emptied: ({ layer, expert }) => void (layer.table[expert] = 0),
    },
    stats,
    count,
    count,
  );
  for (const layer of layers) layer.frames = frames;
  return { matrices, dispose };
}

/**
 * Replaces the experts of a program's plan by frames.
 * @param held gets what frees them
 * @throws RequestError if the budget is too small, MemoryError if the device gives less than one layer needs
 */
export async function pageExperts(parts: ProgramParts, held: (() => void)[]): Promise<void> {
  const { opened, plan, scratch, prefillBatch } = parts;
  const { device } = opened;
  const layers = layersOf(plan);
  const [{ count: E }] = layers;
  const names = [...new Set(layers.map(kindOf))];
  const kinds = names.map((name) => layers.filter((layer) => kindOf(layer) === name));
  const other = opened.bytes() + stateBytes(parts);
  const counts = framesByKind(kinds, parts.memoryBudget!, other);
  const stats: PagingStats = {
    experts: layers.reduce((sum, { count }) => sum + count, 0),
    inMemory: 0,
    uses: 0,
    misses: 0,
    swapped: 0,
    bytesRead: 0,
    tokens: 0,
  };
  const { UNIFORM, COPY_DST } = GPUBufferUsage;
  const table = await opened.allocateBuffer('frames of experts', 4 * MAX_EXPERTS, UNIFORM | COPY_DST);
  held.push(() => opened.releaseBuffer(table));
  const inFrames = new Map<Matrix, GpuMatrix>();
  for (const [i, kind] of kinds.entries())
    for (let count = counts[i]; ; count = Math.max(E, count >> 1))
      try {
        const { matrices, dispose } = await createFrames(opened, kind, count, stats);
        held.push(dispose);
        for (const layer of kind) layer.matrices.forEach((matrix, j) => inFrames.set(matrix, matrices[j]));
        stats.inMemory += count;
        break;
      } catch (error) {
        if (count <= E || (error as Error).name !== 'MemoryError') throw error; // the device gives less than the budget
      }
  const most = Math.max(...layers.map(({ chosen }) => 4 * prefillBatch * chosen.cols));
  const choices = createReadbackPool(opened, 'choices of experts', most, 1);
  held.push(choices.dispose);
  parts.plan = { ...plan, nodes: plan.nodes.map((node) => mapMatrices(node, (m) => inFrames.get(m) ?? m)) };
  scratch.experts!.paged = { E, frames: { buffer: table, offset: 0, size: 4 * MAX_EXPERTS } };

  /** Runs dispatches up to a choice, and reads it. @returns the experts of T tokens */
  async function choose(dispatches: PreparedDispatch[], { chosen }: Layer, T: number): Promise<number[]> {
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    encodeDispatches(pass, dispatches);
    pass.end();
    const { buffer, offset } = scratch.slots[chosen.slot];
    const copy = choices.copy(encoder, buffer, offset, 4 * T * chosen.cols);
    device.queue.submit([encoder.finish()]);
    const rows = new Float32Array(await copy.read());
    // of scores that are no numbers, some drivers choose none: the kernels clamp what stands there
    const experts = rows.filter((_, i) => i % chosen.cols < chosen.cols / 2);
    return Array.from(experts, (e) => Math.min(Math.max(Math.trunc(e) || 0, 0), E - 1));
  }

  let clock = 0;
  let lastDecode: Promise<unknown> = Promise.resolve();
  const experts: GpuPagedExperts = {
    stats: () => stats,

    async run(one, dispatches, T, signal) {
      let next = 0;
      const now = ++clock;
      try {
        const stops = dispatches.flatMap(({ label }, i) => (label.startsWith('select_experts') ? i + 1 : []));
        for (const [i, stop] of stops.entries()) {
          const layer = layers[i];
          const chosen = await choose(dispatches.slice(next, stop), layer, T);
          stats.uses += new Set(chosen).size;
          for (const expert of chosen) layer.uses[expert] = now;
          await layer.frames!.load(layer, chosen, signal);
          device.queue.writeBuffer(table, 0, layer.table);
          next = stop;
        }
        submitDispatches(device, dispatches.slice(next));
        stats.tokens += T;
      } catch (error) {
        one.cursor.interrupted(T);
        parts.owner = undefined; // the step that the device has is not that of the state
        throw error;
      }
    },

    decode(one, steps, sampling) {
      const { cursor, history } = one;
      const { sampler, skipped } = parts;
      const draw = async (): Promise<Uint32Array> => {
        opened.throwIfFailed();
        cursor.checkDecode(steps, sampling);
        sampler!.check(sampling);
        const drawn = new Uint32Array(steps);
        for (let i = 0; i < steps; i++) {
          const { position } = cursor;
          const reads = Number(cursor.pending);
          await makeReady(one, position + reads, nextStep(one));
          if (reads) await experts.run(one, decodeDispatches(one, position + 1).slice(one.embedLost ? 0 : skipped), 1);
          const window = { at: position + reads, readsPending: false, steps: 1 };
          const [id] = new Uint32Array(await submitWindow(one, window, sampler!, sampling));
          cursor.decoded(1, reads);
          history[position + reads] = drawn[i] = id;
        }
        return drawn;
      };
      const turn = lastDecode.then(draw);
      lastDecode = turn.catch(() => undefined);
      return turn;
    },
  };
  parts.experts = experts;
}
