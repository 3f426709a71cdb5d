// @module-tag chromium
/** Hostile texts in the chat page as built, wherever a text can come from: nothing runs, nothing is fetched, and the page goes on. */
import type { Browser, BrowserContext, Page } from 'playwright';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { ChatMessage, Conversation } from '../demo/chat/conversations/conversation';
import { FORMAT, VERSION } from '../demo/chat/conversations/export';
import type { KeptCall, Turn } from '../demo/chat/history';
import type { createMarkdown as makeMarkdown } from '../demo/chat/markdown/markdown';
import { finished, PATIENCE, replies, visitPage } from './chat_page';
import { launchChromium, serve } from './harness';
import { PAYLOADS, PLAIN } from './hostile';
import { serveSite, type Site } from './site';
import { ggufBytes, tinyModel } from './tools/tiny';

let site: Site;
let browser: Browser;
let context: BrowserContext;
/** what must not happen: requests to other hosts, dialogs, windows, downloads, errors */
let happened: string[];
beforeAll(async () => {
  site = await serveSite();
  browser = await launchChromium();
});
afterAll(async () => {
  await browser?.close();
  await site?.close();
});
beforeEach(async () => {
  context = await browser.newContext({ viewport: { width: 1200, height: 700 } });
  happened = await watch(context, new URL(site.url).origin);
});
afterEach(() => context.close());

async function watch(watched: BrowserContext, origin: string): Promise<string[]> {
  const events: string[] = [];
  const foreign = ({ protocol, origin: host }: URL): boolean => /^(?:https?|ftp):$/.test(protocol) && host !== origin;
  await watched.route(foreign, (route) => route.abort());
  watched.on('request', (request) => {
    const url = new URL(request.url());
    if (foreign(url) || /beacon/.test(url.pathname)) events.push(`request: ${url.href}`);
  });
  let pages = 0;
  watched.on('page', (page) => {
    if (pages++) events.push(`window: ${page.url()}`);
    page.on('dialog', (dialog) => {
      events.push(`dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    page.on('download', (download) => events.push(`download: ${download.url()}`));
    // the development server has one of its own
    page.on('websocket', (socket) => new URL(socket.url()).hostname !== new URL(origin).hostname && events.push(`socket: ${socket.url()}`));
    page.on('pageerror', (error) => events.push(`error: ${error.message}`));
  });
  await watched.addInitScript(() => {
    const seen: string[] = [];
    Object.assign(window, { violations: seen });
    document.addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) => seen.push(`${violatedDirective} ${blockedURI}`));
  });
  return events;
}

const visit = (): Promise<Page> => visitPage(site.url, context);
/** Puts a value where the page finds it when it starts. A tab begins with about:blank, which has no storage. */
const keep = (name: string, value: unknown): Promise<unknown> =>
  context.addInitScript(([key, text]) => location.protocol !== 'about:' && (localStorage[`rivulet-chat.${key}`] ??= text), [name, JSON.stringify(value)]);
const importFile = (page: Page, name: string, text: string): Promise<void> =>
  page.setInputFiles('.conversation-tools input[type=file]', { name, mimeType: 'text/plain', buffer: Buffer.from(text) });
/** Long texts, colours and formulas come little by little. */
const settled = (page: Page): Promise<unknown> =>
  page.evaluate(async () => {
    const size = (): number => document.querySelectorAll('body *').length;
    for (let before = -1, same = 0; same < 4; before = size()) {
      await new Promise((resolve) => setTimeout(resolve, 60));
      same = size() === before ? same + 1 : 0;
    }
  });

/** What must not be in the page. It runs inside the page: nothing of this file is known there. */
function objectionable(): string[] {
  const found: string[] = [];
  const transcript = '#messages';
  const place = (element: Element): string => {
    const item = element.closest(`${transcript} > *`);
    return `${item ? `message ${[...item.parentElement!.children].indexOf(item)}` : 'page'}: ${element.outerHTML.slice(0, 120)}`;
  };
  const object = (element: Element, reason: string): unknown => found.push(`${reason} in ${place(element)}`);
  for (const element of document.querySelectorAll('body :is(script, iframe, frame, frameset, object, embed, applet, base, meta, link, noscript, plaintext, xmp)')) object(element, 'element');
  const never = 'style, img, picture, source, track, video, audio, map, area, image, template, slot, dialog, form, select, textarea, marquee, foreignObject, animate, set, feImage';
  for (const element of document.querySelectorAll(`${transcript} :is(${never})`)) object(element, 'element');
  for (const element of document.querySelectorAll(`${transcript} input:not([type=checkbox][disabled])`)) object(element, 'element');
  // icons are the page's own: they point to its sprite
  for (const element of document.querySelectorAll(`${transcript} svg:not(.icon), ${transcript} svg.icon > :not(use)`)) object(element, 'element');
  for (const element of document.querySelectorAll(`${transcript} math :is(a, semantics annotation-xml, mglyph, maction, [href])`)) object(element, 'element');
  for (const element of document.querySelectorAll(`${transcript} .body :is([id], [name], .call, .calls, .asking)`)) object(element, 'name');
  for (const element of document.querySelectorAll('body *')) {
    const inside = element.closest(transcript) !== null;
    for (const { name, value } of element.attributes) {
      if (/^on/i.test(name)) object(element, `attribute ${name}`);
      if (name === 'style' && /url\(|fixed|expression|@import/i.test(value)) object(element, 'style');
      if (!inside || !/^(?:href|src|srcset|action|formaction|poster|data|ping|background|xlink:href|cite|srcdoc|usemap|popovertarget|is)$/.test(name)) continue;
      const allowed = element.localName === 'a' ? /^(?:https?:\/\/|mailto:)/.test(value) : element.localName === 'use' && value.startsWith('#');
      if (!allowed) object(element, `address ${name}`);
      if (element.localName !== 'a') continue;
      const rel = element.getAttribute('rel') ?? '';
      if (!/noopener/.test(rel) || !/noreferrer/.test(rel) || element.getAttribute('target') !== '_blank') object(element, 'link that knows its opener');
    }
  }
  const ids = [...document.querySelectorAll('[id]')].map(({ id }) => id);
  for (const id of new Set(ids.filter((each, i) => ids.indexOf(each) !== i))) found.push(`the id ${id} twice`);
  if ('hit' in window) found.push('a script has run');
  if ('polluted' in {}) found.push('Object.prototype has been changed');
  const { violations = [] } = window as { violations?: string[] };
  found.push(...violations.map((violation) => `stopped by the policy alone: ${violation}`));
  return found;
}

const objections = (page: Page): Promise<string[]> => page.evaluate(objectionable);
/** The texts of the elements are these, to the last character. They are compared inside the page: on the way out, halves of pairs would be lost. */
const differences = (page: Page, selector: string, texts: readonly string[]): Promise<string[]> =>
  page.evaluate(
    ([select, wanted]) => {
      const shown = [...document.querySelectorAll(select)].map(({ textContent }) => textContent);
      const expected = JSON.parse(wanted) as string[];
      return shown.length === expected.length ? expected.filter((text, i) => text !== shown[i]).map((text) => JSON.stringify(text)) : [`${shown.length} elements`];
    },
    [selector, JSON.stringify(texts)],
  );

/** What stands beyond the right edge, although the page is not to scroll sideways. */
const tooWide = (page: Page): Promise<string[]> =>
  page.evaluate(() => {
    if (document.documentElement.scrollWidth <= innerWidth) return [];
    const scrolls = (element: Element): boolean => element !== document.body && element !== document.documentElement && getComputedStyle(element).overflowX !== 'visible';
    const inScroller = (element: Element | null): boolean => element !== null && (scrolls(element) || inScroller(element.parentElement));
    const beyond = [...document.querySelectorAll('#messages *')].filter((element) => element.getBoundingClientRect().right > innerWidth + 1 && !inScroller(element.parentElement));
    return [`${document.documentElement.scrollWidth} px`, ...beyond.slice(0, 3).map((element) => element.outerHTML.slice(0, 100))];
  });

const callWith = (text: string): KeptCall => ({
  name: text,
  title: text,
  arguments: JSON.parse(`{"__proto__": {"polluted": 1}, "constructor": {"prototype": {"polluted": 1}}, ${JSON.stringify(text)}: ${JSON.stringify(text)}}`),
  state: 'done',
  summary: text,
  value: { before: text },
  brief: text,
  repairs: [text],
  ms: 1,
});

const toJson = (conversations: readonly Conversation[]): string => JSON.stringify({ format: FORMAT, version: VERSION, conversations });
/** A conversation of these messages as the page exports it. */
function conversationOf(id: string, turns: readonly (Turn & { model?: string })[], title = id): Conversation {
  const messages = turns.map((turn, i): ChatMessage => ({ ...turn, id: `${id}-${i}`, parent: i ? `${id}-${i - 1}` : null, created: i, revision: 0, ...(turn.role === 'assistant' && { finish: 'stop' }) }));
  return { id, title, named: 1, created: 1, updated: Date.now(), messages: Object.fromEntries(messages.map((message) => [message.id, message])), leaf: messages.at(-1)?.id ?? null, chosen: 1 };
}

test('there are at least 80 payloads, and each has a name of its own', () => {
  expect(PAYLOADS.length).toBeGreaterThanOrEqual(80);
  expect(new Set(PAYLOADS.map(({ name }) => name)).size).toBe(PAYLOADS.length);
  expect(PLAIN.length).toBeGreaterThan(10);
});

const texts = PLAIN.map(({ text }) => text);

test('a conversation from a file: replies, requests, attached files and tool cards, also after a reload', async () => {
  await keep('settings', { backend: 'wasm', maxTokens: 24 });
  const page = await visit();
  const turns = [
    ...texts.map((text): Turn => ({ role: 'user', content: text, files: [{ name: text, text }] })),
    ...PAYLOADS.map(({ text }): Turn => ({ role: 'assistant', content: text })),
    ...texts.map((text): Turn & { model: string } => ({ role: 'assistant', content: text, note: text, model: text, steps: [{ text, calls: [callWith(text)] }] })),
  ];
  await importFile(page, 'hostile.json', toJson([conversationOf('hostile', turns)]));
  for (const reload of [false, true]) {
    if (reload) await page.reload();
    for (let shown = 200; shown < turns.length; shown += 200) await page.click('#messages .earlier button');
    await page.waitForFunction((count) => document.querySelectorAll('#messages > li').length === count, turns.length, { timeout: PATIENCE });
    await settled(page);
    expect(await objections(page)).toEqual([]);
    expect(await differences(page, '#messages .user .body', texts)).toEqual([]);
    expect(await differences(page, '#messages .attached pre', texts)).toEqual([]);
    expect(await differences(page, '#messages .call-summary', texts)).toEqual([]);
    expect(await tooWide(page)).toEqual([]);
  }
  // events on everything that shows a message, and a click on every link that leads nowhere
  for (const kind of ['pointerover', 'mouseover', 'focusin', 'animationend'])
    await page.evaluate((type) => document.querySelectorAll('#messages *').forEach((element) => element.dispatchEvent(new Event(type, { bubbles: false }))), kind);
  await page.evaluate(() => document.querySelectorAll<HTMLElement>('#messages a:not([href])').forEach((link) => link.click()));
  expect(await objections(page)).toEqual([]);
  expect(page.url()).toBe(site.url);

  // the page still answers, and what its model copies from a request stays text
  await page.click('#new-chat');
  await page.waitForFunction(() => document.querySelectorAll('#messages li').length === 0);
  for (const [i, request] of ['Hello!', 'Make a note: "<img src=x onerror=window.hit=1>"', 'Find "<script>window.hit=1</script>" on this page'].entries()) {
    await page.fill('#prompt', request);
    await page.press('#prompt', 'Enter');
    const done = finished(page, i + 1);
    const asked = await Promise.race([done.then(() => false), page.waitForSelector('.call.asking', { timeout: PATIENCE }).then(() => true).catch(() => false)]);
    expect(await objections(page)).toEqual([]);
    if (asked) await page.getByRole('button', { name: /^Allow/ }).click();
    await done;
  }
  expect((await replies(page)).length).toBe(3);
  expect(await objections(page)).toEqual([]);
  expect(happened).toEqual([]);
});

test('titles in the list, other forms of files, and files that are no conversations', async () => {
  await keep('settings', { backend: 'wasm', maxTokens: 24 });
  const page = await visit();
  const count = (): Promise<number> => page.locator('.conversation').count();
  // each has the title of one text and the content of the next: the search shows what it finds in a content
  await importFile(page, 'titles.json', toJson(texts.map((text, i) => conversationOf(`title-${i}`, [{ role: 'user', content: `${texts[(i + 1) % texts.length]} end` }], text))));
  await page.waitForFunction((wanted) => document.querySelectorAll('.conversation').length === wanted, texts.length);
  expect(await objections(page)).toEqual([]);
  for (const open of await page.locator('.conversation-open').all()) {
    await open.click();
    expect(await objections(page)).toEqual([]);
  }
  for (const words of ['<script', 'onerror=', 'javascript:', '\u202e']) {
    await page.fill('#conversation-search', words);
    await page.waitForFunction((found) => [...document.querySelectorAll('.conversation-hit mark')].some(({ textContent }) => textContent === found), words);
    expect(await objections(page)).toEqual([]);
  }
  await page.fill('#conversation-search', '');
  await page.waitForFunction((wanted) => document.querySelectorAll('.conversation').length === wanted, texts.length);

  for (const [entry, shown] of [['Rename', '.conversation-rename'], ['Delete', '#toast:popover-open']] as const) {
    const first = page.locator('.conversation').first();
    await first.hover();
    await first.getByRole('button', { name: /^Options for/ }).click();
    await page.getByRole('menuitem', { name: entry }).click();
    await page.waitForSelector(shown);
    expect(await objections(page), entry).toEqual([]);
    await page.keyboard.press('Escape');
  }

  await page.waitForFunction((wanted) => document.querySelectorAll('.conversation').length === wanted, texts.length - 1);

  const calls = texts.flatMap((text) => [
    { role: 'user', content: [{ type: 'text', text }, { type: text }] },
    { role: 'assistant', content: text, tool_calls: [{ id: text, type: 'function', function: { name: text, arguments: JSON.stringify({ [text]: text }) } }] },
    { role: 'tool', tool_call_id: text, content: text },
    { role: 'assistant', content: text },
  ]);
  const markdown = ['<!-- rivulet conversation -->', `# ${texts[0]}`, ...PAYLOADS.filter(({ text }) => text.length < 1000).flatMap(({ text, name }) => [`<!-- rivulet assistant "${texts[1]}" -->`, `## ${name}`, text])].join('\n\n');
  for (const [name, text] of [['calls.json', JSON.stringify({ title: texts[0], messages: calls })], ['all.md', markdown]]) {
    const before = await count();
    await importFile(page, name, text);
    await page.waitForFunction((wanted) => document.querySelectorAll('.conversation').length === wanted, before + 1, { timeout: PATIENCE });
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
    ['prototype.json', '{"format":"rivulet-conversations","version":1,"conversations":[{"id":"__proto__","messages":{"__proto__":{"id":"__proto__","parent":null,"role":"user","content":"x"}}}],"__proto__":{"polluted":1}}'],
    ['circle.json', JSON.stringify({ format: 'rivulet-conversations', version: 1, conversations: [{ id: 'x', messages: { a: { id: 'a', parent: 'b', role: 'user', content: 'x' }, b: { id: 'b', parent: 'a', role: 'user', content: 'y' } } }] })],
    ['role.json', '[{"role":"<script>window.hit=1</script>","content":"x"}]'],
    ['content.json', '[{"role":"user","content":{"toString":"<b>"}}]'],
    ['page.md', '# <script>window.hit=1</script>'],
    ['empty.md', '<!-- rivulet conversation -->'],
  ];
  for (const [name, text] of broken) {
    await importFile(page, name, text);
    await page.waitForFunction((file) => document.getElementById('composer-note')?.textContent?.includes(`${file} cannot be imported`), name, { timeout: PATIENCE });
    expect(await objections(page), name).toEqual([]);
  }
  expect(await count()).toBe(before);
  expect(happened).toEqual([]);
});

test('replies that grow piece by piece, without the policy of the page', async () => {
  const server = await serve();
  await context.close();
  context = await browser.newContext();
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
    await server.close();
  }
});

test('drafts, names of files and of models, addresses, notes and settings', async () => {
  const system = texts.join('\n');
  await keep('settings', { system, backend: 'wasm', off: [system], theme: system });
  await keep('draft.new', { text: system, files: texts.map((text) => ({ name: text, text })) });
  await keep(`unsaved.${system.slice(0, 40)}`, { id: system, title: system, messages: { [system]: { id: system, role: 'user', content: system } } });
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
          for (const list of ['notes', 'todos']) values.put(texts.map((text, i) => ({ id: `${list}-${i}`, list, text, added: Date.now() })), list);
          values.put(texts.map((title, i) => ({ id: `timer-${i}`, kind: 'timer', title, start: Date.now(), end: Date.now() + 3_600_000 })), 'timers');
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
  expect(await differences(page, '#notes .entry > span', [...texts, ...texts, ...texts])).toEqual([]);
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
  await page.setInputFiles('#file', { name: 'x.gguf', mimeType: 'application/octet-stream', buffer: Buffer.from(ggufBytes(model)) });
  await page.waitForSelector('#about:visible', { timeout: PATIENCE });
  expect(await objections(page)).toEqual([]);

  const parameters = PLAIN.flatMap(({ text }) => {
    const value = encodeURIComponent(text.toWellFormed());
    return [`backend=${value}`, `context=${value}`, `threads=${value}`, `${value}=1`];
  });
  await page.goto(`${site.url}?${parameters.join('&')}&model=nothing.gguf`);
  await page.waitForSelector('#error:visible', { timeout: PATIENCE });
  expect(await page.locator('#address-notes p').count()).toBe(parameters.length);
  expect(await objections(page)).toEqual([]);
  expect(happened).toEqual([]);
});
