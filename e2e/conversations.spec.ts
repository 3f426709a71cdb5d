// @module-tag chromium
/** The conversations of the chat page as built, in Chromium: the list, branches, long chats, what waits, files, and tabs that share them. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Browser, BrowserContext, Page } from 'playwright';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { branch } from '../demo/chat/conversations/conversation';
import { ask, BRIEF, finished, loadAxe, objections, PATIENCE, ready, replies, visitPage } from './chat_page';
import { launchChromium } from './harness';
import { serveSite, type Site } from './site';
import { lastStored, storedConversations } from './stored_conversations';

let site: Site;
let browser: Browser;
let context: BrowserContext;
let page: Page;
beforeAll(async () => {
  site = await serveSite();
  browser = await launchChromium();
});
afterAll(async () => {
  await browser?.close();
  await site?.close();
});
beforeEach(async () => {
  context = await browser.newContext({ viewport: { width: 1280, height: 800 }, acceptDownloads: true });
  await context.addInitScript(BRIEF);
});
afterEach(() => context.close());

const visit = async (query = ''): Promise<Page> => (page = await visitPage(`${site.url}?backend=wasm${query}`, context));
const titles = (): Promise<string[]> => page.locator('.conversation-title').allInnerTexts();
const requests = (): Promise<string[]> => page.locator('#messages .user .body').allInnerTexts();
const menu = async (title: string, entry: string): Promise<void> => {
  await page.locator('.conversation', { hasText: title }).hover();
  await page.getByRole('button', { name: `Options for “${title}”` }).click();
  await page.getByRole('menuitem', { name: entry }).click();
};
const newChat = async (): Promise<void> => {
  await page.click('#new-chat');
  await page.waitForFunction(() => document.querySelectorAll('#messages li').length === 0);
};
const save = async (fields: Record<string, number>): Promise<void> => {
  await page.click('#open-settings');
  for (const [name, value] of Object.entries(fields)) await page.fill(`#settings [name=${name}]`, String(value));
  await page.click('#settings [value=save]');
};
/** A text that is certain to be the last words of the message at this place. */
const message = (place: number) => page.locator('#messages > li:not(.not-read)').nth(place);

describe('the list', () => {
  test('New chat keeps what was before; search, rename, delete with undo; all over a reload', async () => {
    await visit();
    expect(await titles()).toEqual([]);
    await ask(page, 'Good morning');
    await newChat();
    expect(await page.innerText('#conversation-title')).toBe('New chat');
    await ask(page, 'How are you today?');
    await page.waitForFunction(() => document.querySelectorAll('.conversation').length === 2);
    expect(await titles()).toEqual(['How are you today?', 'Good morning']);
    expect(await page.locator('.conversation-group').allInnerTexts()).toEqual(['Today']);
    expect(await page.innerText('.conversation:has([aria-current]) .conversation-title')).toBe('How are you today?');

    await page.fill('#conversation-search', 'today');
    await page.waitForFunction(() => document.querySelectorAll('.conversation').length === 1);
    await page.fill('#conversation-search', 'no such words');
    await page.waitForSelector('#conversation-none:has-text("No conversation contains these words.")');
    await page.press('#conversation-search', 'Escape');
    await page.waitForFunction(() => document.querySelectorAll('.conversation').length === 2);

    await menu('Good morning', 'Rename');
    await page.keyboard.type('A first try');
    await page.keyboard.press('Enter');
    await page.waitForSelector('.conversation-title:text-is("A first try")');
    await page.click('.conversation-open:has-text("A first try")');
    await page.waitForSelector('#conversation-title:has-text("A first try")');
    expect(await requests()).toEqual(['Good morning']);
    await page.fill('#conversation-search', 'morning');
    await page.waitForSelector('.conversation-hit mark:text-is("morning")');
    await page.fill('#conversation-search', '');

    await menu('A first try', 'Delete');
    await page.waitForFunction(() => document.querySelectorAll('.conversation').length === 1);
    expect(await page.locator('#messages li').count()).toBe(0);
    await page.getByRole('button', { name: 'Undo', exact: true }).click();
    await page.waitForSelector('.conversation-title:text-is("A first try")');
    expect(await requests()).toEqual(['Good morning']);
    await page.reload();
    await ready(page);
    expect(await titles()).toEqual(['How are you today?', 'A first try']);
    expect(await requests()).toEqual(['Good morning']);
    await loadAxe(page);
    expect(await objections(page)).toEqual([]);
    await page.locator('.conversation', { hasText: 'A first try' }).hover();
    await page.getByRole('button', { name: 'Options for “A first try”' }).click();
    expect(await objections(page)).toEqual([]);
  });

  test('1,000 conversations: the list and the search stay quick', async () => {
    await visit();
    await ask(page, 'Hello!');
    await page.evaluate(
      () =>
        new Promise<void>((resolve, reject) => {
          const opening = indexedDB.open('rivulet-chat-conversations');
          opening.onsuccess = () => {
            const writing = opening.result.transaction('conversations', 'readwrite');
            const store = writing.objectStore('conversations');
            for (let i = 0; i < 1000; i++) {
              const [id, updated] = [`many-${i}`, Date.now() - i * 3_600_000];
              const messages = Object.fromEntries(
                Array.from({ length: 20 }, (_, m) => [`m${m}`, { id: `m${m}`, parent: m ? `m${m - 1}` : null, role: m % 2 ? 'assistant' : 'user', content: `word${i} ${'and some other words '.repeat(20)}`, created: m, revision: 0, finish: 'stop' }]),
              );
              store.put({ id, title: `Conversation ${i}`, created: 0, updated, messages, leaf: 'm19', chosen: 0 }, `conversation/${id}`);
              store.put({ id, title: `Conversation ${i}`, updated }, `summary/${id}`);
            }
            writing.oncomplete = () => {
              opening.result.close();
              resolve();
            };
            writing.onerror = () => reject(writing.error);
          };
        }),
    );
    await page.reload();
    await ready(page);
    expect(await page.locator('.conversation').count()).toBe(80);
    await page.evaluate(() => {
      const tasks: number[] = [];
      Object.assign(window, { tasks });
      new PerformanceObserver((list) => tasks.push(...list.getEntries().map(({ duration }) => duration))).observe({ type: 'longtask' });
    });
    const started = performance.now();
    await page.fill('#conversation-search', 'word777');
    await page.waitForFunction(() => document.querySelectorAll('.conversation').length === 1);
    const first = performance.now() - started;
    await page.fill('#conversation-search', 'word7777');
    await page.waitForFunction(() => document.querySelectorAll('.conversation').length === 0);
    const again = performance.now();
    await page.fill('#conversation-search', 'word77');
    await page.waitForFunction(() => document.querySelectorAll('.conversation').length === 11);
    console.log(`1,000 conversations: first search ${Math.round(first)} ms, a later one ${Math.round(performance.now() - again)} ms, long tasks ${await page.evaluate(() => (window as unknown as { tasks: number[] }).tasks.map(Math.round).join(' '))}`);
    await page.fill('#conversation-search', '');
    await page.click('.conversation-more');
    await page.waitForFunction(() => document.querySelectorAll('.conversation').length === 240);
  });
});

describe('branches', () => {
  test('edit and send, regenerate, walk through the versions, delete with undo, over a reload', async () => {
    await visit();
    await ask(page, 'Good morning');
    await ask(page, 'Thanks!');
    const [, last] = await replies(page);
    await message(2).hover();
    await message(2).getByRole('button', { name: 'Edit' }).click();
    expect(await page.inputValue('.edit-form textarea')).toBe('Thanks!');
    await page.keyboard.press('Escape');
    expect(await page.locator('.edit-form').count()).toBe(0);
    await message(2).getByRole('button', { name: 'Edit' }).click();
    await page.fill('.edit-form textarea', 'How are you?');
    await page.keyboard.press('Enter');
    await page.waitForSelector('.versions:has-text("2/2")');
    await finished(page, 2);
    expect(await requests()).toEqual(['Good morning', 'How are you?']);

    await message(2).getByRole('button', { name: 'Previous version' }).click();
    expect(await requests()).toEqual(['Good morning', 'Thanks!']);
    expect((await replies(page))[1]).toBe(last);
    expect(await page.evaluate(() => document.activeElement?.getAttribute('aria-label'))).toBe('Next version');
    await message(3).getByRole('button', { name: 'Regenerate' }).click();
    await page.waitForSelector('.assistant .versions:has-text("2/2")');
    await finished(page, 2);

    await message(2).hover();
    await message(2).getByRole('button', { name: 'Delete' }).click();
    await page.waitForFunction(() => document.querySelectorAll('#messages > li').length === 4);
    expect(await requests()).toEqual(['Good morning', 'How are you?']);
    await page.getByRole('button', { name: 'Undo', exact: true }).click();
    await page.waitForSelector('.user .versions:has-text("1/2")');
    expect(await requests()).toEqual(['Good morning', 'Thanks!']);
    await lastStored(page);
    await page.reload();
    await ready(page);
    expect(await requests()).toEqual(['Good morning', 'Thanks!']);
    expect(await page.locator('.versions').allInnerTexts()).toEqual([expect.stringContaining('1/2'), expect.stringContaining('2/2')]);
    expect(await page.locator('#messages .assistant h2').allInnerTexts()).toEqual(['Rivulet tiny', 'Rivulet tiny']);
  });

  test('a reply at the length limit goes on, and ends as it would have ended', async () => {
    await visit();
    await save({ maxTokens: 200 });
    await ask(page, 'Who are you?');
    const [whole] = await replies(page);
    await save({ maxTokens: 3 });
    await newChat();
    await ask(page, 'Who are you?');
    expect(whole.startsWith((await replies(page))[0])).toBe(true);
    expect(await page.innerText('#messages .foot .figures')).toContain('stopped at the length limit');
    await save({ maxTokens: 200 });
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.waitForFunction((text) => document.querySelector('#messages .assistant .body')?.textContent?.trim() === text.trim(), whole, { timeout: PATIENCE });
    await finished(page, 1);
    expect(await page.getByRole('button', { name: 'Continue' }).count()).toBe(0);
    expect(await page.locator('.versions').count()).toBe(0);
    expect((await lastStored(page)).content.trim()).toBe(whole.trim());
  });

  test('a reply that a reload interrupts is kept so far, and goes on', async () => {
    await visit();
    await save({ temperature: 2, topK: 0, topP: 1, minP: 0, repetitionPenalty: 2, maxTokens: 1500 });
    let shown = '';
    for (let attempt = 0; !shown; attempt++) {
      expect(attempt).toBeLessThan(10);
      await page.fill('#prompt', 'Tell me more.');
      await page.press('#prompt', 'Enter');
      await page.waitForFunction(() => [...document.querySelectorAll('#messages .assistant[aria-busy] .body, #send:not([hidden])')].some((found) => found.id === 'send' || (found.textContent ?? '').length > 20), undefined, { timeout: PATIENCE });
      if (await page.locator('#messages .assistant[aria-busy]').count()) shown = (await page.locator('#messages .assistant .body').last().innerText()).trim();
    }
    await page.reload();
    await ready(page);
    const kept = (await page.locator('#messages .assistant .body').last().innerText()).trim();
    if (await page.getByRole('button', { name: 'Continue' }).count()) {
      expect(kept.length).toBeGreaterThanOrEqual(shown.length - 5);
      expect(await page.locator('#messages .figures').last().innerText()).toBe('interrupted');
      await page.getByRole('button', { name: 'Continue' }).click();
      await page.waitForFunction((length) => ([...document.querySelectorAll('#messages .assistant .body')].at(-1)?.textContent ?? '').trim().length > length, kept.length, { timeout: PATIENCE });
      await page.keyboard.press('Escape');
    }
    expect(kept).not.toBe('');
  });
});

describe('what is not sent at once', () => {
  test('without a model a message waits, can be changed and cancelled, and is sent when one is ready', async () => {
    page = await context.newPage();
    await page.goto(`${site.url}?backend=wasm&model=${encodeURIComponent(`${site.url}chat/nothing.gguf`)}`);
    await page.waitForSelector('#error:visible', { timeout: PATIENCE });
    for (const text of ['Good morning', 'Thanks!', 'One too many']) {
      await page.fill('#prompt', text);
      await page.press('#prompt', 'Enter');
      await page.waitForFunction((wanted) => document.querySelector('#waiting')?.textContent?.includes(wanted), text);
    }
    expect(await page.locator('#messages li').count()).toBe(0);
    expect(await page.locator('#waiting .figures').first().innerText()).toBe('Is sent when a model is chosen');
    await page.locator('#waiting li').last().getByRole('button', { name: 'Cancel' }).click();
    await page.locator('#waiting li').last().getByRole('button', { name: 'Edit' }).click();
    expect(await page.inputValue('#prompt')).toBe('Thanks!');
    await page.fill('#prompt', 'Thank you!');
    await page.press('#prompt', 'Enter');
    await page.waitForFunction(() => document.querySelectorAll('#waiting li').length === 2);
    await page.setInputFiles('#file', fileURLToPath(new URL('../public/models/rivulet-tiny.gguf', import.meta.url)));
    await finished(page, 2);
    expect(await requests()).toEqual(['Good morning', 'Thank you!']);
    expect(await page.isVisible('#waiting')).toBe(false);
  });

  test('drafts survive a reload, one for each conversation', async () => {
    await visit();
    await ask(page, 'Good morning');
    await page.fill('#prompt', 'a thought for later');
    await newChat();
    await page.fill('#prompt', 'a new thought');
    await page.reload();
    await ready(page);
    expect(await page.inputValue('#prompt')).toBe('a new thought');
    await page.click('.conversation-open');
    await page.waitForFunction(() => document.querySelectorAll('#messages li').length === 2);
    expect(await page.inputValue('#prompt')).toBe('a thought for later');
    await page.press('#prompt', 'Enter');
    await finished(page, 2);
    await page.reload();
    await ready(page);
    expect(await page.inputValue('#prompt')).toBe('');
  });

  test('a message that is too long stays in the field, with the figures', async () => {
    await visit();
    const long = 'many words '.repeat(3000);
    await page.fill('#prompt', long);
    await page.press('#prompt', 'Enter');
    await page.waitForSelector('#composer-note:has-text("tokens")', { timeout: PATIENCE });
    expect(await page.innerText('#composer-note')).toMatch(/^This message has [\d,]+ tokens\. [\d,]+ fit into what the model can read\. Shorten it/);
    expect(await page.inputValue('#prompt')).toBe(long);
    expect(await page.locator('#messages li').count()).toBe(0);
    await page.fill('#prompt', '');
    await ask(page, 'Hi again');
  });

  test('text files go with a message, other files are refused in words', async () => {
    await visit();
    await page.setInputFiles('#attach-file', [{ name: 'cat.jpg', mimeType: 'image/jpeg', buffer: Buffer.from([0xff, 0xd8]) }, { name: 'notes.txt', mimeType: 'text/plain', buffer: Buffer.from('<b>milk</b> and stamps') }]);
    await page.waitForSelector('#attachments:has-text("notes.txt")');
    expect(await page.innerText('#composer-note')).toMatch(/^cat\.jpg is a picture\. Only text files can be attached/);
    await page.setInputFiles('#attach-file', { name: 'book.txt', mimeType: 'text/plain', buffer: Buffer.from('long words '.repeat(4000)) });
    await page.waitForSelector('#composer-note:has-text("book.txt has")');
    expect(await page.locator('#attachments li').count()).toBe(1);
    await ask(page, 'What is in my notes?');
    expect(await page.innerText('#messages details.attached summary')).toBe('notes.txt');
    await page.click('#messages details.attached summary');
    expect(await page.innerText('#messages details.attached pre')).toBe('<b>milk</b> and stamps');
    expect(await page.locator('#attachments li').count()).toBe(0);
    const [{ messages }] = await storedConversations(page);
    expect(Object.values(messages).find(({ role }) => role === 'user')).toMatchObject({ content: 'What is in my notes?', files: [{ name: 'notes.txt' }] });
  });

  test('an error stands at the reply, the request stays, and goes when it is tried again', async () => {
    await context.addInitScript(`localStorage['rivulet-chat.settings'] = '{"backend":"wasm","temperature":-1}'`);
    await visit();
    await page.fill('#prompt', 'Good morning');
    await page.press('#prompt', 'Enter');
    await page.waitForSelector('.reply-error', { timeout: PATIENCE });
    expect(await page.isVisible('#error')).toBe(false);
    expect(await requests()).toEqual(['Good morning']);
    expect(await page.locator('.reply-error button').allInnerTexts()).toEqual(['Try again', 'Choose another model']);
    await save({ temperature: 0 });
    await page.getByRole('button', { name: 'Try again' }).click();
    await finished(page, 1);
    expect(await page.locator('.reply-error, .failed').count()).toBe(0);
    expect(await requests()).toEqual(['Good morning']);
  });
});

test('export, then import: JSON brings all branches, Markdown the one that is shown', async () => {
  await visit();
  await ask(page, 'Good morning');
  await message(1).getByRole('button', { name: 'Regenerate' }).click();
  await page.waitForSelector('.versions:has-text("2/2")');
  await finished(page, 1);
  await lastStored(page);
  const [before] = await storedConversations(page);
  const download = async (act: () => Promise<unknown>): Promise<{ name: string; text: string }> => {
    const [file] = await Promise.all([page.waitForEvent('download'), act()]);
    return { name: file.suggestedFilename(), text: readFileSync(await file.path(), 'utf8') };
  };
  const json = await download(() => page.getByRole('button', { name: 'Export all' }).click());
  const markdown = await download(() => menu('Good morning', 'Export as Markdown'));
  expect(markdown.name).toBe('Good morning.md');
  await menu('Good morning', 'Delete');
  await page.waitForFunction(() => document.querySelectorAll('.conversation').length === 0);

  const importFile = (name: string, text: string): Promise<void> => page.setInputFiles('.conversation-tools input[type=file]', { name, mimeType: 'text/plain', buffer: Buffer.from(text) });
  await importFile(json.name, json.text);
  await page.waitForFunction(() => document.querySelectorAll('#messages > li').length === 2);
  expect(await page.locator('.versions').innerText()).toContain('2/2');
  const stored = (): Promise<Awaited<ReturnType<typeof storedConversations>>> => storedConversations(page).then((all) => all.filter(({ deleted }) => deleted === undefined));
  expect((await stored())[0].messages).toEqual(before.messages);
  // what is there already is not doubled
  await importFile(json.name, json.text);
  await page.waitForSelector('#toast:has-text("imported")');
  expect(await stored()).toHaveLength(1);
  await importFile(markdown.name, markdown.text);
  await page.waitForFunction(() => document.querySelectorAll('.conversation').length === 2);
  const all = await stored();
  const copy = all.find(({ id }) => id !== before.id)!;
  expect(branch(copy).map(({ role, content }) => ({ role, content }))).toEqual(branch(before).map(({ role, content }) => ({ role, content })));
  await importFile('evil.json', '{"format":"rivulet-conversations","version":1,"conversations":[{"id":"../x","messages":{"__proto__":{"id":"__proto__"}}}]}');
  await page.waitForSelector('#composer-note:has-text("evil.json cannot be imported: got")');
  expect(await stored()).toHaveLength(2);
});

test('where IndexedDB is blocked the conversation goes on in memory, with one clear line', async () => {
  await context.addInitScript(() => {
    const open = indexedDB.open.bind(indexedDB);
    indexedDB.open = (name: string, version?: number) => {
      if (name === 'rivulet-chat-conversations') throw new DOMException('blocked', 'SecurityError');
      return open(name, version);
    };
  });
  await visit();
  await ask(page, 'Good morning');
  await ask(page, 'Thanks!');
  expect(await page.innerText('#storage-problem')).toMatch(/^Conversations cannot be saved/);
  await newChat();
  await ask(page, 'How are you?');
  await page.click('.conversation-open:has-text("Good morning")');
  await page.waitForFunction(() => document.querySelectorAll('#messages li').length === 4);
  expect(await requests()).toEqual(['Good morning', 'Thanks!']);
});

test('80 turns in a short context: the oldest are left out at a visible line, the gauge tells, and nothing fails', async () => {
  await context.addInitScript(`localStorage['rivulet-chat.settings'] = '{"backend":"wasm","maxTokens":16}'`);
  await visit('&context=768');
  let gauge = '';
  let line = 0;
  for (let turn = 0; turn < 80; turn++) {
    await ask(page, turn % 2 ? 'Thanks!' : 'Good morning');
    gauge ||= await page.innerText('#context-gauge').catch(() => '');
    line = Math.max(line, await page.locator('.not-read').count());
  }
  expect(await page.locator('.reply-error').count()).toBe(0);
  expect(line).toBe(1);
  expect(await page.innerText('.not-read')).toBe('Messages above this line are no longer read by the model');
  expect(gauge).toMatch(/^Context (8|9)\d\s% full$/);
  const above = await page.evaluate(() => [...document.querySelectorAll('#messages > li')].findIndex((item) => item.className === 'not-read'));
  expect(above).toBeGreaterThan(60);
  // a reload changes nothing
  await lastStored(page);
  await page.reload();
  await ready(page);
  await page.waitForSelector('.not-read');
  expect(await page.evaluate(() => [...document.querySelectorAll('#messages > li')].findIndex((item) => item.className === 'not-read'))).toBe(above);
});

test('two tabs, 100 random actions: no turn is lost', async () => {
  await context.addInitScript(`localStorage['rivulet-chat.settings'] = '{"backend":"wasm","maxTokens":6,"threads":1}'`);
  const tabs = [await visit(), await visitPage(`${site.url}?backend=wasm`, context)];
  await ask(tabs[0], 'shared beginning');
  await tabs[1].waitForSelector('.conversation-open');
  await tabs[1].click('.conversation-open');
  await tabs[1].waitForFunction(() => document.querySelectorAll('#messages li').length === 2);
  let seed = 7;
  const random = (n: number): number => (seed = (seed * 48271) % 2147483647) % n;
  const sent = ['shared beginning'];
  const act = async (tab: Page, action: number): Promise<void> => {
    const kind = random(10);
    await tab.waitForSelector('#stop', { state: 'hidden', timeout: PATIENCE });
    if (kind < 5) {
      sent.push(`request ${action}`);
      await tab.fill('#prompt', `request ${action}`);
      await tab.press('#prompt', 'Enter');
    } else if (kind < 6) await tab.click('#new-chat');
    else if (kind < 8) {
      const open = tab.locator('.conversation-open');
      await open.nth(random(Math.max(1, await open.count()))).click();
    } else {
      const buttons = tab.locator(kind < 9 ? '#messages .regenerate:enabled' : '#messages .versions button:enabled');
      const count = await buttons.count();
      if (count) await buttons.nth(random(count)).click({ timeout: 1000 }).catch(() => undefined); // the other tab has changed it meanwhile
    }
  };
  for (let action = 0; action < 100; action += 2) await Promise.all([act(tabs[0], action), act(tabs[1], action + 1)]);
  for (const tab of tabs) await tab.waitForSelector('#stop', { state: 'hidden', timeout: PATIENCE });
  await expect.poll(async () => (await storedConversations(page)).flatMap(({ messages }) => Object.values(messages)).filter(({ role }) => role === 'user').map(({ content }) => content).sort(), { timeout: 10_000 }).toEqual(sent.sort());
  const all = await storedConversations(page);
  for (const { messages } of all) for (const { parent } of Object.values(messages)) if (parent !== null) expect(messages[parent]).toBeDefined();
  expect(await page.locator('#storage-problem:visible').count()).toBe(0);
});
