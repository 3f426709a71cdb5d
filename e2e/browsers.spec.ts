/** The other two engines that people have: the script-tag page as built answers in Firefox and in WebKit, and a second visit needs no model from the server. */
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
});
