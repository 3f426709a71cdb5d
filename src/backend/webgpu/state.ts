/** The state of a runner on the GPU: activation slots, convolution rings, KV caches, RoPE tables. */
import { CONV_RING_POSITIONS } from 'virtual:rivulet-kernels';
import type { KvCache } from '../../model/ops';
import { convStatesOf, headsOf, kvCachesOf, ropeFrequencies, type NodeOf, type Plan } from '../plan';
import { wholeBuffer, type DispatchContext, type BufferRegion } from './dispatch';

/** The buffers of a runner: activations, convolution rings, KV caches. */
export interface RunnerState {
  /** one buffer per activation slot (dispatch.ts gives the reason) */
  slots: BufferRegion[];
  /** [CONV_RING_POSITIONS, D] f32 by layer */
  rings: Map<number, BufferRegion>;
  /** [capacity, K, d] each, by layer */
  caches: Map<number, { keys: BufferRegion; values: BufferRegion }>;
  /** positions for which the caches have room now */
  capacity: number;
  f16Cache: boolean;
  /** tables of lib/rope.wgsl, by their frequencies */
  ropes: Map<string, BufferRegion>;
  /** partial results of attention spans, used by one layer at a time */
  spans: BufferRegion;
}

/** Most positions of one workgroup of attend.wgsl, and the default. */
export const MAX_ATTENTION_SPAN = 512;
/** At most 16 spans: the merge reads all of them. Longer contexts use longer spans, up to MAX_ATTENTION_SPAN. */
const MAX_SHORT_SPANS = 16;

const roundUpToPower = (x: number): number => 2 ** Math.ceil(Math.log2(Math.max(1, x)));

/** The context length for which the dispatches of `positions` are prepared: the span times a power of two. */
export const contextBucket = (positions: number, span: number): number => span * roundUpToPower(positions / span);

/** Splits attention over `positions` into spans, if possible of the tuned length. */
export function splitAttentionIntoSpans(positions: number, tunedSpan: number): { span: number; spans: number } {
  const span = Math.min(MAX_ATTENTION_SPAN, Math.max(tunedSpan, roundUpToPower(positions / MAX_SHORT_SPANS)));
  return { span, spans: roundUpToPower(positions / span) };
}

/** The angle by which each pair turns from one position to the next: nodes with equal ones share a table. */
export const ropeOf = (node: NodeOf<'attend'>): number[] => ropeFrequencies(node.rope, headsOf(node).headDim);

/** They share RoPE tables and the results of spans. */
export const attentionNodes = (plan: Plan): NodeOf<'attend'>[] => plan.nodes.filter((node) => node.op === 'attend');

/**
 * Allocates the KV cache for the whole context. If the device refuses, it tries half of that, down to
 * MIN_KV_CACHE_POSITIONS; the cache then grows on demand.
 * @throws MemoryError
 */
export async function allocateRunnerState(
  gpu: DispatchContext,
  plan: Plan,
  contextLength: number,
  prefillBatch: number,
  f16Cache: boolean,
): Promise<RunnerState> {
  const buffers: GPUBuffer[] = [];
  const take = async (label: string, bytes: number): Promise<BufferRegion> => {
    const buffer = await gpu.allocateBuffer(label, bytes);
    buffers.push(buffer);
    return wholeBuffer(buffer);
  };
  try {
    const slots = [];
    for (const [i, { rows, cols }] of plan.slots.entries())
      slots.push(await take(`slot ${i}`, 4 * cols * (rows === 'T' ? prefillBatch : 1)));
    const rings: RunnerState['rings'] = new Map();
    const ropes: RunnerState['ropes'] = new Map();
    for (const { layer, channels } of plan.nodes.flatMap(convStatesOf))
      rings.set(layer, await take(`ring ${layer}`, 4 * CONV_RING_POSITIONS * channels));
    for (const frequencies of attentionNodes(plan).map(ropeOf)) {
      const key = `${frequencies}`;
      if (ropes.has(key)) continue;
      const table = ropeTable(frequencies, contextLength);
      const region = await take('rope', table.byteLength);
      gpu.device.queue.writeBuffer(region.buffer, 0, table);
      ropes.set(key, region);
    }
    const widest = Math.max(0, ...attentionNodes(plan).map((node) => node.heads * (headsOf(node).headDim + 4)));
    const spans = await take(
      'attention spans',
      4 * widest * Math.max(MAX_SHORT_SPANS, splitAttentionIntoSpans(contextLength, MAX_ATTENTION_SPAN).spans),
    );
    const state: RunnerState = { slots, rings, ropes, spans, caches: new Map(), capacity: 0, f16Cache };
    await growKvCaches(gpu, plan, state, contextLength, Math.min(contextLength, MIN_KV_CACHE_POSITIONS));
    return state;
  } catch (error) {
    for (const buffer of buffers) gpu.releaseBuffer(buffer);
    throw error;
  }
}

const MIN_KV_CACHE_POSITIONS = 1024;

/** Bytes of the keys of one layer; its values take as many. */
export const keyCacheBytes = ({ kvHeads, headDim }: KvCache, positions: number, f16Cache: boolean): number =>
  positions * kvHeads * headDim * (f16Cache ? 2 : 4);

/**
 * Grows the caches to `wanted` positions, or to half of that and so on, but to at least `least`; their contents are
 * kept.
 */
export async function growKvCaches(
  gpu: DispatchContext,
  plan: Plan,
  state: RunnerState,
  wanted: number,
  least: number,
): Promise<void> {
  for (let capacity = wanted; ; capacity = Math.max(least, Math.ceil(capacity / 2))) {
    const made: RunnerState['caches'] = new Map();
    try {
      for (const cache of plan.nodes.flatMap(kvCachesOf)) {
        const bytes = keyCacheBytes(cache, capacity, state.f16Cache);
        const keys = wholeBuffer(await gpu.allocateBuffer(`keys ${cache.layer}`, bytes));
        made.set(cache.layer, { keys, values: keys });
        made.set(cache.layer, { keys, values: wholeBuffer(await gpu.allocateBuffer(`values ${cache.layer}`, bytes)) });
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

function releaseCaches(gpu: DispatchContext, caches: RunnerState['caches']): void {
  for (const { keys, values } of caches.values()) {
    gpu.releaseBuffer(keys.buffer);
    if (values !== keys) gpu.releaseBuffer(values.buffer);
  }
}

export function releaseRunnerState(gpu: DispatchContext, state: RunnerState): void {
  for (const { buffer } of [...state.slots, ...state.rings.values(), ...state.ropes.values(), state.spans])
    gpu.releaseBuffer(buffer);
  releaseCaches(gpu, state.caches);
}

/**
 * cos and sin of positions 0 … 255, then of positions 256·j, computed in f64: [256 + ⌈context / 256⌉, d/2, 2]
 * (lib/rope.wgsl)
 */
export function ropeTable(frequencies: number[], contextLength: number): Float32Array<ArrayBuffer> {
  const half = frequencies.length;
  const rows = 256 + Math.ceil(contextLength / 256);
  const table = new Float32Array(2 * rows * half);
  for (let row = 0, at = 0; row < rows; row++)
    for (let i = 0; i < half; i++) {
      const angle = (row < 256 ? row : 256 * (row - 256)) * frequencies[i];
      table[at++] = Math.cos(angle);
      table[at++] = Math.sin(angle);
    }
  return table;
}
