/** Experts that are read when a token needs them (e2e/paging_cases.ts), on WebGPU in Chromium and Firefox. */
import { describe, expect, it } from 'vitest';
import { once } from './once';
import { openFirefoxProbe, openProbe, type Probe } from './probe';
import { FIREFOX_WEBGPU } from './system';

const suite = (open: () => Promise<Probe>, caches: boolean[]): void =>
  it.each(caches)('the same bits as in memory, and no loss when a read fails; f16: %s', async (f16) => {
    const probe = await open();
    const wrong = await probe.run((p, how) => p.paging(how), { backend: 'webgpu', stays: true, f16 } as const);
    expect(wrong).toBeUndefined();
  });

const chromium = once((): Promise<Probe> => openProbe({ webgpu: true }));
const firefox = once(() => openFirefoxProbe());
describe('Chromium', { tags: 'chromium', timeout: 300_000 }, () => suite(chromium, [false]));
describe('Firefox', { ...FIREFOX_WEBGPU, timeout: 300_000 }, () => suite(firefox, [true]));
