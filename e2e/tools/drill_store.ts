/**
 * npm run drill:store -- [--mb 219] [--runs 3]
 *
 * Speed of the store in Chromium, profile on disk, beside what a bare loop does in the same run: JSON, one line per run, then the medians.
 * Ratios above 1 are slower than the bare parts: load against plain fetch + bare write, read against a bare read.
 */
import { parseArgs } from 'node:util';
import { serve } from '../harness';
import { createHub, modelBytes } from '../hub';
import { createProfile } from '../profile';

const { values } = parseArgs({ options: { mb: { type: 'string', default: '219' }, runs: { type: 'string', default: '3' } } });
const size = Number(values.mb) * 1e6;
const FILE = 'M-Q4_0.gguf';

function unwrap<T extends object>(result: T): Exclude<T, { error: object }> {
  if ('error' in result && result.error) throw new Error(JSON.stringify(result.error));
  return result as Exclude<T, { error: object }>;
}

const site = await serve();
const hub = await createHub({ repos: { 'a/b': { [FILE]: modelBytes(size, 1) } } });
const rows: Record<string, number>[] = [];
for (let run = 0; run < Number(values.runs); run++) {
  const profile = createProfile();
  const tab = await profile.tab(site.origin);
  await fetch(`${hub.origin}/api/models/a/b/revision/main`); // the hub computes its hashes
  const fetched = unwrap(await tab.call('plainFetch', `${hub.origin}/plain/a/b/${FILE}`));
  const bare = unwrap(await tab.call('bareLoop', size, 8 << 20));
  const cold = unwrap(await tab.call('load', 'a/b', { hub: hub.origin, hash: false }));
  const plain = unwrap(await tab.call('load', `${hub.origin}/plain/a/b/${FILE}`, { hash: false }));
  const warm = unwrap(await tab.call('load', 'a/b', { hub: hub.origin, hash: false }));
  rows.push({
    fetch: fetched.seconds,
    bareWrite: bare.write,
    bareRead: bare.read,
    firstLoad: cold.finished,
    firstLoadUnhashed: plain.finished,
    secondLoad: warm.seconds,
    firstRatio: cold.finished / (fetched.seconds + bare.write),
    readRatio: warm.seconds / bare.read,
  });
  console.log(JSON.stringify(rows.at(-1)));
  await profile.remove();
}
const median = (name: string): number => rows.map((row) => row[name]).sort((a, b) => a - b)[rows.length >> 1];
console.log(JSON.stringify(Object.fromEntries(Object.keys(rows[0]).map((name) => [name, Number(median(name).toFixed(3))]))));
await hub.close();
await site.close();
process.exit(0);
