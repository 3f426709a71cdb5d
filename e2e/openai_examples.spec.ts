// @module-tag chromium
/** Every example of docs/openai.md runs in Chromium with the demo model and prints what its comments say. */
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';
import type { Browser } from 'playwright';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { expectPrints, markPrints, runAndPrint, type Print } from './example_prints';
import { launchChromium } from './harness';
import { BUILT_SITE, serveSite, type Site } from './site';

const root = resolve(import.meta.dirname, '..');
const dist = resolve(BUILT_SITE, '..');
const MODULES: Record<string, string> = {
  rivulet: 'rivulet.mjs',
  'rivulet/openai': 'rivulet-openai.mjs',
  'rivulet/prompt-api': 'rivulet-prompt-api.mjs',
};
const document = readFileSync(join(root, 'docs/openai.md'), 'utf8');
const examples = document
  .split(/^### /m)
  .slice(1)
  .map((section) => ({ title: section.split('\n')[0], code: /```[jt]s\n([\s\S]*?)```/.exec(section)![1] }));
const [worker, host] = [...document.split('## Behind a service worker')[1].matchAll(/```js\n([\s\S]*?)```/g)].map(
  ([, code]) => code,
);

const folder = mkdtempSync(join(tmpdir(), 'rivulet-openai-examples-'));
const files = join(folder, 'site');
let browser: Browser;
let site: Site;

beforeAll(async () => {
  mkdirSync(files);
  cpSync(join(root, 'public/models'), join(files, 'models'), { recursive: true });
  for (const file of [...Object.values(MODULES), 'rivulet-grammar.mjs'])
    copyFileSync(join(dist, file), join(files, file));
  writeFileSync(
    join(files, 'index.html'),
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Examples</title>' +
      '<link rel="icon" href="data:,"></head><body></body></html>',
  );
  site = await serveSite({ root: files });
  browser = await launchChromium();
});
afterAll(async () => {
  await browser?.close();
  await site?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Compiles an example into a module of the site, which imports the built library. */
async function bundle(name: string, code: string): Promise<string> {
  const { errors, warnings } = await build({
    stdin: { contents: code, loader: 'ts', resolveDir: root },
    bundle: true,
    format: 'esm',
    target: 'es2022',
    outfile: join(files, name),
    conditions: ['browser'],
    logLevel: 'silent',
    plugins: [
      {
        name: 'built-library',
        setup: ({ onResolve }) =>
          onResolve({ filter: /^rivulet(\/[\w-]+)?$/ }, ({ path }) => ({ path: `./${MODULES[path]}`, external: true })),
      },
    ],
  });
  expect([...errors, ...warnings].map(({ text }) => text)).toEqual([]);
  return name;
}

async function inPage<T>(act: (page: Awaited<ReturnType<Browser['newPage']>>) => Promise<T>): Promise<T> {
  const page = await (await browser.newContext()).newPage();
  const problems: string[] = [];
  page.on('pageerror', (error) => problems.push(String(error)));
  page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
  try {
    await page.goto(site.url);
    const found = await act(page);
    expect(problems).toEqual([]);
    return found;
  } finally {
    await page.context().close();
  }
}

test.each(examples)('$title', async ({ title, code }) => {
  const file = await bundle(`example_${parseInt(title)}.mjs`, markPrints(code));
  await inPage(async (page) => {
    expectPrints(code, (await page.evaluate(runAndPrint(file))) as Print[]);
    if (/^[18]\./.test(title)) expect(await page.innerText('body')).toMatch(/\w{3}/);
  });
});

test('Behind a service worker', async () => {
  writeFileSync(join(files, 'sw.js'), worker);
  const file = await bundle('host.mjs', host);
  const list = await inPage((page) =>
    page.evaluate(`(async () => {
      await import('./${file}');
      await navigator.serviceWorker.register('./sw.js', { type: 'module' });
      await navigator.serviceWorker.ready;
      const frame = document.createElement('iframe'); // a page that the worker controls
      frame.src = './index.html';
      document.body.append(frame);
      await new Promise((loaded) => (frame.onload = loaded));
      return (await frame.contentWindow.fetch('./v1/models')).json();
    })()`),
  );
  expect(list).toMatchObject({ data: [{ id: 'tiny' }] });
});
