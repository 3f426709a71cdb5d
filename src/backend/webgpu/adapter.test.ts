import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

const adapter = { name: 'an adapter' };

/** A browser that gives these answers, one per request; an Error is thrown. */
function browser(answers: (typeof adapter | null | Error)[]) {
  const wishes: (GPURequestAdapterOptions | undefined)[] = [];
  const gpu = {
    requestAdapter(wish?: GPURequestAdapterOptions) {
      wishes.push(wish);
      const answer = answers.shift() ?? null;
      return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
    },
  };
  return { gpu: gpu as unknown as GPU, wishes };
}

let findAdapter: typeof import('./adapter').findAdapter;
beforeEach(async () => {
  vi.useFakeTimers();
  vi.resetModules(); // the module remembers that there was an adapter
  ({ findAdapter } = await import('./adapter'));
});
afterEach(() => void vi.useRealTimers());

describe('the adapter', () => {
  it.each([
    ['answers a power preference with null', null],
    ['rejects a power preference', new TypeError('powerPreference')],
  ])('is requested without a power preference if the browser %s', async (_, answer) => {
    const { gpu, wishes } = browser([answer, adapter]);
    expect(await findAdapter(gpu)).toBe(adapter);
    expect(wishes).toEqual([{ powerPreference: 'high-performance' }, {}]);
  });

  it('is reported missing at once if there never was one, with the message of the browser', async () => {
    const { gpu, wishes } = browser([null, new Error('blocked')]);
    await expect(findAdapter(gpu)).rejects.toMatchObject({
      name: 'DeviceError',
      message: expect.stringMatching(/no WebGPU adapter: got Error: blocked/),
    });
    expect(wishes.length).toBe(2);
    await expect(findAdapter(undefined)).rejects.toMatchObject({
      name: 'DeviceError',
      message: expect.stringMatching(/no WebGPU/),
    });
  });

  it('is missing on a page over plain http, and the error says so', async () => {
    vi.stubGlobal('isSecureContext', false);
    await expect(findAdapter(undefined)).rejects.toMatchObject({
      name: 'DeviceError',
      message: expect.stringMatching(/WebGPU needs https or localhost/),
    });
    vi.unstubAllGlobals();
  });

  it('is requested again if there was one before: the GPU process may have crashed with the device', async () => {
    expect(await findAdapter(browser([adapter]).gpu)).toBe(adapter);
    const { gpu, wishes } = browser([null, null, null, null, adapter]);
    const again = findAdapter(gpu);
    await vi.advanceTimersByTimeAsync(999);
    expect(wishes.length).toBe(4);
    await vi.advanceTimersByTimeAsync(1);
    expect(await again).toBe(adapter);
  });

  it('is given up after three seconds', async () => {
    await findAdapter(browser([adapter]).gpu);
    const gone = expect(findAdapter(browser([]).gpu)).rejects.toMatchObject({ name: 'DeviceError' });
    await vi.advanceTimersByTimeAsync(3000);
    await gone;
  });
});
