// @module-tag chromium
/** A link that brings a question along, in the built chat page. */
import type { Browser, BrowserContext } from 'playwright';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ask, finished, ready, requests, visitPage } from './chat_page';
import { launchChromium } from './harness';
import { serveSite, type Site } from './site';

let site: Site;
let browser: Browser;
let context: BrowserContext;
beforeAll(async () => {
  [site, browser] = await Promise.all([serveSite(), launchChromium()]);
  context = await browser.newContext();
});
afterAll(async () => {
  await browser?.close();
  await site?.close();
});

test('the question stands in the message field and is sent only by the user', async () => {
  const question = 'What is 17 * 23? <b>&</b>';
  const page = await visitPage(`${site.url}?q=${encodeURIComponent(question)}&backend=wasm`, context);
  expect(await page.inputValue('#prompt')).toBe(question);
  expect(await page.isVisible('#address-notes')).toBe(false);
  await page.waitForTimeout(1000);
  expect(await page.locator('#messages li').count()).toBe(0);
  // a reload does not bring it a second time
  expect(new URL(page.url()).search).toBe('?backend=wasm');
  await page.focus('#prompt');
  await page.keyboard.press('Enter');
  await finished(page, 1);
  expect(await requests(page)).toEqual([question]);
  await page.reload();
  await ready(page);
  expect(await page.inputValue('#prompt')).toBe('');
});

test('in a browser with conversations it joins what is written there', async () => {
  const page = await visitPage(`${site.url}?backend=wasm`, context);
  await ask(page, 'Hello!');
  await page.fill('#prompt', 'half a message');
  await page.waitForFunction(() => Object.keys(localStorage).some((key) => key.startsWith('rivulet-chat.draft.')));
  await page.goto(`${site.url}?q=Good+morning&backend=wasm`);
  await ready(page);
  await page.waitForFunction(
    () => document.querySelector<HTMLTextAreaElement>('#prompt')?.value === 'Good morning\n\nhalf a message',
  );
});
