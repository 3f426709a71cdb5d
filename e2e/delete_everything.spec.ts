// @module-tag chromium
/** The built chat page deletes all that it has stored, in all tabs, and starts as on a first visit after that. */
import { readFileSync } from 'node:fs';
import type { Browser, BrowserContext, Page } from 'playwright';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { ask, loadAxe, newChat, objections, PATIENCE, ready, visitPage } from './chat_page';
import { launchChromium } from './harness';
import { BUILT_SITE, serveSite, type Site } from './site';
import { storedConversations } from './stored_conversations';

let site: Site;
let browser: Browser;
let context: BrowserContext;
beforeAll(async () => {
  browser = await launchChromium();
});
afterAll(() => browser?.close());
beforeEach(async () => {
  context = await browser.newContext({ viewport: { width: 1100, height: 800 } });
  site = await serveSite();
});
afterEach(async () => {
  await context.close();
  await site.close();
});

const visit = (): Promise<Page> => visitPage(`${site.url}?backend=wasm`, context);
const serviceWorker = (page: Page): Promise<unknown> =>
  page.evaluate(() => navigator.serviceWorker.ready.then(() => undefined));

interface Stored {
  databases: string[];
  entries: number;
  keys: string[];
  caches: string[];
  workers: number;
}

/** All that stands in the storages of the browser, seen from a page without a script of its own. */
async function stored(): Promise<Stored> {
  const page = await context.newPage();
  await page.goto(`${site.url}notices.html`);
  try {
    return await page.evaluate(async () => {
      const databases = (await indexedDB.databases()).map(({ name }) => name!);
      let entries = 0;
      for (const name of databases) {
        const request = indexedDB.open(name);
        const database = await new Promise<IDBDatabase>(
          (resolve) => (request.onsuccess = () => resolve(request.result)),
        );
        for (const store of database.objectStoreNames) {
          const counting = database.transaction(store).objectStore(store).count();
          entries += await new Promise<number>((resolve) => (counting.onsuccess = () => resolve(counting.result)));
        }
        database.close();
      }
      return {
        databases,
        entries,
        keys: Object.keys(localStorage),
        caches: await caches.keys(),
        workers: (await navigator.serviceWorker.getRegistrations()).length,
      };
    });
  } finally {
    await page.close();
  }
}

const NOTHING: Stored = { databases: [], entries: 0, keys: [], caches: [], workers: 0 };

async function askToDelete(page: Page): Promise<string> {
  await page.click('#open-settings');
  await page.click('#delete-all');
  await page.waitForSelector('.question');
  return (await page.innerText('.question')).replaceAll('\u00a0', ' ');
}

test('says what goes, deletes it in all tabs, and the page starts anew', async () => {
  const page = await visit();
  await serviceWorker(page);
  await ask(page, 'Set a timer for 10 minutes');
  await newChat(page);
  await ask(page, 'Hello!');
  await page.setInputFiles('#file', {
    name: 'mine.gguf',
    mimeType: '',
    buffer: readFileSync(`${BUILT_SITE}/models/rivulet-tiny.gguf`),
  });
  await page.click('#toast button:has-text("Keep on this device")', { timeout: PATIENCE });
  await page.waitForSelector('#toast:has-text("is stored on this device")', { timeout: PATIENCE });
  const other = await visit();
  await other.fill('#prompt', 'a secret that is not sent');
  const bench = await context.newPage();
  await bench.goto(`${site.url}bench.html`);
  await bench.waitForSelector('#run:visible');
  await page.bringToFront();
  await page.fill('#prompt', 'half a message');

  const question = await askToDelete(page);
  for (const part of [
    'Delete everything?',
    '2 conversations',
    '1 timer',
    '2 models, 13 MB',
    'your settings',
    'the files of this page',
    'This cannot be undone. To keep a conversation, cancel and export it first.',
    'Other open tabs',
  ])
    expect(question).toContain(part);
  expect(question).toMatch(/on this device, [\d.]+ MB in all/);
  await loadAxe(page);
  expect(await objections(page)).toEqual([]);
  // Enter alone does not say yes
  expect(await page.evaluate(() => document.activeElement?.textContent)).toBe('Cancel');
  await page.keyboard.press('Enter');
  expect((await storedConversations(page)).length).toBe(2);
  expect(await page.isVisible('#settings')).toBe(true);

  await page.click('#delete-all');
  await page.click('.question button[value=yes]');
  await page.waitForSelector('h1:text-is("Everything is deleted")', { timeout: PATIENCE });
  await other.waitForSelector('h1:text-is("Everything was deleted")', { timeout: PATIENCE });
  await bench.waitForSelector('h1:text-is("Everything was deleted")', { timeout: PATIENCE });
  await bench.close();
  expect(await other.innerText('#text')).toBe(
    'Another tab has deleted all that this page had stored on this device. This tab has stopped.',
  );
  expect(await page.isVisible('#delete')).toBe(false);
  await loadAxe(page);
  expect(await objections(page)).toEqual([]);
  expect(await stored()).toEqual(NOTHING);
  // tabs that are closed now write nothing back
  await other.close();
  expect(await stored()).toEqual(NOTHING);

  const before = site.asked.length;
  await page.click('#again');
  await ready(page);
  expect(site.asked.slice(before)).toContain('/models/rivulet-tiny.gguf');
  await page.waitForSelector('#first-run:visible');
  expect(await page.locator('.conversation').count()).toBe(0);
  expect(await page.inputValue('#prompt')).toBe('');
  expect(await page.innerText('#model-name')).toBe('Rivulet tiny');
  await ask(page, 'Hello!');
});

test('a tab that is writing a reply stops and brings nothing back', async () => {
  await context.addInitScript(
    `localStorage['rivulet-chat.settings'] ??= '{"backend":"wasm","temperature":2,"topK":0,"topP":1,"minP":0,"repetitionPenalty":2,"maxTokens":3000}'`,
  );
  const writing = await visit();
  const page = await visit();
  await writing.bringToFront();
  await writing.fill('#prompt', 'Tell me more.');
  await writing.press('#prompt', 'Enter');
  await writing.waitForSelector('#messages .assistant');
  await askToDelete(page);
  await page.click('.question button[value=yes]');
  await page.waitForSelector('h1:text-is("Everything is deleted")', { timeout: PATIENCE });
  await writing.waitForSelector('h1:text-is("Everything was deleted")', { timeout: PATIENCE });
  const left = await stored();
  expect({ ...left, keys: [] }).toEqual(NOTHING);
  // the script of this test writes the settings anew in every page
  expect(left.keys).toEqual(['rivulet-chat.settings']);
});

test('a tab that is frozen meanwhile does not hold it up, and is told when it goes on', async () => {
  const frozen = await visit();
  await ask(frozen, 'Hello!');
  await frozen.fill('#prompt', 'a secret that is not sent');
  const page = await visit();
  const session = await context.newCDPSession(frozen);
  await session.send('Page.setWebLifecycleState', { state: 'frozen' });
  await askToDelete(page);
  await page.click('.question button[value=yes]');
  await page.waitForSelector('h1:text-is("Everything is deleted")', { timeout: PATIENCE });
  const left = await stored();
  expect({ entries: left.entries, keys: left.keys, caches: left.caches }).toEqual({ entries: 0, keys: [], caches: [] });
  await session.send('Page.setWebLifecycleState', { state: 'active' });
  await frozen.waitForSelector('h1:text-is("Everything was deleted")', { timeout: PATIENCE });
  const after = await stored();
  expect({ entries: after.entries, keys: after.keys }).toEqual({ entries: 0, keys: [] });
  await page.click('#again');
  await ready(page);
  await ask(page, 'Hello!');
});

test('blocked storage: it still asks and ends', async () => {
  await context.addInitScript(() => {
    for (const name of ['localStorage', 'sessionStorage'])
      Object.defineProperty(globalThis, name, {
        get() {
          throw new DOMException('blocked', 'SecurityError');
        },
      });
    Object.defineProperty(globalThis, 'indexedDB', { get: () => undefined });
  });
  const page = await visit();
  await ask(page, 'Hello!');
  expect(await askToDelete(page)).toContain('Delete everything?');
  await page.click('.question button[value=yes]');
  // nothing can say that the answer was yes, so it is asked once more
  await page.click('#delete:visible');
  await page.waitForSelector('h1:text-is("Not everything was deleted")', { timeout: PATIENCE });
  expect(await page.innerText('#text')).toContain('the settings of the browser');
  await page.click('#again');
  await ready(page);
  expect(await page.locator('.conversation').count()).toBe(0);
});

test('a link to the page that deletes asks first', async () => {
  const page = await visit();
  await ask(page, 'Hello!');
  const link = await context.newPage();
  await link.goto(`${site.url}delete.html`);
  await link.waitForSelector('h1:text-is("Delete everything?")');
  await link.waitForTimeout(1000);
  expect((await storedConversations(page)).length).toBe(1);
  await loadAxe(link);
  expect(await objections(link)).toEqual([]);
  await link.click('#delete');
  await link.waitForSelector('h1:text-is("Everything is deleted")', { timeout: PATIENCE });
  expect(await stored()).toEqual(NOTHING);
});
