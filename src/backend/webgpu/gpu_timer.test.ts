import { describe, expect, it } from 'vitest';
import { repetitionsPerSample, type GpuTimer } from './gpu_timer';

/** A device on which a repetition takes `micros`, with a clock that moves in steps of `step`. */
function device(micros: number, step: number) {
  let most = 0;
  const pass = async (times: number): Promise<number> => {
    most = Math.max(most, times * micros);
    return Math.floor((times * micros) / step) * step;
  };
  return { pass, most: () => most };
}

describe('the repetitions of a sample', () => {
  it.each<[string, GpuTimer['clock'], { micros: number; step: number; length: number }]>([
    ['a repetition shorter than the 100 µs step of the clock', 'timestamp', { micros: 7, step: 100, length: 6 }],
    ['a repetition just longer than the step', 'timestamp', { micros: 101, step: 100, length: 16 }],
    ['a fine clock', 'timestamp', { micros: 12.5, step: 0.001, length: 1 }],
    ['a clock of 1 ms around a submit', 'submit', { micros: 40, step: 1000, length: 16 }],
  ])('%s', async (_, clock, { micros, step, length }) => {
    const { pass, most } = device(micros, step);
    const rounds = await repetitionsPerSample(pass, length, clock);
    expect(rounds * length).toBeGreaterThanOrEqual(50);
    expect(rounds * micros, 'a step of the clock is at most 5 % of the sample').toBeGreaterThanOrEqual(20 * step);
    expect(most()).toBeLessThanOrEqual(45_000);
  });

  it('repeats less on a slow device', async () => {
    const { pass, most } = device(16_000, 100);
    expect(await repetitionsPerSample(pass, 16, 'timestamp')).toBe(2);
    expect(most()).toBe(32_000);
  });

  it('ends if the clock stands still', async () => {
    const { pass } = device(0, 100);
    expect(await repetitionsPerSample(pass, 6, 'timestamp')).toBeLessThanOrEqual(8192 / 6);
  });
});
