// @module-tag chromium
/**
 * The pages beside the chat: help and licences. They are reached from the side bar, say what is true of the page, and
 * open without a network.
 */
import type { Browser, BrowserContext, Page } from 'playwright';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { version } from '../package.json';
import { PAGE_TOOLS } from '../demo/chat/tools/index';
import { loadAxe, objections, visitPage } from './chat_page';
import { launchChromium } from './harness';
import { serveSite, type Site } from './site';

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

async function follow(page: Page, name: string): Promise<Page> {
  const [opened] = await Promise.all([
    context.waitForEvent('page'),
    page.locator('.sidebar-links').getByRole('link', { name, exact: true }).click(),
  ]);
  await opened.waitForLoadState();
  return opened;
}

test('help and licences are in the side bar, also without a network and on a phone', async () => {
  const page = await visitPage(`${site.url}?backend=wasm`, context);
  await page.evaluate(() => navigator.serviceWorker.ready.then(() => undefined));
  await page.reload(); // now the service worker answers
  await site.close();
  const help = await follow(page, 'Help');
  expect(await help.innerText('h1')).toBe('Help');
  expect(await help.innerText('main')).toContain(`This is version ${version}.`);
  // the style is there too
  expect(await help.evaluate(() => getComputedStyle(document.body).maxWidth)).toBe('704px');
  await help.click('main >> text=Its text and the licences of the libraries');
  expect(await help.innerText('h1')).toBe('Licences');
  expect(await help.locator('details').first().innerText()).toContain('Rivulet');
  await help.locator('summary').first().click();
  expect(await help.innerText('details[open] pre')).toContain(
    'TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION',
  );
  const licences = await follow(page, 'Licences');
  expect(await licences.innerText('h1')).toBe('Licences');
  await page.setViewportSize({ width: 390, height: 844 });
  await page.click('#sidebar-toggle');
  expect((await follow(page, 'Help')).url()).toBe(`${site.url}help.html`);
});

test('the help names every tool, without objections of axe at both sizes', async () => {
  const page = await context.newPage();
  await page.goto(`${site.url}help.html`);
  const tools = await page.locator('table').first().locator('tbody td:first-child').allInnerTexts();
  expect(tools.sort()).toEqual(PAGE_TOOLS.map(({ title }) => title).sort());
  await loadAxe(page);
  for (const width of [320, 1100]) {
    await page.setViewportSize({ width, height: 800 });
    expect(await objections(page)).toEqual([]);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
  }
});
