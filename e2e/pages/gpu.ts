/** The WebGPU backend by itself, in a page: what e2e/gpu.spec.ts asks it. */
import { CASES, runCase } from '../../src/backend/conformance';
import { openReference } from '../../src/backend/reference/backend';
import { openWebGpu } from '../../src/backend/webgpu/backend';
import type { DeviceOptions } from '../../src/backend/webgpu/device';

const gpu = {
  caseNames: (): string[] => CASES.map(({ name }) => name),

  /** Largest difference over rms of every run of a conformance case. */
  async conformance(name: string, options: DeviceOptions): Promise<{ run: string; error: number }[]> {
    const one = CASES.find((c) => c.name === name)!;
    const wanted = await runCase(one, openReference());
    const backend = await openWebGpu({ ...options, allowSoftware: true });
    try {
      const got = await runCase(one, backend);
      return wanted.map(({ run, values }, i) => ({ run, error: difference(got[i].values, values) }));
    } finally {
      await backend.dispose();
    }
  },
};

function difference(got: Float32Array, wanted: Float32Array): number {
  if (got.length !== wanted.length) throw new Error(`${got.length} values, wanted ${wanted.length}`);
  let most = 0;
  let power = 0;
  wanted.forEach((w, i) => {
    const delta = Math.abs(got[i] - w);
    if (!(delta <= most)) most = delta; // NaN counts
    power += w * w;
  });
  return most / Math.sqrt(power / wanted.length);
}

export type GpuPage = typeof gpu;
Object.assign(window, { gpu });
