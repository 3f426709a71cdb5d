// @module-tag chromium
/**
 * Hostile texts in <rivulet-chat>, wherever a text can come from, in a page without a policy: nothing runs, nothing is
 * fetched, no element comes in that acts.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BrowserContext, Page } from 'playwright';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { soon } from './chat_page';
import { htmlPage, MODEL, testElement } from './element_page';
import { PAYLOADS, PLAIN } from './hostile';
import { watch } from './hostile_page';

const tests = testElement();
let context: BrowserContext;
let page: Page;
/** requests to others, dialogs, windows, downloads, errors */
let happened: string[];
beforeEach(async () => {
  context = await tests.browser.newContext();
  happened = await watch(context, new URL(tests.site.url).origin);
  page = await context.newPage();
});
afterEach(() => context.close());

async function visit(body: string): Promise<void> {
  writeFileSync(
    join(tests.folder, 'hostile.html'),
    htmlPage(body, '<script src="rivulet.js"></script><script src="rivulet-element.js"></script>'),
  );
  await page.goto(`${tests.site.url}hostile.html`);
}

const texts = PLAIN.map(({ text }) => text);
/** Halves of pairs survive only as JSON. */
const json = (value: unknown): string => JSON.stringify(value);

/** Whatever an element shows that is not on the list of what it may show. It runs inside the page. */
function objectionable(): string[] {
  const found: string[] = [];
  const tags =
    /^(?:div|p|br|hr|em|strong|del|code|pre|blockquote|ul|ol|li|a|span|h6|table|thead|tbody|tr|th|td|details|summary|button|header|textarea|progress)$/;
  const attributes =
    /^(?:class|part|role|dir|hidden|tabindex|start|align|href|target|rel|title|type|rows|max|value|placeholder|disabled|aria-(?:label|busy|required))$/;
  const classes = /^(?:|plain|table|language-[^\s"'<>&]{1,40}|task-box|task-box done|depth-[1-6])$/;
  for (const { shadowRoot, childNodes } of document.querySelectorAll('rivulet-chat')) {
    if (childNodes.length) found.push('children of the element');
    for (const element of shadowRoot!.querySelectorAll('*')) {
      const where = (what: string): unknown => found.push(`${what}: ${element.outerHTML.slice(0, 160)}`);
      if (!tags.test(element.localName) || element.namespaceURI !== 'http://www.w3.org/1999/xhtml') where('element');
      if (/^(?:button|details|header|textarea|progress)$/.test(element.localName) && !element.hasAttribute('part'))
        where('control');
      for (const { name } of element.attributes) if (!attributes.test(name)) where(`attribute ${name}`);
      if (element.closest('.reply > div') && !classes.test(element.className)) where('class');
      if (element.localName !== 'a' || !element.hasAttribute('href')) continue;
      if (!/^(?:https?:\/\/|mailto:)/i.test(element.getAttribute('href')!)) where('address');
      if (element.getAttribute('target') !== '_blank' || element.getAttribute('rel') !== 'noopener noreferrer')
        where('link that knows its opener');
    }
  }
  for (const element of document.querySelectorAll('body :not(main, rivulet-chat)'))
    found.push(`page: ${element.outerHTML.slice(0, 100)}`);
  if ('hit' in window) found.push('a script has run');
  if ('polluted' in {}) found.push('Object.prototype has been changed');
  return found;
}
const objections = (): Promise<string[]> => page.evaluate(objectionable);

/** The texts inside the first element that match, to the last character. */
const shown = (selector: string, wanted: readonly string[]): Promise<string[]> =>
  page.evaluate(
    ([select, expected]) => {
      const found = [...document.querySelector('rivulet-chat')!.shadowRoot!.querySelectorAll(select)].map(
        ({ textContent }) => textContent,
      );
      const all = JSON.parse(expected) as string[];
      return found.length === all.length
        ? all.filter((text, i) => text !== found[i]).map((text) => JSON.stringify(text))
        : [`${found.length} of ${all.length}`];
    },
    [selector, json(wanted)],
  );

test('a restored conversation: requests, replies and results of tools; events on all of it', async () => {
  await visit(`<rivulet-chat model="${MODEL}"></rivulet-chat>`);
  const messages = [
    ...texts.flatMap((content) => [{ role: 'user', content }, { role: 'tool', content }]),
    ...PAYLOADS.map(({ text }) => ({ role: 'assistant', content: text })),
  ]; // prettier-ignore
  await page.evaluate(
    (given) => void (document.querySelector('rivulet-chat')!.messages = JSON.parse(given)),
    json(messages),
  );
  await soon(() =>
    page.evaluate(
      () => document.querySelector('rivulet-chat')!.shadowRoot!.querySelectorAll('.reply:not([hidden])').length,
    ),
  ).toBeGreaterThan(PAYLOADS.length * 0.9);
  expect(await objections()).toEqual([]);
  expect(await shown('.user', texts)).toEqual([]);
  for (const kind of ['pointerover', 'mouseover', 'focusin', 'animationend', 'load', 'error', 'toggle'])
    await page.evaluate(
      (type) =>
        document
          .querySelector('rivulet-chat')!
          .shadowRoot!.querySelectorAll('*')
          .forEach((element) => element.dispatchEvent(new Event(type))),
      kind,
    );
  await page.evaluate(() =>
    document
      .querySelector('rivulet-chat')!
      .shadowRoot!.querySelectorAll<HTMLElement>('a:not([href])')
      .forEach((link) => link.click()),
  );
  expect(await objections()).toEqual([]);

  // what the browser keeps of a form, and what a page passes
  const states = [
    '',
    'null',
    '7',
    '{"length":1}',
    '[null]',
    '[{"role":"system","content":"x"}]',
    '[{"role":"user","content":{"toString":"x"}}]',
    '{"__proto__":{"polluted":1}}',
    '[{"role":"user","content":"x","__proto__":{"polluted":1}}]',
    '['.repeat(50_000),
  ];
  await page.evaluate(
    (all) => all.forEach((state) => document.querySelector('rivulet-chat')!.formStateRestoreCallback(state)),
    states,
  );
  expect(
    await page.evaluate(() =>
      document.querySelector('rivulet-chat')!.messages.map(({ role, content }) => [role, content]),
    ),
  ).toEqual([['user', 'x']]);
  expect(await objections()).toEqual([]);
  expect(happened).toEqual([]);
});

test('what a model says piece by piece, its calls, names of tools and their results', async () => {
  const columns = 12;
  await visit(`<rivulet-chat model="${MODEL}" download="auto"></rivulet-chat>`.repeat(columns));
  // the engine's own reader of calls, and a model that says what it is told to
  await page.evaluate(() => {
    type Engine = Record<string, unknown>;
    const scripts: Record<string, string> = {};
    const say = async function* (text: string): AsyncGenerator<{ type: 'text'; text: string }> {
      const step = Math.ceil(text.length / (text.length < 120 ? 40 : 12));
      for (let at = 0; at < text.length; at += step) {
        yield { type: 'text', text: text.slice(at, at + step) };
        await new Promise((resolve) => requestAnimationFrame(resolve));
      }
    };
    const chat = (messages: { role: string; content: string }[]): unknown => {
      // a request names its answer; after a call the answer is the result
      const { role, content } = messages.at(-1)!;
      const text = role === 'user' ? scripts[content] : content;
      return { parts: say(text), result: Promise.resolve({ text }) };
    };
    const model = { chat, info: {}, unload: async () => undefined };
    Object.assign(globalThis, {
      scripts,
      rivulet: { ...(globalThis as unknown as { rivulet: Engine }).rivulet, load: async () => model },
    });
  });
  const calls = texts.map(
    (text) => `${text}<|tool_call_start|>${json([{ name: text, arguments: { [text]: text } }])}<|tool_call_end|>`,
  );
  const ended = await page.evaluate(
    async ([answers, names]) => {
      const all = JSON.parse(answers) as string[];
      const { scripts } = globalThis as unknown as { scripts: Record<string, string> };
      all.forEach((text, i) => (scripts[`request ${i}`] = text));
      const tools = (JSON.parse(names) as string[]).map((name) => ({
        name,
        description: name,
        parameters: { properties: { [name]: { type: 'string', description: name } } },
        run: () => name,
      }));
      const chats = [...document.querySelectorAll('rivulet-chat')];
      const sent = await Promise.all(
        chats.map(async (chat, column) => {
          chat.tools = tools;
          let words = 0;
          for (let i = column; i < all.length; i += chats.length)
            words += Number((await chat.send(`request ${i}`)).length > 0);
          return words;
        }),
      );
      await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
      return sent.reduce((sum, count) => sum + count, 0);
    },
    [json([...PAYLOADS.map(({ text }) => text), ...calls]), json(texts)],
  );
  expect(ended).toBeGreaterThan(PAYLOADS.length * 0.9);
  expect(await objections()).toEqual([]);
  const results = await page.evaluate(() =>
    [...document.querySelectorAll('rivulet-chat')].flatMap(({ messages }) =>
      messages.filter(({ role }) => role === 'tool').map(({ content }) => JSON.stringify(content)),
    ),
  );
  // a text that ends the block of its call has no result
  for (const text of texts.filter((one) => !one.includes('<|tool_call_end|>'))) expect(results).toContain(json(text));
  expect(happened).toEqual([]);
});

test('attributes: title, greeting, placeholder, options, tools, and the name of a model that does not exist', async () => {
  await visit('');
  await page.evaluate((given) => {
    for (const text of JSON.parse(given) as string[]) {
      const chat = document.createElement('rivulet-chat');
      for (const name of ['label', 'greeting', 'placeholder', 'system', 'model', 'name', 'theme', 'tools', 'title'])
        chat.setAttribute(name, text);
      document.querySelector('main')!.append(chat);
      void chat.send(text).catch(() => undefined);
    }
  }, json(texts));
  const problems = (): Promise<number> =>
    page.evaluate(
      () =>
        [...document.querySelectorAll('rivulet-chat')].filter(({ shadowRoot }) => shadowRoot!.querySelector('.problem'))
          .length,
    );
  await soon(problems).toBe(texts.length);
  expect(await objections()).toEqual([]);
  for (const selector of ['header', '.greeting', '.user'])
    expect(await shown(selector, texts.slice(0, 1)), selector).toEqual([]);
  // now the tools are right, and the model, its hub and its options are not
  await page.evaluate(() => {
    for (const chat of document.querySelectorAll('rivulet-chat')) {
      chat.removeAttribute('tools');
      for (const name of ['hub', 'backend', 'context-length', 'threads', 'temperature'])
        chat.setAttribute(name, chat.model);
      chat.shadowRoot!.querySelector<HTMLElement>('.again')!.click();
    }
  });
  await soon(problems).toBe(texts.length);
  expect(await objections()).toEqual([]);
  expect(happened).toEqual([]);
});
