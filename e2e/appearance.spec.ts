// @module-tag chromium
/** Colours and text size in the settings of the built chat page. */
import type { Browser, BrowserContext, Page } from 'playwright';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { ask, loadAxe, objections, ready, visitPage } from './chat_page';
import { launchChromium } from './harness';
import { serveSite, type Site } from './site';

let site: Site;
let browser: Browser;
let context: BrowserContext;
beforeAll(async () => {
  [site, browser] = await Promise.all([serveSite(), launchChromium()]);
});
afterAll(async () => {
  await browser?.close();
  await site?.close();
});
beforeEach(async () => {
  context = await browser.newContext({ viewport: { width: 390, height: 844 }, colorScheme: 'light' });
});
afterEach(() => context.close());

const ground = (page: Page): Promise<string> => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
const select = (page: Page, name: string) => page.getByRole('combobox', { name });

async function openSettings(page: Page): Promise<void> {
  await page.click('#open-settings');
  await page.waitForSelector('#settings-appearance select');
}

test('colours and text size are changed at once, kept over a reload, and follow the tools', async () => {
  const page = await visitPage(`${site.url}?backend=wasm`, context);
  await openSettings(page);
  const light = await ground(page);
  await select(page, 'Colours').selectOption('Dark');
  await page.waitForFunction(() => document.documentElement.classList.contains('theme-dark'));
  expect(await ground(page)).not.toBe(light);
  await select(page, 'Text size').selectOption('125\u00a0%');
  expect(await page.evaluate(() => getComputedStyle(document.documentElement).fontSize)).toBe('20px');
  await page.getByRole('slider', { name: 'Volume' }).fill('30');
  await loadAxe(page);
  expect(await objections(page, '#settings')).toEqual([]);
  // nothing to save: the dialog closes without a question
  await page.keyboard.press('Escape');
  expect(await page.locator('.question').count()).toBe(0);
  await page.reload();
  await ready(page);
  expect(await page.evaluate(() => document.documentElement.className)).toContain('theme-dark');

  await ask(page, 'Zoom to 130 percent');
  await openSettings(page);
  expect(await select(page, 'Text size').inputValue()).toBe('130');
  expect(await select(page, 'Colours').inputValue()).toBe('dark');
  expect(await page.getByRole('slider', { name: 'Volume' }).inputValue()).toBe('30');
  await select(page, 'Colours').selectOption('As the system');
  await page.waitForFunction(() => !/theme/.test(document.documentElement.className));
});
