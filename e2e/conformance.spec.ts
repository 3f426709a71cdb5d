/**
 * The conformance table (src/backend/conformance.ts) on every variant of every backend, against the reference, in
 * Chromium; WebGPU in Firefox, too, and a part of it in 64-bit memory.
 */
import { beforeAll, describe, expect, it } from 'vitest';
import {
  CONFORMANCE_CASES,
  exceededErrorBound,
  canUseInt8Activations,
  type ReducedPrecision,
} from '../src/backend/conformance';
import { ENCODER_CASES } from '../src/backend/conformance_encoders';
import type { BackendOptions } from './pages/probe.worker';
import { once } from './once';
import { openFirefoxProbe, openProbe, type Probe } from './probe';
import { FIREFOX_WEBGPU } from './system';

const SOME_FORMATS = /^(?!(embed|linear|swiglu|experts) (F16|BF16|Q4_1|Q5|Q8_0|Q2_K|Q3_K|Q4_K|IQ|MXFP4))/;

/** One thread has the bits of two in every case (wasm.spec). */
const VARIANTS: [string, BackendOptions, RegExp?][] = [
  ['wasm simd, 2 threads', { backend: 'wasm', variant: 'simd', threads: 2 }],
  ['wasm relaxed, 2 threads', { backend: 'wasm', variant: 'relaxed', threads: 2 }],
  ['wasm relaxed, 2 threads, exact', { backend: 'wasm', variant: 'relaxed', threads: 2, exact: true }],
  ['wasm, 2 threads, 64-bit memory', { backend: 'wasm', threads: 2, memory64: true }],
  ['wasm simd, 1 thread, exact', { backend: 'wasm', variant: 'simd', threads: 1, exact: true }],
  ['webgpu, subgroups', { backend: 'webgpu', subgroups: true }],
  // all formats are read without subgroups in gpu_linear.spec
  ['webgpu, no subgroups, f32 cache', { backend: 'webgpu', subgroups: false, f16: false }, SOME_FORMATS],
  ['webgpu, int8 activations', { backend: 'webgpu', tuning: { int8Activations: true } }],
];

function suite(open: () => Promise<Probe>, options: BackendOptions, only = /./, cases = CONFORMANCE_CASES): void {
  let probe: Probe;
  beforeAll(async () => {
    probe = await open();
  });
  const { backend, exact, f16, tuning } = options;
  const accuracy: ReducedPrecision = {
    int8Activations: tuning?.int8Activations ?? (backend === 'wasm' && !exact),
    cache: exact || f16 === false ? undefined : backend === 'wasm' ? 'int16' : 'f16',
  };
  it.each(cases.filter((one) => only.test(one.name) && (!tuning?.int8Activations || canUseInt8Activations(one))))(
    '$name',
    async (one) => {
      const differences = await probe.run((p, [name, o]) => p.conformance(name, o), [
        one.name,
        { ...options, stays: backend === 'webgpu' },
      ] as const);
      for (const difference of differences)
        expect(exceededErrorBound(one, accuracy, difference), difference.run).toBeUndefined();
    },
  );
}

const chromium = once(() => openProbe({ webgpu: true }));
describe.each(VARIANTS)('%s', { tags: 'chromium' }, (_, options, only) => suite(chromium, options, only));
// pages of their own: the kernels of a side file take the place of the engine's
const encoders = once(() => openProbe({ webgpu: true }));
describe.each(VARIANTS.filter(([name]) => !/1 thread|int8/.test(name)))(
  'encoders, %s',
  { tags: 'chromium' },
  (_, options) => suite(encoders, options, undefined, ENCODER_CASES),
);

const firefox = once(() => openFirefoxProbe());
// the other formats are read there in gpu_linear.spec
describe('Firefox, webgpu', FIREFOX_WEBGPU, () =>
  suite(firefox, { backend: 'webgpu' }, /^(?!(embed|linear|swiglu|experts) (F16|Q8_0|Q2_K|Q4_K|IQ4_XS))/),
);
const firefoxEncoders = once(() => openFirefoxProbe());
describe('encoders, Firefox, webgpu', FIREFOX_WEBGPU, () =>
  suite(firefoxEncoders, { backend: 'webgpu' }, undefined, ENCODER_CASES),
);
// all cases have the bits of 32-bit memory in Chromium (wasm.spec). One thread: in Firefox a worker that starts workers
// sometimes never goes on
describe('Firefox, wasm, 64-bit memory', { tags: 'firefox' }, () =>
  suite(firefox, { backend: 'wasm', threads: 1, memory64: true }, /^(embed|linear Q4_0|experts|shortConv|attend)/),
);
describe('Firefox, webgpu, f32 cache', FIREFOX_WEBGPU, () =>
  suite(firefox, { backend: 'webgpu', f16: false }, /^attend/),
);
// every format once or twice: other shapes of the same kernels are Chromium's above
describe('Firefox, webgpu, int8 activations', FIREFOX_WEBGPU, () =>
  suite(firefox, { backend: 'webgpu', tuning: { int8Activations: true } }, /33×|segments|swiglu|post|experts .*of 8,/),
);
