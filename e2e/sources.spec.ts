// @module-tag chromium
/** The drill of tools/drill_sources.ts, a short series: sources, places and options as they come, right and wrong. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openDrill, type Drill, type Outcome } from './tools/drill_sources';

let drill: Drill;
beforeAll(async () => void (drill = await openDrill()));
afterAll(() => drill?.close());

test('24 calls end with an answer or an error of a documented name', async () => {
  const ends: Outcome[] = [];
  expect(await drill.series(1, 24, (outcome) => ends.push(outcome))).toEqual([]);
  expect(ends).toHaveLength(24);
  expect(ends.filter(({ told }) => told === 'answered').length).toBeGreaterThan(3);
  expect(ends.filter(({ told }) => told !== 'answered').length).toBeGreaterThan(3);
}, 120_000);
