// @module-tag chromium
/** The built router in Chromium: the demo model and a server, a network that goes away, and the ledger's database. */
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Browser, Page } from 'playwright';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createCloud, type CloudServer } from './cloud_server';
import { launchChromium } from './harness';
import { BUILT_SITE, serveSite, type Site } from './site';

const dist = resolve(BUILT_SITE, '..');
const folder = mkdtempSync(join(tmpdir(), 'rivulet-router-'));
const KEY = 'sk-page-0123456789abcdefghij';
let browser: Browser;
let site: Site;
let page: Page;
let cloud: CloudServer;
let other: CloudServer;

beforeAll(async () => {
  const files = join(folder, 'site');
  mkdirSync(files);
  cpSync(resolve(dist, '../public/models'), join(files, 'models'), { recursive: true });
  for (const file of ['rivulet.mjs', 'rivulet-router.mjs']) copyFileSync(join(dist, file), join(files, file));
  writeFileSync(
    join(files, 'index.html'),
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Router</title><link rel="icon" href="data:,"></head><body></body></html>',
  );
  site = await serveSite({ root: files });
  browser = await launchChromium();
  page = await (await browser.newContext()).newPage();
  other = await createCloud({ say: ['no'] });
  cloud = await createCloud(
    { say: ['From the', ' cloud', ' never'], stallAfter: 2 },
    { say: ['Back'] },
    { status: 307, headers: { location: `${other.baseURL}/chat/completions` } },
    { silent: true },
  );
  await open();
});
afterAll(async () => {
  await browser?.close();
  await site?.close();
  await Promise.all([cloud, other].map((server) => server?.close()));
  rmSync(folder, { recursive: true, force: true });
});

/** Loads the page with a router in `router`, and the text so far in `text`. */
async function open(): Promise<void> {
  await page.goto(site.url);
  await page.evaluate(`(async () => {
    const [{ load }, { createLedger, createRouter }] = await Promise.all([import('./rivulet.mjs'), import('./rivulet-router.mjs')]);
    globalThis.ledger = createLedger();
    const local = await load('./models/rivulet-tiny.gguf', { backend: 'wasm', threads: 1 });
    const cloud = { name: 'one', baseURL: '${cloud.baseURL}', model: 'm', key: '${KEY}' };
    const given = { local, cloud, ledger, retries: { most: 0 } };
    globalThis.router = createRouter({ ...given, policy: 'PREFER_IN_CLOUD' });
    globalThis.alone = createRouter({ ...given, policy: 'ONLY_IN_CLOUD' });
    globalThis.ask = async (which, options) => {
      globalThis.text = '';
      let route;
      const messages = [{ role: 'user', content: 'Mail bob@example.org: hello' }];
      try {
        const stream = await which.chat.completions.create({ model: 'auto', messages, stream: true, max_tokens: 12 }, options);
        for await (const chunk of stream) {
          globalThis.text += chunk.choices[0]?.delta.content ?? '';
          route = chunk.route ?? route;
        }
        return { text: globalThis.text, source: route.source, reason: route.reason };
      } catch (error) {
        return { code: error.name === "AbortError" ? error.name : error.code, message: error.message };
      }
    };
  })()`);
}

interface Told {
  text?: string;
  source?: string;
  reason?: string;
  code?: string;
  message?: string;
}

test('an answer goes on at the device when the network goes away, and the cloud comes back by itself', async () => {
  const answer = page.evaluate('ask(router)');
  await expect.poll(() => page.evaluate('globalThis.text')).toBe('From the cloud');
  await page.context().setOffline(true);
  const told = (await answer) as Told;
  expect(told).toMatchObject({ source: 'local', reason: 'cloud_failed' });
  expect(told.text).toMatch(/^From the cloud/);
  await page.context().setOffline(false);
  expect(await page.evaluate('ask(router)')).toEqual({ text: 'Back', source: 'cloud', reason: 'otherwise' });
  expect(cloud.requests.map(({ text }) => text).join()).not.toContain('bob@');
});

test('a redirect is refused, and an abort reaches the wire', async () => {
  expect(await page.evaluate('ask(alone)')).toMatchObject({ code: 'redirected' });
  expect(other.requests).toHaveLength(0);
  await open(); // the endpoint was paused
  const answer = page.evaluate('(globalThis.stop = new AbortController(), ask(alone, { signal: stop.signal }))');
  await expect.poll(() => cloud.requests.length).toBe(4);
  await page.evaluate('stop.abort()');
  expect(await answer).toMatchObject({ code: 'AbortError' });
  await expect.poll(() => cloud.requests[3].cancelled).toBe(true);
});

test('the ledger is there after a reload, whole, with all that left and without a text or the key', async () => {
  await open();
  const { check, rows } = (await page.evaluate(
    '(async () => ({ check: await ledger.verify(), rows: await (await ledger.export("jsonl")).text() }))()',
  )) as { check: object; rows: string };
  const parsed = rows
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(check).toEqual({ valid: true, rows: parsed.length });
  expect(parsed.filter(({ event }) => event === 'sent')).toHaveLength(4);
  expect(parsed.filter(({ event }) => event === 'done').map(({ result }) => result)).toEqual([
    'answered',
    'answered',
    'redirected',
    'stopped',
  ]);
  for (const text of ['bob@', KEY, 'hello', 'cloud never']) expect(rows).not.toContain(text);
});
