// @module-tag chromium
/**
 * Hostile texts that other apps hand over to the chat page as built: shared text, opened and dropped files, names of
 * models. Nothing runs, nothing is fetched.
 */
import type { Page } from 'playwright';
import { expect, test } from 'vitest';
import { finished, NO_TOOLS, PATIENCE, soon } from './chat_page';
import { PAYLOADS, PLAIN } from './hostile';
import { differences, objections, testWatchedChat } from './hostile_page';
import { addLaunchQueue, openServed, openTexts, shareText } from './launch_queue';

const chat = testWatchedChat();
/** addresses, names of files and their content have no lone halves of pairs */
const texts = PLAIN.map(({ text }) => text.toWellFormed());
const groups = <T>(all: readonly T[], size: number): T[][] =>
  Array.from({ length: Math.ceil(all.length / size) }, (_, i) => all.slice(i * size, (i + 1) * size));

/** The page with a launch queue, whose model has no tools: it may say anything, but nothing acts. */
async function visit(): Promise<Page> {
  await addLaunchQueue(chat.context);
  await chat.keep('settings', { backend: 'wasm', maxTokens: 12, ...NO_TOOLS });
  return chat.visit('');
}

/** The page keeps its draft when it is left, so this is done in another document. */
async function forgetDraft(page: Page): Promise<void> {
  await page.goto(`${chat.site.url}icon.svg`);
  await page.evaluate(() => localStorage.removeItem('rivulet-chat.draft.new'));
}

test('shared text, in the address of the page and by a later launch', async () => {
  const page = await visit();
  for (const group of groups(PAYLOADS, 10)) {
    for (const { name, text } of group) {
      await page.fill('#prompt', '');
      await shareText(page, text);
      // a field of several lines has no carriage returns
      expect((await page.inputValue('#prompt')).trim(), name).toBe(text.toWellFormed().trim().replace(/\r\n?/g, '\n'));
    }
    expect(await objections(page), group.map(({ name }) => name).join()).toEqual([]);
  }
  for (const [title, text, url = ''] of groups(texts, 3)) {
    await forgetDraft(page);
    const shared = Object.entries({ title, text, url }).map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
    await page.goto(`${chat.site.url}?${shared.join('&')}`);
    for (const part of [title, text, url]) await soon(() => page.inputValue('#prompt')).toContain(part.trim());
    expect(page.url()).toBe(chat.site.url);
    expect(await objections(page)).toEqual([]);
  }
  expect(await page.locator('#messages li').count()).toBe(0);
  expect(chat.happened).toEqual([]);
});

test('opened and dropped text files: in the message field, over a reload, and in the conversation', async () => {
  const page = await visit();
  await openTexts(
    page,
    PAYLOADS.map(({ name, text, plain }) => ({ name: `${plain ? text : name}.txt`, text })),
  );
  // the longest do not fit into what the model can read, and the page says so at the end
  await page.waitForSelector('#composer-note:has-text("fit into what the model can read")');
  const chips = await page.locator('#attachments li').count();
  expect(chips).toBeGreaterThan(PAYLOADS.length * 0.8);
  expect(await objections(page)).toEqual([]);
  await page.reload();
  await soon(() => page.locator('#attachments li').count()).toBe(chips);
  expect(await objections(page)).toEqual([]);

  await forgetDraft(page);
  await page.goto(chat.site.url);
  await page.waitForSelector('#about:visible', { timeout: PATIENCE });
  expect(await page.locator('#attachments li').count()).toBe(0);
  // what has a zero in it is no text
  const readable = texts.filter((text) => !text.includes('\0'));
  for (const [i, group] of groups(readable, 3).entries()) {
    const files = group.map((text) => ({ name: `${text}.txt`, text }));
    if (i % 2) await openTexts(page, files);
    else
      await page.evaluate((json) => {
        const dataTransfer = new DataTransfer();
        for (const { name, text } of JSON.parse(json) as { name: string; text: string }[])
          dataTransfer.items.add(new File([text], name));
        document.body.dispatchEvent(new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true }));
      }, JSON.stringify(files));
    await soon(() => page.locator('#attachments li').count()).toBe(files.length);
    expect(await objections(page)).toEqual([]);
    await page.press('#prompt', 'Enter');
    await finished(page, i + 1);
    expect(await objections(page)).toEqual([]);
  }
  for (const item of await page.locator('#messages details.attached summary').all()) await item.click();
  expect(await differences(page, '#messages .attached pre', readable)).toEqual([]);
  expect(
    await differences(
      page,
      '#messages .attached summary',
      readable.map((text) => `${text}.txt`),
    ),
  ).toEqual([]);
  expect(await objections(page)).toEqual([]);
  expect(chat.happened).toEqual([]);
});

test('files of models with hostile names: refused, used, stored and deleted', async () => {
  const page = await visit();
  // no file has a slash in its name
  const fileName = (text: string): string => `${text.replaceAll('/', '⁄')}.gguf`;
  for (const name of texts.map(fileName)) {
    await openTexts(page, [{ name, text: 'not a model' }]);
    await page.waitForFunction(
      (json) =>
        document.querySelector('#error:not([hidden]) #error-text')?.textContent?.includes(JSON.parse(json) as string),
      JSON.stringify(name),
    );
    expect(await objections(page), name).toEqual([]);
  }
  for (const file of groups(texts, 6).map((group) => fileName(group.join(' ')))) {
    const named = JSON.stringify(file);
    await openServed(page, 'models/rivulet-tiny.gguf', file);
    await page.waitForFunction(
      (json) =>
        document.getElementById('model-name')?.textContent === JSON.parse(json) &&
        document.querySelector<HTMLElement>('#loading')?.hidden,
      named,
    );
    expect(await objections(page), file).toEqual([]);
    await page.click('#toast button:has-text("Keep on this device")');
    await page.waitForSelector('#toast:has-text("is stored on this device")');
    expect(await objections(page), file).toEqual([]);
    await page.click('#choose');
    await page.waitForFunction(
      (json) =>
        [...document.querySelectorAll('#models-kept h4')].some(({ textContent }) => textContent === JSON.parse(json)),
      named,
    );
    expect(await objections(page), file).toEqual([]);
    await page.locator('#models-kept .model.current summary').click();
    await page
      .locator('#models-kept .model.current')
      .getByRole('button', { name: /^Delete/ })
      .click();
    await page.waitForSelector('.question');
    expect(await objections(page), file).toEqual([]);
    await page.click('.question button[value=yes]');
    await page.waitForSelector('#toast:has-text("was deleted")');
    expect(await objections(page), file).toEqual([]);
    await page.keyboard.press('Escape');
    await page.keyboard.press('Escape');
    await page.waitForSelector('#models', { state: 'hidden' });
  }
  expect(chat.happened).toEqual([]);
});
