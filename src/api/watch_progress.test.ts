import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { Progress } from '../store/progress';
import { watchProgress } from './watch_progress';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const at = (phase: Progress['phase'], more: Partial<Progress> = {}): Progress => ({
  phase,
  bytes: 1,
  total: 2,
  rate: 3,
  ...more,
});

it('repeats the last progress every 8 s until it is stopped, and says so of the network', async () => {
  const heard: Progress[] = [];
  const watch = watchProgress((progress) => heard.push(progress));
  await vi.advanceTimersByTimeAsync(8000);
  expect(heard).toMatchObject([{ phase: 'resolve', bytes: 0, total: 0, cause: 'No byte has arrived for 8 s.' }]);
  watch.report(at('download', { eta: 4 }));
  await vi.advanceTimersByTimeAsync(17_000);
  expect(heard.slice(1)).toMatchObject([
    at('download', { eta: 4 }),
    ...Array(2).fill({ ...at('download'), rate: 0, eta: undefined, cause: 'No byte has arrived for 8 s.' }),
  ]);
  watch.report(at('resolve', { cause: 'status 429' }));
  await vi.advanceTimersByTimeAsync(8000);
  expect(heard.at(-1)).toMatchObject({ rate: 0, cause: 'status 429' });
  watch.report(at('compile'));
  await vi.advanceTimersByTimeAsync(8000);
  expect(heard.slice(-2)).toMatchObject([at('compile'), { phase: 'compile', rate: 0 }]);
  expect(heard.at(-1)).not.toHaveProperty('cause');
  watch.stop();
  const { length } = heard;
  watch.report(at('load')); // a later load of the same model
  await vi.advanceTimersByTimeAsync(60_000);
  expect(heard).toHaveLength(length + 1);
});

it.each<[string, () => unknown]>([
  ['returns an object with methods', () => ({ methods: () => 0 })],
  ['never settles', () => new Promise(() => undefined)],
])('a listener that %s holds nothing up', async (_, listener) => {
  const heard = vi.fn(listener);
  const watch = watchProgress(heard);
  expect(watch.report(at('load'))).toBeUndefined();
  watch.report(at('ready'));
  await Promise.resolve();
  expect(heard).toHaveBeenCalledTimes(2);
  watch.stop();
});

it('without a listener there is nothing to do', async () => {
  const watch = watchProgress(undefined);
  watch.report(at('load'));
  expect(vi.getTimerCount()).toBe(0);
});
