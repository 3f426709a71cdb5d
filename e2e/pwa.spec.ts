// @module-tag chromium
/**
 * The chat page as an installed app, as built: without a network, on hosts without COOP and COEP headers, with a new
 * version, where service workers are blocked.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, BrowserContext, Page } from 'playwright';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { writeServiceWorker } from '../demo/build/service_worker';
import { ask, BRIEF, loadAxe, objections, PATIENCE, ready, soon, visitPage } from './chat_page';
import { launchChromium } from './harness';
import { BUILT_SITE, serveSite, type Site } from './site';
import { FIRST_BYTES } from './tools/drill_visit';
import { packOffline } from './tools/pack_offline';

/** stands on the root element of the new build */
const NEW_BUILD = 'next';
/** not a secure context: there are no service workers, no threads and no locks */
const INSECURE_HOST = 'plain.example';

let folder: string;
let newBuild: string;
let browser: Browser;
let context: BrowserContext;
let site: Site;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'rivulet-pwa-'));
  newBuild = join(folder, 'new');
  cpSync(BUILT_SITE, newBuild, { recursive: true });
  const index = join(newBuild, 'index.html');
  writeFileSync(index, readFileSync(index, 'utf8').replace('<html ', `<html data-build="${NEW_BUILD}" `));
  await writeServiceWorker(newBuild);
  browser = await launchChromium({ args: [`--host-resolver-rules=MAP ${INSECURE_HOST} 127.0.0.1`] });
});
afterAll(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(async () => {
  context = await browser.newContext();
  await context.addInitScript(BRIEF);
});
afterEach(async () => {
  await context.close();
  await site?.close();
});

const buildOf = (page: Page): Promise<string | undefined> =>
  page.evaluate(() => document.documentElement.dataset.build);
const said = (page: Page): Promise<string[]> => page.locator('#messages .user .body').allInnerTexts();
const stored = (page: Page): Promise<unknown> =>
  page.evaluate(() => navigator.serviceWorker.ready.then(() => undefined));
const isolated = (page: Page): Promise<unknown> =>
  page.waitForFunction(() => crossOriginIsolated, undefined, { timeout: PATIENCE });
const threads = async (page: Page): Promise<void> =>
  expect(await page.innerText('#about-summary')).toMatch(/^Running on the CPU, \d+ threads$/);

describe.each([
  { host: 'with the headers', base: '/', headers: true },
  { host: 'without them, under a sub-path', base: '/some/where/', headers: false },
])('a host $host', ({ base, headers }) => {
  test('one visit, then no network, then a new version', async () => {
    site = await serveSite({ base, isolated: headers });
    const page = await visitPage(`${site.url}?backend=wasm&threads=2`, context);
    await isolated(page);
    await ready(page);
    await threads(page);
    await ask(page, 'Hello!');
    await stored(page);
    expect(site.sent()).toBeLessThan(FIRST_BYTES);

    const { port } = site;
    await site.close();
    await page.reload();
    await ready(page);
    await isolated(page);
    await threads(page);
    await soon(() => said(page)).toEqual(['Hello!']);
    // what replies as JSON need is there, too
    await page.click('#json-form');
    await page.click('#json-dialog [type=submit]');
    await page.waitForSelector('#json-form.on', { timeout: PATIENCE });
    await ask(page, 'Who are you?');
    await soon(() => page.locator('#messages figure.code').last().innerText()).toMatch(/^JSON\s+\{/);
    await page.click('#json-form');
    await page.getByRole('button', { name: 'Reply in words' }).click();

    site = await serveSite({ base, isolated: headers, root: newBuild, port });
    await page.reload();
    await ready(page);
    await page.waitForSelector('.update-notice:visible', { timeout: PATIENCE });
    await soon(() => page.innerText('.update-notice')).toMatch(/^A new version is ready\.\s+Update\s+Later$/);
    expect(await buildOf(page)).toBeUndefined();
    await ask(page, 'Hi!');
    await page.click('.update-notice >> text=Update');
    await page.waitForFunction((build) => document.documentElement.dataset.build === build, NEW_BUILD, {
      timeout: PATIENCE,
    });
    await ready(page);
    await isolated(page);
    await soon(() => said(page)).toEqual(['Hello!', 'Who are you?', 'Hi!']);
    await ask(page, 'Good bye!');
    expect(await page.isVisible('.update-notice')).toBe(false);
  });
});

test('a new version waits for the answer; another tab goes on and is asked, too', async () => {
  site = await serveSite();
  await context.addInitScript(
    `localStorage['rivulet-chat.settings'] = '{"backend":"wasm","temperature":2,"topK":0,"topP":1,"minP":0,"repetitionPenalty":2,"maxTokens":3000}'`,
  );
  const page = await visitPage(site.url, context);
  await stored(page);
  const other = await visitPage(site.url, context);
  const { port } = site;
  await site.close();
  site = await serveSite({ root: newBuild, port });
  await page.evaluate(async () => (await navigator.serviceWorker.ready).update());
  for (const tab of [page, other]) await tab.waitForSelector('.update-notice:visible', { timeout: PATIENCE });
  await other.click('.update-notice >> text=Later');

  // as hot as it gets: a reply seldom ends before it is stopped
  let answer: string | null | undefined;
  for (let attempt = 0; !answer; attempt++) {
    expect(attempt).toBeLessThan(20);
    await page.waitForSelector('#send:visible');
    await page.fill('#prompt', 'Tell me more.');
    await page.press('#prompt', 'Enter');
    answer = await page.evaluate(async () => {
      const stop = document.querySelector<HTMLElement>('#stop');
      for (let wait = 0; stop?.hidden && wait < 500; wait++) await new Promise((go) => setTimeout(go));
      if (stop?.hidden) return undefined;
      document.querySelector<HTMLElement>('.update-notice button')?.click();
      return document.querySelector('.update-notice p')?.textContent;
    });
  }
  expect(answer).toBe('The update starts when this answer is finished.');
  await page.click('#stop', { timeout: 1000 }).catch(() => undefined);
  await page.waitForFunction((build) => document.documentElement.dataset.build === build, NEW_BUILD, {
    timeout: PATIENCE,
  });
  await ready(page);
  await soon(async () => (await said(page)).at(-1)).toBe('Tell me more.');
  // stopped or ended, not interrupted by the reload
  await soon(() => page.innerText('#messages .assistant:last-child .foot')).toMatch(/tokens|stopped/);

  await other.waitForSelector('.update-notice:visible', { timeout: PATIENCE });
  expect(await buildOf(other)).toBeUndefined();
  await other.click('.update-notice >> text=Update');
  await other.waitForFunction((build) => document.documentElement.dataset.build === build, NEW_BUILD, {
    timeout: PATIENCE,
  });
  await ready(other);
});

test('a draft keeps the page from reloading itself; the next visit has threads', async () => {
  site = await serveSite({ isolated: false });
  await context.addInitScript(() =>
    document.addEventListener(
      'DOMContentLoaded',
      () => ((document.querySelector('#prompt') as HTMLTextAreaElement).value = 'half a message'),
    ),
  );
  const page = await visitPage(`${site.url}?backend=wasm`, context);
  await stored(page);
  expect(await page.inputValue('#prompt')).toBe('half a message');
  expect(await page.evaluate(() => [crossOriginIsolated, performance.getEntriesByType('navigation').length])).toEqual([
    false,
    1,
  ]);
  const next = await visitPage(`${site.url}?backend=wasm`, context);
  expect(await next.evaluate(() => crossOriginIsolated)).toBe(true);
});

test('requests to other hosts are left untouched', async () => {
  site = await serveSite({ isolated: false });
  const other = await serveSite({ isolated: false });
  try {
    const page = await visitPage(`${site.url}?backend=wasm`, context);
    await isolated(page);
    // without CORS headers the worker could only get an opaque answer
    expect(
      await page.evaluate((url) => fetch(url, { mode: 'no-cors' }).then(({ type }) => type), `${other.url}icon.svg`),
    ).toBe('opaque');
    expect(
      await page.evaluate(
        (url) =>
          fetch(url).then(
            () => 'answered',
            () => 'failed',
          ),
        `${other.url}icon.svg`,
      ),
    ).toBe('failed');
  } finally {
    await other.close();
  }
});

test('the script-tag page is stored when it is first opened', async () => {
  site = await serveSite({ base: '/some/where/', isolated: false });
  const page = await visitPage(`${site.url}?backend=wasm`, context);
  await isolated(page);
  await stored(page);
  expect(site.asked.filter((path) => /rivulet\.js|script-tag/.test(path))).toEqual([]);
  const answered = (): Promise<unknown> =>
    page.waitForFunction(() => document.querySelector<HTMLTextAreaElement>('#out')?.value, undefined, {
      timeout: PATIENCE,
    });
  await page.goto(`${site.url}script-tag.html`);
  await answered();
  await site.close();
  await page.reload();
  await answered();
});

test('service workers are blocked: the page works and says what is missing', async () => {
  site = await serveSite({ isolated: false });
  const blocked = await browser.newContext({ serviceWorkers: 'block' });
  try {
    await blocked.addInitScript(BRIEF);
    const page = await visitPage(`${site.url}?backend=wasm`, blocked);
    await ask(page, 'Hello!');
    await page.click('#open-settings');
    expect(await page.innerText('#settings-app')).toContain(
      'This browser window stores no pages. It needs the network at each visit.',
    );
  } finally {
    await blocked.close();
  }
});

test('over plain http: the page works and says what is missing', async () => {
  site = await serveSite();
  const page = await visitPage(`http://${INSECURE_HOST}:${site.port}/?backend=wasm`, context);
  expect(await page.evaluate(() => isSecureContext)).toBe(false);
  await ask(page, 'Hello!');
  await page.click('#open-settings');
  expect(await page.innerText('#settings-app')).toContain('This page was not opened over https.');
});

test('it can be installed, takes shared text as a draft, and names the libraries in it', async () => {
  site = await serveSite();
  const page = await visitPage(`${site.url}?backend=wasm&title=A+page&text=Read+this`, context);
  await soon(() => page.inputValue('#prompt')).toBe('A page\nRead this');
  expect(await page.locator('#messages li').count()).toBe(0);
  expect(new URL(page.url()).search).toBe('?backend=wasm');
  await stored(page);
  const session = await context.newCDPSession(page);
  const { errors, data } = await session.send('Page.getAppManifest');
  expect(errors).toEqual([]);
  const { icons, screenshots } = JSON.parse(data ?? '') as Record<
    'icons' | 'screenshots',
    { src: string; sizes: string }[]
  >;
  for (const { src, sizes } of [...icons, ...screenshots].filter(({ src }) => src.endsWith('.png')))
    expect(
      await page.evaluate(async (src) => {
        const { width, height } = await createImageBitmap(await (await fetch(src)).blob());
        return `${width}x${height}`;
      }, src),
      src,
    ).toBe(sizes);
  const { installabilityErrors } = await session.send('Page.getInstallabilityErrors');
  expect(installabilityErrors.map(({ errorId }) => errorId).filter((id) => id !== 'in-incognito')).toEqual([]);

  await page.goto(`${site.url}notices.html`);
  const names = await page.locator('summary').allInnerTexts();
  for (const library of ['comlink', 'dompurify', 'idb-keyval', 'marked', '@huggingface/tokenizers'])
    expect(
      names.some((name) => name.startsWith(`${library} `)),
      library,
    ).toBe(true);
  expect(await page.locator('details pre').count()).toBeGreaterThanOrEqual(names.length);
  await loadAxe(page);
  expect(await objections(page)).toEqual([]);
});

test('a packed folder starts with its model and asks no other host, also without its server', async () => {
  const packed = join(folder, 'packed');
  const model = join(folder, 'company.gguf');
  cpSync(join(BUILT_SITE, 'models/rivulet-tiny.gguf'), model);
  await packOffline(model, packed, BUILT_SITE);
  await expect(packOffline(join(BUILT_SITE, 'icon.svg'), join(folder, 'other'), BUILT_SITE)).rejects.toThrow(
    /is not a GGUF file/,
  );
  await expect(packOffline(model, newBuild, BUILT_SITE)).rejects.toThrow(/holds other files/);

  site = await serveSite({ root: packed, base: '/pack/', isolated: false });
  const others: string[] = [];
  await context.route(
    (url) => url.port !== String(site.port),
    (route) => (others.push(route.request().url()), route.abort()),
  );
  const page = await context.newPage();
  await page.goto(site.url);
  await isolated(page); // it reloads itself once
  await ready(page);
  expect(await page.innerText('#model-name')).toBe('company.gguf');
  await ask(page, 'Hello!');
  await site.close();
  await page.reload();
  await ready(page);
  expect(await page.innerText('#model-name')).toBe('company.gguf');
  await ask(page, 'Who are you?');
  expect(others).toEqual([]);
});
