// @module-tag chromium
/**
 * The messages of the chat page as built, in Chromium: branches, what waits, what is refused, files, and a conversation
 * beyond the context.
 */
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright';
import { describe, expect, test } from 'vitest';
import {
  ask,
  BRIEF,
  finished,
  message,
  newChat,
  PATIENCE,
  ready,
  replies,
  requests,
  saveSettings,
  soon,
  testChat,
} from './chat_page';
import { lastStored, storedConversations } from './stored_conversations';

const chat = testChat({ scripts: [BRIEF] });
let page: Page;
const visit = async (query?: string): Promise<Page> => (page = await chat.visit(query));

describe('branches', () => {
  test('edit and send, regenerate, walk through the versions, delete with undo, over a reload', async () => {
    await visit();
    await ask(page, 'Good morning');
    await ask(page, 'Thanks!');
    const [, last] = await replies(page);
    await message(page, 2).hover();
    await message(page, 2).getByRole('button', { name: 'Edit' }).click();
    await soon(() => page.inputValue('.edit-form textarea')).toBe('Thanks!');
    await page.keyboard.press('Escape');
    await soon(() => page.locator('.edit-form').count()).toBe(0);
    await message(page, 2).getByRole('button', { name: 'Edit' }).click();
    await page.fill('.edit-form textarea', 'How are you?');
    await page.keyboard.press('Enter');
    await page.waitForSelector('.versions:has-text("2/2")');
    await finished(page, 2);
    await soon(() => requests(page)).toEqual(['Good morning', 'How are you?']);

    await message(page, 2).getByRole('button', { name: 'Previous version' }).click();
    await soon(() => requests(page)).toEqual(['Good morning', 'Thanks!']);
    expect((await replies(page))[1]).toBe(last);
    await soon(() => page.evaluate(() => document.activeElement?.getAttribute('aria-label'))).toBe('Next version');
    await message(page, 3).getByRole('button', { name: 'Regenerate' }).click();
    await page.waitForSelector('.assistant .versions:has-text("2/2")');
    await finished(page, 2);

    await message(page, 2).hover();
    await message(page, 2).getByRole('button', { name: 'Delete' }).click();
    await page.waitForFunction(() => document.querySelectorAll('#messages > li').length === 4);
    await soon(() => requests(page)).toEqual(['Good morning', 'How are you?']);
    await page.getByRole('button', { name: 'Undo', exact: true }).click();
    await page.waitForSelector('.user .versions:has-text("1/2")');
    await soon(() => requests(page)).toEqual(['Good morning', 'Thanks!']);
    await lastStored(page);
    await page.reload();
    await ready(page);
    await soon(() => requests(page)).toEqual(['Good morning', 'Thanks!']);
    await soon(() => page.locator('.versions').allInnerTexts()).toEqual([
      expect.stringContaining('1/2'),
      expect.stringContaining('2/2'),
    ]);
    await soon(() => page.locator('#messages .assistant h2').allInnerTexts()).toEqual(['Rivulet tiny', 'Rivulet tiny']);
  });

  test('a reply at the length limit goes on, and ends as it would have ended', async () => {
    await visit();
    await saveSettings(page, { maxTokens: 200 });
    await ask(page, 'Who are you?');
    const [whole] = await replies(page);
    await saveSettings(page, { maxTokens: 3 });
    await newChat(page);
    await ask(page, 'Who are you?');
    expect(whole.startsWith((await replies(page))[0])).toBe(true);
    await soon(() => page.innerText('#messages .foot .figures')).toContain('stopped at the length limit');
    await saveSettings(page, { maxTokens: 200 });
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.waitForFunction(
      (text) => document.querySelector('#messages .assistant .body')?.textContent?.trim() === text.trim(),
      whole,
      { timeout: PATIENCE },
    );
    await finished(page, 1);
    await soon(() => page.getByRole('button', { name: 'Continue' }).count()).toBe(0);
    await soon(() => page.locator('.versions').count()).toBe(0);
    expect((await lastStored(page)).content.trim()).toBe(whole.trim());
  });

  test('a reply that a reload interrupts is kept so far, and goes on', async () => {
    await visit();
    await saveSettings(page, { temperature: 2, topK: 0, topP: 1, minP: 0, repetitionPenalty: 2, maxTokens: 1500 });
    let shown = '';
    for (let attempt = 0; !shown; attempt++) {
      expect(attempt).toBeLessThan(10);
      await page.fill('#prompt', 'Tell me more.');
      await page.press('#prompt', 'Enter');
      await page.waitForFunction(
        () =>
          [...document.querySelectorAll('#messages .assistant[aria-busy] .body, #send:not([hidden])')].some(
            (found) => found.id === 'send' || (found.textContent ?? '').length > 20,
          ),
        undefined,
        { timeout: PATIENCE },
      );
      if (await page.locator('#messages .assistant[aria-busy]').count())
        shown = (await page.locator('#messages .assistant .body').last().innerText()).trim();
    }
    await page.reload();
    await ready(page);
    await page.waitForSelector('#messages .assistant .copy');
    const kept = (await page.locator('#messages .assistant .body').last().innerText()).trim();
    if (await page.getByRole('button', { name: 'Continue' }).count()) {
      expect(kept.length).toBeGreaterThanOrEqual(shown.length - 5);
      await soon(() => page.locator('#messages .figures').last().innerText()).toBe('interrupted');
      await page.getByRole('button', { name: 'Continue' }).click();
      await page.waitForFunction(
        (length) =>
          ([...document.querySelectorAll('#messages .assistant .body')].at(-1)?.textContent ?? '').trim().length >
          length,
        kept.length,
        { timeout: PATIENCE },
      );
      await page.keyboard.press('Escape');
    }
    expect(kept).not.toBe('');
  });
});

describe('what is not sent at once', () => {
  test('without a model a message waits, can be changed and cancelled, and is sent when one is ready', async () => {
    page = await chat.context.newPage();
    await page.route('**/rivulet-tiny.gguf', (route) => route.fulfill({ status: 404 }));
    await page.goto(`${chat.site.url}?backend=wasm`);
    await page.waitForSelector('#error:visible', { timeout: PATIENCE });
    for (const text of ['Good morning', 'Thanks!', 'One too many']) {
      await page.fill('#prompt', text);
      await page.press('#prompt', 'Enter');
      await page.waitForFunction((wanted) => document.querySelector('#waiting')?.textContent?.includes(wanted), text);
    }
    await soon(() => page.locator('#messages li').count()).toBe(0);
    await soon(() => page.locator('#waiting .figures').first().innerText()).toBe('Waits until you choose a model');
    await page.locator('#waiting li').last().getByRole('button', { name: 'Cancel' }).click();
    await page.locator('#waiting li').last().getByRole('button', { name: 'Edit' }).click();
    await soon(() => page.inputValue('#prompt')).toBe('Thanks!');
    await page.fill('#prompt', 'Thank you!');
    await page.press('#prompt', 'Enter');
    await page.waitForFunction(() => document.querySelectorAll('#waiting li').length === 2);
    await page.setInputFiles('#file', fileURLToPath(new URL('../public/models/rivulet-tiny.gguf', import.meta.url)));
    await finished(page, 2);
    await soon(() => requests(page)).toEqual(['Good morning', 'Thank you!']);
    await soon(() => page.isVisible('#waiting')).toBe(false);
  });

  test('what is sent during a reply waits for its end, and is sent then', async () => {
    await visit();
    await saveSettings(page, { temperature: 2, topK: 0, topP: 1, minP: 0, repetitionPenalty: 2, maxTokens: 1500 });
    await page.fill('#prompt', 'Tell me more.');
    await page.press('#prompt', 'Enter');
    await page.waitForSelector('#messages .assistant[aria-busy]', { timeout: PATIENCE });
    await page.fill('#prompt', 'Good morning');
    await soon(() => page.isVisible('#send')).toBe(true);
    await page.press('#prompt', 'Enter');
    await page.waitForFunction(
      () => document.querySelector('#waiting:not([hidden]) .figures, #messages > li:nth-child(3)'),
      undefined,
      { timeout: PATIENCE },
    );
    const waiting = await page.locator('#waiting .figures').allInnerTexts();
    expect(waiting.every((text) => text === 'Waits for this reply to end')).toBe(true);
    await page.keyboard.press('Escape');
    await page.waitForFunction(() => document.querySelectorAll('#messages > .user').length === 2, undefined, {
      timeout: PATIENCE,
    });
    await soon(() => requests(page)).toEqual(['Tell me more.', 'Good morning']);
    // A reply that is stopped before its first word is no message: on a slow machine the first reply may have ended by
    // itself, and Escape stopped the second.
    const state = await page.waitForFunction(
      () => {
        const last = document.querySelector('#messages > li:last-child');
        if (last?.matches('.assistant'))
          return (last.ariaBusy !== 'true' || last.querySelector('.body')?.textContent) && 'written';
        return (
          document.querySelector<HTMLElement>('#stop')?.hidden &&
          document.querySelector<HTMLElement>('#waiting')?.hidden &&
          'stopped'
        );
      },
      undefined,
      { timeout: PATIENCE },
    );
    if ((await state.jsonValue()) === 'stopped') return;
    await page.keyboard.press('Escape');
    await page.waitForFunction(
      () =>
        document.querySelector('#messages > li:last-child .foot button') &&
        !document.querySelector('#messages [aria-busy="true"]'),
      undefined,
      { timeout: PATIENCE },
    );
  });

  test('what is typed before the script of the page has come stays, behind the draft of the last visit', async () => {
    await visit();
    await page.fill('#prompt', 'a draft');
    await soon(() => page.evaluate(() => localStorage.getItem('rivulet-chat.draft.new') ?? '')).toContain('a draft');
    await page.evaluate(() =>
      navigator.serviceWorker.getRegistrations().then((all) => Promise.all(all.map((one) => one.unregister()))),
    );
    let arrive = (): void => undefined;
    const arrived = new Promise<void>((resolve) => (arrive = resolve));
    await page.route(/assets\/index-.*\.js/, async (route) => {
      await arrived;
      await route.continue();
    });
    await page.goto(page.url(), { waitUntil: 'commit' });
    await page.waitForSelector('#prompt');
    await page.fill('#prompt', 'early words');
    arrive();
    await page.waitForSelector('#attach', { state: 'attached' });
    expect(await page.inputValue('#prompt')).toBe('a draft\n\nearly words');
    await ready(page);
    expect(await page.inputValue('#prompt')).toBe('a draft\n\nearly words');
  });

  test('drafts survive a reload, one for each conversation', async () => {
    await visit();
    await ask(page, 'Good morning');
    await page.fill('#prompt', 'a thought for later');
    await newChat(page);
    await page.fill('#prompt', 'a new thought');
    await page.reload();
    await ready(page);
    await soon(() => page.inputValue('#prompt')).toBe('a new thought');
    await page.click('.conversation-open');
    await page.waitForFunction(() => document.querySelectorAll('#messages li').length === 2);
    await soon(() => page.inputValue('#prompt')).toBe('a thought for later');
    await page.press('#prompt', 'Enter');
    await finished(page, 2);
    await page.reload();
    await ready(page);
    await soon(() => page.inputValue('#prompt')).toBe('');
  });

  test('a message that is too long stays in the field, with the figures', async () => {
    await visit();
    const long = 'many words '.repeat(3000);
    await page.fill('#prompt', long);
    await page.press('#prompt', 'Enter');
    const note = page.locator('#composer-note');
    await note.filter({ hasText: 'characters' }).waitFor({ timeout: PATIENCE });
    const far = /^This message has 32,999 characters\. About ([\d,]+) fit into what the model can read\. Shorten it/;
    expect(await note.innerText()).toMatch(far);
    await soon(() => page.inputValue('#prompt')).toBe(long);
    const fit = Number(far.exec(await note.innerText())![1].replaceAll(',', ''));
    await page.fill('#prompt', long.slice(0, 1.1 * fit));
    await page.press('#prompt', 'Enter');
    await note.filter({ hasText: 'tokens' }).waitFor({ timeout: PATIENCE });
    expect(await note.innerText()).toMatch(
      /^This message has [\d,]+ tokens\. [\d,]+ fit into what the model can read\. Shorten it/,
    );
    await soon(() => page.locator('#messages li').count()).toBe(0);
    await page.fill('#prompt', '');
    await ask(page, 'Hi again');
  });

  test('text files go with a message, other files are refused in words', async () => {
    await visit();
    await page.setInputFiles('#attach-file', [
      { name: 'cat.jpg', mimeType: 'image/jpeg', buffer: Buffer.from([0xff, 0xd8]) },
      { name: 'notes.txt', mimeType: 'text/plain', buffer: Buffer.from('<b>milk</b> and stamps') },
    ]);
    await page.waitForSelector('#attachments:has-text("notes.txt")');
    await soon(() => page.innerText('#composer-note')).toMatch(
      /^cat\.jpg cannot be shown\. It is damaged, or in a format that this browser does not know/,
    );
    await page.setInputFiles('#attach-file', {
      name: 'book.txt',
      mimeType: 'text/plain',
      buffer: Buffer.from('long words '.repeat(4000)),
    });
    await page.waitForSelector('#composer-note:has-text("book.txt has")');
    await soon(() => page.locator('#attachments li').count()).toBe(1);
    await ask(page, 'What is in my notes?');
    await soon(() => page.innerText('#messages details.attached summary')).toBe('notes.txt');
    await page.click('#messages details.attached summary');
    await soon(() => page.innerText('#messages details.attached pre')).toBe('<b>milk</b> and stamps');
    await soon(() => page.locator('#attachments li').count()).toBe(0);
    const [{ messages }] = await storedConversations(page);
    expect(Object.values(messages).find(({ role }) => role === 'user')).toMatchObject({
      content: 'What is in my notes?',
      files: [{ name: 'notes.txt' }],
    });
  });

  test('an error stands at the reply, the request stays, and goes when it is tried again', async () => {
    await chat.context.addInitScript(`localStorage['rivulet-chat.settings'] = '{"backend":"wasm","temperature":-1}'`);
    await visit();
    await page.fill('#prompt', 'Good morning');
    await page.press('#prompt', 'Enter');
    await page.waitForSelector('.reply-error', { timeout: PATIENCE });
    await soon(() => page.isVisible('#error')).toBe(false);
    await soon(() => requests(page)).toEqual(['Good morning']);
    await soon(() => page.locator('.reply-error button').allInnerTexts()).toEqual([
      'Try again',
      'Choose another model',
    ]);
    await saveSettings(page, { temperature: 0 });
    await page.getByRole('button', { name: 'Try again' }).click();
    await finished(page, 1);
    await soon(() => page.locator('.reply-error, .failed').count()).toBe(0);
    await soon(() => requests(page)).toEqual(['Good morning']);
  });
});

test('a very long conversation shows its last messages first, and the earlier ones on request', async () => {
  const turns = Array.from({ length: 300 }, (_, i) => ({
    role: i % 2 ? 'assistant' : 'user',
    content: `message ${i}`,
  }));
  await chat.context.addInitScript((given) => (localStorage['rivulet-chat.turns'] ??= given), JSON.stringify(turns));
  await visit();
  await soon(() => page.locator('#messages > li[data-id]').count()).toBe(200);
  await soon(() => page.locator('#messages > li[data-id] .body').first().innerText()).toBe('message 100');
  await page.getByRole('button', { name: 'Show earlier messages (100)' }).click();
  await page.waitForFunction(() => document.querySelectorAll('#messages > li[data-id]').length === 300);
  await soon(() => page.locator('#messages > li[data-id] .body').first().innerText()).toBe('message 0');
  await soon(() =>
    page.evaluate(() => document.activeElement?.closest('li')?.querySelector('.body')?.textContent?.trim()),
  ).toBe('message 99');
});

test('80 turns in a short context: the oldest are left out at a visible line, the gauge tells, and nothing fails', async () => {
  await chat.context.addInitScript(`localStorage['rivulet-chat.settings'] = '{"backend":"wasm","maxTokens":16}'`);
  await visit('?backend=wasm&context=768');
  let gauge = '';
  let line = 0;
  for (let turn = 0; turn < 80; turn++) {
    await ask(page, turn % 2 ? 'Thanks!' : 'Good morning');
    gauge ||= await page.innerText('#context-gauge').catch(() => '');
    line = Math.max(line, await page.locator('.not-read').count());
  }
  await soon(() => page.locator('.reply-error').count()).toBe(0);
  expect(line).toBe(1);
  await soon(() => page.innerText('.not-read')).toBe('Messages above this line are no longer read by the model');
  expect(gauge).toMatch(/^Context (8|9)\d\s% full$/);
  const above = await page.evaluate(() =>
    [...document.querySelectorAll('#messages > li')].findIndex((item) => item.className === 'not-read'),
  );
  expect(above).toBeGreaterThan(60);
  // a reload changes nothing
  await lastStored(page);
  await page.reload();
  await ready(page);
  await page.waitForSelector('.not-read');
  await soon(() =>
    page.evaluate(() =>
      [...document.querySelectorAll('#messages > li')].findIndex((item) => item.className === 'not-read'),
    ),
  ).toBe(above);
});
