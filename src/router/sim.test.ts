import { expect, it } from 'vitest';
import { simulateRoutes } from '../../e2e/route_sim';

it('the default policy is on the Pareto front of cost, time and answers', () => {
  for (const seed of [1, 2, 3]) {
    const rows = simulateRoutes(seed, 5000);
    expect(rows.map(({ policy }) => policy)).toHaveLength(5);
    expect(rows.find(({ policy }) => policy === 'DEFAULT')).toMatchObject({ pareto: true });
    const by = Object.fromEntries(rows.map((row) => [row.policy, row]));
    expect(by.ONLY_ON_DEVICE.cost).toBe(0);
    expect(by.DEFAULT.cost).toBeLessThan(by.PREFER_IN_CLOUD.cost);
    expect(by.DEFAULT.answered).toBeGreaterThan(by.PREFER_ON_DEVICE.answered);
  }
  expect(simulateRoutes(1, 500)).toEqual(simulateRoutes(1, 500));
});
