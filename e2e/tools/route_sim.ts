/**
 * npm run route:sim -- [--seed 1] [--requests 20000]
 *
 * Five policies over the same seeded requests, with the prices, times and curves of e2e/route_sim.ts: cost of a
 * thousand requests, 95th percentile of the time, and share of requests with an answer that suffices. Exit status 1 if
 * the default policy is not on the Pareto front.
 */
import { simulateRoutes } from '../route_sim';
import { startTool, whole } from './options';

const { seed, requests } = startTool('npm run route:sim --', 'Simulates policies of the router.', {
  seed: whole('of the traffic', 1),
  requests: whole('how many', 20_000, 100),
});
const rows = simulateRoutes(seed, requests);
console.log(
  `${'policy'.padEnd(18)}${['cost/1000', 'p95 s', 'answered', 'Pareto'].map((head) => head.padStart(11)).join('')}`,
);
for (const { policy, cost, p95Ms, answered, pareto } of rows) {
  const cells = [cost.toFixed(3), (p95Ms / 1000).toFixed(1), `${(answered * 100).toFixed(1)} %`, pareto ? 'yes' : 'no'];
  console.log(policy.padEnd(18) + cells.map((cell) => cell.padStart(11)).join(''));
}
process.exit(rows.at(-1)!.pareto ? 0 : 1);
