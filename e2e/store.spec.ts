import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { serve, type Served } from './harness';
import { createHub, modelBytes, requested, sha256Of, type Hub } from './hub';
import { createProfile, type Profile } from './profile';

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
    expect(await tab.call('load', REPO, { hub: hub.origin })).toMatchObject({ hashes: [hash], cached: false, notes: [] });
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
    const [{ id, there }] = (await again.call('list') as { models: { id: string; there: number }[] }).models;
    expect(requested(hub) - there).toBeLessThanOrEqual(6 * MB); // as many connections at most
    expect(await again.call('load', REPO, options())).toMatchObject({ hashes: [hash], cached: false });
    expect(requested(hub, asked)).toBe(bytes.length - there);
    expect(await again.call('verify', id)).toMatchObject({ ok: true });
  });

  it('two tabs and a worker at once: one transfer, all get the bytes', async () => {
    hub.options.pace = 1;
    const [a, b] = [await profile.tab(site.origin), await profile.tab(site.origin)];
    const loads = await Promise.all([a.call('load', REPO, options()), b.call('load', REPO, options()), b.call('inWorker', REPO, options())]);
    for (const load of loads) expect(load).toMatchObject({ hashes: [hash], notes: [] });
    expect(hub.sent()).toBe(bytes.length);
  });

  it('a small quota: the load goes on without being kept, what was stored stays, and with room it is resumed', async () => {
    const tab = await profile.tab(site.origin);
    const session = await tab.page.context().newCDPSession(tab.page);
    await session.send('Storage.overrideQuotaForOrigin', { origin: site.origin, quotaSize: 12 * MB });
    const first = await tab.call('load', REPO, options());
    expect(first).toMatchObject({ hashes: [hash], cached: false });
    expect('notes' in first && first.notes.join()).toMatch(/no room to keep/);
    expect(await tab.call('load', REPO, { ...options(), cache: 'required' })).toMatchObject({ error: { name: 'StorageError', message: expect.stringMatching(/MB more are needed, the browser takes no more/) } });
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
});
