/** What a conversation holds on the GPU: activations by slot, rings of the conv layers, the KV cache, and the tables it needs. */
import type { Attend } from '../../model/ops';
import type { Plan } from '../plan';
import { whole, type Gpu, type Region } from './gpu';

/** Positions of B⊙x that a conv layer keeps: how far `rewind` reaches, windows in flight included. A power of two. */
export const RING = 128;

export interface State {
  /** a buffer a slot (gpu.ts says why) */
  slots: Region[];
  /** [RING, D] f32 by layer */
  rings: Map<number, Region>;
  /** [capacity, K, d] each, by layer */
  caches: Map<number, { keys: Region; values: Region }>;
  /** positions the caches hold now */
  capacity: number;
  halves: boolean;
  /** by theta and d: lib/rope.wgsl */
  ropes: Map<string, Region>;
  /** sums of attention spans, of one layer at a time */
  spans: Region;
}

/** Positions of one workgroup of attend.wgsl at most, and where nothing else was found to be faster */
export const SPAN = 512;
/** Spans are shorter than SPAN only where these are enough: the merge reads every one. */
const SHORT_SPANS = 16;

const upToPower = (x: number): number => 2 ** Math.ceil(Math.log2(Math.max(1, x)));

/** Positions that dispatches prepared for so many serve: the span times a power of two. */
export const reachOf = (positions: number, span: number): number => span * upToPower(positions / span);

/** How attention is cut that must reach so many positions, and prefers spans of this length. */
export function cut(positions: number, wanted: number): { span: number; spans: number } {
  const span = Math.min(SPAN, Math.max(wanted, upToPower(positions / SHORT_SPANS)));
  return { span, spans: upToPower(positions / span) };
}

export const ropeKey = (theta: number, headDim: number): string => `${theta} ${headDim}`;

type AttendNode = Extract<Plan['nodes'][number], { op: 'attend' }>;
export const attends = (plan: Plan): AttendNode[] => plan.nodes.filter((node) => node.op === 'attend');

/**
 * The KV cache is taken whole; where the device refuses that, the half, down to LEAST_CONTEXT, and it is grown when it is needed.
 * @throws MemoryError
 */
export async function allocateState(gpu: Gpu, plan: Plan, contextLength: number, chunk: number, halves: boolean): Promise<State> {
  const buffers: GPUBuffer[] = [];
  const take = async (label: string, bytes: number): Promise<Region> => {
    const buffer = await gpu.allocate(label, bytes);
    buffers.push(buffer);
    return whole(buffer);
  };
  try {
    const slots = [];
    for (const [i, { rows, cols }] of plan.slots.entries()) slots.push(await take(`slot ${i}`, 4 * cols * (rows === 'T' ? chunk : 1)));
    const rings: State['rings'] = new Map();
    const ropes: State['ropes'] = new Map();
    for (const node of plan.nodes) {
      if (node.op === 'shortConv') rings.set(node.state.layer, await take(`ring ${node.state.layer}`, 4 * RING * node.state.channels));
      if (node.op !== 'attend') continue;
      const { headDim } = node.cache;
      const key = ropeKey(node.ropeTheta, headDim);
      if (ropes.has(key)) continue;
      const table = ropeTable(node.ropeTheta, headDim, contextLength);
      const region = await take('rope', table.byteLength);
      gpu.device.queue.writeBuffer(region.buffer, 0, table);
      ropes.set(key, region);
    }
    const widest = Math.max(0, ...attends(plan).map(({ heads, cache }) => heads * (cache.headDim + 4)));
    const spans = await take('attention spans', 4 * widest * Math.max(SHORT_SPANS, cut(contextLength, SPAN).spans));
    const state: State = { slots, rings, ropes, spans, caches: new Map(), capacity: 0, halves };
    await growCaches(gpu, plan, state, contextLength, Math.min(contextLength, LEAST_CONTEXT));
    return state;
  } catch (error) {
    for (const buffer of buffers) gpu.release(buffer);
    throw error;
  }
}

const LEAST_CONTEXT = 1024;

/** of keys, and as many of values */
export const cacheBytes = ({ kvHeads, headDim }: AttendNode['cache'], positions: number, halves: boolean): number => positions * kvHeads * headDim * (halves ? 2 : 4);

/** Makes the caches hold `wanted` positions, or half of that and so on, but no fewer than `least`; what they hold is kept. */
export async function growCaches(gpu: Gpu, plan: Plan, state: State, wanted: number, least: number): Promise<void> {
  for (let capacity = wanted; ; capacity = Math.max(least, Math.ceil(capacity / 2))) {
    const made: State['caches'] = new Map();
    try {
      for (const { cache } of attends(plan)) {
        const bytes = cacheBytes(cache, capacity, state.halves);
        const keys = whole(await gpu.allocate(`keys ${cache.layer}`, bytes));
        made.set(cache.layer, { keys, values: keys });
        made.set(cache.layer, { keys, values: whole(await gpu.allocate(`values ${cache.layer}`, bytes)) });
      }
    } catch (error) {
      releaseCaches(gpu, made);
      if (capacity <= least) throw error;
      continue;
    }
    const encoder = gpu.device.createCommandEncoder({ label: 'grow caches' });
    for (const [layer, { keys, values }] of state.caches) {
      const to = made.get(layer)!;
      encoder.copyBufferToBuffer(keys.buffer, 0, to.keys.buffer, 0, keys.size);
      encoder.copyBufferToBuffer(values.buffer, 0, to.values.buffer, 0, values.size);
    }
    gpu.device.queue.submit([encoder.finish()]);
    releaseCaches(gpu, state.caches);
    state.caches = made;
    state.capacity = capacity;
    return;
  }
}

function releaseCaches(gpu: Gpu, caches: State['caches']): void {
  for (const { keys, values } of caches.values()) {
    gpu.release(keys.buffer);
    if (values !== keys) gpu.release(values.buffer);
  }
}

export function releaseState(gpu: Gpu, state: State): void {
  for (const { buffer } of [...state.slots, ...state.rings.values(), ...state.ropes.values(), state.spans]) gpu.release(buffer);
  releaseCaches(gpu, state.caches);
}

/** cos and sin of positions 0 … 255, then of 256·j, in f64 before they are rounded: [256 + ⌈context / 256⌉, d/2, 2] (lib/rope.wgsl) */
export function ropeTable(theta: Attend['ropeTheta'], headDim: number, contextLength: number): Float32Array<ArrayBuffer> {
  const half = headDim / 2;
  const rows = 256 + Math.ceil(contextLength / 256);
  const table = new Float32Array(2 * rows * half);
  for (let row = 0, at = 0; row < rows; row++)
    for (let i = 0; i < half; i++) {
      const angle = (row < 256 ? row : 256 * (row - 256)) * theta ** (-i / half);
      table[at++] = Math.cos(angle);
      table[at++] = Math.sin(angle);
    }
  return table;
}
