// @module-tag chromium
import { readFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { serve, type Served } from './harness';
import type * as Rivulet from '../src/index';
import { createHub, modelBytes, requested, seeded, sha256Of, type Hub } from './hub';
import { createProfile, type Profile, type StorePage } from './profile';

const MB = 1 << 20;
const REPO = 'Org/Model-GGUF';
const FILE = 'Model-Q4_0.gguf';
const bytes = modelBytes(30 * MB + 12345, 7);
const hash = sha256Of(bytes);
const policy = { backoff: 20, chunkBytes: MB };

let site: Served;
let hub: Hub;
let profile: Profile;
const options = (): { hub: string; policy: object } => ({ hub: hub.origin, policy });

beforeAll(async () => void (site = await serve()));
afterAll(() => site.close());
beforeEach(async () => {
  hub = await createHub({ repos: { [REPO]: { [FILE]: bytes } } });
  profile = createProfile();
});
afterEach(async () => {
  await profile.remove();
  await hub.close();
});

describe('the store in Chromium', () => {
  it('downloads once; after a restart of the browser it needs no server', async () => {
    const tab = await profile.tab(site.origin);
    expect(await tab.call('load', REPO, { hub: hub.origin })).toMatchObject({
      hashes: [hash],
      cached: false,
      notes: [],
    });
    expect(hub.sent()).toBe(bytes.length);
    const { origin } = hub;
    await hub.close();
    await tab.page.reload();
    await tab.page.waitForFunction(() => 'store' in window);
    expect(await tab.call('load', REPO, { hub: origin })).toMatchObject({ hashes: [hash], cached: true });
    await tab.page.close();
    await new Promise((go) => setTimeout(go, 1000));
    await profile.kill();
    const again = await profile.tab(site.origin);
    expect(await again.call('load', REPO, { hub: origin })).toMatchObject({ hashes: [hash], cached: true });
  });

  it('killed in the middle, it goes on: at most a chunk per connection is fetched twice', async () => {
    hub.options.fault = ({ kind, range }) => (kind === 'file' && range && range.first >= 12 * MB ? 'stall' : undefined);
    const tab = await profile.tab(site.origin);
    const load = tab.call('load', REPO, options()).catch((error: unknown) => error);
    while (!hub.log.some(({ fault }) => fault)) await new Promise((go) => setTimeout(go, 10));
    await profile.kill();
    await load;
    hub.options.fault = undefined;
    const asked = hub.log.length;
    const again = await profile.tab(site.origin);
    const [{ id, storedBytes }] = ((await again.call('list')) as { models: { id: string; storedBytes: number }[] })
      .models;
    expect(requested(hub) - storedBytes).toBeLessThanOrEqual(6 * MB); // as many connections at most
    expect(await again.call('load', REPO, options())).toMatchObject({ hashes: [hash], cached: false });
    expect(requested(hub, asked)).toBe(bytes.length - storedBytes);
    expect(await again.call('verify', id)).toMatchObject({ ok: true });
  });

  it('two tabs and a worker at once: one transfer, all get the bytes', async () => {
    hub.options.pace = 10; // about a second: time for some looks at the progress
    const [a, b] = [await profile.tab(site.origin), await profile.tab(site.origin)];
    const loads = await Promise.all([
      a.call('load', REPO, options()),
      b.call('load', REPO, options()),
      b.call('inWorker', REPO, options()),
    ]);
    for (const load of loads) {
      expect(load).toMatchObject({ hashes: [hash], notes: [] });
      expect('told' in load && load.told).toBeGreaterThan(2); // those that wait follow the progress of the one
    }
    expect(hub.sent()).toBe(bytes.length);
    expect(requested(hub)).toBe(bytes.length);
  });

  it('three loads of a model in two tabs at once: one transfer, all answer, with the same text', async () => {
    const model = readFileSync('public/models/rivulet-tiny.gguf');
    hub.repos['a/tiny'] = { 'tiny.gguf': model };
    hub.options.pace = 1;
    const run = async ({ page }: StorePage): Promise<string> => {
      await page.waitForFunction(() => 'rivulet' in window);
      return page.evaluate(async (options) => {
        const { load } = (window as unknown as { rivulet: typeof Rivulet }).rivulet;
        const model = await load('a/tiny', { ...options, backend: 'wasm', threads: 1, contextLength: 256 });
        let text = '';
        for await (const part of model.chat([{ role: 'user', content: 'Who are you?' }], {
          maxTokens: 12,
          temperature: 0,
        }))
          text += part;
        await model.unload();
        return text;
      }, options());
    };
    const tabs = [await profile.tab(site.origin), await profile.tab(site.origin)];
    for (const { page } of tabs) await page.goto(`${site.origin}/e2e/pages/engine.html`);
    const [first, ...others] = await Promise.all([run(tabs[0]), run(tabs[1]), run(tabs[1])]);
    expect(first.length).toBeGreaterThan(10);
    expect(others).toEqual([first, first]);
    expect(hub.sent()).toBe(model.length);
    expect(requested(hub)).toBe(model.length);
  });

  it('a deletion waits until no tab reads any more, or is refused at once', async () => {
    const [a, b] = [await profile.tab(site.origin), await profile.tab(site.origin)];
    const done = await a.call('download', REPO, options());
    const id = 'id' in done ? done.id : '';
    const reading = a.call('keepOpen', REPO, options(), 1500);
    await new Promise((go) => setTimeout(go, 300));
    expect(await b.call('remove', id, { wait: false })).toMatchObject({
      error: { name: 'StorageError', message: expect.stringContaining('in use') },
    });
    const [read, removed] = await Promise.all([reading, b.call('remove', id)]);
    if (!('closed' in read) || !('at' in removed)) throw new Error(JSON.stringify([read, removed]));
    expect(removed.at).toBeGreaterThanOrEqual(read.closed);
    expect(await b.call('list')).toEqual({ models: [] });
  });

  it('a small quota: the load goes on without being kept, what was stored stays, and with room it is resumed', async () => {
    const tab = await profile.tab(site.origin);
    const session = await tab.page.context().newCDPSession(tab.page);
    await session.send('Storage.overrideQuotaForOrigin', { origin: site.origin, quotaSize: 12 * MB });
    const first = await tab.call('load', REPO, options());
    expect(first).toMatchObject({ hashes: [hash], cached: false });
    expect('notes' in first && first.notes.join()).toMatch(/not enough space to store/);
    expect(await tab.call('load', REPO, { ...options(), cache: 'required' })).toMatchObject({
      error: { name: 'StorageError', message: expect.stringMatching(/MB more are needed, the browser stores no more/) },
    });
    await session.send('Storage.overrideQuotaForOrigin', { origin: site.origin });
    expect(await tab.call('load', REPO, options())).toMatchObject({ hashes: [hash], notes: [] });
    expect(await tab.call('load', REPO, options())).toMatchObject({ hashes: [hash], cached: true });
  });

  it('a flipped bit in the storage is found and mended; an export comes in again', async () => {
    const tab = await profile.tab(site.origin);
    const done = await tab.call('download', REPO, options());
    const id = 'id' in done ? done.id : '';
    await tab.call('flip', id, FILE, 11, 54321);
    const before = hub.sent();
    expect(await tab.call('load', REPO, options())).toMatchObject({ hashes: [hash], cached: true });
    expect(hub.sent() - before).toBe(MB);
    await tab.call('flip', id, FILE, 30, 1);
    expect(await tab.call('verify', id)).toMatchObject({ ok: false, damaged: [{ file: FILE, index: 30 }] });
    await tab.call('download', REPO, options());
    expect(await tab.call('roundTrip', id)).toMatchObject({ id });
    expect(await tab.call('load', REPO, options())).toMatchObject({ hashes: [hash], cached: true });
  });

  it('wherever a bit of a chunk flips, its first and last byte too: found at verify, and a load has the right bytes', async () => {
    const tab = await profile.tab(site.origin);
    const done = await tab.call('download', REPO, options());
    const id = 'id' in done ? done.id : '';
    const random = seeded(5);
    const inside = Array.from({ length: 6 }, () => [Math.floor(random() * 30), Math.floor(random() * MB)]);
    for (const [index, at] of [[0, 0], [0, MB - 1], [7, 0], [7, MB - 1], [30, 0], [30, 12344], ...inside]) {
      await tab.call('flip', id, FILE, index, at);
      expect(await tab.call('verify', id), `byte ${at} of ${index}`).toEqual({
        ok: false,
        damaged: [{ file: FILE, index }],
        foreign: [],
      });
      await tab.call('download', REPO, options());
      await tab.call('flip', id, FILE, index, at);
      const from = hub.log.length;
      expect(await tab.call('load', REPO, options()), `byte ${at} of ${index}`).toMatchObject({
        hashes: [hash],
        notes: [],
      });
      expect(requested(hub, from)).toBe(Math.min(MB, bytes.length - index * MB));
    }
  });

  it('a bit of any field of a manifest: found at verify, and a load has the right bytes', async () => {
    const small = { hub: hub.origin, policy: { ...policy, chunkBytes: 64 << 10 } };
    const content = modelBytes(300_000, 3);
    hub.repos['a/small'] = { [FILE]: content };
    const tab = await profile.tab(site.origin);
    for (const field of [
      'id',
      'aliases 0',
      'revision',
      'files 0 name',
      'files 0 size',
      'files 0 url',
      'files 0 sha256',
      'chunkBytes',
      'state',
      'added',
      'lastUsed',
      'pinned',
      'seal',
    ]) {
      const done = await tab.call('download', 'a/small', small);
      const id = 'id' in done ? done.id : '';
      expect(await tab.call('flipManifest', id, field), field).toEqual({});
      expect(await tab.call('verify', id), field).toMatchObject({ error: { name: 'StorageError' } });
      await tab.call('download', 'a/small', small);
      await tab.call('flipManifest', id, field);
      expect(await tab.call('load', 'a/small', small), field).toMatchObject({
        hashes: [sha256Of(content)],
        cached: false,
        notes: [],
      });
      expect(await tab.call('verify', id), field).toMatchObject({ ok: true });
    }
  });
});
