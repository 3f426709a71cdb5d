import { describe, expect, it } from 'vitest';
import { roundsOf, type Timer } from './profile';

/** A device on which a round takes so many µs, and a clock that goes in steps. */
function device(micros: number, step: number) {
  let most = 0;
  const pass = async (times: number): Promise<number> => {
    most = Math.max(most, times * micros);
    return Math.floor((times * micros) / step) * step;
  };
  return { pass, most: () => most };
}

describe('the rounds of a sample', () => {
  it.each<[string, Timer['clock'], { micros: number; step: number; length: number }]>([
    ['a clock of 100 µs that sees nothing of a round', 'timestamp', { micros: 7, step: 100, length: 6 }],
    ['a round just above the step', 'timestamp', { micros: 101, step: 100, length: 16 }],
    ['a fine clock', 'timestamp', { micros: 12.5, step: 0.001, length: 1 }],
    ['a clock of 1 ms around a submit', 'submit', { micros: 40, step: 1000, length: 16 }],
  ])('%s', async (_, clock, { micros, step, length }) => {
    const { pass, most } = device(micros, step);
    const rounds = await roundsOf(pass, length, clock);
    expect(rounds * length).toBeGreaterThanOrEqual(50);
    expect(rounds * micros, 'steps of the clock are 5 % of it at most').toBeGreaterThanOrEqual(20 * step);
    expect(most()).toBeLessThanOrEqual(45_000);
  });

  it('takes fewer dispatches of a slow device', async () => {
    const { pass, most } = device(16_000, 100);
    expect(await roundsOf(pass, 16, 'timestamp')).toBe(2);
    expect(most()).toBe(32_000);
  });

  it('ends where the clock stands still', async () => {
    const { pass } = device(0, 100);
    expect(await roundsOf(pass, 6, 'timestamp')).toBeLessThanOrEqual(8192 / 6);
  });
});
