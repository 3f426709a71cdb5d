/**
 * npm run drill:kill -- --seed S --runs N [--mb 219]
 *
 * Each run: a fresh profile; a Chromium that downloads is killed (SIGKILL to all its processes) at 10 random moments,
 * each restart goes on;
 * at the end the hash is right and the cache verifies. Then one more model is downloaded and the browser killed while
 * it is deleted to make room:
 * it is there whole or not at all. One JSON line per run; exit status 1 if anything was wrong.
 */
import { serve } from '../harness';
import { createHub, modelBytes, seeded, sha256Of } from '../hub';
import type { Failed, Loaded } from '../pages/store_calls';
import { createProfile, type StorePage } from '../profile';
import { startTool, whole } from './options';

const MB = 1e6;
const KILLS = 10;
const CHUNK = 8 << 20;
const CONNECTIONS = 6;

const values = startTool(
  'npm run drill:kill --',
  'Kills Chromium during downloads and a deletion, and checks what is stored.',
  {
    seed: whole('the first seed', 1),
    runs: whole('how many runs, each with the next seed', 1, 1),
    mb: whole('size of the model in MB', 219, 1),
  },
);
const size = values.mb * MB;
const wait = (milliseconds: number): Promise<void> => new Promise((go) => setTimeout(go, milliseconds));

interface Outcome {
  kills: number;
  /** bytes sent that no longer were there after a kill: of all kills, and of the worst */
  refetched: number;
  worst: number;
  wrong: string[];
}

async function drill(seed: number, site: string): Promise<Outcome> {
  const random = seeded(seed);
  const wrong: string[] = [];
  const model = modelBytes(size, seed);
  const hash = sha256Of(model);
  const other = modelBytes(size >> 1, seed + 1);
  const hub = await createHub({
    repos: { 'a/model': { 'M-Q4_0.gguf': model }, 'a/other': { 'M-Q4_0.gguf': other } },
    pace: 1,
  });
  const profile = createProfile();
  const options = { hub: hub.origin, hash: false };
  try {
    let [kills, worst, lastSent, lastThere] = [0, 0, 0, 0];
    /** What was sent since the last look and is not there now. */
    const look = async (tab: StorePage): Promise<void> => {
      const listed = await tab.call('list');
      const there = 'models' in listed ? (listed.models[0]?.storedBytes ?? 0) : 0;
      worst = Math.max(worst, hub.sent() - lastSent - (there - lastThere));
      [lastSent, lastThere] = [hub.sent(), there];
    };
    for (; kills < KILLS; kills++) {
      const tab = await profile.tab(site);
      await look(tab);
      const from = hub.sent();
      const load = tab.call('load', 'a/model', options).catch(() => undefined);
      const goal = from + (random() * size) / (KILLS - 2);
      let ended = false;
      void load.then(() => (ended = true));
      while (hub.sent() < goal && !ended) await wait(5);
      await wait(random() * 50);
      if (ended) break;
      await profile.kill();
      await load;
    }
    const tab = await profile.tab(site);
    await look(tab);
    const result: Loaded | Failed = await tab.call('load', 'a/model', { hub: hub.origin });
    if (result.error) wrong.push(`${result.error.name}: ${result.error.message}`);
    else if (result.hashes[0] !== hash) wrong.push(`hash ${result.hashes[0]}, wanted ${hash}`);
    const refetched = hub.sent() - size;
    // what each killed connection had taken of its chunk, and what lay in the sockets
    if (worst > CONNECTIONS * CHUNK) wrong.push(`${worst} bytes had to be fetched again after a kill`);
    const listed = await tab.call('list');
    const ids = 'models' in listed ? listed.models.map(({ id }) => id) : [];
    const verified = await tab.call('verify', ids[0]);
    if (!('ok' in verified) || !verified.ok) wrong.push(`verify: ${JSON.stringify(verified)}`);

    // killed while it makes room
    hub.options.pace = 0;
    await tab.call('download', 'a/other', { hub: hub.origin });
    const removal = tab.call('remove', ids[0]).catch(() => undefined);
    await wait(random() * 60);
    await profile.kill();
    await removal;
    const after = await profile.tab(site);
    const left = await after.call('list');
    for (const { id, complete } of 'models' in left ? left.models : []) {
      const state = await after.call('verify', id);
      if (!complete || !('ok' in state) || !state.ok)
        wrong.push(`after a kill during a deletion, ${id}: ${JSON.stringify(state)}`);
    }
    const reloaded = await after.call('load', 'a/model', { hub: hub.origin });
    if (reloaded.error || reloaded.hashes[0] !== hash)
      wrong.push(`after a kill during a deletion: ${JSON.stringify(reloaded)}`);
    return { kills, refetched, worst, wrong };
  } finally {
    await profile.remove();
    await hub.close();
  }
}

const site = await serve();
let failed = false;
for (let seed = values.seed; seed < values.seed + values.runs; seed++) {
  const start = Date.now();
  const outcome = await drill(seed, site.origin);
  failed ||= outcome.wrong.length > 0;
  console.log(JSON.stringify({ seed, mb: size / MB, ...outcome, seconds: (Date.now() - start) / 1000 }));
}
await site.close();
process.exit(failed ? 1 : 0);
