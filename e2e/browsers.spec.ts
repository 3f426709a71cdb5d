/**
 * The other two engines that people have, Firefox and WebKit: the script-tag page and the element answer, a second
 * visit needs no model from the server, the chat page keeps its conversations and models and opens without its server,
 * the inside view draws, and controls have names.
 */
import { describe, expect, it } from 'vitest';
import type { BenchmarkResult } from '../demo/bench/result';
import { validate } from './bench';
import { AXE } from './chat_page';
import { launchFirefox } from './firefox';
import { serveSite, type Site, type SiteOptions } from './site';
import type { PartName } from './system';
import { openWebKit } from './webkit';

interface OpenBrowser {
  goto(url: string): Promise<unknown>;
  evaluate(expression: string): Promise<unknown>;
  close(): Promise<void>;
}

async function openFirefox(): Promise<OpenBrowser> {
  const browser = await launchFirefox();
  const page = await browser.newPage();
  return {
    goto: (url) => page.goto(url),
    evaluate: (expression) => page.evaluate(expression),
    close: () => browser.close(),
  };
}

const ENGINES: { name: string; tag: PartName; open: () => Promise<OpenBrowser> }[] = [
  { name: 'Firefox', tag: 'firefox', open: openFirefox },
  { name: 'WebKit', tag: 'webkit', open: openWebKit },
];

/** The page's whole reply: the text when the model has said what it says. */
const REPLY = `new Promise((resolve, reject) => {
  addEventListener('error', (event) => reject(event.message));
  addEventListener('unhandledrejection', (event) => reject(event.reason));
  rivulet.load('./models/rivulet-tiny.gguf')
    .then(async (model) => {
      let text = '';
      for await (const piece of model.chat([{ role: 'user', content: 'Hello! Who are you?' }], { temperature: 0 })) text += piece;
      resolve({ text, backend: model.info.backend.name });
    })
    .catch(reject);
})`;

/**
 * In the chat page: runs statements of an async function that has `until` (waits for a condition), `all` (elements by a
 * selector), `modelIs`, `write` and `send`.
 */
const inChat = (statements: string): string => `(async () => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const until = async (condition, what) => {
    for (let waited = 0; !condition(); waited += 50) {
      if (waited > 60000) throw new Error(what + ' did not come. Waiting: ' + document.getElementById('waiting')?.innerText + '. Message field: ' + document.getElementById('prompt').value + '. Page: ' + document.querySelector('main').innerText.slice(0, 2000));
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  const modelIs = (name) => document.getElementById('model-name').textContent === name && !document.getElementById('about').hidden && document.getElementById('loading').hidden;
  const write = (text) => {
    const prompt = document.getElementById('prompt');
    prompt.value = text;
    prompt.dispatchEvent(new Event('input', { bubbles: true }));
  };
  const send = async (text) => {
    const before = all('#messages .assistant:not([aria-busy]) .copy').length;
    write(text);
    document.getElementById('composer').requestSubmit();
    await until(() => all('#messages .assistant:not([aria-busy]) .copy').length > before, 'a reply');
  };
  // WebKitGTK's driver goes on before the page's script has run
  await until(() => document.getElementById('attach'), 'the page');
  ${statements}
})()`;

/**
 * In another page: runs statements of an async function that has `until` and `objections`, which are those of the
 * accessibility checker.
 */
const inPage = (statements: string): string => `(async () => {
  const until = async (condition, what) => {
    for (let waited = 0; !condition(); waited += 50) {
      if (waited > 60000) throw new Error(what + ' did not come. Page: ' + document.body.innerText.slice(0, 2000));
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  ${AXE};
  // a button's colours change slowly after it was disabled
  const objections = async () => (await Promise.all(document.getAnimations().map(({ finished }) => finished)), await window.axe.run()).violations.map(({ id, nodes }) => id + ': ' + nodes.map(({ html }) => html).join(' '));
  ${statements}
})()`;

for (const { name, tag, open } of ENGINES)
  describe(name, { tags: tag }, () => {
    // each test has a host and a browser of its own, so that none meets what another has stored
    const visit =
      (run: (site: Site, browser: OpenBrowser) => Promise<void>, options?: SiteOptions) => async (): Promise<void> => {
        const [site, browser] = await Promise.all([serveSite(options), open()]);
        try {
          await run(site, browser);
        } finally {
          await browser.close();
          await site.close().catch(() => undefined); // the test may have closed it
        }
      };

    it.each([{ isolated: true }, { isolated: false }])('answers, and again with the model unreachable: %o', (options) =>
      visit(async (site, browser) => {
        await browser.goto(`${site.url}script-tag.html`);
        const first = (await browser.evaluate(REPLY)) as { text: string; backend: string };
        expect(first.backend).toBe('wasm');
        expect(first.text.length).toBeGreaterThan(10);
        expect(
          await browser.evaluate(`rivulet.estimate('./models/rivulet-tiny.gguf').then(({ backend }) => backend.name)`),
        ).toBe('wasm');
        expect(site.asked.filter((path) => path.endsWith('.js'))).toEqual(['/rivulet.js', '/rivulet-tools.js']);
        site.refuse = /\.gguf$/;
        await browser.goto(`${site.url}script-tag.html`);
        expect(await browser.evaluate(REPLY)).toEqual(first);
      }, options)(),
    );

    it(
      'answers in the element <rivulet-chat>, which has a name for every control, also in a required one and with an error',
      visit(
        async (site, browser) => {
          await browser.goto(`${site.url}element.html`);
          const answer = await browser.evaluate(
            inPage(`
        await until(() => window.customElements.get('rivulet-chat'), 'the element');
        const chat = document.querySelector('rivulet-chat');
        const words = await chat.send('Hello!');
        chat.required = true;
        const valid = [chat.checkValidity(), (chat.clear(), chat.checkValidity())];
        chat.messages = [{ role: 'user', content: 'Hello!' }, { role: 'assistant', content: '| a |\\n|---|\\n| **b** |\\n\\n- [x] c' }];
        chat.model = './nothing.gguf';
        await chat.send('Hello!').catch(() => undefined);
        await until(() => chat.shadowRoot.querySelector('.problem') && chat.shadowRoot.querySelector('td strong'), 'the error and the table');
        return [words, valid, await objections()];`),
          );
          expect(answer).toEqual([expect.stringMatching(/\w{3}/), [true, false], []]);
        },
        { isolated: false },
      ),
    );

    it(
      'draws what the layers do with a sentence, shows the values as text, and has a name for every control',
      visit(
        async (site, browser) => {
          await browser.goto(`${site.url}inside.html`);
          const [status, colours, rows, objections] = (await browser.evaluate(
            inPage(`
        const find = (id) => document.getElementById(id);
        await until(() => find('form')?.options.length, 'the page');
        find('text').value = 'Hello';
        find('request').requestSubmit();
        await until(() => !find('result').hidden, 'the result');
        find('form').value = 'map';
        find('form').dispatchEvent(new Event('change'));
        const map = find('map');
        const { data } = map.getContext('2d').getImageData(0, 0, map.width, map.height);
        return [find('status').textContent, new Set(new Uint32Array(data.buffer)).size, document.querySelectorAll('#values tbody tr').length, await objections()];`),
          )) as [string, number, number, string[]];
          expect(status).toBe(`${rows} tokens, 6 layers`);
          expect(rows).toBeGreaterThan(1);
          expect(colours).toBeGreaterThan(20);
          expect(objections).toEqual([]);
        },
        { isolated: false },
      ),
    );

    it(
      'keeps the conversations of the chat page: a list, an edited message, a draft, over a reload',
      visit(async (site, browser) => {
        await browser.goto(site.url);
        await browser.evaluate(
          inChat(`
        await send('Good morning');
        document.getElementById('new-chat').click();
        await until(() => all('#messages li').length === 0, 'an empty chat');
        await send('Thanks!');
        document.querySelector('.edit-message').click();
        const field = document.querySelector('.edit-form textarea');
        field.value = 'How are you?';
        field.form.requestSubmit();
        await until(() => all('.user .versions').length === 1, 'a second version');
        await until(() => all('#messages .assistant:not([aria-busy]) .copy').length === 1, 'a reply');
        write('a draft');
        await new Promise((resolve) => setTimeout(resolve, 1500));`),
        );
        await browser.goto(`${site.url}?backend=wasm`);
        const shown = await browser.evaluate(
          inChat(`
        await until(() => all('.conversation').length === 2 && all('#messages .copy').length === 2, 'the conversations');
        return [all('.conversation-title').map((title) => title.textContent), all('.user .body').map((body) => body.textContent), document.querySelector('.versions').textContent, document.getElementById('prompt').value, all('#storage-problem:not([hidden])').length];`),
        );
        expect(shown).toEqual([['Thanks!', 'Good morning'], ['How are you?'], '2/2', 'a draft', 0]);
      }),
    );

    it(
      'lists the models of the chat page, uses one from a file, stores it, and starts with it at the next visit',
      visit(async (site, browser) => {
        await browser.goto(`${site.url}?backend=wasm`);
        const listed = await browser.evaluate(
          inChat(`
        await until(() => !document.getElementById('about').hidden, 'a model');
        document.getElementById('choose').click();
        await until(() => all('#models[open] .model').length, 'the list');
        const names = all('#models .model h4').map((title) => title.textContent);
        const files = new DataTransfer();
        files.items.add(new File([await (await fetch('models/rivulet-tiny.gguf')).arrayBuffer()], 'mine.gguf'));
        const input = document.getElementById('file');
        input.files = files.files;
        input.dispatchEvent(new Event('change', { bubbles: true }));
        await until(() => modelIs('mine.gguf'), 'the model of the file');
        const keep = () => all('#toast button').find((button) => button.textContent === 'Keep on this device');
        await until(keep, 'the offer to keep the file');
        keep().click();
        await until(() => document.getElementById('toast').textContent.includes('is stored on this device'), 'the end of storing');
        await send('Hello!');
        return names;`),
        );
        expect(listed).toEqual(expect.arrayContaining(['Rivulet tiny', 'LFM2.5-350M']));
        site.refuse = /\.gguf$/;
        await browser.goto(`${site.url}?backend=wasm`);
        const speakers = await browser.evaluate(
          inChat(`
        await until(() => modelIs('mine.gguf'), 'the stored model');
        await send('Who are you?');
        return all('#messages .assistant h2').map((name) => name.textContent);`),
        );
        expect(speakers).toEqual(['mine.gguf', 'mine.gguf']);
      }),
    );

    it(
      'opens the chat page without its server after one visit, and answers',
      visit(async (site, browser) => {
        await browser.goto(`${site.url}?backend=wasm`);
        await browser.evaluate(
          inChat(`
        await send('Good morning');
        await until(() => document.getElementById('settings-app').textContent.includes('It opens without a network.'), 'the stored page');`),
        );
        const { url } = site;
        await site.close();
        await browser.goto(`${url}?backend=wasm`);
        const said = await browser.evaluate(
          inChat(`
        await until(() => all('#messages .copy').length === 2, 'the conversation');
        await send('Thanks!');
        return all('.user .body').map((body) => body.textContent);`),
        );
        expect(said).toEqual(['Good morning', 'Thanks!']);
      }),
    );

    it(
      'measures a short set on the benchmark page, and shows a result that its schema takes',
      visit(async (site, browser) => {
        await browser.goto(`${site.url}bench.html?threads=1`);
        const { result, table, objections } = (await browser.evaluate(`(async () => {
      const until = async (condition, what) => {
        for (let waited = 0; !condition(); waited += 50) {
          if (waited > 120000) throw new Error(what + ' did not come: ' + document.querySelector('main').innerText.slice(0, 2000));
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
      };
      await until(() => document.body?.dataset.ready, 'the page');
      document.querySelector('input[name=preset][value=quick]').click();
      document.querySelector('input[name=repetitions]').value = '1';
      document.getElementById('run').click();
      await until(() => !document.getElementById('progress').hidden, 'the progress');
      await until(() => document.getElementById('progress').hidden, 'the end');
      const result = await new Promise((resolve, reject) => {
        const opened = indexedDB.open('rivulet-bench');
        opened.onerror = () => reject(opened.error);
        opened.onsuccess = () => {
          const read = opened.result.transaction('results').objectStore('results').get('set');
          read.onsuccess = () => resolve(read.result.result);
        };
      });
      ${AXE};
      const { violations } = await window.axe.run(document, { runOnly: ['cat.name-role-value', 'cat.forms', 'cat.aria', 'cat.text-alternatives', 'cat.structure'] });
      return { result, table: document.querySelector('table').innerText, objections: violations.map(({ id, nodes }) => id + ': ' + nodes.map(({ html }) => html).join(' ')) };
    })()`)) as { result: BenchmarkResult; table: string; objections: string[] };
        expect(validate(result), JSON.stringify(validate.errors)).toBe(true);
        expect(result.device.browser).toContain({ Firefox: 'Firefox', WebKit: 'Safari' }[name]);
        expect(result.runs.map(({ model, status, problem }) => [model.quantization, status, problem])).toEqual([
          ['Q4_0', 'done', undefined],
          ['Q8_0', 'done', undefined],
        ]);
        for (const { measurements } of result.runs)
          expect(measurements.map(({ prompt, decode }) => [prompt, decode !== undefined])).toEqual([
            [128, false],
            [512, false],
            [128, true],
            [1024, true],
          ]);
        expect(table).toContain('Demo model (6M) Q8_0');
        expect(objections).toEqual([]);
      }),
    );

    it(
      'gives every control of the chat page a name, in the page and in its dialogs',
      visit(async (site, browser) => {
        await browser.goto(`${site.url}?backend=wasm`);
        const objections = await browser.evaluate(
          inChat(`
        ${AXE};
        await send('Set a timer for 10 minutes');
        const found = [];
        const look = async (where) => {
          const { violations } = await window.axe.run(document, { runOnly: ['cat.name-role-value', 'cat.forms', 'cat.aria', 'cat.text-alternatives', 'cat.structure'] });
          for (const { id, nodes } of violations) found.push(where + ': ' + id + ': ' + nodes.map(({ html }) => html).join(' '));
        };
        await look('page');
        for (const [button, dialog] of [['choose', 'models'], ['open-settings', 'settings']]) {
          document.getElementById(button).click();
          await until(() => document.getElementById(dialog).open, dialog);
          await look(dialog);
          document.getElementById(dialog).close();
        }
        return found;`),
        );
        expect(objections).toEqual([]);
      }),
    );
  });
