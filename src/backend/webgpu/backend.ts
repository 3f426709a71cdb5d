/** The WebGPU backend: a device, weights packed on it, and plans made into dispatches. */
import type { Matrix, Vector } from '../../model/ops';
import type { Backend, BackendInfo } from '../backend';
import { describeAdapter, openDevice, type DeviceOptions } from './device';
import { whole, type GpuVector } from './gpu';
import { matrixWriter } from './repack';
import { createRunner } from './runner';

/** @throws DeviceError when no adapter, or only a software adapter, is there */
export async function openWebGpu(options: DeviceOptions = {}): Promise<Backend> {
  const opened = await openDevice(options);
  const { features } = opened;
  const halves = options.f16 !== false;
  const notes: string[] = [];
  if (options.subgroups !== false && !features.subgroups) notes.push('no subgroup operations on this device: sums go through workgroup memory');
  const info: BackendInfo = {
    name: 'webgpu',
    device: describeAdapter(opened.info),
    variant: `${features.subgroups ? 'subgroups' : 'workgroup memory'}, cache ${halves ? 'f16' : 'f32'}`,
    notes,
  };
  /** refusals of vectors, whose buffers are made without waiting; thrown by compile */
  const made: Promise<void>[] = [];

  return {
    info,
    reserve: () => undefined,
    matrix: (spec: Matrix) => matrixWriter(opened, spec),

    vector(name: string, values: Float32Array): Vector {
      const { buffer, ready } = opened.create(name, values.byteLength);
      ready.catch(() => undefined);
      made.push(ready);
      opened.device.queue.writeBuffer(buffer, 0, values as Float32Array<ArrayBuffer>);
      return { name, length: values.length, region: whole(buffer) } as GpuVector;
    },

    async compile(plan, compileOptions) {
      await Promise.all(made);
      return createRunner(opened, plan, compileOptions, halves);
    },
    memory: () => opened.bytes(),
    dispose: () => opened.destroy(),
  };
}
