// @module-tag chromium
/**
 * The element <rivulet-chat> on plain static hosts: in the built page of its README example, and in pages of this
 * test's own.
 */
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { chromium, type Page } from 'playwright';
import { beforeAll, beforeEach, expect, test } from 'vitest';
import type { RivuletChat } from '../src/element/rivulet_chat';
import type * as Rivulet from '../src/index';
import { htmlPage, MODEL, read, testElement, TIMER } from './element_page';
import { chromiumArgs } from './harness';
import { BUILT_SITE, serveSite, type Site } from './site';
import { findChromium } from './system';

const tests = testElement();
const { folder, open, chat, send } = tests;
let site: Site;
let page: Page;
let problems: string[];
beforeAll(() => {
  site = tests.site;
  // large enough for the question: nothing of it is read before the answer
  writeFileSync(
    join(folder, 'models/large.gguf'),
    Buffer.concat([readFileSync(join(BUILT_SITE, 'models/rivulet-tiny.gguf')), Buffer.alloc(25_000_000)]),
  );
});
beforeEach(() => {
  ({ page, problems } = tests);
});

/** Workers that read the store end by themselves, so the number settles. */
const workers = (): number => page.workers().length;

test('the README example answers, word for word, from a sub-path, without a request to anyone else', async () => {
  const example = /```html\n(<script src="rivulet-element.js">[\s\S]*?)```/;
  const lines = (text: string): string[] =>
    text
      .split('\n')
      .map((line) => line.trim())
      .filter(Boolean);
  for (const path of ['README.md', 'docs/element.md'])
    expect(lines(read('demo/element.html')).join('\n'), path).toContain(lines(example.exec(read(path))![1]).join('\n'));
  await page.goto(`${site.url}element.html`);
  await chat().getByRole('textbox', { name: 'Message' }).fill('Hello!');
  await page.keyboard.press('Enter');
  await page.waitForFunction(
    () => document.querySelector('rivulet-chat')!.shadowRoot!.querySelector('.reply')?.textContent?.trim(),
    undefined,
    { timeout: 120_000 },
  );
  await chat().getByRole('button', { name: 'Send' }).waitFor();
  expect(await chat().evaluate((element) => (element as RivuletChat).messages.map(({ role }) => role))).toEqual([
    'user',
    'assistant',
  ]);
  expect(problems).toEqual([]);
  expect(tests.asked).toContain(`${site.url}models/rivulet-tiny.gguf`);
  expect(tests.asked.filter((url) => !url.startsWith(site.url))).toEqual([]);
});

test('it runs under the policy of docs/element.md, and tools answer through the property and the event', async () => {
  await open(`<rivulet-chat model="${MODEL}" tools='${JSON.stringify([TIMER])}'></rivulet-chat>`);
  await page.evaluate(() => {
    const seen: string[] = ((globalThis as { seen?: string[] }).seen = []);
    for (const type of ['ready', 'message', 'toolcall', 'error'])
      document.addEventListener(`rivulet-${type}`, (event) =>
        seen.push(
          `${type}: ${JSON.stringify((event as CustomEvent).detail.name ?? (event as CustomEvent).detail.role)}`,
        ),
      );
    document
      .querySelector('rivulet-chat')!
      .addEventListener(
        'rivulet-toolcall',
        (event) => (event as CustomEvent).detail.respondWith(Promise.resolve('ok')),
        { once: true },
      );
  });
  expect(await send('Set a timer for 10 minutes')).toMatch(/10 minutes/);
  const calls = () =>
    chat().evaluate((element) =>
      [...element.shadowRoot!.querySelectorAll('.call')].map(({ textContent }) => textContent),
    );
  expect(await calls()).toEqual(['set_timer(minutes: 10) → ok']);
  expect(await page.evaluate(() => (globalThis as { seen?: string[] }).seen)).toEqual(
    [
      'message: "user"',
      'ready: "Rivulet tiny"',
      'message: "assistant"',
      'toolcall: "set_timer"',
      'message: "assistant"',
    ].map((line) => expect.stringContaining(line.split(':')[0])),
  );
  // the property goes before the attribute, the event before the property
  await chat().evaluate((element, timer) => {
    (element as RivuletChat).clear();
    (element as RivuletChat).tools = [
      { ...timer, run: ({ minutes }: Record<string, unknown>) => `started ${String(minutes)}` } as never,
    ];
  }, TIMER);
  await send('Set a timer for 7 minutes');
  expect(await calls()).toEqual(['set_timer(minutes: 7) → started 7']);
  expect(problems).toEqual([]);
});

test('three on a page with one model share one worker, and a fourth with another model has its own', async () => {
  await open(
    [1, 2, 3]
      .map((n) => `<rivulet-chat id="c${n}" model="${MODEL}" backend="wasm" threads="1"></rivulet-chat>`)
      .join(''),
  );
  const answers = await Promise.all([1, 2, 3].map((n) => send('Hello!', `#c${n}`)));
  expect(new Set(answers).size).toBe(1);
  expect(answers[0]).not.toBe('');
  await expect.poll(workers, { timeout: 20_000 }).toBe(1);
  await page.evaluate(
    (model) =>
      document
        .querySelector('main')!
        .insertAdjacentHTML(
          'beforeend',
          `<rivulet-chat id="c4" model="${model}" backend="wasm" threads="1" context-length="512"></rivulet-chat>`,
        ),
    MODEL,
  );
  await send('Hello!', '#c4');
  await expect.poll(workers, { timeout: 20_000 }).toBe(2);
  // a model goes with its last element
  await page.evaluate(() => document.querySelectorAll('#c1, #c2, #c3').forEach((element) => element.remove()));
  await expect.poll(workers, { timeout: 20_000 }).toBe(1);
  // moving an element in the page keeps its conversation and its model
  await page.evaluate(() => document.body.append(document.querySelector('#c4')!));
  await send('Thanks!', '#c4');
  expect(await chat('#c4').evaluate((element) => (element as RivuletChat).messages.length)).toBe(4);
  expect(problems).toEqual([]);
});

test('in a form it sends the conversation, is reset and is disabled', async () => {
  await open(`<form><fieldset><rivulet-chat name="talk" model="${MODEL}"></rivulet-chat></fieldset></form>`);
  const value = () => page.evaluate(() => new FormData(document.querySelector('form')!).get('talk'));
  expect(await value()).toBeNull();
  const answer = await send('Hello!');
  const sent = JSON.parse(String(await value())) as { role: string; content: string }[];
  expect(sent).toEqual([
    { role: 'user', content: 'Hello!' },
    { role: 'assistant', content: answer },
  ]);
  await page.evaluate(() => void (document.querySelector('fieldset')!.disabled = true));
  expect(await chat().getByRole('textbox').isDisabled()).toBe(true);
  await page.evaluate(() => document.querySelector('form')!.reset());
  expect(await value()).toBeNull();
  expect(await chat().evaluate((element) => element.shadowRoot!.querySelectorAll('.message').length)).toBe(0);
});

test('wrong input is said in the element, and the page goes on', async () => {
  await open(
    `<rivulet-chat id="none"></rivulet-chat><rivulet-chat id="missing" model="./nothing.gguf"></rivulet-chat><rivulet-chat id="json" model="${MODEL}" tools="[{name}]"></rivulet-chat><rivulet-chat id="good" model="${MODEL}"></rivulet-chat>`,
  );
  const problem = (id: string) => chat(`#${id}`).getByRole('alert').innerText();
  const failure = (id: string) =>
    send('Hello!', `#${id}`).then(
      () => 'answered',
      (error: Error) => error.message,
    );
  expect(await failure('none')).toContain('The element has no model');
  expect(await problem('none')).toContain('The element has no model. Write <rivulet-chat model=');
  await failure('missing');
  expect(await problem('missing')).toMatch(/cannot be|not found|404/i);
  expect(await failure('json')).toContain('The attribute tools is no JSON');
  expect(
    await chat('#json').evaluate((element) => {
      const wrong = [7, [{ title: 'x' }], [{ name: 'a' }, { name: 'a' }], [{ name: 'a', parameters: 1 }]];
      return wrong.map((tools) => {
        try {
          (element as RivuletChat).tools = tools as never;
          return 'taken';
        } catch (error) {
          return (error as Error).name;
        }
      });
    }),
  ).toEqual(['RequestError', 'RequestError', 'RequestError', 'RequestError']);
  // the question stays, and is answered when the cause is gone
  await chat('#json').evaluate((element) => element.setAttribute('tools', '[]'));
  await chat('#json').getByRole('button', { name: 'Try again' }).click();
  await expect
    .poll(() => chat('#json').evaluate((element) => (element as RivuletChat).messages.length), { timeout: 60_000 })
    .toBe(2);
  expect(await send('Hello!', '#good')).not.toBe('');
});

test('what is stopped, cleared, removed or changed in mid-answer leaves nothing behind', async () => {
  await open(
    `<form><rivulet-chat name="talk" model="${MODEL}" backend="wasm" threads="1" tools='${JSON.stringify([TIMER])}'></rivulet-chat></form>`,
  );
  const state = () =>
    chat().evaluate((element) => ({
      messages: (element as RivuletChat).messages.length,
      value: (element as RivuletChat).value,
    }));
  // a tool that never returns ends with Stop
  const answer = await chat().evaluate(async (element) => {
    const chat = element as RivuletChat;
    chat.tools = chat.tools.map((tool) => ({ ...tool, run: () => new Promise(() => undefined) }));
    const sent = chat.send('Set a timer for 10 minutes');
    await new Promise((resolve) => element.addEventListener('rivulet-toolcall', resolve));
    const stopped = performance.now();
    chat.stop();
    await sent;
    return performance.now() - stopped;
  });
  expect(answer).toBeLessThan(5000);
  // the words of an answer do not come back into a conversation that was cleared
  await chat().evaluate(async (element) => {
    const chat = element as RivuletChat;
    chat.clear();
    const sent = chat.send('Hello! Who are you?');
    await new Promise((resolve) => setTimeout(resolve, 30));
    document.querySelector('form')!.reset();
    await sent;
  });
  expect(await state()).toEqual({ messages: 0, value: '' });
  // an element that goes while it looks for its model holds none
  await page.evaluate(() => {
    const element = document.querySelector('rivulet-chat')!;
    void element.send('Hello!').catch(() => undefined);
    element.remove();
    const fresh = document.createElement('rivulet-chat');
    fresh.model = './models/rivulet-tiny.gguf';
    document.querySelector('form')!.append(fresh);
    void fresh.send('Hello!').catch(() => undefined);
    fresh.remove();
  });
  await expect.poll(workers, { timeout: 20_000 }).toBe(0);
  expect(problems).toEqual([]);
});

test('a large download begins with one question, which Stop closes', async () => {
  await open('<rivulet-chat model="./models/large.gguf" loading="eager"></rivulet-chat>');
  const handle = (await page.$('rivulet-chat'))!;
  await page.locator('rivulet-chat').getByRole('button', { name: 'Download' }).waitFor();
  expect(await page.evaluate(() => document.activeElement === document.body)).toBe(true);
  const sent = handle.evaluate((element) => (element as RivuletChat).send('Hello!'));
  await chat().getByRole('button', { name: 'Stop' }).waitFor();
  expect(await chat().getByRole('button', { name: 'Download' }).count()).toBe(1);
  await chat().getByRole('button', { name: 'Stop' }).click();
  expect(await sent).toBe('');
  await expect.poll(() => chat().getByRole('button', { name: 'Download' }).count()).toBe(0);
  expect(tests.asked.filter((url) => url.endsWith('large.gguf')).length).toBeLessThan(4);
});

test('results of tools: a value that is no JSON, an answer without a value, and one that is very long', async () => {
  await open(`<rivulet-chat model="${MODEL}"></rivulet-chat>`);
  const results = await chat().evaluate(async (element, timer) => {
    const chat = element as RivuletChat;
    const seen: string[] = [];
    for (const result of [10n, undefined, 'x'.repeat(50_000)]) {
      chat.clear();
      chat.tools = [{ ...timer, run: () => result }];
      await chat.send('Set a timer for 10 minutes').catch((error: Error) => seen.push(error.name));
      seen.push(chat.messages.find(({ role }) => role === 'tool')?.content as string);
    }
    return seen.map((text) => `${text?.slice(0, 30)} ${text?.length}`);
  }, TIMER);
  expect(results.filter((text) => !text.startsWith('ContextError'))).toEqual([
    expect.stringMatching(/^set_timer failed: /),
    'ok 2',
    expect.stringMatching(/^(?:x{30} 20001|undefined undefined)$/),
  ]);
  const refused = await chat().evaluate((element) =>
    [[{ name: 'a', parameters: { properties: { b: null } } }], [{ name: 'a', parameters: { required: 'b' } }]].map(
      (tools) => {
        try {
          (element as RivuletChat).tools = tools as never;
          return 'taken';
        } catch (error) {
          return (error as Error).name;
        }
      },
    ),
  );
  expect(refused).toEqual(['RequestError', 'RequestError']);
  const messages = await chat().evaluate((element) =>
    [undefined, [undefined], [{ role: 'user' }]].map((given) => {
      try {
        (element as RivuletChat).messages = given as never;
        return 'taken';
      } catch (error) {
        return (error as Error).name;
      }
    }),
  );
  expect(messages).toEqual(['RequestError', 'RequestError', 'RequestError']);
});

test('a long conversation goes on: the oldest messages are left out, and the element says so', async () => {
  await open(`<rivulet-chat model="${MODEL}" context-length="256"></rivulet-chat>`);
  for (let turn = 0; turn < 14; turn++) expect(await send(`Hello! ${'again and '.repeat(6)}again`)).not.toBe('');
  expect(await chat().evaluate((element) => element.shadowRoot!.querySelectorAll('.note').length)).toBe(1);
});

test('it is also a module, with the hash of the engine checked where the element has one, and shares the engine of the page', async () => {
  const hashes = JSON.parse(read('dist/integrity.json')) as Record<string, string>;
  const element = `<rivulet-chat model="${MODEL}"></rivulet-chat>`;
  const heads = [
    '<script type="module" src="rivulet-element.mjs"></script>',
    `<script src="rivulet-element.js" integrity="${hashes['rivulet-element.js']}"></script>`,
    '<script src="rivulet.js"></script><script src="rivulet-element.js"></script>',
  ];
  for (const head of heads) {
    tests.asked.length = 0;
    await open(element, { head });
    expect(await send('Hello!'), head).not.toBe('');
    expect(tests.asked.filter((url) => /\.m?js$/.test(url)).length, head).toBe(2);
  }
  expect(problems).toEqual([]);
  // another engine than the one that the element was built with is refused
  writeFileSync(join(folder, 'rivulet.js'), `${readFileSync(join(folder, 'rivulet.js'), 'utf8')}\n//`);
  await open(element, { head: heads[1] });
  expect(await send('Hello!').catch((error: Error) => error.message)).toContain('The engine did not load');
  cpSync(join(BUILT_SITE, 'rivulet.js'), join(folder, 'rivulet.js'));
});

test('it answers in a sandboxed frame, whose storage is blocked', async () => {
  const host = await serveSite({ isolated: false, shared: true, root: folder });
  try {
    writeFileSync(
      join(folder, 'frame.html'),
      htmlPage(`<rivulet-chat model="${MODEL}"></rivulet-chat>`, '<script src="rivulet-element.js"></script>'),
    );
    writeFileSync(
      join(folder, 'test.html'),
      htmlPage('<iframe title="Chat" sandbox="allow-scripts" src="frame.html"></iframe>'),
    );
    await page.goto(`${host.url}test.html`);
    const frame = page.frameLocator('iframe').locator('rivulet-chat');
    expect(await frame.evaluate((element) => (element as RivuletChat).send('Hello!'))).not.toBe('');
    expect(await frame.evaluate((element) => (element as RivuletChat).info?.cached)).toBe(false);
    expect(problems).toEqual([]);
  } finally {
    await host.close();
  }
});

test('it answers in the page of a browser extension', async () => {
  const extension = join(folder, 'extension');
  for (const name of ['rivulet.js', 'rivulet-tools.js', 'rivulet-element.js', 'models'])
    cpSync(join(BUILT_SITE, name), join(extension, name), { recursive: true });
  const manifest = {
    manifest_version: 3,
    name: 'Chat',
    version: '1',
    content_security_policy: { extension_pages: /"extension_pages": "(.*)"/.exec(read('docs/element.md'))![1] },
  };
  writeFileSync(join(extension, 'manifest.json'), JSON.stringify(manifest));
  writeFileSync(
    join(extension, 'chat.html'),
    htmlPage(`<rivulet-chat model="${MODEL}"></rivulet-chat>`, '<script src="rivulet-element.js"></script>'),
  );
  const installed = await chromium.launchPersistentContext(join(folder, 'profile'), {
    executablePath: findChromium(),
    headless: false,
    args: [
      ...chromiumArgs({
        args: ['--headless=new', `--disable-extensions-except=${extension}`, `--load-extension=${extension}`],
      }),
    ],
  });
  try {
    const page = await installed.newPage();
    page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
    await page.goto('chrome://extensions');
    // the browser's own extensions are listed too, and ours when it is installed
    const installedId = (): Promise<string> =>
      page.evaluate(
        () =>
          new Promise((resolve) =>
            (
              globalThis as unknown as {
                chrome: {
                  developerPrivate: { getExtensionsInfo(done: (all: { id: string; name: string }[]) => void): void };
                };
              }
            ).chrome.developerPrivate.getExtensionsInfo((all) =>
              resolve(all.find(({ name }) => name === 'Chat')?.id ?? ''),
            ),
          ),
      );
    await expect.poll(installedId, { timeout: 20_000 }).not.toBe('');
    const id = await installedId();
    await page.goto(`chrome-extension://${id}/chat.html`);
    expect(await page.locator('rivulet-chat').evaluate((element) => (element as RivuletChat).send('Hello!'))).not.toBe(
      '',
    );
    const { fits } = await page.evaluate(async (model) => {
      const { estimate } = (window as unknown as { rivulet: typeof Rivulet }).rivulet;
      return estimate(new File([await (await fetch(model)).blob()], 'tiny.gguf'));
    }, MODEL);
    expect(fits).toBe(true);
    expect(problems).toEqual([]);
  } finally {
    await installed.close();
  }
});

test('axe finds nothing, in both themes, with a conversation and an error', async () => {
  await open(
    `<h1>Test</h1><rivulet-chat model="${MODEL}" label="Assistant" greeting="Hello!"></rivulet-chat><rivulet-chat theme="dark"></rivulet-chat>`,
  );
  await send('Hello!', '[model]');
  await chat('[theme]').evaluate((element) => (element as RivuletChat).send('Hello!').catch(() => undefined));
  await page.evaluate(read('node_modules/axe-core/axe.min.js'));
  const violations = await page.evaluate(() =>
    (
      globalThis as unknown as { axe: { run(): Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> } }
    ).axe.run(),
  );
  expect(violations.violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`)).toEqual([]);
});
