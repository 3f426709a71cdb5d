/**
 * npm run drill:route -- --seed S --runs N
 *
 * Each run: a conversation of three turns over a router, with one to three servers of this machine that cut, stall,
 * send wrong bytes, refuse or redirect by the seed, and a network that goes away in some. Each turn must be answered
 * with every word once, or end with a named error; nothing private is in any byte that a server got; the ledger has a
 * row for all that left. Every fifth run also measures how long a breaker stays open. Exit status 1 if anything was
 * wrong.
 */
import { drillBreaker, drillRoute } from '../route_drill';
import { startTool, whole } from './options';

const { seed, runs } = startTool('npm run drill:route --', 'Drills routing over servers that misbehave.', {
  seed: whole('of the first run', 1),
  runs: whole('how many conversations', 300, 1),
});
const AT_ONCE = 6;

const told = new Map<string, number>();
let wrong = 0;
let next = 0;
async function worker(): Promise<void> {
  while (next < runs) {
    const own = seed + next++;
    const { turns, wrong: found } = await drillRoute(own);
    if (own % 5 === 0) found.push(...(await drillBreaker(own)));
    for (const turn of turns) told.set(turn, (told.get(turn) ?? 0) + 1);
    for (const line of found) console.log(`seed ${own}: ${line}`);
    wrong += found.length;
  }
}
await Promise.all(Array.from({ length: AT_ONCE }, worker));
const ends = [...told].sort((a, b) => b[1] - a[1]).map(([end, n]) => `${end} ${n}`);
console.log(`${runs} conversations, ${wrong} wrong. Turns: ${ends.join(', ')}`);
process.exit(wrong ? 1 : 0);
