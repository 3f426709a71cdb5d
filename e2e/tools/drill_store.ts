/**
 * npm run drill:store -- [--mb 219] [--runs 3]
 *
 * Speed of the store in Chromium, profile on disk, beside what a bare loop does in the same run: JSON, one line per run, then the medians. The
 * bare loop and the plain fetch run before and after, for a disk is not the same from one minute to the next; its mean counts.
 *   writeSpeed, readSpeed: the store's speed over the bare loop's (above 1: faster), the write with its hashes, the read with its checks
 *   firstLoad: seconds of a first load, stored and checked whole, over plain fetch + bare write, from a hub that states a hash and from an address
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
  await globalThis.fetch(`${hub.origin}/api/models/a/b/revision/main`); // the hub computes its hashes
  const url = `${hub.origin}/plain/a/b/${FILE}`;
  const bareLoop = async (): Promise<{ write: number; read: number }> => unwrap(await tab.call('bareLoop', size, 8 << 20));
  const load = async (source: string): Promise<{ seconds: number; finished: number }> => unwrap(await tab.call('load', source, { hub: hub.origin, hash: false }));
  const fetched = async (): Promise<number> => unwrap(await tab.call('plainFetch', url)).seconds;
  await fetched(); // the server is new, too
  const fetchedBefore = await fetched();
  const before = await bareLoop();
  const written = unwrap(await tab.call('storeWrite', size, 8 << 20));
  const fromHub = await load('a/b');
  const fromAddress = await load(url);
  const again = await load('a/b');
  const after = await bareLoop();
  const fetch = (fetchedBefore + (await fetched())) / 2;
  const [write, read] = [(before.write + after.write) / 2, (before.read + after.read) / 2];
  rows.push({
    fetch,
    bareWrite: write,
    bareRead: read,
    storeWrite: written.seconds,
    hubLoad: fromHub.finished,
    addressLoad: fromAddress.finished,
    secondLoad: again.seconds,
    writeSpeed: write / written.seconds,
    readSpeed: read / again.seconds,
    firstLoadHub: fromHub.finished / (fetch + write),
    firstLoadAddress: fromAddress.finished / (fetch + write),
  });
  console.log(JSON.stringify(rows.at(-1)));
  await profile.remove();
}
const median = (name: string): number => rows.map((row) => row[name]).sort((a, b) => a - b)[rows.length >> 1];
console.log(JSON.stringify(Object.fromEntries(Object.keys(rows[0]).map((name) => [name, Number(median(name).toFixed(3))]))));
await hub.close();
await site.close();
process.exit(0);
