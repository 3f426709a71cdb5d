import { expect, test } from 'vitest';
import { percentiles, spread, tokenGaps } from './stats';

test('a spread has the upper of two middle values, as npm run bench has', () => {
  expect(spread([3, 1, 2])).toEqual({ median: 2, min: 1, max: 3 });
  expect(spread([4, 1, 2, 3])).toEqual({ median: 3, min: 1, max: 4 });
  expect(() => spread([])).toThrow(RangeError);
});

test('percentiles are values that were measured', () => {
  const hundred = Array.from({ length: 100 }, (_, i) => i + 1);
  expect(percentiles(hundred)).toEqual({ p50: 50, p95: 95, p99: 99, max: 100 });
  expect(percentiles([7])).toEqual({ p50: 7, p95: 7, p99: 7, max: 7 });
  expect(() => percentiles([])).toThrow(RangeError);
});

test('tokens that arrive together share the time since the ones before', () => {
  expect(tokenGaps([0, 10, 20, 35])).toEqual([10, 10, 15]);
  expect(
    tokenGaps([0, 16, 16.02, 16.04, 16.06, 32, 32.02, 32.04, 32.06]).map((gap) => Math.round(10 * gap) / 10),
  ).toEqual([4, 4, 4, 4, 4, 4, 4, 4]);
  // fast tokens one by one
  expect(tokenGaps([0, 0.2, 0.4, 0.6]).every((gap) => Math.abs(gap - 0.2) < 1e-9)).toBe(true);
  expect(tokenGaps([5])).toEqual([]);
  expect(tokenGaps([])).toEqual([]);
});
