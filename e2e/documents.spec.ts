// @module-tag chromium
/** What docs/hosting.md and docs/models.md say, and where the documents link to. */
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import type { Browser } from 'playwright';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { launchChromium } from './harness';
import { BUILT_SITE, serveSite } from './site';

const root = resolve(import.meta.dirname, '..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const POLICY = /default-src 'none'; .*/.exec(read('docs/hosting.md'))![0];
/** not a secure context */
const PLAIN_HOST = 'phone.example';

const folder = mkdtempSync(join(tmpdir(), 'rivulet-documents-'));
let browser: Browser;
beforeAll(async () => {
  cpSync(join(root, 'public/models'), join(folder, 'models'), { recursive: true });
  copyFileSync(join(BUILT_SITE, 'rivulet.js'), join(folder, 'rivulet.js'));
  writeFileSync(
    join(folder, 'index.html'),
    `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Host</title><meta http-equiv="Content-Security-Policy" content="${POLICY}"><script src="rivulet.js"></script></head><body></body></html>`,
  );
  browser = await launchChromium({ args: [`--host-resolver-rules=MAP ${PLAIN_HOST} 127.0.0.1`] });
});
afterAll(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true, force: true });
});

test.each([
  { host: 'with isolation', isolated: true, plain: false, threads: 2 },
  { host: 'without isolation', isolated: false, plain: false, threads: 1 },
  { host: 'over plain http', isolated: true, plain: true, threads: 1 },
])(
  'a host $host, under the policy of docs/hosting.md: the library answers on $threads threads',
  async ({ isolated, plain, threads }) => {
    const site = await serveSite({ root: folder, base: '/docs/app/', isolated });
    const page = await browser.newPage();
    try {
      const problems: string[] = [];
      page.on('pageerror', (error) => problems.push(String(error)));
      page.on(
        'console',
        (message) =>
          message.type() === 'error' &&
          !/favicon|Cross-Origin-Opener-Policy header has been ignored/.test(message.text()) &&
          problems.push(message.text()),
      );
      await page.goto(plain ? site.url.replace('127.0.0.1', PLAIN_HOST) : site.url);
      const told = await page.evaluate(async () => {
        const { load } = (globalThis as unknown as { rivulet: typeof import('../src/index') }).rivulet;
        const model = await load('./models/rivulet-tiny.gguf', {
          backend: 'wasm',
          ...(crossOriginIsolated && { threads: 2 }),
        });
        const { text } = await model.chat([{ role: 'user', content: 'Hello!' }]).result;
        return {
          secure: isSecureContext,
          isolated: crossOriginIsolated,
          threads: model.info.backend.threads,
          answered: text !== '',
        };
      });
      expect(told).toEqual({ secure: !plain, isolated: isolated && !plain, threads, answered: true });
      expect(problems).toEqual([]);
    } finally {
      await page.close();
      await site.close();
    }
  },
);

test('docs/models.md lists the models that the chat page offers, with their sizes', async () => {
  vi.stubGlobal('document', { baseURI: 'http://localhost/' });
  const { EMBEDDED, HUB, LICENCE, sizeOf } = await import('../demo/chat/models/catalogue');
  vi.unstubAllGlobals();
  const text = read('docs/models.md');
  const rows = [...text.matchAll(/^\| ([\w. -]+) \| `([^`]+)` \| ([^|]+) \|/gm)].map(([, name, source, size]) => ({
    name,
    source: source.replace(/^\.\//, 'http://localhost/'),
    size: size.trim(),
  }));
  expect(rows).toEqual(
    [EMBEDDED, ...HUB].map((offer) => ({
      name: offer.name,
      source: offer.source,
      size: sizeOf(offer).replace('\u00a0', ' '),
    })),
  );
  expect(text).toContain(LICENCE.name);
  for (const sentence of LICENCE.terms.split(/(?<=\.) /)) expect(text).toContain(sentence);
});

test('every document is linked from the README, and every link between them leads somewhere', () => {
  const documents = [
    'README.md',
    'ARCHITECTURE.md',
    ...readdirSync(join(root, 'docs'))
      .filter((name) => name.endsWith('.md'))
      .map((name) => `docs/${name}`),
  ];
  const links = documents.flatMap((path) =>
    [...read(path).matchAll(/\]\((?!https?:|#)([^)#\s]+)[^)]*\)/g)].map(([, target]) => ({ path, target })),
  );
  expect(links.length).toBeGreaterThan(15);
  expect(links.filter(({ path, target }) => !existsSync(join(root, dirname(path), target)))).toEqual([]);
  const linked = new Set(links.filter(({ path }) => path === 'README.md').map(({ target }) => target));
  expect(documents.slice(2).filter((path) => !linked.has(path))).toEqual([]);
});
