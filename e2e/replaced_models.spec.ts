// @module-tag chromium
/**
 * In a browser with locks: a model that changed at its source replaces the stored one, and a file that is no model does
 * not stay stored.
 */
import { createHash } from 'node:crypto';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Browser, Page } from 'playwright';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { launchChromium } from './harness';
import { createHub, modelBytes, type Hub } from './hub';
import { BUILT_SITE, serveSite, type Site } from './site';

const tiny = readFileSync(resolve(import.meta.dirname, '../public/models/rivulet-tiny.gguf'));
const folder = mkdtempSync(join(tmpdir(), 'rivulet-replaced-'));
let browser: Browser;
let page: Page;
let site: Site;
let hub: Hub;

beforeAll(async () => {
  copyFileSync(join(BUILT_SITE, 'rivulet.js'), join(folder, 'rivulet.js'));
  writeFileSync(
    join(folder, 'index.html'),
    '<!doctype html><title>Models</title><link rel="icon" href="data:,"><script src="rivulet.js"></script>',
  );
  site = await serveSite({ root: folder });
  hub = await createHub({ repos: { 'Org/Repo': { 'model.gguf': tiny, 'none.gguf': modelBytes(100_000, 1) } } });
  browser = await launchChromium();
  page = await browser.newPage();
  await page.goto(site.url);
});
afterAll(async () => {
  await browser?.close();
  await site?.close();
  await hub?.close();
  rmSync(folder, { recursive: true, force: true });
});

interface Told {
  name?: string;
  notes?: string[];
  cached?: boolean;
  stored: { id: string; complete: boolean; bytes: number; storedBytes: number }[];
}

const loadIn = (source: string, options: object = {}): Promise<Told> =>
  page.evaluate(
    async ([source, options]) => {
      const { load, listModels } = (globalThis as unknown as { rivulet: typeof import('../src/index') }).rivulet;
      const told = await load(source as string, options as object).then(
        async (model) => {
          await model.unload();
          return { notes: model.info.notes, cached: model.info.cached };
        },
        ({ name }: Error) => ({ name }),
      );
      return {
        ...told,
        stored: (await listModels()).map(({ id, complete, bytes, storedBytes }) => ({
          id,
          complete,
          bytes,
          storedBytes,
        })),
      };
    },
    [source, options] as const,
  );

test('a newer version replaces the stored one, under the same id', async () => {
  const url = `${hub.origin}/plain/Org/Repo/model.gguf`;
  const whole = [{ id: url, complete: true, bytes: tiny.length, storedBytes: tiny.length }];
  expect(await loadIn(url, { backend: 'wasm', threads: 1 })).toMatchObject({ cached: false, stored: whole });
  const changed = Uint8Array.from(tiny);
  changed[changed.length - 1] ^= 1;
  hub.repos['Org/Repo']['model.gguf'] = changed;
  const newer = await loadIn(url, { backend: 'wasm', threads: 1, refresh: true });
  expect(newer).toMatchObject({ cached: false, stored: whole });
  expect(newer.notes).toEqual((await loadIn(url, { backend: 'wasm', threads: 1 })).notes); // nothing about storage
  const sha256 = createHash('sha256').update(changed).digest('hex');
  expect(await loadIn(url, { sha256 })).toMatchObject({ stored: whole });
});

test('a file that is no model is refused and does not stay stored', async () => {
  const told = await loadIn(`${hub.origin}/plain/Org/Repo/none.gguf`);
  expect(told.name).toBe('CheckpointError');
  expect(told.stored.map(({ id }) => id)).not.toContain(`${hub.origin}/plain/Org/Repo/none.gguf`);
});
