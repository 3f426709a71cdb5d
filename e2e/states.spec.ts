/** What states of one program must do (e2e/state_cases.ts) on both backends: Chromium, and WebGPU in Firefox, too. */
import { describe, expect, it } from 'vitest';
import { once } from './once';
import type { BackendOptions } from './pages/probe.worker';
import { openFirefoxProbe, openProbe, type Probe } from './probe';
import { stateCases } from './state_cases';
import { FIREFOX_WEBGPU } from './system';

/** seeds of the cases with random conversations: many on WASM, fewer on a software adapter, some in other variants */
const [MANY, FEWER, SOME] = [50, 25, 8];

const chromium = once((): Promise<Probe> => openProbe({ webgpu: true }));
const firefox = once(() => openFirefoxProbe());

const suite = (open: () => Promise<Probe>, options: BackendOptions, n: number): void =>
  it.each(Object.keys(stateCases(n)))('%s', { timeout: 900_000 }, async (name) => {
    const probe = await open();
    const wrong = await probe.run((p, [one, seeds, how]) => p.states(one, seeds, how), [name, n, options] as const);
    expect(wrong).toBeUndefined();
  });

const WASM: BackendOptions = { backend: 'wasm', threads: 2 };
const WEBGPU: BackendOptions = { backend: 'webgpu', stays: true };

describe('wasm', { tags: 'chromium' }, () => suite(chromium, WASM, MANY));
describe('wasm, exact', { tags: 'chromium' }, () => suite(chromium, { ...WASM, exact: true }, SOME));
describe('wasm, 64-bit memory', { tags: 'chromium' }, () => suite(chromium, { ...WASM, memory64: true }, SOME));
describe('webgpu', { tags: 'chromium' }, () => suite(chromium, WEBGPU, FEWER));
describe('webgpu, f32 cache', { tags: 'chromium' }, () => suite(chromium, { ...WEBGPU, f16: false }, SOME));
describe('Firefox, webgpu', FIREFOX_WEBGPU, () => suite(firefox, WEBGPU, SOME));
