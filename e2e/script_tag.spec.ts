// @module-tag chromium
/**
 * The script tag on a plain static host: under a sub-path, with and without cross-origin isolation, and no request to
 * anyone else.
 */
import { readFileSync } from 'node:fs';
import type { Browser } from 'playwright';
import { transformWithOxc } from 'vite';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { launchChromium } from './harness';
import { serveSite } from './site';

const read = (path: string): string => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8');
const lines = (text: string): string[] =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean);

let browser: Browser;
beforeAll(async () => {
  browser = await launchChromium();
});
afterAll(() => browser?.close());

test('the page holds the snippet of the README, word for word', () => {
  const snippet = /```html\n([\s\S]*?)```/.exec(read('README.md'))?.[1] ?? '';
  expect(lines(snippet).length).toBeGreaterThan(3);
  expect(lines(read('demo/script-tag.html')).join('\n')).toContain(lines(snippet).join('\n'));
});

test('the tool example of the README does what its comments say', async () => {
  const example = /### Tools[\s\S]*?```ts\n([\s\S]*?)```/.exec(read('README.md'))![1];
  const { code } = await transformWithOxc(example.replace(/^import .*$/m, ''), 'example.ts');
  const site = await serveSite();
  const page = await browser.newPage();
  try {
    await page.goto(`${site.url}script-tag.html`);
    const logged = await page.evaluate(`(async ({ load, readCalls }) => {
      const logged = [];
      const console = { log: (value) => logged.push(value) };
      ${code}
      return logged;
    })(rivulet)`);
    expect(example).toContain("console.log(calls); // [{ name: 'set_timer', arguments: { minutes: 10 } }]");
    expect(logged).toEqual([
      [{ name: 'set_timer', arguments: { minutes: 10 } }],
      /\.text\); \/\/ (.*)/.exec(example)![1],
    ]);
  } finally {
    await page.close();
    await site.close();
  }
});

test.each([
  { isolated: true, base: '/' },
  { isolated: false, base: '/some/where/' },
])('answers on a static host: %o', async ({ isolated, base }) => {
  const site = await serveSite({ isolated, base });
  const page = await browser.newPage();
  try {
    const asked: string[] = [];
    const problems: string[] = [];
    page.context().on('request', (request) => {
      if (!/^(blob|data):/.test(request.url())) asked.push(request.url());
    });
    page.on('pageerror', (error) => problems.push(String(error)));
    page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
    await page.goto(`${site.url}script-tag.html`);
    expect(await page.evaluate(() => crossOriginIsolated)).toBe(isolated);
    await page
      .waitForFunction(() => document.querySelector('textarea')?.value.trim(), undefined, { timeout: 120_000 })
      .catch(() => undefined);
    expect(problems).toEqual([]);
    expect(await page.inputValue('textarea')).not.toBe('');
    // the worker's requests are among them
    expect(asked).toContain(`${site.url}models/rivulet-tiny.gguf`);
    expect(asked.filter((url) => !url.startsWith(site.url))).toEqual([]);
    expect(site.asked.filter((path) => path.endsWith('.js'))).toEqual([`${base}rivulet.js`]);
  } finally {
    await page.close();
    await site.close();
  }
});
