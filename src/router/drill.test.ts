import { expect, it } from 'vitest';
import { drillBreaker, drillRoute } from '../../e2e/route_drill';

it('conversations over servers that misbehave are answered with every word once, or end with a named error', async () => {
  const results = await Promise.all(Array.from({ length: 40 }, (_, i) => drillRoute(700 + i)));
  expect(results.filter(({ wrong }) => wrong.length)).toEqual([]);
  const turns = new Set(results.flatMap((result) => result.turns));
  expect(turns.size).toBeGreaterThan(3);
  expect([...turns]).toEqual(expect.arrayContaining(['local', 'cloud']));
}, 60_000);

it('a breaker is open as long as it is set to be', async () => {
  for (const seed of [1, 2, 3]) expect(await drillBreaker(seed)).toEqual([]);
});
