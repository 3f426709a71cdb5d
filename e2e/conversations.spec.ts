// @module-tag chromium
/**
 * The conversations of the chat page as built, in Chromium: the list, files of them, tabs that share them, and storage
 * that is blocked or cleared.
 */
import { readFileSync } from 'node:fs';
import type { Locator, Page } from 'playwright';
import { describe, expect, test } from 'vitest';
import { branch } from '../demo/chat/conversations/conversation';
import {
  ask,
  BRIEF,
  finished,
  loadAxe,
  message,
  newChat,
  NO_TOOLS,
  objections,
  PATIENCE,
  ready,
  requests,
  saveSettings,
  soon,
  testChat,
} from './chat_page';
import { lastStored, storedConversations } from './stored_conversations';

const chat = testChat({ scripts: [BRIEF] });
let page: Page;
const visit = async (query?: string): Promise<Page> => (page = await chat.visit(query));
const titles = (): Promise<string[]> => page.locator('.conversation-title').allInnerTexts();
const menu = async (title: string, entry: string): Promise<void> => {
  await page.locator('.conversation', { hasText: title }).hover();
  await page.getByRole('button', { name: `Options for “${title}”` }).click();
  await page.getByRole('menuitem', { name: entry }).click();
};

describe('the list', () => {
  test('New chat keeps what was before; search, rename, delete with undo; all over a reload', async () => {
    await visit();
    await soon(() => titles()).toEqual([]);
    await ask(page, 'Good morning');
    await newChat(page);
    await soon(() => page.innerText('#conversation-title')).toBe('New chat');
    await ask(page, 'How are you today?');
    await page.waitForFunction(() => document.querySelectorAll('.conversation').length === 2);
    await soon(() => titles()).toEqual(['How are you today?', 'Good morning']);
    await soon(() => page.locator('.conversation-group').allInnerTexts()).toEqual(['Today']);
    await soon(() => page.innerText('.conversation:has([aria-current]) .conversation-title')).toBe(
      'How are you today?',
    );

    await page.fill('#conversation-search', 'today');
    await page.waitForFunction(() => document.querySelectorAll('.conversation').length === 1);
    await page.fill('#conversation-search', 'no such words');
    await page.waitForSelector('#conversation-none:has-text("No conversation contains these words.")');
    await page.press('#conversation-search', 'Escape');
    await page.waitForFunction(() => document.querySelectorAll('.conversation').length === 2);

    await menu('Good morning', 'Rename');
    await page.waitForSelector('.conversation-rename:focus');
    await page.keyboard.type('A first try');
    await page.keyboard.press('Enter');
    await page.waitForSelector('.conversation-title:text-is("A first try")');
    await page.click('.conversation-open:has-text("A first try")');
    await page.waitForSelector('#conversation-title:has-text("A first try")');
    await soon(() => requests(page)).toEqual(['Good morning']);
    await page.fill('#conversation-search', 'morning');
    await page.waitForSelector('.conversation-hit mark:text-is("morning")');
    await page.fill('#conversation-search', '');

    await menu('A first try', 'Delete');
    await page.waitForFunction(() => document.querySelectorAll('.conversation').length === 1);
    await soon(() => page.locator('#messages li').count()).toBe(0);
    await page.getByRole('button', { name: 'Undo', exact: true }).click();
    await page.waitForSelector('.conversation-title:text-is("A first try")');
    await soon(() => requests(page)).toEqual(['Good morning']);
    await page.reload();
    await ready(page);
    await soon(() => titles()).toEqual(['How are you today?', 'A first try']);
    await soon(() => requests(page)).toEqual(['Good morning']);
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
                Array.from({ length: 20 }, (_, m) => [
                  `m${m}`,
                  {
                    id: `m${m}`,
                    parent: m ? `m${m - 1}` : null,
                    role: m % 2 ? 'assistant' : 'user',
                    content: `word${i} ${'and some other words '.repeat(20)}`,
                    created: m,
                    revision: 0,
                    finish: 'stop',
                  },
                ]),
              );
              store.put(
                { id, title: `Conversation ${i}`, created: 0, updated, messages, leaf: 'm19', chosen: 0 },
                `conversation/${id}`,
              );
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
    await soon(() => page.locator('.conversation').count()).toBe(80);
    await page.evaluate(() => {
      const tasks: number[] = [];
      Object.assign(window, { tasks });
      new PerformanceObserver((list) => tasks.push(...list.getEntries().map(({ duration }) => duration))).observe({
        type: 'longtask',
      });
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
    console.log(
      `1,000 conversations: first search ${Math.round(first)} ms, a later one ${Math.round(performance.now() - again)} ms, long tasks ${await page.evaluate(() => (window as unknown as { tasks: number[] }).tasks.map(Math.round).join(' '))}`,
    );
    await page.fill('#conversation-search', '');
    await page.click('.conversation-more');
    await page.waitForFunction(() => document.querySelectorAll('.conversation').length === 240);
  });
});

test('export, then import: JSON brings all branches, Markdown the one that is shown', async () => {
  await visit();
  await ask(page, 'Good morning');
  await message(page, 1).getByRole('button', { name: 'Regenerate' }).click();
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

  const importFile = (name: string, text: string): Promise<void> =>
    page.setInputFiles('.conversation-tools input[type=file]', {
      name,
      mimeType: 'text/plain',
      buffer: Buffer.from(text),
    });
  await importFile(json.name, json.text);
  await page.waitForFunction(() => document.querySelectorAll('#messages > li').length === 2);
  await soon(() => page.locator('.versions').innerText()).toContain('2/2');
  const stored = (): Promise<Awaited<ReturnType<typeof storedConversations>>> =>
    storedConversations(page).then((all) => all.filter(({ deleted }) => deleted === undefined));
  expect((await stored())[0].messages).toEqual(before.messages);
  // what is there already is not doubled
  await importFile(json.name, json.text);
  await page.waitForSelector('#toast:has-text("imported")');
  await soon(() => stored()).toHaveLength(1);
  await importFile(markdown.name, markdown.text);
  await page.waitForFunction(() => document.querySelectorAll('.conversation').length === 2);
  const all = await stored();
  const copy = all.find(({ id }) => id !== before.id)!;
  expect(branch(copy).map(({ role, content }) => ({ role, content }))).toEqual(
    branch(before).map(({ role, content }) => ({ role, content })),
  );
  await importFile(
    'evil.json',
    '{"format":"rivulet-conversations","version":1,"conversations":[{"id":"../x","messages":{"__proto__":{"id":"__proto__"}}}]}',
  );
  await page.waitForSelector('#composer-note:has-text("evil.json cannot be imported: got")');
  await soon(() => stored()).toHaveLength(2);
});

test('where IndexedDB is blocked the conversation goes on in memory, with one clear line', async () => {
  await chat.context.addInitScript(() => {
    const open = indexedDB.open.bind(indexedDB);
    indexedDB.open = (name: string, version?: number) => {
      if (name === 'rivulet-chat-conversations') throw new DOMException('blocked', 'SecurityError');
      return open(name, version);
    };
  });
  await visit();
  await ask(page, 'Good morning');
  await ask(page, 'Thanks!');
  await soon(() => page.innerText('#storage-problem')).toMatch(/^Conversations cannot be saved/);
  await newChat(page);
  await ask(page, 'How are you?');
  await page.click('.conversation-open:has-text("Good morning")');
  await page.waitForFunction(() => document.querySelectorAll('#messages li').length === 4);
  await soon(() => requests(page)).toEqual(['Good morning', 'Thanks!']);
});

test('another tab shows the reply while it is written, can go on with it, and leaves a conversation that is deleted', async () => {
  await visit();
  await ask(page, 'Good morning');
  const other = await chat.visit();
  await other.waitForFunction(() => document.querySelectorAll('#messages li').length === 2);
  await saveSettings(page, { temperature: 2, topK: 0, topP: 1, minP: 0, repetitionPenalty: 2, maxTokens: 300 });
  await page.fill('#prompt', 'Tell me more.');
  await page.press('#prompt', 'Enter');
  await other.waitForFunction(() => document.querySelectorAll('#messages > .user').length === 2, undefined, {
    timeout: PATIENCE,
  });
  await finished(page, 2);
  const whole = (await lastStored(page)).content;
  await other.waitForFunction(
    (text) =>
      [...document.querySelectorAll('#messages > .assistant:not([aria-busy]) .copy')].length === 2 && text.length > 0,
    whole,
    { timeout: PATIENCE },
  );
  await soon(() => other.locator('#messages > .assistant .body').last().innerText()).toBe(
    await page.locator('#messages > .assistant .body').last().innerText(),
  );
  await ask(other, 'Thanks!');
  await page.waitForFunction(() => document.querySelectorAll('#messages > .user').length === 3, undefined, {
    timeout: PATIENCE,
  });
  page = other;
  await menu('Good morning', 'Delete');
  const [first] = chat.context.pages();
  await first.waitForFunction(() => document.querySelectorAll('#messages > li').length === 0, undefined, {
    timeout: PATIENCE,
  });
  await page.getByRole('button', { name: 'Undo', exact: true }).click();
  await page.waitForFunction(() => document.querySelectorAll('#messages > .user').length === 3);
});

test('storage that is cleared while the page is open: the conversation goes on and is stored again whole', async () => {
  await visit();
  await ask(page, 'Good morning');
  await lastStored(page);
  const session = await chat.context.newCDPSession(page);
  await session.send('Storage.clearDataForOrigin', {
    origin: new URL(chat.site.url).origin,
    storageTypes: 'indexeddb,local_storage',
  });
  await ask(page, 'Thanks!');
  await expect
    .poll(
      async () =>
        (await storedConversations(page).catch(() => [])).flatMap(({ messages }) => Object.values(messages)).length,
      { timeout: 10_000 },
    )
    .toBe(4);
  await soon(() => page.locator('#storage-problem:visible').count()).toBe(0);
});

test('two tabs, 100 random actions: no turn is lost', async () => {
  await chat.context.addInitScript(
    (settings) => (localStorage['rivulet-chat.settings'] = settings),
    JSON.stringify({ backend: 'wasm', maxTokens: 6, threads: 1, ...NO_TOOLS }),
  );
  const tabs = [await visit(), await chat.visit()];
  await ask(tabs[0], 'shared beginning');
  await tabs[1].waitForSelector('.conversation-open');
  await tabs[1].click('.conversation-open');
  await tabs[1].waitForFunction(() => document.querySelectorAll('#messages li').length === 2);
  let seed = 7;
  const random = (n: number): number => (seed = (seed * 48271) % 2147483647) % n;
  const sent = ['shared beginning'];
  // without a pointer, which would wait until the lists stand still that the other tab changes
  const press = (button: Locator): Promise<void> =>
    button.evaluate((found: HTMLElement) => found.click(), undefined, { timeout: 1000 });
  const act = async (tab: Page, action: number): Promise<void> => {
    const kind = random(10);
    await tab.waitForSelector('#stop', { state: 'hidden', timeout: PATIENCE });
    // what waits goes back to the field when its conversation is left, and the next request would be typed over it
    await tab.waitForSelector('#waiting', { state: 'hidden', timeout: PATIENCE });
    if (kind < 5) {
      const text = `request ${action}`;
      sent.push(text);
      await tab.fill('#prompt', text);
      await tab.press('#prompt', 'Enter');
      await tab.waitForFunction(
        (text) =>
          [...document.querySelectorAll('#messages .user .body, #waiting .body')].some(
            ({ textContent }) => textContent === text,
          ),
        text,
        { timeout: PATIENCE },
      );
    } else if (kind < 6) await tab.click('#new-chat');
    else if (kind < 8) {
      const open = tab.locator('.conversation-open');
      await press(open.nth(random(Math.max(1, await open.count()))));
    } else {
      const buttons = tab.locator(kind < 9 ? '#messages .regenerate:enabled' : '#messages .versions button:enabled');
      const count = await buttons.count();
      // the other tab has changed it meanwhile
      if (count) await press(buttons.nth(random(count))).catch(() => undefined);
    }
  };
  for (let action = 0; action < 100; action += 2) await Promise.all([act(tabs[0], action), act(tabs[1], action + 1)]);
  for (const tab of tabs)
    for (const busy of ['#waiting', '#stop']) await tab.waitForSelector(busy, { state: 'hidden', timeout: PATIENCE });
  await expect
    .poll(
      async () =>
        (await storedConversations(page))
          .flatMap(({ messages }) => Object.values(messages))
          .filter(({ role }) => role === 'user')
          .map(({ content }) => content)
          .sort(),
      { timeout: 10_000 },
    )
    .toEqual(sent.sort());
  const all = await storedConversations(page);
  for (const { messages } of all)
    for (const { parent } of Object.values(messages)) if (parent !== null) expect(messages[parent]).toBeDefined();
  await soon(() => page.locator('#storage-problem:visible').count()).toBe(0);
});
