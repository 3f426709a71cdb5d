// @module-tag chromium
/**
 * The chat page as built, on a phone: what stands above the message field covers nothing that is needed, nothing moves
 * at the start, wide content shows that it goes on.
 */
import type { Page } from 'playwright';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { PATIENCE, ready, soon, testChat } from './chat_page';
import { createHub, type Hub } from './hub';
import { tinyGguf } from './tools/tiny';

/** a model of which the library says that it cannot be used */
const broken = Buffer.from(['GGUF', ...Array.from({ length: 500 }, () => '\0\0\0\0')].join(''));
let hub: Hub;
beforeEach(async () => {
  hub = await createHub({
    repos: { 'LiquidAI/LFM2.5-230M-GGUF': { 'LFM2.5-230M-Q4_0.gguf': tinyGguf({ vocab: 24_000 }) } },
    pace: 20,
  });
});
afterEach(() => hub.close());
const chat = testChat({ viewport: { width: 390, height: 844 } });

/** how far the lowest button of an error is above the footer, in pixels */
const room = (page: Page): Promise<number> =>
  page.evaluate(
    () =>
      document.querySelector('footer')!.getBoundingClientRect().top -
      document.querySelector('#error .actions')!.getBoundingClientRect().bottom,
  );

test('the buttons of an error stand above the line of a download, whichever comes first', async () => {
  const page = await chat.visit(`?backend=wasm&hub=${encodeURIComponent(hub.origin)}`);
  const download = async (): Promise<void> => {
    await page.click('#first-run-offer .primary');
    await page.click('.question button[value=yes]');
    await page.waitForSelector('#downloads:visible');
  };
  const fail = async (): Promise<void> => {
    await page.setInputFiles('#file', { name: 'broken.gguf', mimeType: '', buffer: broken });
    await page.waitForSelector('#error:visible', { timeout: PATIENCE });
  };
  await download();
  // on a short phone, too, it covers no part of the first run
  await page.setViewportSize({ width: 360, height: 740 });
  const lowest = (): Promise<number> =>
    page.evaluate(() => {
      const shown = [...document.querySelectorAll('#first-run button, #first-run p')].filter((part) =>
        part.checkVisibility(),
      );
      const top = document.querySelector('footer')!.getBoundingClientRect().top;
      return Math.min(...shown.map((part) => top - part.getBoundingClientRect().bottom));
    });
  await soon(lowest).toBeGreaterThan(0);
  await page.setViewportSize({ width: 390, height: 844 });
  await fail();
  await soon(() => page.isVisible('#downloads')).toBe(true);
  await soon(() => room(page)).toBeGreaterThan(0);

  await page.evaluate(() => indexedDB.deleteDatabase('rivulet'));
  await page.evaluate(() => localStorage.removeItem('rivulet-chat.downloads'));
  await page.reload();
  await ready(page);
  await fail();
  await soon(() => room(page)).toBeGreaterThan(0);
  // the footer grows: by a download, as here, or by a long message
  await page.fill('#prompt', 'line\n'.repeat(6));
  await soon(() => page.evaluate(() => document.querySelector('footer')!.offsetHeight)).toBeGreaterThan(220);
  await soon(() => room(page)).toBeGreaterThan(0);
});

test('until it is known which model is recommended, the offer has its room and shows that something comes', async () => {
  const page = await chat.context.newPage();
  let release = (): void => undefined;
  const held = new Promise<void>((go) => (release = go));
  await page.route('**/rivulet-tiny.gguf', async (route) => {
    await held;
    await route.continue();
  });
  await page.goto(`${chat.site.url}?backend=wasm`);
  await page.evaluate(() => {
    const seen = Object.assign(window, { shift: 0 });
    new PerformanceObserver((list) => {
      const entries = list.getEntries() as (PerformanceEntry & { value: number; sources: { node: Node | null }[] })[];
      // the footer grows upwards, which counts as a shift of what it holds
      for (const { value, sources } of entries)
        if (sources.some(({ node }) => node?.parentElement?.closest('main'))) seen.shift += value;
    }).observe({ type: 'layout-shift', buffered: true });
  });
  await page.waitForSelector('#first-run-offer.unsettled');
  const height = (): Promise<number> =>
    page.locator('#first-run-offer').evaluate((offer) => offer.getBoundingClientRect().height);
  const before = await height();
  expect(await page.isVisible('#first-run-offer .primary')).toBe(false);
  expect(
    await page
      .locator('#first-run-offer .primary')
      .evaluate((button) => getComputedStyle(button, '::before').visibility),
  ).toBe('visible');
  release();
  await ready(page);
  await page.waitForSelector('#first-run-offer .primary:visible');
  expect(Math.abs((await height()) - before)).toBeLessThan(2);
  expect(await page.evaluate('shift')).toBeLessThan(0.02);
});

test('a new chat is one press away', async () => {
  const page = await chat.visit();
  await page.fill('#prompt', 'Hello!');
  await page.press('#prompt', 'Enter');
  await page.waitForSelector('.assistant .foot .copy');
  await page.click('#header-new-chat');
  await page.waitForSelector('#first-run:visible');
  await soon(() => page.evaluate(() => document.activeElement?.id)).toBe('prompt');
  // beside the side bar there is no second one
  await page.setViewportSize({ width: 1440, height: 900 });
  expect([await page.isVisible('#header-new-chat'), await page.isVisible('#new-chat')]).toEqual([false, true]);
  await page.click('#sidebar-toggle');
  expect([await page.isVisible('#header-new-chat'), await page.isVisible('#new-chat')]).toEqual([true, false]);
});

test('a wide table and wide code have a shadow at the edge behind which there is more', async () => {
  const content = `| ${'column | '.repeat(9)}\n|${'---|'.repeat(9)}\n| ${'some words | '.repeat(9)}\n\n\`\`\`\n${'code '.repeat(40)}\n\`\`\``;
  await chat.context.addInitScript(
    (turns) => (localStorage['rivulet-chat.turns'] = turns),
    JSON.stringify([
      { role: 'user', content: 'hi' },
      { role: 'assistant', content },
    ]),
  );
  const page = await chat.visit();
  for (const selector of ['.table', '.code pre']) {
    const box = page.locator(selector);
    expect(await box.evaluate(({ scrollWidth, clientWidth }) => scrollWidth - clientWidth), selector).toBeGreaterThan(
      100,
    );
    expect(await box.evaluate((element) => getComputedStyle(element).backgroundAttachment), selector).toMatch(
      /^local, local, scroll, scroll/,
    );
  }
});
