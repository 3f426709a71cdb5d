/**
 * Compiles the pipelines of a plan while its weights load: a pipeline depends only on shapes and formats, which are
 * known before.
 */
import type { Matrix } from '../../model/ops';
import type { CompileOptions } from '../backend';
import { convStatesOf, kvCachesOf, mapMatrices, type Plan } from '../plan';
import type { OpenedDevice } from './device';
import type { BufferRegion } from './dispatch';
import { lowerPlanToDispatches, shortestTunedSpan } from './lower';
import { maxBindingBytes, unallocatedMatrixParts, type GpuMatrix } from './repack';
import { prefillBuckets } from './runner';
import { attentionNodes, contextBucket, ropeOf, type RunnerState } from './state';

/** a placeholder: pipelines do not depend on buffers */
const noBuffer = (): BufferRegion => ({ buffer: {} as GPUBuffer, offset: 0, size: 0 });

/** @throws DeviceError when a kernel does not compile */
export async function precompilePipelines(
  opened: OpenedDevice,
  plan: Plan,
  { contextLength, prefillBatch }: CompileOptions,
  f16Cache: boolean,
): Promise<void> {
  const limit = maxBindingBytes(opened);
  const matrix = (spec: Matrix): GpuMatrix => ({
    ...spec,
    parts: unallocatedMatrixParts(spec, limit, noBuffer),
    bytes: 0,
  });
  const nodes = plan.nodes.map((node) => mapMatrices(node, matrix));
  const state: RunnerState = {
    slots: plan.slots.map(noBuffer),
    rings: new Map(nodes.flatMap(convStatesOf).map(({ layer }) => [layer, noBuffer()])),
    caches: new Map(nodes.flatMap(kvCachesOf).map(({ layer }) => [layer, { keys: noBuffer(), values: noBuffer() }])),
    ropes: new Map(attentionNodes(plan).map((node) => [`${ropeOf(node)}`, noBuffer()])),
    spans: noBuffer(),
    capacity: contextLength,
    f16Cache,
  };
  const sizes = prefillBuckets(prefillBatch).map((T) => [T, 1]);
  const span = shortestTunedSpan(opened, plan, state);
  for (let context = 2 * span; context <= contextBucket(contextLength, span); context *= 2) sizes.push([1, context]);
  await Promise.all(
    sizes.flatMap(([T, context]) =>
      lowerPlanToDispatches(opened, { ...plan, nodes }, state, T, context)
        .flat()
        .map(opened.pipeline),
    ),
  );
}
