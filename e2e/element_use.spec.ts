// @module-tag chromium
/**
 * <rivulet-chat> in the pages of its users: in forms that need it, as a popover, under Trusted Types, without storage,
 * when people leave and come back, narrow, and from right to left.
 */
import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright';
import { expect, test } from 'vitest';
import type { RivuletChat } from '../src/element/rivulet_chat';
import { holdLock, soon } from './chat_page';
import { MODEL, POLICY, read, testElement } from './element_page';
import { chromiumArgs } from './harness';
import { serveSite } from './site';
import { findChromium } from './system';
import { tinyGguf } from './tools/tiny';

/** in the tree of an element without messages, about */
const NODES_OF_AN_ELEMENT = 23;

const tests = testElement();
const { open, chat, send } = tests;
/** how many messages there are, and what the input field holds */
const count = (): Promise<number> => chat().evaluate((element) => (element as RivuletChat).messages.length);
const fieldInFocus = (): Promise<boolean> =>
  tests.page.evaluate(() => document.activeElement?.shadowRoot?.activeElement?.localName === 'textarea');
const shownReplies = (): Promise<string[]> =>
  chat().evaluate((element) =>
    [...element.shadowRoot!.querySelectorAll('.reply:not([hidden])')].map(({ innerHTML }) => innerHTML),
  );

test('a form that needs a message is not sent without one, and the browser says so at the input field', async () => {
  await open(
    `<form><label for="chat">Your question</label><rivulet-chat id="chat" name="talk" required model="${MODEL}"></rivulet-chat><button>Order</button></form>`,
  );
  const { page } = tests;
  await page.evaluate(() => {
    const seen = ((globalThis as { seen?: string[] }).seen = [] as string[]);
    document.addEventListener('invalid', ({ target }) => seen.push(`invalid ${(target as Element).id}`), true);
    document.querySelector('form')!.addEventListener('submit', (event) => (event.preventDefault(), seen.push('sent')));
  });
  const seen = (): Promise<string[]> => page.evaluate(() => (globalThis as { seen?: string[] }).seen!.splice(0));
  const state = (): Promise<unknown> =>
    page.evaluate(() => {
      const { validity, validationMessage, willValidate, required } = document.querySelector('rivulet-chat')!;
      return {
        missing: validity.valueMissing,
        valid: validity.valid,
        validationMessage,
        willValidate,
        required,
        matches: document.querySelector('rivulet-chat:invalid') !== null,
      };
    });
  const silent = chat().evaluate((element) => (element as unknown as { send(): Promise<string> }).send());
  await expect(silent).rejects.toThrow('The message is not sent');
  const missing = {
    missing: true,
    valid: false,
    validationMessage: 'Send a message first.',
    willValidate: true,
    required: true,
    matches: true,
  };
  const fine = {
    missing: false,
    valid: true,
    validationMessage: '',
    willValidate: true,
    required: true,
    matches: false,
  };
  expect(await state()).toEqual(missing);
  await page.getByRole('button', { name: 'Order' }).click();
  await soon(seen).toEqual(['invalid chat']);
  expect(await fieldInFocus()).toBe(true);
  expect(
    await page.evaluate(() => [
      document.querySelector('rivulet-chat')!.checkValidity(),
      document.querySelector('rivulet-chat')!.reportValidity(),
    ]),
  ).toEqual([false, false]);
  await seen();
  await send('Hello!');
  expect(await state()).toEqual(fine);
  await page.getByRole('button', { name: 'Order' }).click();
  await soon(seen).toEqual(['sent']);
  await page.evaluate(() => document.querySelector('form')!.reset());
  expect(await state()).toEqual(missing);
  await page.evaluate(() => void (document.querySelector('rivulet-chat')!.required = false));
  expect(await state()).toEqual({ ...fine, required: false });
  await page.evaluate(() => Object.assign(document.querySelector('rivulet-chat')!, { required: true, disabled: true }));
  expect(await state()).toMatchObject({ willValidate: false, matches: false });
  // its label leads to the field
  await page.evaluate(() => Object.assign(document.querySelector('rivulet-chat')!, { disabled: false }).blur());
  await page.click('label');
  await soon(fieldInFocus).toBe(true);
  expect(tests.problems).toEqual([]);
});

test('the example with a button in the corner opens with its field in focus, and keeps its conversation', async () => {
  const example = /```html\n(<style>[\s\S]*?popover[\s\S]*?)```/.exec(read('docs/element.md'))![1];
  await open(example, { policy: `${POLICY}; style-src 'unsafe-inline'` });
  const { page } = tests;
  expect(await chat().isVisible()).toBe(false);
  for (const messages of [2, 4]) {
    await page.getByRole('button', { name: 'Chat' }).click();
    await soon(fieldInFocus).toBe(true);
    const box = (await chat().boundingBox())!;
    const { width, height } = page.viewportSize()!;
    expect(Math.round(width - box.x - box.width)).toBe(16);
    expect(Math.round(height - box.y - box.height)).toBe(64);
    await page.keyboard.type('Hello!');
    await page.keyboard.press('Enter');
    await soon(count).toBe(messages);
    await chat().getByRole('button', { name: 'Send' }).waitFor();
    await page.keyboard.press('Escape');
    await soon(() => chat().isVisible()).toBe(false);
  }
  expect(tests.problems).toEqual([]);
});

test('it runs in a page that enforces Trusted Types, with the policies of docs/element.md', async () => {
  const [, rule, names] = /(require-trusted-types-for 'script'); (trusted-types .*)/.exec(read('docs/element.md'))!;
  const scripts = '<script src="rivulet-element.js"></script>';
  const element = `<rivulet-chat model="${MODEL}"></rivulet-chat>`;
  const markdown = (): Promise<string[]> =>
    chat()
      .evaluate(
        (one) => (((one as RivuletChat).messages = [{ role: 'assistant', content: 'a **b** <b>c</b>' }]), undefined),
      )
      .then(() => soon(async () => (await shownReplies()).length).toBe(1))
      .then(shownReplies);
  const bold = ['<div dir="auto"><p>a <strong>b</strong> &lt;b&gt;c&lt;/b&gt;</p>\n</div>'];
  for (const policies of [rule, `${rule}; ${names}`]) {
    await open(element, { policy: `${POLICY}; ${policies}`, head: scripts });
    expect(await send('Hello!'), policies).not.toBe('');
    expect(await markdown(), policies).toEqual(bold);
  }
  await open(element, {
    policy: `${POLICY}; ${rule}; ${names}`,
    head: '<script type="module" src="rivulet-element.mjs"></script>',
  });
  expect(await send('Hello!')).not.toBe('');
  expect(await markdown()).toEqual(bold);
  expect(tests.problems).toEqual([]);

  // without the element's policy, replies are shown as they were written
  await open(element, {
    policy: `${POLICY}; ${rule}; trusted-types rivulet`,
    head: `<script src="rivulet.js"></script>${scripts}`,
  });
  expect(await send('Hello!')).not.toBe('');
  expect(await markdown()).toEqual(['a **b** &lt;b&gt;c&lt;/b&gt;']);
  // without the engine's policy, the error names it
  await open(element, { policy: `${POLICY}; ${rule}; trusted-types rivulet-element` });
  expect(await send('Hello!').catch((error: Error) => error.message)).toMatch(
    /The worker did not start.*policy 'rivulet'/,
  );
});

test('an old button does not answer another message, and an error is shown once', async () => {
  await open('<rivulet-chat model="./nothing.gguf" loading="eager"></rivulet-chat>');
  const failed = (): Promise<string> =>
    send('Hello!').then(
      () => 'answered',
      (error: Error) => error.message,
    );
  const problems = (): Promise<number> =>
    chat().evaluate((element) => element.shadowRoot!.querySelectorAll('.problem').length);
  await soon(problems).toBe(1);
  await failed();
  expect(await problems()).toBe(1);
  const old = await chat().evaluateHandle((element) => element.shadowRoot!.querySelector<HTMLElement>('.again')!);
  await chat().evaluate((element, model) => element.setAttribute('model', model), MODEL);
  await send('Thanks!');
  expect(await problems()).toBe(0);
  expect(await count()).toBe(3);
  await old.evaluate((button) => button.click());
  await send('Hello!');
  expect(await chat().evaluate((element) => (element as RivuletChat).messages.map(({ role }) => role))).toEqual([
    'user',
    'user',
    'assistant',
    'user',
    'assistant',
  ]);
  // neither does one of a conversation that was cleared
  await chat().evaluate((element) => void ((element as RivuletChat).model = './nothing.gguf'));
  await failed();
  const cleared = await chat().evaluateHandle((element) => element.shadowRoot!.querySelector<HTMLElement>('.again')!);
  await chat().evaluate(
    (element, model) => ((element as RivuletChat).clear(), ((element as RivuletChat).model = model)),
    MODEL,
  );
  await cleared.evaluate((button) => button.click());
  expect(await send('Hello!')).not.toBe('');
  expect(await count()).toBe(2);
  expect(await problems()).toBe(0);
});

test('an error of a load goes when the model is there', async () => {
  await open('<rivulet-chat model="./nothing.gguf" loading="eager"></rivulet-chat>');
  await chat().getByRole('alert').waitFor();
  await chat().evaluate((element, model) => void ((element as RivuletChat).model = model), MODEL);
  await soon(() => chat().evaluate((element) => (element as RivuletChat).info?.name)).toBeTruthy();
  await soon(() => chat().getByRole('alert').count()).toBe(0);
});

test('before a copy of a large model that another tab has in memory there is a question', async () => {
  await open('');
  const other = await tests.context.newPage();
  await other.goto(tests.page.url());
  await holdLock(other, `rivulet:loaded:${new URL(MODEL, other.url()).href}:400000000`);
  await open(`<rivulet-chat model="${MODEL}"></rivulet-chat>`);
  const load = (): Promise<string> =>
    chat().evaluate((element) =>
      (element as RivuletChat).load().then(
        () => 'loaded',
        (error: Error) => error.name,
      ),
    );
  const refused = load();
  await chat().getByText('A copy here takes 400 MB of memory more.').waitFor();
  await chat().getByRole('button', { name: 'Not now' }).click();
  expect(await refused).toBe('AbortError');
  const wanted = load();
  await chat().getByRole('button', { name: 'Load a copy' }).click();
  expect(await wanted).toBe('loaded');
  await other.close();
});

test('who leaves the page and comes back finds the conversation, and a model that answers', async () => {
  const host = await serveSite({ root: tests.folder, isolated: false, kept: true });
  // a browser under test does not keep the pages that were left
  const keeping = await chromium.launch({
    executablePath: findChromium(),
    args: chromiumArgs({}),
    ignoreDefaultArgs: ['--disable-back-forward-cache'],
  });
  try {
    await open(`<rivulet-chat model="${MODEL}"></rivulet-chat>`);
    const page = await keeping.newPage();
    await page.goto(`${host.url}test.html`);
    const chatted = (text: string): Promise<[string, number]> =>
      page
        .locator('rivulet-chat')
        .evaluate(
          (element, words) =>
            (element as RivuletChat)
              .send(words)
              .then((answer): [string, number] => [answer, (element as RivuletChat).messages.length]),
          text,
        );
    expect(await chatted('Hello!')).toEqual([expect.stringMatching(/\w/), 2]);
    // once at rest, and once in the middle of an answer
    for (const messages of [4, 8]) {
      if (messages > 4) await page.evaluate(() => void document.querySelector('rivulet-chat')!.send('Good morning!'));
      await page.evaluate(() => Object.assign(globalThis, { stayed: true }));
      await page.goto('about:blank');
      await page.goBack({ waitUntil: 'commit' });
      expect(
        await page.evaluate(() => [
          (globalThis as { stayed?: boolean }).stayed,
          JSON.stringify(
            (performance.getEntriesByType('navigation')[0] as unknown as { notRestoredReasons?: object })
              .notRestoredReasons,
          ),
        ]),
      ).toEqual([true, 'null']);
      expect(await chatted('Thanks!')).toEqual([expect.stringMatching(/\w/), messages]);
    }
  } finally {
    await keeping.close();
    await host.close();
  }
});

test('elements that come and go leave no worker and little memory behind', async () => {
  await open('');
  const { page } = tests;
  const session = await page.context().newCDPSession(page);
  await session.send('Performance.enable');
  /**
   * inserts elements, half of which load their model, and removes them; with `hasty`, the others are removed while they
   * look for it
   */
  const cycle = (times: number, hasty = false): Promise<void> =>
    page.evaluate(
      async ([n, model, early]) => {
        for (let i = 0; i < Number(n); i++) {
          const element = document.createElement('rivulet-chat');
          element.model = String(model);
          element.messages = [
            { role: 'user', content: 'Hello!' },
            { role: 'assistant', content: 'A **reply**.' },
          ];
          document.querySelector('main')!.append(element);
          if (i % 2) await element.load();
          else if (early) void element.load().catch(() => undefined);
          element.remove();
          await new Promise((resolve) => setTimeout(resolve));
        }
      },
      [times, MODEL, hasty] as const,
    );
  const held = async (what: 'JSHeapUsedSize' | 'Nodes'): Promise<number> => {
    await soon(() => page.workers().length).toBe(0);
    for (let i = 0; i < 3; i++) await session.send('HeapProfiler.collectGarbage');
    const { metrics } = await session.send('Performance.getMetrics');
    return metrics.find(({ name }) => name === what)!.value;
  };
  await cycle(10);
  // what a request held goes some time after it
  await soon(() => held('Nodes')).toBeLessThan(NODES_OF_AN_ELEMENT * 2);
  const before = await held('JSHeapUsedSize');
  const nodes = await held('Nodes');
  for (let i = 0; i < 5; i++) {
    await cycle(10);
    await held('Nodes'); // each time the model is loaded anew
  }
  await soon(async () => (await held('JSHeapUsedSize')) - before).toBeLessThan(300_000);
  await cycle(20, true);
  await soon(async () => (await held('JSHeapUsedSize')) - before).toBeLessThan(600_000);
  // no element is held, whatever it did when it was removed
  await soon(async () => (await held('Nodes')) - nodes).toBeLessThan(NODES_OF_AN_ELEMENT);
  expect(tests.problems).toEqual([]);
});

test('two models answer, and a third that does not exist is said, where the browser blocks all storage', async () => {
  const profile = mkdtempSync(join(tmpdir(), 'rivulet-blocked-'));
  mkdirSync(join(profile, 'Default'));
  writeFileSync(
    join(profile, 'Default/Preferences'),
    JSON.stringify({ profile: { default_content_setting_values: { cookies: 2 } } }),
  );
  writeFileSync(join(tests.folder, 'models/other.gguf'), tinyGguf({ vocab: 272 }));
  const blocked = await chromium.launchPersistentContext(profile, {
    executablePath: findChromium(),
    headless: true,
    args: chromiumArgs({}),
  });
  try {
    const names = ['rivulet-tiny', 'other', 'nothing'];
    await open(
      names
        .map((name) => `<rivulet-chat id="${name}" model="./models/${name}.gguf" max-tokens="4"></rivulet-chat>`)
        .join(''),
    );
    const page = await blocked.newPage();
    await page.goto(tests.page.url());
    expect(
      await page.evaluate(
        () =>
          new Promise((resolve) => {
            try {
              const request = indexedDB.open('x');
              request.onsuccess = () => resolve('open');
              request.onerror = () => resolve('blocked');
            } catch {
              resolve('blocked');
            }
          }),
      ),
    ).toBe('blocked');
    const outcome = await page.evaluate(() =>
      Promise.all(
        [...document.querySelectorAll('rivulet-chat')].map((element) =>
          element.send('Hello!').then(
            () => `${element.info!.cached}, ${element.messages.length} messages`,
            (error: Error) => `${error.name}: ${element.shadowRoot!.querySelector('.problem')!.textContent}`,
          ),
        ),
      ),
    );
    expect(outcome).toEqual([
      'false, 2 messages',
      'false, 2 messages',
      expect.stringMatching(/^SourceError: .*nothing.gguf.*Try again$/),
    ]);
  } finally {
    await blocked.close();
    rmSync(profile, { recursive: true, force: true });
  }
});

test.each([
  { name: 'in 200 pixels', width: 200, text: 16, dir: 'ltr' },
  { name: 'from right to left', width: 390, text: 16, dir: 'rtl' },
  { name: 'with text of twice the size', width: 390, text: 32, dir: 'ltr' },
])('all of it is in sight $name', async ({ width, text, dir }) => {
  await open(
    `<rivulet-chat model="./nothing.gguf" label="A title that is longer than most" greeting="Hello! What can I do for you?"></rivulet-chat>`,
  );
  const outside = await chat().evaluate(
    async (element, given) => {
      document.documentElement.dir = given.dir;
      document.documentElement.style.fontSize = `${given.text}px`;
      element.style.inlineSize = `${given.width}px`;
      const element_ = element as RivuletChat;
      element_.messages = [
        {
          role: 'user',
          content: 'A-word-that-has-no-place-to-break-and-goes-on-and-on-until-it-is-too-long-for-a-line',
        },
        {
          role: 'assistant',
          content:
            '# Title\n\n| a | b | c | d | e | f | g | h |\n|---|---|---|---|---|---|---|---|\n| 1111111 | 2222222 | 3333333 | 4 | 5 | 6 | 7 | 8 |\n\n```\na line of code that is longer than the place that it has got in here\n```\n- [x] done\n- [ ] to do',
        },
      ];
      await element_.send('Hello!').catch(() => undefined);
      await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
      const host = element.getBoundingClientRect();
      const root = element.shadowRoot!;
      const scrolls = (inner: Element): boolean =>
        inner.matches('pre, .table') || (inner.parentElement !== null && scrolls(inner.parentElement));
      const beyond = [...root.querySelectorAll('*')].filter((inner) => {
        const { left, right, width: size } = inner.getBoundingClientRect();
        return size > 1 && !scrolls(inner.parentElement ?? element) && (left < host.left - 1 || right > host.right + 1);
      });
      const [field, button] = ['textarea', '.send'].map((selector) =>
        root.querySelector(selector)!.getBoundingClientRect(),
      );
      const list = root.querySelector('.messages')!;
      return {
        beyond: beyond.map((inner) => inner.outerHTML.slice(0, 80)),
        sideways: list.scrollWidth - list.clientWidth,
        field: Math.round(field.width),
        sendFollows: given.dir === 'rtl' ? button.right <= field.left : button.left >= field.right,
        inSight: button.bottom <= host.bottom && list.clientHeight > 100,
      };
    },
    { width, text, dir },
  );
  expect(outside).toMatchObject({ beyond: [], sideways: 0, sendFollows: true, inSight: true });
  expect(outside.field).toBeGreaterThan(60);
});
