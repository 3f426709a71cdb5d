/**
 * npm run drill:quota -- --seed S --runs N [--json]
 *
 * Each run: a fresh Chromium profile whose quota is set by hand, models of random sizes, the public API. Too little
 * room from the start: a named error with what is needed and what is there, before any byte. Deletion to make room: the
 * longest unused first, never a pinned one, never without consent, never in vain. Room that another script of the site
 * takes in the middle of a download: a load goes on without storage, a download ends in a named error and is continued
 * later. One line a run; exit status 1 if anything was wrong.
 */
import type { CDPSession, Page } from 'playwright';
import type * as Rivulet from '../../src/index';
import { serve } from '../harness';
import { createHub, modelBytes, requested, seeded, sha256Of } from '../hub';
import { createProfile } from '../profile';
import { flag, startTool, whole } from './options';

const MB = 1 << 20;
const CHUNK = MB;
const FILE = 'M-Q4_0.gguf';
const PIECE = 1 << 16; // of a body on each connection
const MARGIN = 2 * MB; // what the database keeps beside the chunks

export interface Outcome {
  seed: number;
  /** MB of the three models: used long ago, used of late, new */
  sizes: number[];
  deleted: string[];
  wrong: string[];
}

type Result = { id: string } | { error: { name: string; message: string } };
interface Asked {
  needed: number;
  free?: number;
  victims: { id: string; bytes: number }[];
}

/** In the page: another script of the site writes until the browser refuses. */
async function fillUp(): Promise<void> {
  const request = indexedDB.open('filler');
  request.onupgradeneeded = () => request.result.createObjectStore('s');
  const db = await new Promise<IDBDatabase>((resolve) => (request.onsuccess = () => resolve(request.result)));
  for (let bytes = 4 << 20; bytes >= 1 << 14;) {
    const value = new Uint8Array(bytes);
    // nothing that compresses
    for (let at = 0; at < bytes; at += 65536) crypto.getRandomValues(value.subarray(at, at + 65536));
    const transaction = db.transaction('s', 'readwrite');
    transaction.objectStore('s').put(value, Math.random());
    const written = await new Promise<boolean>((resolve) => {
      transaction.oncomplete = () => resolve(true);
      transaction.onabort = () => resolve(false);
    });
    if (!written) bytes >>= 1;
  }
  db.close();
}

export async function drill(seed: number, site: string): Promise<Outcome> {
  const random = seeded(seed);
  const sizes = Array.from({ length: 3 }, () => 6 * MB + Math.floor(random() * 8 * MB));
  const hub = await createHub({
    repos: Object.fromEntries(
      ['a/old', 'a/recent', 'a/new'].map((name, i) => [name, { [FILE]: modelBytes(sizes[i], seed * 10 + i) }]),
    ),
  });
  const profile = createProfile();
  const wrong: string[] = [];
  const expect = (good: boolean, what: string): void => void (good || wrong.push(what));
  try {
    const open = async (): Promise<{ page: Page; session: CDPSession }> => {
      const { page } = await profile.tab(site);
      await page.goto(`${site}/e2e/pages/engine.html`);
      await page.waitForFunction(() => 'rivulet' in window);
      return { page, session: await page.context().newCDPSession(page) };
    };
    let { page, session } = await open();
    const quota = async (room?: number): Promise<void> => {
      const { usage = 0 } = await page.evaluate(() => navigator.storage.estimate());
      await session.send('Storage.overrideQuotaForOrigin', {
        origin: site,
        ...(room !== undefined && { quotaSize: usage + Math.floor(room) }),
      });
    };
    const download = (
      name: string,
      consent?: boolean | 'asked: yes' | 'asked: no',
    ): Promise<{ result: Result; asked: Asked[] }> =>
      page.evaluate(
        async ({ name, hub, chunkBytes, consent }) => {
          const { downloadModel } = (window as unknown as { rivulet: typeof Rivulet }).rivulet;
          const asked: Asked[] = [];
          const makeRoom =
            typeof consent === 'string'
              ? (eviction: Asked) => (asked.push(eviction), consent === 'asked: yes')
              : consent;
          try {
            return {
              asked,
              result: {
                id: await downloadModel(name, {
                  hub,
                  makeRoom,
                  policy: { chunkBytes, connections: 2, backoff: 20, stall: 120_000 },
                }),
              },
            };
          } catch (error) {
            const { name, message } = error as Error;
            return { asked, result: { error: { name, message } } };
          }
        },
        { name, hub: hub.origin, chunkBytes: CHUNK, consent },
      );
    const models = (): Promise<{ id: string; storedBytes: number; complete: boolean; pinned: boolean }[]> =>
      page.evaluate(() => (window as unknown as { rivulet: typeof Rivulet }).rivulet.listModels());
    const idOf = async (name: string): Promise<string> =>
      (await models()).find(({ id }) => id.includes(name))?.id ?? '';
    const intact = async (what: string, ...names: string[]): Promise<void> => {
      for (const name of names) {
        const id = await idOf(name);
        const state =
          id &&
          (await page.evaluate((id) => (window as unknown as { rivulet: typeof Rivulet }).rivulet.verifyModel(id), id));
        expect(Boolean(state && state.ok), `${what}: ${name} is not whole any more`);
      }
    };
    const refused = async (what: string, { result }: { result: Result }, sent: number): Promise<void> => {
      const text = 'error' in result ? `${result.error.name}: ${result.error.message}` : 'no error';
      expect(/^StorageError: .*\d MB more are needed, [\d.]+ MB are free/.test(text), `${what}: ${text}`);
      expect(hub.sent() === sent, `${what}: ${hub.sent() - sent} bytes were fetched`);
    };

    for (const name of ['a/old', 'a/recent']) expect('id' in (await download(name)).result, `${name} is not stored`);
    let sent = hub.sent();

    // too little from the start: without consent, and with a no
    await quota(sizes[2] * random() * 0.9);
    await refused('no room, no consent', await download('a/new'), sent);
    const no = await download('a/new', 'asked: no');
    await refused('no room, consent refused', no, sent);
    expect(
      no.asked.length === 1 && no.asked[0].victims[0]?.id.includes('a/old'),
      `asked about ${JSON.stringify(no.asked)}`,
    );
    expect(
      no.asked[0]?.needed === sizes[2] && (no.asked[0].free ?? Infinity) < sizes[2],
      `asked with ${JSON.stringify(no.asked[0])}`,
    );
    await intact('after a refusal', 'a/old', 'a/recent');

    // with room again, all of it comes
    await quota();
    expect('id' in (await download('a/new')).result, 'with room again, it is not whole');
    await intact('with room again', 'a/old', 'a/recent', 'a/new');

    // deletion on consent; the oldest pinned for odd seeds
    await page.evaluate(
      (id) => (window as unknown as { rivulet: typeof Rivulet }).rivulet.deleteModel(id),
      await idOf('a/new'),
    );
    const pinned = seed % 2 ? 'a/old' : undefined;
    if (pinned)
      await page.evaluate(
        (id) => (window as unknown as { rivulet: typeof Rivulet }).rivulet.pinModel(id),
        await idOf(pinned),
      );
    const victim = pinned ? 1 : 0;
    await new Promise((go) => setTimeout(go, 500)); // what was deleted becomes free a little later
    await quota(Math.max(0, sizes[2] + MARGIN - sizes[victim] / 2));
    const made = await download('a/new', random() < 0.5 ? true : 'asked: yes');
    const there = (await models()).map(({ id }) => id);
    const names = ['a/old', 'a/recent'];
    const deleted = names.filter((name) => !there.some((id) => id.includes(name)));
    if ('id' in made.result) {
      expect(deleted.join() === names[victim], `deleted ${deleted.join(', ') || 'nothing'}, wanted ${names[victim]}`);
      await intact('with room made', 'a/new', ...names.filter((name) => !deleted.includes(name)));
    } else wrong.push(`with consent: ${JSON.stringify(made)}`);

    // all that may go would not suffice: nothing goes
    const before = (await models()).length;
    hub.repos['a/huge'] = { [FILE]: modelBytes(40 * MB, seed) };
    await quota(MB);
    sent = hub.sent();
    await refused('no room even with all deleted', await download('a/huge', true), sent);
    expect((await models()).length === before, 'something was deleted in vain');

    // the room goes while a model comes: a download ends, a load goes on without keeping the rest, and what has come
    // stays
    hub.repos['a/late'] = { [FILE]: modelBytes(sizes[2], seed * 10 + 3) };
    const kept = async (): Promise<number> =>
      (await models()).find(({ id }) => id.includes('a/late'))?.storedBytes ?? 0;
    const part = (0.4 + 0.4 * random()) * sizes[2];
    await profile.kill(); // a database that is open remembers for half a minute how much was free
    ({ page, session } = await open());
    await models(); // only then does the browser know again what is in use
    await quota(3 * sizes[2]); // the rest of it goes to the other script, however much it is
    sent = hub.sent();
    let filled = (): void => {};
    const full = new Promise<void>((settle) => (filled = settle));
    const held = new Promise<void>((settle) => {
      // the line stands still while the other script writes
      hub.options.hold = () => (hub.sent() - sent < part ? undefined : (settle(), full));
    });
    const coming = download('a/late');
    await Promise.race([held, coming]);
    await page.evaluate(fillUp);
    filled();
    const { result } = await coming;
    const text = 'error' in result ? `${result.error.name}: ${result.error.message}` : 'no error';
    expect(
      /^StorageError: There is not enough space to store .*more are needed/.test(text),
      `filled during a download: ${text}`,
    );
    const rest = sizes[2] - (await kept());
    expect(
      rest > sizes[2] - part - 2 * PIECE && rest < sizes[2],
      `filled during a download: ${rest} of ${sizes[2]} bytes are missing`,
    );
    hub.options.hold = undefined;
    const tab = await profile.tab(site);
    const loaded = await tab.call('load', 'a/late', { hub: hub.origin });
    const right =
      loaded.error === undefined &&
      loaded.hashes[0] === sha256Of(hub.repos['a/late'][FILE]) &&
      loaded.notes.some((note) => note.startsWith('There is not enough space to store the model'));
    expect(right, `a load without room: ${JSON.stringify(loaded)}`);
    await page.evaluate(() => indexedDB.deleteDatabase('filler'));
    await quota();
    const from = hub.log.length;
    expect('id' in (await download('a/late')).result, 'with room again, the rest does not come');
    expect(requested(hub, from) === rest, `continued: ${requested(hub, from)} bytes were fetched for ${rest} missing`);
    await intact('continued', 'a/late');
    return { seed, sizes: sizes.map((size) => Number((size / 1e6).toFixed(1))), deleted, wrong };
  } finally {
    await profile.remove();
    await hub.close();
  }
}

if (process.argv[1]?.endsWith('drill_quota.ts')) {
  const values = startTool(
    'npm run drill:quota --',
    'Downloads models into a browser with little storage, and checks what is deleted and kept.',
    {
      seed: whole('the first seed', 1),
      runs: whole('how many runs, each with the next seed', 5, 1),
      json: flag('prints one JSON line per run'),
    },
  );
  const site = await serve();
  let failed = false;
  for (let seed = values.seed; seed < values.seed + values.runs; seed++) {
    const outcome = await drill(seed, site.origin);
    failed ||= outcome.wrong.length > 0;
    const { sizes, deleted, wrong } = outcome;
    console.log(
      values.json
        ? JSON.stringify(outcome)
        : `seed ${seed}: ${sizes.join(', ')} MB, deleted ${deleted.join(', ') || 'nothing'}: ${wrong.join('; ') || 'right'}`,
    );
  }
  await site.close();
  process.exit(failed ? 1 : 0);
}
