// @module-tag chromium
/**
 * The side file `tools` of the library on plain static hosts, under the policy of docs/hosting.md: who asks for it, and
 * what happens without it.
 */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type * as Rivulet from '../src/index';
import { launchChromium } from './harness';
import { BUILT_SITE, serveSite, type Site } from './site';

const read = (path: string): string => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8');
const POLICY = /default-src 'none'; .*/.exec(read('docs/hosting.md'))![0];
const SIDE_FILE = /rivulet-tools\.m?js/;
const SCRIPT = '<script src="rivulet.js"></script>';
const MODULE = '<script type="module" src="module.js"></script>';
const folder = mkdtempSync(join(tmpdir(), 'rivulet-side-files-'));
const dist = join(BUILT_SITE, '..');
const sideFile = join(folder, 'rivulet-tools.js');

let browser: Browser;
let site: Site;
let page: Page;

beforeAll(async () => {
  writeFileSync(join(folder, 'index.html'), '');
  cpSync(join(BUILT_SITE, 'models'), join(folder, 'models'), { recursive: true });
  for (const name of ['rivulet.js', 'rivulet.mjs', 'rivulet-tools.mjs']) cpSync(join(dist, name), join(folder, name));
  writeFileSync(join(folder, 'module.js'), "import * as rivulet from './rivulet.mjs'; window.rivulet = rivulet;");
  browser = await launchChromium();
  site = await serveSite({ base: '/some/where/', isolated: false, shared: true, root: folder });
});
afterAll(async () => {
  await browser?.close();
  await site?.close();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(async () => {
  cpSync(join(dist, 'rivulet-tools.js'), sideFile);
  page = await browser.newPage();
});
afterEach(() => page.close());

const asked = (): string[] =>
  site.asked.filter((path) => SIDE_FILE.test(path)).map((path) => path.slice('/some/where/'.length));

/** Opens a page of this host, or of a folder of it, with the library, which asks for nothing yet. */
async function open(head: string, { policy = POLICY, at = '' } = {}): Promise<void> {
  writeFileSync(
    join(folder, at, 'page.html'),
    `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="${policy}; img-src data:"><title>Test</title><link rel="icon" href="data:,">${head}</head></html>`,
  );
  site.asked.length = 0;
  await page.goto(`${site.url}${at}page.html`);
  await page.waitForFunction(() => 'rivulet' in window);
}

type Target = Pick<Page, 'evaluate'>;

const estimate = (
  where: Target = page,
): Promise<{ backend: string; fits: boolean } | { name: string; message: string; got: string; cure: string }> =>
  where.evaluate(() =>
    (window as unknown as { rivulet: typeof Rivulet }).rivulet
      .estimate('./models/rivulet-tiny.gguf', { backend: 'wasm' })
      .then(
        ({ backend, fits }) => ({ backend: backend.name, fits }),
        ({ name, message, got, cure }) => ({ name, message, got, cure }),
      ),
  );
const FITS = { backend: 'wasm', fits: true };

const say = (): Promise<string> =>
  page.evaluate(async () => {
    const model = await (window as unknown as { rivulet: typeof Rivulet }).rivulet.load('./models/rivulet-tiny.gguf');
    const { text } = await model.chat([{ role: 'user', content: 'Hello!' }], { temperature: 0, maxTokens: 8 }).result;
    await model.unload();
    return text;
  });

test.each([
  { head: SCRIPT, file: 'rivulet-tools.js' },
  { head: MODULE, file: 'rivulet-tools.mjs' },
])(
  '$file: to load and to chat it is not asked for, by several calls at once and later ones it is asked for once',
  async ({ head, file }) => {
    await open(head);
    expect(await say()).toMatch(/\w/);
    expect(asked()).toEqual([]);
    expect(await Promise.all([estimate(), estimate()])).toEqual([FITS, FITS]);
    const moved = await page.evaluate(async () => {
      const { deleteModel, exportModel, importModel, listModels, verifyModel } = (
        window as unknown as { rivulet: typeof Rivulet }
      ).rivulet;
      const [{ id }] = await listModels();
      const copy = await exportModel(id);
      await deleteModel(id);
      return [(await importModel(copy)) === id, (await verifyModel(id)).ok];
    });
    expect(moved).toEqual([true, true]);
    expect(asked()).toEqual([file]);
    expect(site.asked.every((path) => path.startsWith('/some/where/'))).toBe(true);
  },
);

test.each<[string, (text: string) => string]>([
  ['is missing', () => ''],
  ['is a web page', () => '<!doctype html><title>Not found</title>'],
  ['is of another version', (text) => text.replace(/"tools \w+"/, '"tools 00000000"')],
])('a file that %s fails its calls alone, by its name, and the next call tries again', async (_, change) => {
  const text = readFileSync(sideFile, 'utf8');
  const changed = change(text);
  if (changed) writeFileSync(sideFile, changed);
  else rmSync(sideFile);
  await open(SCRIPT);
  const error = await estimate();
  expect(error).toMatchObject({
    name: 'SourceError',
    got: expect.stringContaining(`${site.url}rivulet-tools.js`),
    cure: expect.stringContaining('Put it beside'),
  });
  expect('message' in error && error.message).toMatch(/^rivulet-tools\.js did not load: got /);
  expect(await say()).toMatch(/\w/);
  writeFileSync(sideFile, text);
  expect(await estimate()).toEqual(FITS);
  expect(asked().length).toBe(2);
});

test('a module names the file, too', async () => {
  site.refuse = /rivulet-tools\.mjs$/;
  try {
    await open(MODULE);
    expect(await estimate()).toMatchObject({
      name: 'SourceError',
      message: expect.stringMatching(/^rivulet-tools\.mjs did not load: got .*rivulet-tools\.mjs/),
    });
    expect(await say()).toMatch(/\w/);
  } finally {
    site.refuse = undefined;
  }
});

test('where the script has a hash, the hash of the side file is checked', async () => {
  const hashes = JSON.parse(read('dist/integrity.json')) as Record<string, string>;
  const head = `<script src="rivulet.js" integrity="${hashes['rivulet.js']}"></script>`;
  await open(head);
  expect(await page.evaluate(() => document.scripts[0].integrity)).toBe(hashes['rivulet.js']);
  expect(await estimate()).toEqual(FITS);
  expect(await page.evaluate(() => [...document.scripts].at(-1)!.integrity)).toBe(hashes['rivulet-tools.js']);
  writeFileSync(sideFile, `${readFileSync(sideFile, 'utf8')}//`);
  await open(head);
  expect(await estimate()).toMatchObject({ name: 'SourceError', got: expect.stringContaining('did not load') });
});

test('where the policy blocks it, its calls say so, and the loaded model goes on answering', async () => {
  await open(SCRIPT, { policy: POLICY.replace(/script-src 'self'/, `script-src ${site.url}rivulet.js`) });
  const [before, error, after] = await page.evaluate(async () => {
    const { estimate, load } = (window as unknown as { rivulet: typeof Rivulet }).rivulet;
    const model = await load('./models/rivulet-tiny.gguf');
    const say = async (): Promise<string> =>
      (await model.chat([{ role: 'user', content: 'Hello!' }], { temperature: 0, maxTokens: 8 }).result).text;
    return [
      await say(),
      await estimate('./models/rivulet-tiny.gguf').catch(({ name, message }) => ({ name, message })),
      await say(),
    ];
  });
  expect(error).toEqual({
    name: 'SourceError',
    message: expect.stringMatching(/^rivulet-tools\.js did not load: got .*allow it in the Content Security Policy\.$/),
  });
  expect(asked()).toEqual([]);
  expect(before).toMatch(/\w/);
  expect(after).toBe(before);
});

test.each([
  { head: '<script src="rivulet-all.js"></script>', file: 'rivulet-all.js' },
  { head: MODULE, file: 'rivulet-all.mjs' },
])('$file is enough: there is no other script on the host', async ({ head, file }) => {
  const at = `only ${file}/`;
  mkdirSync(join(folder, at));
  cpSync(join(dist, file), join(folder, at, file));
  cpSync(join(folder, 'models'), join(folder, at, 'models'), { recursive: true });
  writeFileSync(
    join(folder, at, 'module.js'),
    `import * as rivulet from './rivulet-all.mjs'; window.rivulet = rivulet;`,
  );
  await open(head, { at });
  expect(await estimate()).toEqual(FITS);
  expect(await say()).toMatch(/\w/);
  const scripts = site.asked
    .filter((path) => /\.m?js$/.test(path))
    .map((path) => path.slice(path.lastIndexOf('/') + 1));
  expect(scripts).toEqual(head === MODULE ? ['module.js', file] : [file]);
});

test('all in one as a script works with its hash', async () => {
  const hashes = JSON.parse(read('dist/integrity.json')) as Record<string, string>;
  cpSync(join(dist, 'rivulet-all.js'), join(folder, 'rivulet-all.js'));
  await open(`<script src="rivulet-all.js" integrity="${hashes['rivulet-all.js']}"></script>`);
  rmSync(sideFile);
  expect(await estimate()).toEqual(FITS);
});

test("a page's own tag gives the file from elsewhere", async () => {
  cpSync(sideFile, join(folder, 'elsewhere.js'));
  await open(`${SCRIPT}<script src="elsewhere.js"></script>`);
  rmSync(sideFile);
  expect(await estimate()).toEqual(FITS);
  expect(asked()).toEqual([]);
});

test('it works in a sandboxed frame, which stores nothing', async () => {
  await open(SCRIPT);
  writeFileSync(
    join(folder, 'frame.html'),
    `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Frame</title>${SCRIPT}</head></html>`,
  );
  writeFileSync(
    join(folder, 'outer.html'),
    '<!doctype html><html lang="en"><head><title>Test</title></head><body><iframe title="Frame" sandbox="allow-scripts" src="frame.html"></iframe></body></html>',
  );
  await page.goto(`${site.url}outer.html`);
  const frame = page.frames().find((one) => one.url().endsWith('frame.html'))!;
  await frame.waitForFunction(() => 'rivulet' in window);
  expect(await estimate(frame)).toEqual({ ...FITS, fits: false });
});

test('the page without a network has the side file of the chat page', async () => {
  const built = readFileSync(join(BUILT_SITE, 'service_worker.js'), 'utf8');
  expect(built).toMatch(/assets\/tools-[\w-]+\.js/);
  expect(built).toMatch(/rivulet-tools\.js/);
  expect(built).not.toMatch(/rivulet-all/); // a second copy
});
