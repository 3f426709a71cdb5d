// @module-tag chromium
/** The toast of the chat page: read out, closed by time, kept while it is used, and within reach over a dialog. */
import type { Browser, Page } from 'playwright';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { showToast, ToastOptions } from '../demo/chat/toast';
import { launchChromium, openPage, serve, type Served } from './harness';

interface Parts {
  parts: { showToast: typeof showToast };
  done: number;
}

let server: Served;
let browser: Browser;
let page: Page;
beforeAll(async () => {
  server = await serve();
  browser = await launchChromium();
});
afterAll(async () => {
  await browser?.close();
  await server?.close();
});
beforeEach(async () => {
  await page?.close();
  page = await openPage(browser, server.origin, '/e2e/pages/chat_parts.html');
  await page.waitForFunction(() => 'parts' in window);
});

/** Shows a toast; its button, if any, counts in `done`. */
const show = (
  text: string,
  { action = true, ...options }: { action?: boolean } & Omit<ToastOptions, 'action'> = {},
): Promise<void> =>
  page.evaluate(
    ({ text, action, options }) => {
      const own = window as unknown as Parts;
      own.done = 0;
      own.parts.showToast(text, { ...options, ...(action && { action: () => void (own.done += 1) }) });
    },
    { text, action, options },
  );
const toast = () => page.locator('#toast');
const done = (): Promise<number> => page.evaluate(() => (window as unknown as Parts).done);

test('says what happened, and takes it back once', async () => {
  await show('Deleted “A <b>title</b>”.');
  await page.waitForSelector('#toast button');
  expect(await toast().getAttribute('role')).toBe('status');
  expect(await toast().locator('span').innerText()).toBe('Deleted “A <b>title</b>”.');
  await toast().getByRole('button', { name: 'Undo' }).click();
  expect(await done()).toBe(1);
  expect(await toast().isVisible()).toBe(false);
});

test('closes by time, but not while it has the pointer or the focus', async () => {
  await page.clock.install();
  await show('Saved.', { action: false, ms: 2000 });
  await toast().locator('span').waitFor();
  await toast().hover();
  await page.clock.runFor(2500);
  expect(await toast().isVisible()).toBe(true);
  await toast().getByRole('button', { name: 'Close this message' }).focus();
  await page.mouse.move(0, 0);
  await page.clock.runFor(2500);
  expect(await toast().isVisible()).toBe(true);
  await page.keyboard.press('Escape');
  expect(await toast().isVisible()).toBe(false);
  expect(await page.evaluate(() => document.activeElement?.id)).toBe('prompt');

  await show('Saved.', { action: false, ms: 1000 });
  await toast().waitFor();
  await toast().waitFor({ state: 'hidden' });
});

test('a second one takes the place of the first', async () => {
  await show('One.', { ms: 200 });
  await show('Two.', { ms: 5000 });
  await toast().locator('span').waitFor();
  await page.waitForTimeout(500);
  expect(await toast().locator('span').allInnerTexts()).toEqual(['Two.']);
});

test('is within reach over a modal dialog, and stays when the dialog closes', async () => {
  await page.evaluate(() => (document.getElementById('dialog') as HTMLDialogElement).showModal());
  await show('Deleted.');
  await page.waitForSelector('#dialog #toast button');
  await page.keyboard.press('Escape');
  await page.waitForFunction(() => !document.querySelector('dialog[open]'));
  await toast().getByRole('button', { name: 'Undo' }).click();
  expect(await done()).toBe(1);
});
