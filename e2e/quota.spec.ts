// @module-tag chromium
/** The drill of tools/drill_quota.ts with fixed seeds: one with the oldest model pinned, one without. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { serve, type Served } from './harness';
import { drill } from './tools/drill_quota';

let site: Served;
beforeAll(async () => void (site = await serve()));
afterAll(() => site.close());

test.each([1, 2])('a small quota, seed %i', async (seed) => {
  expect((await drill(seed, site.origin)).wrong).toEqual([]);
});
