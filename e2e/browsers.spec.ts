/** The other two engines that people have, Firefox and WebKit: the script-tag page as built answers, a second visit needs no model from the server, and the chat page keeps its conversations. */
import { describe, expect, it } from 'vitest';
import { launchFirefox } from './firefox';
import { serveSite } from './site';
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
  return { goto: (url) => page.goto(url), evaluate: (expression) => page.evaluate(expression), close: () => browser.close() };
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

/** In the chat page: runs statements of an async function that has `until` (waits for a condition), `all` (elements by a selector) and `send`. */
const inChat = (statements: string): string => `(async () => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const until = async (condition, what) => {
    for (let waited = 0; !condition(); waited += 50) {
      if (waited > 60000) throw new Error(what + ' did not come: ' + document.querySelector('main').innerText.slice(0, 2000));
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  const send = async (text) => {
    const before = all('#messages .assistant:not([aria-busy]) .copy').length;
    const prompt = document.getElementById('prompt');
    prompt.value = text;
    prompt.dispatchEvent(new Event('input', { bubbles: true }));
    document.getElementById('composer').requestSubmit();
    await until(() => all('#messages .assistant:not([aria-busy]) .copy').length > before, 'a reply');
  };
  ${statements}
})()`;

for (const { name, tag, open } of ENGINES) describe(name, { tags: tag }, () => {
  it.each([{ isolated: true }, { isolated: false }])('answers, and again with the model unreachable: %o', async ({ isolated }) => {
    const site = await serveSite({ isolated });
    const browser = await open();
    try {
      await browser.goto(`${site.url}script-tag.html`);
      const first = (await browser.evaluate(REPLY)) as { text: string; backend: string };
      expect(first.backend).toBe('wasm');
      expect(first.text.length).toBeGreaterThan(10);
      site.refuse = /\.gguf$/;
      await browser.goto(`${site.url}script-tag.html`);
      expect(await browser.evaluate(REPLY)).toEqual(first);
    } finally {
      await browser.close();
      await site.close();
    }
  });

  it('answers in the element <rivulet-chat>', async () => {
    const site = await serveSite({ isolated: false });
    const browser = await open();
    try {
      await browser.goto(`${site.url}element.html`);
      const answer = await browser.evaluate(`document.querySelector('rivulet-chat').send('Hello!').then((words) => [words, document.querySelector('rivulet-chat').info.backend.name])`);
      expect(answer).toEqual([expect.stringMatching(/\w{3}/), 'wasm']);
    } finally {
      await browser.close();
      await site.close();
    }
  });

  it('keeps the conversations of the chat page: a list, an edited message, a draft, over a reload', async () => {
    const site = await serveSite();
    const browser = await open();
    try {
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
          const prompt = document.getElementById('prompt');
          prompt.value = 'a draft';
          prompt.dispatchEvent(new Event('input', { bubbles: true }));
          await new Promise((resolve) => setTimeout(resolve, 1500));`),
      );
      await browser.goto(`${site.url}?backend=wasm`);
      const shown = await browser.evaluate(
        inChat(`
          await until(() => all('.conversation').length === 2 && all('#messages .copy').length === 2, 'the conversations');
          return [all('.conversation-title').map((title) => title.textContent), all('.user .body').map((body) => body.textContent), document.querySelector('.versions').textContent, document.getElementById('prompt').value, all('#storage-problem:not([hidden])').length];`),
      );
      expect(shown).toEqual([['Thanks!', 'Good morning'], ['How are you?'], '2/2', 'a draft', 0]);
    } finally {
      await browser.close();
      await site.close();
    }
  });
});
