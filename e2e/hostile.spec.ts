// @module-tag chromium
/**
 * Hostile texts in the chat page as built, wherever a text can come from: nothing runs, nothing is fetched, and the
 * page goes on.
 */
import type { Page } from 'playwright';
import { expect, test } from 'vitest';
import type { ChatMessage, Conversation } from '../demo/chat/conversations/conversation';
import { FORMAT, VERSION } from '../demo/chat/conversations/export';
import type { KeptCall, Turn } from '../demo/chat/history';
import type { createMarkdown as makeMarkdown } from '../demo/chat/markdown/markdown';
import { finished, PATIENCE, replies } from './chat_page';
import { serve } from './harness';
import { PAYLOADS, PLAIN } from './hostile';
import { differences, objections, settled, testWatchedChat, watch } from './hostile_page';
import { ggufBytes, tinyModel } from './tools/tiny';

const chat = testWatchedChat();
const visit = (): Promise<Page> => chat.visit('');
const importFile = (page: Page, name: string, text: string): Promise<void> =>
  page.setInputFiles('.conversation-tools input[type=file]', {
    name,
    mimeType: 'text/plain',
    buffer: Buffer.from(text),
  });

/** What stands beyond the right edge, although the page is not to scroll sideways. */
const tooWide = (page: Page): Promise<string[]> =>
  page.evaluate(() => {
    if (document.documentElement.scrollWidth <= innerWidth) return [];
    const scrolls = (element: Element): boolean =>
      element !== document.body &&
      element !== document.documentElement &&
      getComputedStyle(element).overflowX !== 'visible';
    const inScroller = (element: Element | null): boolean =>
      element !== null && (scrolls(element) || inScroller(element.parentElement));
    const beyond = [...document.querySelectorAll('#messages *')].filter(
      (element) => element.getBoundingClientRect().right > innerWidth + 1 && !inScroller(element.parentElement),
    );
    return [
      `${document.documentElement.scrollWidth} px`,
      ...beyond.slice(0, 3).map((element) => element.outerHTML.slice(0, 100)),
    ];
  });

const callWith = (text: string): KeptCall => ({
  name: text,
  title: text,
  arguments: JSON.parse(
    `{"__proto__": {"polluted": 1}, "constructor": {"prototype": {"polluted": 1}}, ${JSON.stringify(text)}: ${JSON.stringify(text)}}`,
  ),
  state: 'done',
  summary: text,
  value: { before: text },
  brief: text,
  repairs: [text],
  ms: 1,
});

const toJson = (conversations: readonly Conversation[]): string =>
  JSON.stringify({ format: FORMAT, version: VERSION, conversations });
/** A conversation of these messages as the page exports it. */
function conversationOf(id: string, turns: readonly (Turn & { model?: string })[], title = id): Conversation {
  const messages = turns.map((turn, i): ChatMessage => ({
    ...turn,
    id: `${id}-${i}`,
    parent: i ? `${id}-${i - 1}` : null,
    created: i,
    revision: 0,
    ...(turn.role === 'assistant' && { finish: 'stop' }),
  }));
  return {
    id,
    title,
    named: 1,
    created: 1,
    updated: Date.now(),
    messages: Object.fromEntries(messages.map((message) => [message.id, message])),
    leaf: messages.at(-1)?.id ?? null,
    chosen: 1,
  };
}

test('there are at least 80 payloads, and each has a name of its own', () => {
  expect(PAYLOADS.length).toBeGreaterThanOrEqual(80);
  expect(new Set(PAYLOADS.map(({ name }) => name)).size).toBe(PAYLOADS.length);
  expect(PLAIN.length).toBeGreaterThan(10);
});

const texts = PLAIN.map(({ text }) => text);

test('a conversation from a file: replies, requests, attached files and tool cards, also after a reload', async () => {
  await chat.keep('settings', { backend: 'wasm', maxTokens: 24 });
  const page = await visit();
  const turns = [
    ...texts.map((text): Turn => ({ role: 'user', content: text, files: [{ name: text, text }] })),
    ...PAYLOADS.map(({ text }): Turn => ({ role: 'assistant', content: text })),
    ...texts.map((text): Turn & { model: string } => ({
      role: 'assistant',
      content: text,
      note: text,
      model: text,
      steps: [{ text, calls: [callWith(text)] }],
    })),
  ];
  await importFile(page, 'hostile.json', toJson([conversationOf('hostile', turns)]));
  for (const reload of [false, true]) {
    if (reload) await page.reload();
    for (let shown = 200; shown < turns.length; shown += 200) await page.click('#messages .earlier button');
    await page.waitForFunction((count) => document.querySelectorAll('#messages > li').length === count, turns.length, {
      timeout: PATIENCE,
    });
    await settled(page);
    expect(await objections(page)).toEqual([]);
    expect(await differences(page, '#messages .user .body', texts)).toEqual([]);
    expect(await differences(page, '#messages .attached pre', texts)).toEqual([]);
    expect(await differences(page, '#messages .call-summary', texts)).toEqual([]);
    expect(await tooWide(page)).toEqual([]);
  }
  // events on everything that shows a message, and a click on every link that leads nowhere
  for (const kind of ['pointerover', 'mouseover', 'focusin', 'animationend'])
    await page.evaluate(
      (type) =>
        document
          .querySelectorAll('#messages *')
          .forEach((element) => element.dispatchEvent(new Event(type, { bubbles: false }))),
      kind,
    );
  await page.evaluate(() =>
    document.querySelectorAll<HTMLElement>('#messages a:not([href])').forEach((link) => link.click()),
  );
  expect(await objections(page)).toEqual([]);
  expect(page.url()).toBe(chat.site.url);

  // the page still answers, and what its model copies from a request stays text
  await page.click('#new-chat');
  await page.waitForFunction(() => document.querySelectorAll('#messages li').length === 0);
  for (const [i, request] of [
    'Hello!',
    'Make a note: "<img src=x onerror=window.hit=1>"',
    'Find "<script>window.hit=1</script>" on this page',
  ].entries()) {
    await page.fill('#prompt', request);
    await page.press('#prompt', 'Enter');
    const done = finished(page, i + 1);
    const asked = await Promise.race([
      done.then(() => false),
      page
        .waitForSelector('.call.asking', { timeout: PATIENCE })
        .then(() => true)
        .catch(() => false),
    ]);
    expect(await objections(page)).toEqual([]);
    if (asked) await page.getByRole('button', { name: /^Allow/ }).click();
    await done;
  }
  expect((await replies(page)).length).toBe(3);
  expect(await objections(page)).toEqual([]);
  expect(chat.happened).toEqual([]);
});

test('titles in the list, other forms of files, and files that are no conversations', async () => {
  await chat.keep('settings', { backend: 'wasm', maxTokens: 24 });
  const page = await visit();
  const count = (): Promise<number> => page.locator('.conversation').count();
  // each has the title of one text and the content of the next: the search shows what it finds in a content
  await importFile(
    page,
    'titles.json',
    toJson(
      texts.map((text, i) =>
        conversationOf(`title-${i}`, [{ role: 'user', content: `${texts[(i + 1) % texts.length]} end` }], text),
      ),
    ),
  );
  await page.waitForFunction((wanted) => document.querySelectorAll('.conversation').length === wanted, texts.length);
  expect(await objections(page)).toEqual([]);
  for (const open of await page.locator('.conversation-open').all()) {
    await open.click();
    expect(await objections(page)).toEqual([]);
  }
  for (const words of ['<script', 'onerror=', 'javascript:', '\u202e']) {
    await page.fill('#conversation-search', words);
    await page.waitForFunction(
      (found) =>
        [...document.querySelectorAll('.conversation-hit mark')].some(({ textContent }) => textContent === found),
      words,
    );
    expect(await objections(page)).toEqual([]);
  }
  await page.fill('#conversation-search', '');
  await page.waitForFunction((wanted) => document.querySelectorAll('.conversation').length === wanted, texts.length);

  for (const [entry, shown] of [
    ['Rename', '.conversation-rename'],
    ['Delete', '#toast:popover-open'],
  ] as const) {
    const first = page.locator('.conversation').first();
    await first.hover();
    await first.getByRole('button', { name: /^Options for/ }).click();
    await page.getByRole('menuitem', { name: entry }).click();
    await page.waitForSelector(shown);
    expect(await objections(page), entry).toEqual([]);
    await page.keyboard.press('Escape');
  }

  await page.waitForFunction(
    (wanted) => document.querySelectorAll('.conversation').length === wanted,
    texts.length - 1,
  );

  const calls = texts.flatMap((text) => [
    { role: 'user', content: [{ type: 'text', text }, { type: text }] },
    {
      role: 'assistant',
      content: text,
      tool_calls: [
        { id: text, type: 'function', function: { name: text, arguments: JSON.stringify({ [text]: text }) } },
      ],
    },
    { role: 'tool', tool_call_id: text, content: text },
    { role: 'assistant', content: text },
  ]);
  const markdown = [
    '<!-- rivulet conversation -->',
    `# ${texts[0]}`,
    ...PAYLOADS.filter(({ text }) => text.length < 1000).flatMap(({ text, name }) => [
      `<!-- rivulet assistant "${texts[1]}" -->`,
      `## ${name}`,
      text,
    ]),
  ].join('\n\n');
  for (const [name, text] of [
    ['calls.json', JSON.stringify({ title: texts[0], messages: calls })],
    ['all.md', markdown],
  ]) {
    const before = await count();
    await importFile(page, name, text);
    await page.waitForFunction((wanted) => document.querySelectorAll('.conversation').length === wanted, before + 1, {
      timeout: PATIENCE,
    });
    await settled(page);
    expect(await page.locator('#messages > li').count()).toBeGreaterThan(texts.length);
    expect(await objections(page), name).toEqual([]);
  }

  const before = await count();
  const broken: [name: string, text: string][] = [
    ['<img src=x onerror=window.hit=1>.json', '<script>window.hit=1</script>'],
    ['number.json', '7'],
    ['empty.json', ''],
    ['list.json', '[]'],
    ['deep.json', '['.repeat(100_000)],
    ['version.json', JSON.stringify({ format: 'rivulet-conversations', version: '<b>', conversations: [] })],
    ['no-messages.json', JSON.stringify({ format: 'rivulet-conversations', version: 1, conversations: [{ id: 'x' }] })],
    [
      'prototype.json',
      '{"format":"rivulet-conversations","version":1,"conversations":[{"id":"__proto__","messages":{"__proto__":{"id":"__proto__","parent":null,"role":"user","content":"x"}}}],"__proto__":{"polluted":1}}',
    ],
    [
      'circle.json',
      JSON.stringify({
        format: 'rivulet-conversations',
        version: 1,
        conversations: [
          {
            id: 'x',
            messages: {
              a: { id: 'a', parent: 'b', role: 'user', content: 'x' },
              b: { id: 'b', parent: 'a', role: 'user', content: 'y' },
            },
          },
        ],
      }),
    ],
    ['role.json', '[{"role":"<script>window.hit=1</script>","content":"x"}]'],
    ['content.json', '[{"role":"user","content":{"toString":"<b>"}}]'],
    ['page.md', '# <script>window.hit=1</script>'],
    ['empty.md', '<!-- rivulet conversation -->'],
  ];
  for (const [name, text] of broken) {
    await importFile(page, name, text);
    await page.waitForFunction(
      (file) => document.getElementById('composer-note')?.textContent?.includes(`${file} cannot be imported`),
      name,
      { timeout: PATIENCE },
    );
    expect(await objections(page), name).toEqual([]);
  }
  expect(await count()).toBe(before);
  expect(chat.happened).toEqual([]);
});

test('replies that grow piece by piece, without the policy of the page', async () => {
  const server = await serve();
  const context = await chat.browser.newContext();
  try {
    const events = await watch(context, server.origin);
    const page = await context.newPage();
    await page.goto(`${server.origin}/e2e/pages/chat_parts.html`);
    await page.waitForFunction(() => 'parts' in window);
    // the text is shown at each step, not after a pause
    await page.evaluate(() => {
      let now = 0;
      performance.now = () => (now += 10_000);
    });
    for (const { name, text } of PAYLOADS) {
      await page.evaluate((json) => {
        const source = JSON.parse(json) as string;
        const { createMarkdown } = (window as unknown as { parts: { createMarkdown: typeof makeMarkdown } }).parts;
        const target = document.getElementById('target')!;
        target.replaceChildren();
        const show = createMarkdown(target);
        const step = source.length < 120 ? 1 : Math.ceil(source.length / 12);
        for (let length = step; length < source.length; length += step) show(source.slice(0, length));
        show(source, true);
      }, JSON.stringify(text));
      expect(await objections(page), name).toEqual([]);
    }
    await settled(page);
    expect(await objections(page)).toEqual([]);
    expect(events).toEqual([]);
  } finally {
    await context.close();
    await server.close();
  }
});

test('drafts, names of files and of models, addresses, notes and settings', async () => {
  const system = texts.join('\n');
  await chat.keep('settings', { system, backend: 'wasm', off: [system], theme: system });
  await chat.keep('draft.new', { text: system, files: texts.map((text) => ({ name: text, text })) });
  await chat.keep(`unsaved.${system.slice(0, 40)}`, {
    id: system,
    title: system,
    messages: { [system]: { id: system, role: 'user', content: system } },
  });
  const page = await visit();
  expect(await page.inputValue('#prompt')).toContain('<script>');
  expect(await differences(page, '#attachments li > span', texts)).toEqual([]);
  expect(await objections(page)).toEqual([]);

  await page.evaluate(
    (json) =>
      new Promise<void>((resolve, reject) => {
        const texts = JSON.parse(json) as string[];
        const opening = indexedDB.open('rivulet-chat-tools');
        opening.onerror = () => reject(opening.error);
        opening.onsuccess = () => {
          const change = opening.result.transaction('values', 'readwrite');
          const values = change.objectStore('values');
          for (const list of ['notes', 'todos'])
            values.put(
              texts.map((text, i) => ({ id: `${list}-${i}`, list, text, added: Date.now() })),
              list,
            );
          values.put(
            texts.map((title, i) => ({
              id: `timer-${i}`,
              kind: 'timer',
              title,
              start: Date.now(),
              end: Date.now() + 3_600_000,
            })),
            'timers',
          );
          change.oncomplete = () => resolve();
          change.onerror = () => reject(change.error);
        };
      }),
    JSON.stringify(texts),
  );
  await page.click('#open-settings');
  expect(await page.inputValue('#system')).toContain('<script>');
  await page.click('#open-notes');
  await page.waitForSelector('#notes .entry');
  expect(await differences(page, '#notes .entry span', [...texts, ...texts, ...texts])).toEqual([]);
  expect(await objections(page)).toEqual([]);
  await page.keyboard.press('Escape');
  await page.keyboard.press('Escape');

  for (const { text, name } of PLAIN) {
    await page.evaluate((json) => {
      const files = new DataTransfer();
      files.items.add(new File(['not a model'], `${JSON.parse(json)}.gguf`));
      const input = document.getElementById('file') as HTMLInputElement;
      input.files = files.files;
      input.dispatchEvent(new Event('change', { bubbles: true }));
    }, JSON.stringify(text));
    await page.waitForSelector('#error:visible', { timeout: PATIENCE });
    expect(await objections(page), name).toEqual([]);
  }

  const model = tinyModel({ ffn: 128, layers: ['conv'] });
  model.metadata['general.name'] = [8, system];
  await page.setInputFiles('#file', {
    name: 'x.gguf',
    mimeType: 'application/octet-stream',
    buffer: Buffer.from(ggufBytes(model)),
  });
  await page.waitForSelector('#about:visible', { timeout: PATIENCE });
  expect(await objections(page)).toEqual([]);

  const parameters = PLAIN.flatMap(({ text }) => {
    const value = encodeURIComponent(text.toWellFormed());
    return [`backend=${value}`, `context=${value}`, `threads=${value}`, `${value}=1`];
  });
  await page.goto(`${chat.site.url}?${parameters.join('&')}&model=nothing.gguf`);
  await page.waitForSelector('#error:visible', { timeout: PATIENCE });
  expect(await page.locator('#address-notes p').count()).toBe(parameters.length);
  expect(await objections(page)).toEqual([]);
  expect(chat.happened).toEqual([]);
});
