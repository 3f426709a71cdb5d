/** The WebGPU backend: a device, weights packed on it, and plans made into dispatches. */
import type { Matrix, Vector } from '../../model/ops';
import type { Dtype } from '../../tensor/dtype';
import type { Backend, BackendInfo } from '../backend';
import type { Plan } from '../plan';
import { describeAdapter } from './adapter';
import { compileAhead } from './ahead';
import { openDevice, type DeviceOptions } from './device';
import { ANY, whole, type GpuVector, type Tuning } from './gpu';
import { dtypesOf, probe, variantName, type Variant } from './probe';
import { matrixWriter } from './repack';
import { createRunner } from './runner';
import { recallTunings } from './tune';

export interface WebGpuOptions extends DeviceOptions {
  /** of the kernels before the first use; 'known' (default) trusts an earlier verdict of this adapter, browser and build */
  selfTest?: 'known' | 'always' | 'never';
  /** no kernels that round activations, whatever is faster */
  exact?: boolean;
  /** these kernels everywhere, and nothing else that was found to be faster: tests */
  tuning?: Partial<Tuning>;
}

/** @throws DeviceError when no adapter, or only a software adapter, is there */
export async function openWebGpu({ selfTest = 'known', exact = false, tuning, ...options }: WebGpuOptions = {}): Promise<Backend> {
  const opened = await openDevice(options);
  let variant: Variant = { subgroups: opened.features.subgroups, halves: options.f16 !== false };
  const notes: string[] = [];
  if (options.subgroups !== false && !variant.subgroups) notes.push('This device has no subgroup operations: sums go through workgroup memory.');
  const info: BackendInfo = { name: 'webgpu', device: describeAdapter(opened.info), variant: variantName(variant), notes };
  /** refusals of vectors, whose buffers are made without waiting; thrown by compile */
  const made: Promise<void>[] = [];
  const tested = new Set<Dtype>();
  let gone = false;
  void opened.lost.then(() => (gone = true));

  let expected: Promise<void> = Promise.resolve();

  /** Which kernels are used for the formats of a plan: what the self test allows, then what was found to be fast. */
  async function settle(plan: Plan): Promise<void> {
    const dtypes = dtypesOf(plan).filter((dtype) => !tested.has(dtype));
    if (selfTest !== 'never' && dtypes.length) {
      const verdict = await probe(opened, variant, dtypes, selfTest === 'known');
      variant = verdict.variant;
      Object.assign(opened.features, { subgroups: variant.subgroups, integerHalves: variant.integerHalves });
      notes.push(...verdict.notes);
      info.variant = variantName(variant);
      for (const dtype of dtypes) tested.add(dtype);
    }
    if (tuning) opened.tunings.set(ANY, tuning);
    else if (selfTest === 'known') await recallTunings(opened, exact);
  }

  return {
    info,
    reserve: () => undefined,
    matrix: (spec: Matrix) => matrixWriter(opened, spec),

    vector(name: string, values: Float32Array): Vector {
      const { buffer, ready } = opened.create(name, values.byteLength);
      made.push(ready);
      opened.device.queue.writeBuffer(buffer, 0, values as Float32Array<ArrayBuffer>);
      return { name, length: values.length, region: whole(buffer) } as GpuVector;
    },

    expect(plan, compileOptions) {
      expected = settle(plan)
        .then(() => compileAhead(opened, plan, compileOptions, variant.halves))
        .catch(() => undefined);
    },

    async compile(plan, compileOptions) {
      await Promise.all(made);
      await expected;
      await settle(plan);
      return createRunner(opened, plan, compileOptions, variant.halves, exact);
    },
    memory: () => opened.bytes(),
    lost: () => gone,
    dispose: () => opened.destroy(),
  };
}
