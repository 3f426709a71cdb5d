// @module-tag chromium
/**
 * Dialogs of the built chat page beside a scroll bar that takes room, and what a first visit shows without scrolling.
 */
import { chromium, type Browser } from 'playwright';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ready, visitPage } from './chat_page';
import { chromiumArgs, findChromium } from './harness';
import { serveSite, type Site } from './site';

let site: Site;
let browser: Browser;
beforeAll(async () => {
  [site, browser] = await Promise.all([
    serveSite(),
    chromium.launch({
      executablePath: findChromium(),
      ignoreDefaultArgs: ['--hide-scrollbars'],
      args: chromiumArgs({}),
    }),
  ]);
});
afterAll(async () => {
  await browser?.close();
  await site?.close();
});

test.each([
  [390, 600],
  [1100, 600],
])(
  'at %i × %i a dialog ends where the scroll bar begins, and has the same room on both sides',
  async (width, height) => {
    const context = await browser.newContext({ viewport: { width, height } });
    const page = await visitPage(`${site.url}?backend=wasm`, context);
    const escape = (): Promise<void> => page.keyboard.press('Escape');
    const dialogs: [string, () => Promise<unknown>][] = [
      ['#settings', () => page.click('#open-settings')],
      ['.question', () => page.click('#delete-all')],
      [
        '#models',
        () =>
          escape()
            .then(escape)
            .then(() => page.click('#choose')),
      ],
    ];
    for (const [dialog, reach] of dialogs) {
      await reach();
      await page.waitForSelector(`${dialog}[open]`);
      const edges = await page.evaluate((selector) => {
        const { left, right } = document.querySelector(selector)!.getBoundingClientRect();
        const inner = document.documentElement.clientWidth;
        return { left, right: inner - right, bar: innerWidth - inner };
      }, dialog);
      expect(edges.bar, dialog).toBeGreaterThan(5);
      expect(edges.left, dialog).toBeGreaterThanOrEqual(0);
      expect(Math.abs(edges.left - edges.right), dialog).toBeLessThan(1.5);
    }
    await context.close();
  },
);

test('a first visit begins at the top: the heading is in sight', async () => {
  for (const [width, height] of [
    [1100, 700],
    [390, 844],
  ]) {
    const context = await browser.newContext({ viewport: { width, height } });
    const page = await visitPage(`${site.url}?backend=wasm`, context);
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('prompt');
    const hidden = await page.evaluate(
      () =>
        document.querySelector('header')!.getBoundingClientRect().bottom -
        document.querySelector('#first-run h2')!.getBoundingClientRect().top,
    );
    expect(hidden).toBeLessThanOrEqual(0);
    await page.goto(`${site.url}?backend=wasm&context=abc`);
    await ready(page);
    await page.waitForSelector('#address-notes p:has-text("context")');
    expect(
      await page.evaluate(() => document.scrollingElement!.scrollTop),
      'what the address has wrong is in sight',
    ).toBe(0);
    await context.close();
  }
});
