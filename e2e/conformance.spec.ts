/** The conformance table (src/backend/conformance.ts) on every variant of every backend, against the reference, in Chromium. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CASES } from '../src/backend/conformance';
import type { BackendOptions } from './pages/probe.worker';
import { openProbe, type ProbePage } from './probe';

const VARIANTS: [string, BackendOptions][] = [
  ['wasm simd, 1 thread', { backend: 'wasm', variant: 'simd', threads: 1 }],
  ['wasm simd, 2 threads', { backend: 'wasm', variant: 'simd', threads: 2 }],
  ['wasm relaxed, 1 thread', { backend: 'wasm', variant: 'relaxed', threads: 1 }],
  ['wasm relaxed, 2 threads', { backend: 'wasm', variant: 'relaxed', threads: 2 }],
  ['wasm relaxed, 2 threads, exact', { backend: 'wasm', variant: 'relaxed', threads: 2, exact: true }],
  ['wasm simd, 1 thread, exact', { backend: 'wasm', variant: 'simd', threads: 1, exact: true }],
  ['webgpu, subgroups', { backend: 'webgpu', subgroups: true }],
  ['webgpu, no subgroups, f32 cache', { backend: 'webgpu', subgroups: false, f16: false }],
];

let probe: ProbePage;
beforeAll(async () => {
  probe = await openProbe({ webgpu: true });
});
afterAll(() => probe?.close());

describe.each(VARIANTS)('%s', (_, options) => {
  it.each(CASES.map(({ name }) => name))('%s', async (name) => {
    const differences = await probe.run((p, [n, o]) => p.conformance(n, o), [name, options] as const);
    for (const { run, maxAbs, rms, nmse, rounds } of differences) {
      // int8 activations off the grid: llama.cpp's own error on these formats (2.5e-3); all else is f32 rounding of long sums
      if (options.backend === 'wasm' && !options.exact && rounds) expect(nmse, `${run}: nmse`).toBeLessThan(2.5e-3);
      // keys and values as f16, unless exact or told not to: 2^-11 at most, 8e-8 of the power on average, in scores and in values
      else if (!options.exact && options.f16 !== false && name.startsWith('attend')) expect(nmse, `${run}: nmse`).toBeLessThan(5e-7);
      else expect(maxAbs / rms, `${run}: largest difference over rms`).toBeLessThan(1e-4);
    }
  });
});
