/** The buffers of a state that the plan's dispatches bind: convolution rings and KV caches. */
import { CONV_RING_POSITIONS } from 'virtual:rivulet-kernels';
import type { KvCache } from '../../model/ops';
import { convStatesOf, kvCachesOf, type Plan } from '../plan';
import type { BufferGroup } from './buffer_group';
import type { BufferRegion, DispatchContext } from './dispatch';
import { attentionNodes, ropeOf, type ProgramScratch } from './scratch';

export interface StateBuffers {
  /** [CONV_RING_POSITIONS, D] f32 by layer */
  rings: Map<number, BufferRegion>;
  /** [capacity, K, d] each, by layer */
  caches: Map<number, { keys: BufferRegion; values: BufferRegion }>;
  /** positions for which the caches have room now */
  capacity: number;
}

/** What the dispatches of a plan bind beside weights, step and tokens. */
export type PlanBuffers = ProgramScratch & StateBuffers;

/** a placeholder: pipelines and grids do not depend on buffers */
export const noBuffer = (): BufferRegion => ({ buffer: {} as GPUBuffer, offset: 0, size: 0 });

/** Placeholders for all buffers of a plan. */
export const unallocatedBuffers = (plan: Plan, capacity: number, f16Cache: boolean): PlanBuffers => ({
  slots: plan.slots.map(noBuffer),
  rings: new Map(plan.nodes.flatMap(convStatesOf).map(({ layer }) => [layer, noBuffer()])),
  caches: new Map(plan.nodes.flatMap(kvCachesOf).map(({ layer }) => [layer, { keys: noBuffer(), values: noBuffer() }])),
  ropes: new Map(attentionNodes(plan).map((node) => [`${ropeOf(node)}`, noBuffer()])),
  spans: noBuffer(),
  experts: { sorted: noBuffer(), results: noBuffer() },
  capacity,
  f16Cache,
});

export const MIN_KV_CACHE_POSITIONS = 1024;

/**
 * Allocates rings, and caches of `wanted` positions or, if the device refuses, half of that, down to `least`.
 * @throws MemoryError; then the caller releases `group`
 */
export async function allocateStateBuffers(
  gpu: DispatchContext,
  group: BufferGroup,
  plan: Plan,
  f16Cache: boolean,
  [wanted, least]: readonly [wanted: number, least: number],
): Promise<StateBuffers> {
  const rings: StateBuffers['rings'] = new Map();
  for (const { layer, channels } of plan.nodes.flatMap(convStatesOf))
    rings.set(layer, await group.take(`ring ${layer}`, 4 * CONV_RING_POSITIONS * channels));
  const buffers: StateBuffers = { rings, caches: new Map(), capacity: 0 };
  await growKvCaches({ gpu, group, plan, buffers, f16Cache }, wanted, least);
  return buffers;
}

/** Bytes of the keys of one layer; its values take as many. */
export const keyCacheBytes = ({ kvHeads, headDim }: KvCache, positions: number, f16Cache: boolean): number =>
  positions * kvHeads * headDim * (f16Cache ? 2 : 4);

export interface CacheOwner {
  gpu: DispatchContext;
  group: BufferGroup;
  plan: Plan;
  buffers: StateBuffers;
  f16Cache: boolean;
}

/**
 * Grows the caches to `wanted` positions, or to half of that and so on, but to at least `least`; their contents are
 * kept.
 * @throws MemoryError; then they are as before
 */
export async function growKvCaches(
  { gpu, group, plan, buffers, f16Cache }: CacheOwner,
  wanted: number,
  least: number,
): Promise<void> {
  const freeAll = (regions: StateBuffers['caches']): void =>
    regions.forEach(({ keys, values }) => [keys, values].forEach(group.free));
  for (let capacity = wanted; ; capacity = Math.max(least, Math.ceil(capacity / 2))) {
    const made: StateBuffers['caches'] = new Map();
    try {
      for (const cache of plan.nodes.flatMap(kvCachesOf)) {
        const bytes = keyCacheBytes(cache, capacity, f16Cache);
        const keys = await group.take(`keys ${cache.layer}`, bytes);
        made.set(cache.layer, { keys, values: keys });
        made.set(cache.layer, { keys, values: await group.take(`values ${cache.layer}`, bytes) });
      }
    } catch (error) {
      freeAll(made);
      if (capacity <= least) throw error;
      continue;
    }
    const encoder = gpu.device.createCommandEncoder({ label: 'grow caches' });
    for (const [layer, { keys, values }] of buffers.caches) {
      const to = made.get(layer)!;
      encoder.copyBufferToBuffer(keys.buffer, 0, to.keys.buffer, 0, keys.size);
      encoder.copyBufferToBuffer(values.buffer, 0, to.values.buffer, 0, values.size);
    }
    gpu.device.queue.submit([encoder.finish()]);
    freeAll(buffers.caches);
    buffers.caches = made;
    buffers.capacity = capacity;
    return;
  }
}

/** Bytes of the columns that the convolutions of a plan read before a position, L − 1 of each. */
export const columnBytes = (plan: Plan): number =>
  plan.nodes.flatMap(convStatesOf).reduce((sum, { channels, length }) => sum + 4 * channels * (length - 1), 0);

/** Copies the columns before `position` out of the rings into `columns` [layers, L − 1, D], or back. */
export function copyColumns(
  encoder: GPUCommandEncoder,
  plan: Plan,
  { rings }: StateBuffers,
  position: number,
  { columns, back }: { columns: BufferRegion; back?: boolean },
): void {
  let at = 0;
  for (const { layer, channels, length } of plan.nodes.flatMap(convStatesOf))
    for (let past = position - length + 1; past < position; past++, at += 4 * channels) {
      if (past < 0) continue;
      const from = [rings.get(layer)!.buffer, 4 * channels * (past % CONV_RING_POSITIONS)] as const;
      const to = [columns.buffer, at] as const;
      encoder.copyBufferToBuffer(...(back ? to : from), ...(back ? from : to), 4 * channels);
    }
}
