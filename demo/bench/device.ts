/** What the browser tells about this device. */
import { adapterName, findAdapter, softwareAdapterName } from '../../src/backend/webgpu/adapter';
import { readBattery } from './conditions';
import type { Device } from './result';

interface NavigatorHints {
  deviceMemory?: number;
  userAgentData?: { mobile?: boolean; platform?: string; brands?: { brand: string; version: string }[] };
}

/** Functions of one instruction: plain SIMD splats a byte, relaxed SIMD swizzles. */
const SIMD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 8, 1, 6, 0, 65, 0, 253, 15, 11];
const RELAXED = [
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0, 65, 1, 253, 15, 65, 2, 253, 15,
  253, 128, 2, 11,
];

const runs = (module: number[]): boolean => WebAssembly.validate(Uint8Array.from(module));

export async function readDevice(): Promise<Device> {
  const hints = navigator as NavigatorHints;
  const [gpu, battery] = await Promise.all([readGpu(), readBattery()]);
  const { mobile = /Android|iPhone|iPad|Mobile/.test(navigator.userAgent), platform = navigator.platform } =
    hints.userAgentData ?? {};
  return {
    browser: browserName(navigator.userAgent, hints.userAgentData?.brands).slice(0, 120),
    platform: (platform || 'unknown').slice(0, 120),
    mobile,
    cores: navigator.hardwareConcurrency || 1,
    ...(hints.deviceMemory && { memoryGB: hints.deviceMemory }),
    isolated: crossOriginIsolated,
    clockMs: clockStep(),
    simd: runs(RELAXED) ? 'relaxed' : runs(SIMD) ? 'simd' : 'none',
    ...(gpu && { gpu }),
    ...(battery && { battery }),
  };
}

/** 'Chrome 156': the brand that is not the engine's, else what the user agent says. */
export function browserName(userAgent: string, brands: { brand: string; version: string }[] = []): string {
  const real = brands.filter(({ brand }) => !/not.?a.?brand/i.test(brand.replace(/[^A-Za-z]/g, '')));
  const named = real.find(({ brand }) => brand !== 'Chromium') ?? real[0];
  if (named) return `${named.brand} ${named.version}`;
  const [, name, version] = /(Firefox|Edg|OPR)\/(\d+)/.exec(userAgent) ?? /(Chrome)\/(\d+)/.exec(userAgent) ?? [];
  if (name) return `${{ Edg: 'Edge', OPR: 'Opera' }[name] ?? name} ${version}`;
  const safari = /Version\/([\d.]+).*Safari/.exec(userAgent);
  return safari ? `Safari ${safari[1]}` : 'unknown browser';
}

async function readGpu(): Promise<Device['gpu']> {
  try {
    const adapter = await findAdapter();
    const software = softwareAdapterName(adapter.info);
    return {
      name: (software ?? adapterName(adapter.info)).slice(0, 200),
      software: software !== undefined,
      features: [...adapter.features].filter((name) => /f16|subgroup|timestamp/.test(name)).sort(),
      maxBufferBytes: adapter.limits.maxBufferSize,
    };
  } catch {
    return undefined; // the device card says that there is none
  }
}

/** The smallest difference that the clock shows, in ms. */
function clockStep(): number {
  let least = Infinity;
  const end = performance.now() + 10;
  for (let before = performance.now(); before < end;) {
    const now = performance.now();
    if (now > before) least = Math.min(least, now - before);
    before = now;
  }
  return Number.isFinite(least) ? Number(least.toPrecision(2)) : 10;
}
