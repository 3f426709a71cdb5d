/**
 * npm run drill:store -- [--mb 219] [--runs 3]
 *
 * Speed of the store in a Chromium that nobody automates, profile on disk, beside what a bare loop does in the same
 * run: JSON, one line per run, then the medians. The bare loop and the plain fetch run before and after, for a disk is
 * not the same from one minute to the next; its mean counts.
 *   writeSpeed, readSpeed: the store's speed over the bare loop's (above 1: faster), the write with its hashes, the
 *     read with its checks
 *   firstLoad: seconds of a first load, stored and checked whole, over plain fetch + bare write, from a hub that states
 *     a hash and from an address
 */
import { createHub, modelBytes } from '../hub';
import { createUnattended } from '../unattended';
import { startTool, whole } from './options';

const values = startTool(
  'npm run drill:store --',
  'Measures the speed of the model storage beside a bare loop, in Chromium.',
  {
    mb: whole('size of the model in MB', 219, 1),
    runs: whole('how many runs', 3, 1),
  },
);
const size = values.mb * 1e6;
const CHUNK = 8 << 20;
const FILE = 'M-Q4_0.gguf';
const hub = await createHub({ repos: { 'a/b': { [FILE]: modelBytes(size, 1) } } });
const url = `${hub.origin}/plain/a/b/${FILE}`;
await fetch(`${hub.origin}/api/models/a/b/revision/main`); // the hub computes its hashes
const [bare, fetched] = [
  ['bareLoop', size, CHUNK],
  ['plainFetch', url],
];
const load = (source: string): unknown[] => ['load', source, { hub: hub.origin, hash: false }];

interface Answer {
  error?: object;
  seconds: number;
  /** of a load: when all was stored, too */
  finished: number;
  /** of the bare loop */
  write: number;
  read: number;
}

const rows: Record<string, number>[] = [];
for (let run = 0; run < values.runs; run++) {
  const browser = await createUnattended();
  const steps = [
    fetched,
    fetched,
    bare,
    ['storeWrite', size, CHUNK],
    load('a/b'),
    load(url),
    load('a/b'),
    bare,
    fetched,
  ]; // the first is not counted: the server is new, too
  const answers = JSON.parse(
    await browser.visit(`/e2e/pages/store.html?steps=${encodeURIComponent(JSON.stringify(steps))}`),
  ) as Answer[];
  await browser.close();
  const broken = answers.find(({ error }) => error);
  if (broken) throw new Error(JSON.stringify(broken));
  const [, fetchBefore, before, written, fromHub, fromAddress, again, after, fetchAfter] = answers;
  const fetch = (fetchBefore.seconds + fetchAfter.seconds) / 2;
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
}
const median = (name: string): number => rows.map((row) => row[name]).sort((a, b) => a - b)[rows.length >> 1];
console.log(
  JSON.stringify(Object.fromEntries(Object.keys(rows[0]).map((name) => [name, Number(median(name).toFixed(3))]))),
);
await hub.close();
process.exit(0);
