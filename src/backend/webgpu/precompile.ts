/**
 * Compiles the pipelines of a plan while its weights load: a pipeline depends only on shapes and formats, which are
 * known before.
 */
import type { Matrix } from '../../model/ops';
import type { CompileOptions } from '../backend';
import { mapMatrices, type Plan } from '../plan';
import type { OpenedDevice } from './device';
import { lowerPlanToDispatches } from './lower';
import { listSizes } from './prepared';
import { maxBindingBytes, unallocatedMatrixParts, type GpuMatrix } from './repack';
import { noBuffer, unallocatedBuffers } from './state_buffers';

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
  const buffers = unallocatedBuffers(plan, contextLength, f16Cache);
  await Promise.all(
    listSizes(opened, plan, prefillBatch, buffers).sizes.flatMap(([T, context]) =>
      lowerPlanToDispatches(opened, { ...plan, nodes }, buffers, T, context)
        .flat()
        .map(opened.pipeline),
    ),
  );
}
