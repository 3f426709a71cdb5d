/** The WebGPU backend: a device, packed weights in its memory, and programs for plans. */
import type { Matrix, Vector } from '../../model/ops';
import type { Backend, BackendInfo } from '../backend';
import { checkOps, type Plan } from '../plan';
import { adapterName } from './adapter';
import { precompilePipelines } from './precompile';
import { openDevice, type DeviceOptions, type OpenedDevice } from './device';
import { ANY_KERNEL, wholeBuffer, type GpuWeightVector, type KernelTuning } from './dispatch';
import { kernelVariantName, selectPassingVariant, selfTestCases, type DeviceKernelVariant } from './self_test';
import type { SelfTestCaseName } from './self_test_golden';
import { LOWERINGS } from './lower';
import { createMatrixWriter } from './repack';
import { createWebGpuProgram } from './program';
import { WINDOW_STEPS } from './state';
import { loadSavedTunings } from './tune';

export interface WebGpuOptions extends DeviceOptions {
  /**
   * the self test of the kernels before first use; 'known' (default) accepts an earlier result for this adapter,
   * browser and build
   */
  selfTest?: 'known' | 'always' | 'never';
  /**
   * never use kernels that round activations to int8, even if they are faster; keys and values are f32, unless f16 is
   * asked for
   */
  exact?: boolean;
  /** use these settings for all kernels, and ignore what the tuner found: tests */
  tuning?: Partial<KernelTuning>;
}

export interface WebGpuBackend extends Backend {
  /** for cost.ts */
  internals(): { opened: OpenedDevice; f16Cache: boolean };
}

/** @throws DeviceError when there is no adapter, or only a software adapter */
export async function openWebGpuBackend({
  selfTest = 'known',
  exact = false,
  tuning,
  ...options
}: WebGpuOptions = {}): Promise<WebGpuBackend> {
  const opened = await openDevice(options);
  let variant: DeviceKernelVariant = { subgroups: opened.features.subgroups, f16Cache: options.f16 ?? !exact };
  const notes: string[] = [];
  if (options.subgroups !== false && !variant.subgroups)
    notes.push('This GPU has no subgroup operations: its kernels add through workgroup memory, which is slower.');
  const info: BackendInfo = {
    name: 'webgpu',
    device: adapterName(opened.info),
    variant: kernelVariantName(variant),
    notes,
  };
  /** rejects when the buffer of a vector was refused; `compile` waits for these */
  const vectorsReady: Promise<void>[] = [];
  const tested = new Set<SelfTestCaseName>();
  let lost = false;
  void opened.lost.then(() => (lost = true));

  let precompiled: Promise<void> = Promise.resolve();

  /**
   * Selects the kernels for the weight formats of a plan: those that pass the self test, then those that the tuner
   * found faster.
   */
  async function selectKernels(plan: Plan): Promise<void> {
    checkOps(plan, LOWERINGS, 'WebGPU');
    const cases = selfTestCases(plan).filter((one) => !tested.has(one));
    if (selfTest !== 'never' && cases.length) {
      const selection = await selectPassingVariant(opened, variant, cases, selfTest === 'known');
      variant = selection.variant;
      Object.assign(opened.features, { subgroups: variant.subgroups, integerHalfDecode: variant.integerHalfDecode });
      notes.push(...selection.notes);
      info.variant = kernelVariantName(variant);
      for (const one of cases) tested.add(one);
    }
    if (tuning) opened.tunings.set(ANY_KERNEL, tuning);
    else if (selfTest === 'known') await loadSavedTunings(opened, exact);
  }

  const limits = { prefillBatch: 256, decodesInFlight: 2, decodeSteps: WINDOW_STEPS };

  return {
    info,
    limits,
    reserve: () => undefined,
    matrix: (spec: Matrix) => createMatrixWriter(opened, spec),

    pagedMatrix(spec, read) {
      limits.decodesInFlight = limits.decodeSteps = 1;
      return Object.assign({}, spec, { read });
    },

    vector(name: string, values: Float32Array): Vector {
      const { buffer, ready } = opened.createBuffer(name, values.byteLength);
      vectorsReady.push(ready);
      opened.device.queue.writeBuffer(buffer, 0, values as Float32Array<ArrayBuffer>);
      return { name, length: values.length, region: wholeBuffer(buffer) } as GpuWeightVector;
    },

    precompile(plan, compileOptions) {
      precompiled = selectKernels(plan)
        .then(() => precompilePipelines(opened, plan, compileOptions, variant.f16Cache))
        .catch(() => undefined);
    },

    async compile(plan, compileOptions) {
      await Promise.all(vectorsReady);
      await precompiled;
      await selectKernels(plan);
      return createWebGpuProgram(opened, plan, compileOptions, variant.f16Cache, exact);
    },
    memory: () => opened.bytes(),
    internals: () => ({ opened, f16Cache: variant.f16Cache }),
    lost: () => lost,
    dispose: () => opened.destroy(),
  };
}
