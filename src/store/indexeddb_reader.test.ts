import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createIndexedDbWorkerReader } from './indexeddb_reader';

type Fate = 'answers' | 'fails' | 'is silent' | 'breaks' | 'is refused';

/** Workers of one fate, in place of the browser's. */
function employ(fate: Fate): { started: number; ended: number } {
  const counts = { started: 0, ended: 0 };
  class Employed {
    onmessage?: (event: { data: unknown }) => void;
    onerror?: () => void;
    constructor() {
      if (fate === 'is refused') throw new Error('Content-Security-Policy');
      counts.started++;
    }
    postMessage({ read, key }: { read: number; key: string }): void {
      if (fate === 'is silent') return;
      setTimeout(() => {
        if (fate === 'breaks') this.onerror?.();
        else this.onmessage?.({ data: fate === 'fails' ? { read, failed: true } : { read, value: `worker ${key}` } });
      }, 1);
    }
    terminate(): void {
      counts.ended++;
    }
  }
  vi.stubGlobal('Worker', Employed);
  return counts;
}

const here = async (key: IDBValidKey): Promise<unknown> => `here ${String(key)}`;
const keys = Array.from({ length: 11 }, (_, i) => `${i}`);

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal('navigator', { userAgentData: {} });
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe('reader', () => {
  it('reads in workers, each for a few reads, and ends all of them', async () => {
    const counts = employ('answers');
    const read = createIndexedDbWorkerReader('d', 's', here);
    const all = Promise.all(keys.map(read));
    await vi.advanceTimersByTimeAsync(10);
    expect(await all).toEqual(keys.map((key) => `worker ${key}`));
    expect(counts.started).toBe(6);
    await vi.advanceTimersByTimeAsync(2000);
    expect(counts.ended).toBe(6);
  });

  it.each<[Fate, number]>([
    ['fails', 10],
    ['is silent', 6000],
    ['breaks', 10],
    ['is refused', 0],
  ])('a worker that %s: reads in place', async (fate, milliseconds) => {
    const counts = employ(fate);
    const read = createIndexedDbWorkerReader('d', 's', here);
    const all = Promise.all(keys.map(read));
    await vi.advanceTimersByTimeAsync(milliseconds);
    expect(await all).toEqual(keys.map((key) => `here ${key}`));
    await vi.advanceTimersByTimeAsync(2000);
    expect(counts.ended).toBe(counts.started);
    const again = read('again');
    await vi.advanceTimersByTimeAsync(milliseconds);
    expect(await again).toBe('here again');
  });

  it.each([
    ['Worker', undefined],
    ['navigator', {}],
  ])('another %s: reads in place', async (name, value) => {
    const counts = employ('answers');
    vi.stubGlobal(name, value);
    expect(await createIndexedDbWorkerReader('d', 's', here)('a')).toBe('here a');
    expect(counts.started).toBe(0);
  });
});
