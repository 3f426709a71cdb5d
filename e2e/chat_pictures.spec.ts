// @module-tag chromium
/** Pictures on the chat page as built: chosen, dropped, pasted and photographed, over a reload, and what is refused. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ask, finished, ready, soon, testChat } from './chat_page';
import { createHub, type Hub } from './hub';
import { GOLDEN_DIRECTORY } from './tools/golden';

const golden = (path: string): Buffer => readFileSync(join(GOLDEN_DIRECTORY, 'vision', path));
const square = golden('images/square.png');
const REPO = 'LiquidAI/LFM2-VL-450M-GGUF';
let hub: Hub;
beforeAll(async () => {
  hub = await createHub({
    repos: {
      [REPO]: {
        'LFM2-VL-450M-Q8_0.gguf': golden('gguf/tiny-Q8_0.gguf'),
        'mmproj-LFM2-VL-450M-F16.gguf': golden('gguf/mmproj-F16.gguf'),
      },
    },
  });
});
afterAll(() => hub.close());
const chat = testChat({
  scripts: [`localStorage['rivulet-chat.settings'] ??= '{"maxTokens":8,"contextLength":4096}'`],
  launch: { webgpu: true, args: ['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream'] },
});

const address = (backend: string): string => `?backend=${backend}&model=${REPO}&hub=${encodeURIComponent(hub.origin)}`;
const chips = (page: Page): Promise<string[]> => page.locator('#attachments li').allInnerTexts();
/** the natural width of each picture in the conversation; 0 until it is drawn */
const widths = (page: Page): Promise<number[]> =>
  page.evaluate(() =>
    [...document.querySelectorAll<HTMLImageElement>('.user .picture')].map((one) => one.naturalWidth),
  );

/** Gives the page a picture as a drop or a paste does. */
const give = (page: Page, kind: 'drop' | 'paste', name: string): Promise<void> =>
  page.evaluate(
    ([event, file, base64]) => {
      const data = new DataTransfer();
      const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
      data.items.add(new File([bytes], file, { type: 'image/png' }));
      const given = { bubbles: true, cancelable: true };
      if (event === 'drop') document.body.dispatchEvent(new DragEvent('drop', { ...given, dataTransfer: data }));
      else
        document
          .querySelector('#prompt')!
          .dispatchEvent(new ClipboardEvent('paste', { ...given, clipboardData: data }));
    },
    [kind, name, square.toString('base64')] as const,
  );

test('a picture, a question, another one, and a third after a reload; dropped, pasted and photographed', async () => {
  const page = await chat.visit(address('wasm'));
  await page.setInputFiles('#attach-file', { name: 'square.png', mimeType: 'image/png', buffer: square });
  await soon(() => chips(page)).toEqual([expect.stringMatching(/^square\.png\s+\d+ tokens$/)]);
  // a picture that waits is there after a reload
  await page.reload();
  await ready(page);
  await soon(() => chips(page)).toEqual([expect.stringMatching(/^square\.png\s+\d+ tokens$/)]);

  await ask(page, 'What is this?');
  expect(await chips(page)).toEqual([]);
  await soon(() => widths(page)).toEqual([256]);
  await ask(page, 'Which colour has it?');
  await page.reload();
  await ready(page);
  await soon(() => widths(page)).toEqual([256]);
  await ask(page, 'And now?');

  // in another browser, by a file
  const [saved] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: 'Export all' }).click(),
  ]);
  const exported = readFileSync(await saved.path());
  const other = await (await chat.browser.newContext()).newPage();
  await other.goto(`${chat.site.url}?backend=wasm`);
  await ready(other);
  await other
    .locator('#import, #sidebar input[type=file]')
    .first()
    .setInputFiles({ name: 'all.json', mimeType: '', buffer: exported });
  await soon(() => widths(other)).toEqual([256]);
  await other.context().close();
  await soon(() => page.locator('#messages .error:visible').count()).toBe(0);

  await give(page, 'drop', 'dropped.png');
  await soon(() => chips(page)).toHaveLength(1);
  await give(page, 'paste', 'pasted.png');
  await soon(() => chips(page)).toHaveLength(2);
  await page.click('#camera');
  await page.click('#camera-dialog button.primary:enabled');
  await soon(async () => (await chips(page)).map((chip) => chip.split(/\s/)[0])).toEqual([
    'dropped.png',
    'pasted.png',
    'Photo.png',
  ]);
  await page.locator('#attachments button').last().click();
  await page.press('#prompt', 'Enter');
  await finished(page, 4);
  await soon(() => widths(page)).toEqual([256, 256, 256]);
  expect(await page.locator('#camera-view').evaluate((view: HTMLVideoElement) => view.srcObject)).toBe(null);
});

test('on WebGPU: a picture, a question, another one, and a third after a reload', async () => {
  const page = await chat.visit(`${address('webgpu')}&software=1`);
  await give(page, 'drop', 'dropped.png');
  await soon(() => chips(page)).toHaveLength(1);
  await ask(page, 'What is this?');
  await ask(page, 'Which colour has it?');
  await page.reload();
  await ready(page);
  await soon(() => widths(page)).toEqual([256]);
  await ask(page, 'And now?');
  expect(await page.locator('#about').innerText()).toMatch(/WebGPU/);
});

test('what is no picture, and a model that reads only text', async () => {
  const page = await chat.visit();
  expect(await page.isVisible('#camera')).toBe(false);
  await give(page, 'drop', 'square.png');
  await soon(() => page.innerText('#composer-note')).toMatch(
    /^square\.png is a picture, and this model reads only text/,
  );
  expect(await chips(page)).toEqual([]);
  const damaged = { name: 'cat.jpg', mimeType: 'image/jpeg', buffer: Buffer.from([0xff, 0xd8]) };
  await page.setInputFiles('#attach-file', damaged);
  await soon(() => page.innerText('#composer-note')).toMatch(
    /^cat\.jpg cannot be shown\. It is damaged, or in a format/,
  );
});
