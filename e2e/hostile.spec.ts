// @module-tag chromium
/** Hostile texts in the chat page as built, wherever a text can come from: nothing runs, nothing is fetched, and the page goes on. */
import type { Browser, BrowserContext, Page } from 'playwright';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { KeptCall, Turn } from '../demo/chat/history';
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
  context = await browser.newContext({ viewport: { width: 900, height: 700 } });
  happened = await watch(context, new URL(site.url).origin);
});
afterEach(() => context.close());

async function watch(watched: BrowserContext, origin: string): Promise<string[]> {
  const events: string[] = [];
  await watched.route(
    (url) => /^(https?|ftp):$/.test(url.protocol) && url.origin !== origin,
    (route) => {
      events.push(`request: ${route.request().url()}`);
      return route.abort();
    },
  );
  watched.on('request', (request) => /beacon/.test(new URL(request.url()).pathname) && events.push(`request: ${request.url()}`));
  let pages = 0;
  watched.on('page', (page) => {
    if (pages++) events.push(`window: ${page.url()}`);
    page.on('dialog', (dialog) => {
      events.push(`dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    page.on('download', (download) => events.push(`download: ${download.url()}`));
    page.on('websocket', (socket) => events.push(`socket: ${socket.url()}`));
    page.on('pageerror', (error) => events.push(`error: ${error.message}`));
  });
  await watched.addInitScript(() => {
    const seen: string[] = [];
    Object.assign(window, { violations: seen });
    document.addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) => seen.push(`${violatedDirective} ${blockedURI}`));
  });
  return events;
}

/** Puts a value where the page finds it when it starts. A tab begins with about:blank, which has no storage. */
const store = (name: 'turns' | 'settings', value: unknown): Promise<unknown> =>
  context.addInitScript(([key, text]) => location.protocol !== 'about:' && (localStorage[`rivulet-chat.${key}`] ??= text), [name, JSON.stringify(value)]);

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
  // buttons of the page have icons, and formulas of a library are SVG and MathML
  for (const element of document.querySelectorAll(`${transcript} .body :is(svg, math)`)) if (!element.closest('.katex, button')) object(element, 'element');
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

/** Messages that make the page wider than its window. */
const tooWide = (page: Page): Promise<string[]> =>
  page.evaluate(() => {
    if (document.documentElement.scrollWidth <= innerWidth) return [];
    return [...document.querySelectorAll('#messages > li')].filter(({ scrollWidth, clientWidth }) => scrollWidth > clientWidth).map(({ textContent }) => String(textContent).slice(0, 60));
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

test('there are at least 80 payloads, and each has a name of its own', () => {
  expect(PAYLOADS.length).toBeGreaterThanOrEqual(80);
  expect(new Set(PAYLOADS.map(({ name }) => name)).size).toBe(PAYLOADS.length);
  expect(PLAIN.length).toBeGreaterThan(10);
});

test('replies, requests and tool cards of a stored conversation', async () => {
  const cards = PLAIN.map(({ text }): Turn => ({ role: 'assistant', content: text, note: text, steps: [{ text, calls: [callWith(text)] }] }));
  await store('settings', { backend: 'wasm', maxTokens: 24 });
  await store('turns', [...PLAIN.map(({ text }): Turn => ({ role: 'user', content: text })), ...PAYLOADS.map(({ text }): Turn => ({ role: 'assistant', content: text })), ...cards]);
  const page = await visitPage(site.url, context);
  expect(await page.locator('#messages > li').count()).toBe(2 * PLAIN.length + PAYLOADS.length);
  expect(await objections(page)).toEqual([]);
  expect(await differences(page, '#messages .user .body', PLAIN.map(({ text }) => text))).toEqual([]);
  expect(await differences(page, '#messages .call-summary', PLAIN.map(({ text }) => text))).toEqual([]);
  expect(await tooWide(page)).toEqual([]);

  // the pointer over everything that shows a reply, and a click on every link that leads nowhere
  for (const kind of ['pointerover', 'mouseover', 'focusin', 'animationend'])
    await page.evaluate((type) => document.querySelectorAll('#messages *').forEach((element) => element.dispatchEvent(new Event(type, { bubbles: false }))), kind);
  await page.evaluate(() => document.querySelectorAll<HTMLElement>('#messages a:not([href])').forEach((link) => link.click()));
  expect(await objections(page)).toEqual([]);
  expect(page.url()).toBe(site.url);

  await page.click('#new-chat');
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

test('replies that grow piece by piece, without the policy of the page', async () => {
  const server = await serve();
  await context.close();
  context = await browser.newContext();
  try {
    const stream = await watch(context, server.origin);
    const page = await context.newPage();
    await page.goto(`${server.origin}/e2e/pages/blank.html`);
    await page.evaluate(() => document.body.insertAdjacentHTML('beforeend', '<ol id="messages"></ol>'));
    await page.addScriptTag({ type: 'module', content: 'import { createMarkdown } from "/demo/chat/markdown.ts"; window.createMarkdown = createMarkdown;' });
    await page.waitForFunction(() => 'createMarkdown' in window);
    for (const { name, text } of PAYLOADS) {
      const [grown, whole] = await page.evaluate((json) => {
        const source = JSON.parse(json) as string;
        const { createMarkdown } = window as unknown as { createMarkdown(target: HTMLElement): (source: string) => void };
        const list = document.getElementById('messages')!;
        const body = (): HTMLElement => {
          const made = Object.assign(document.createElement('div'), { className: 'body' });
          list.append(Object.assign(document.createElement('li'), { className: 'assistant' }));
          list.lastElementChild!.append(made);
          return made;
        };
        const [growing, once] = [body(), body()];
        const render = createMarkdown(growing);
        const step = source.length < 600 ? 1 : Math.ceil(source.length / 25);
        for (let length = step; length < source.length; length += step) render(source.slice(0, length));
        render(source);
        createMarkdown(once)(source);
        return [growing.innerHTML, once.innerHTML];
      }, JSON.stringify(text));
      expect(grown, name).toBe(whole);
      expect(await objections(page), name).toEqual([]);
      await page.evaluate(() => document.getElementById('messages')!.replaceChildren());
    }
    expect(stream).toEqual([]);
  } finally {
    await server.close();
  }
});

test('names of files and of models, addresses, notes and settings', async () => {
  const system = PLAIN.map(({ text }) => text).join('\n');
  await store('settings', { system, backend: 'wasm', off: [system], theme: system });
  const page = await visitPage(site.url, context);

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
    JSON.stringify(PLAIN.map(({ text }) => text)),
  );
  await page.click('#open-settings');
  expect(await page.inputValue('#system')).toContain('<script>');
  await page.click('#open-notes');
  await page.waitForSelector('#notes .entry');
  expect(await differences(page, '#notes .entry > span', [...PLAIN, ...PLAIN, ...PLAIN].map(({ text }) => text))).toEqual([]);
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

  const model = tinyModel();
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
