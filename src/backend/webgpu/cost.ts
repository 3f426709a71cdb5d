/**
 * What a plan takes on a GPU: a program is created on a twin of the device that has no memory and counts what is asked
 * of it.
 */
import type { Matrix } from '../../model/ops';
import type { PlanCost, PlanSizes } from '../cost';
import type { CompileOptions } from '../backend';
import { mapMatrices, type Plan } from '../plan';
import type { WebGpuBackend } from './backend';
import type { OpenedDevice } from './device';
import { bufferBytes } from './dispatch';
import { maxBindingBytes, packedMatrixBytes, staging, unallocatedMatrixParts, type GpuMatrix } from './repack';
import { createWebGpuProgram } from './program';

export function webGpuSizes({ opened, f16Cache }: ReturnType<WebGpuBackend['internals']>): PlanSizes {
  const limit = maxBindingBytes(opened);
  return {
    matrix: (matrix) => packedMatrixBytes(matrix, limit),
    vector: ({ length }) => bufferBytes(4 * length),
    empty: opened.step.size + opened.tokens.size,
    compiled: (plan, options) => compiledBytes(opened, plan, options, f16Cache),
  };
}

/** Bytes of a program, with those of the buffers for uploads, which the device keeps, and of its first state. */
async function compiledBytes(
  opened: OpenedDevice,
  plan: Plan,
  options: CompileOptions,
  f16Cache: boolean,
): Promise<Pick<PlanCost, 'scratch' | 'state'>> {
  let bytes = 0;
  const createBuffer = (_: string, wanted: number): { buffer: GPUBuffer; ready: Promise<void> } => {
    const size = bufferBytes(wanted);
    bytes += size;
    return { buffer: { size } as GPUBuffer, ready: Promise.resolve() };
  };
  const nothing = (): undefined => undefined;
  const twin: OpenedDevice = {
    ...opened,
    device: {
      queue: { writeBuffer: nothing, submit: nothing },
      createCommandEncoder: () => ({ finish: nothing }),
    } as unknown as GPUDevice,
    createBuffer,
    allocateBuffer: async (label, wanted) => createBuffer(label, wanted).buffer,
    prepare: async () => [],
  };
  const limit = maxBindingBytes(opened);
  const matrix = (spec: Matrix): GpuMatrix => ({
    ...spec,
    parts: unallocatedMatrixParts(spec, limit, () => ({ buffer: {} as GPUBuffer, offset: 0, size: 0 })),
    bytes: 0,
  });
  const nodes = plan.nodes.map((node) => mapMatrices(node, matrix));
  await staging(twin);
  const program = await createWebGpuProgram(twin, { ...plan, nodes }, options, f16Cache);
  const scratch = bytes;
  await program.newState();
  return { scratch, state: bytes - scratch };
}
