/** Times by kernel on WebGPU. It needs the backend itself, which the public API does not show. */
import { expose } from 'comlink';
import { firstState, type ShapeTuningResult } from '../../src/backend/backend';
import { recordModel } from '../../src/backend/model_plan';
import { openWebGpuBackend } from '../../src/backend/webgpu/backend';
import { profileAt } from '../../src/backend/webgpu/profile';
import { openCheckpoint } from '../../src/engine/checkpoint';
import '../../src/engine/comlink_handlers';
import { loadWeights } from '../../src/engine/load_weights';
import { fail } from '../../src/errors';
import '../../src/modules/experts';
import { openModel, type ModelSource } from '../../src/store/open_model';
import { profileOf } from './profile';
import type { KernelTimes } from './result';
import { rounded } from './stats';

export interface KernelTimesOptions {
  allowSoftware?: boolean;
  /** time limit of the tuner; 0: no tuning */
  tuneMs: number;
}

/** Kernels are timed at this position. */
const POSITION = 128;

async function kernelTimes(source: ModelSource, { allowSoftware, tuneMs }: KernelTimesOptions): Promise<KernelTimes> {
  const opened = await openModel(source);
  const backend = await openWebGpuBackend({ allowSoftware });
  try {
    const checkpoint = await openCheckpoint(opened.files);
    await backend.reserve(checkpoint.bytes);
    const weights = await loadWeights(checkpoint, backend, () => undefined);
    const { prefillBatch } = backend.limits;
    const state = await firstState(backend, recordModel(checkpoint, weights), { contextLength: 1024, prefillBatch });
    const profile = profileOf(await profileAt(state, POSITION, prefillBatch));
    if (!profile) return fail('DeviceError', { what: 'This backend does not measure kernels' });
    let tuned: ShapeTuningResult[] = [];
    if (tuneMs && state.program.tune) {
      state.rewind(0);
      await state.prefill(Uint32Array.of(0)); // the tuner needs one token
      tuned = await state.program.tune({ budgetMs: tuneMs, allowSoftware });
    }
    return {
      clock: profile.clock,
      copyGigabytesPerSecond: profile.copyGigabytesPerSecond,
      emptyDispatchMicros: profile.emptyDispatchMicros,
      kernels: profile.kernels.map(({ kernel, dispatches, micros, gigabytesPerSecond, shareOfCopy }) => ({
        kernel,
        dispatches,
        micros,
        gigabytesPerSecond,
        ...(shareOfCopy !== undefined && { shareOfCopy }),
      })),
      tuned: tuned.map(({ tuneKey, defaultMicros, micros, tuning }) => ({
        shape: tuneKey,
        defaultMicros: rounded(defaultMicros),
        micros: rounded(micros),
        tuning:
          Object.entries(tuning)
            .map(([name, value]) => `${name} ${value}`)
            .join(', ') || 'default',
      })),
    };
  } finally {
    await backend.dispose();
    await opened.close();
  }
}

const calls = { kernelTimes };
export type KernelCalls = typeof calls;
expose(calls);
