// @module-tag chromium
/**
 * A model whose architecture names a side file, on a static host under the policy of docs/hosting.md: in this build of
 * the library the side file `encoders` registers one more architecture, whose model is that of LFM2.
 */
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type * as Rivulet from '../src/index';
import { launchChromium } from './harness';
import { buildLibrary, createSideFileSite, HOSTING_POLICY as POLICY, writePage } from './side_file_site';
import { serveSite, type Site } from './site';
import { ggufBytes, tinyModel } from './tools/tiny';

const repository = join(import.meta.dirname, '..');
const NAME = 'lfm2ofthetest';
const folder = createSideFileSite('model-side-file');
const sideFile = join(folder, 'rivulet-encoders.mjs');

/** What the engine and the side file would have in their sources. */
const APPENDED: Record<string, string> = {
  'src/model/architecture.ts': `
    ARCHITECTURES.push({ name: '${NAME}', classes: [], modules: ['encoders'] } as never);
    Object.assign(globalThis, { ofTheTest: { ...LFM2, name: '${NAME}' } });`,
  'src/modules/encoders.ts': `
    import { registerArchitecture } from '../model/architecture';
    registerArchitecture((globalThis as never as { ofTheTest: never }).ofTheTest);`,
};

let browser: Browser;
let site: Site;
let page: Page;

beforeAll(async () => {
  await buildLibrary(folder, {
    name: 'append',
    enforce: 'pre',
    transform: (code, id) =>
      Object.entries(APPENDED).flatMap(([file, more]) => (id === join(repository, file) ? code + more : []))[0],
  });
  cpSync(sideFile, join(folder, 'kept.mjs'));
  const { metadata, tensors } = tinyModel();
  writeFileSync(join(folder, 'text.gguf'), ggufBytes({ metadata, tensors }));
  const [type] = metadata['general.architecture'];
  writeFileSync(
    join(folder, 'other.gguf'),
    ggufBytes({ metadata: { ...metadata, 'general.architecture': [type, NAME] }, tensors }),
  );
  browser = await launchChromium();
  site = await serveSite({ isolated: false, root: folder });
});
afterAll(async () => {
  await browser?.close();
  await site?.close();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(async () => {
  cpSync(join(folder, 'kept.mjs'), sideFile);
  page = await browser.newPage();
});
afterEach(() => page.close());

const asked = (): string[] => site.asked.filter((path) => /rivulet-\w+\.mjs/.test(path));

async function open(policy = POLICY): Promise<void> {
  writePage(folder, policy);
  site.asked.length = 0;
  await page.goto(`${site.url}page.html`);
  await page.waitForFunction(() => 'rivulet' in window);
}

interface Answers {
  /** of the text model, before and after the load of the other one */
  text: string[];
  /** of the other model */
  other?: string;
  error?: { name: string; message: string; cure: string };
}

/** Loads the text model, then the other one beside it. */
const loadBoth = (): Promise<Answers> =>
  page.evaluate(async () => {
    const { load } = (window as unknown as { rivulet: typeof Rivulet }).rivulet;
    const say = async (model: Rivulet.Model): Promise<string> =>
      (await model.generate('abc', { temperature: 0, maxTokens: 8 }).result).text;
    const model = await load('./text.gguf', { backend: 'wasm' });
    const text = [await say(model)];
    const rest = await load('./other.gguf', { backend: 'wasm' }).then(
      async (other) => {
        const answer = { other: await say(other) };
        await other.unload();
        return answer;
      },
      ({ name, message, cure }) => ({ error: { name, message, cure } }),
    );
    text.push(await say(model));
    await model.unload();
    return { text, ...rest };
  });

test('load() fetches the side file that the model needs, once, and estimate() knows the model with it', async () => {
  await open();
  const { text, other } = await loadBoth();
  expect(text[0]).not.toBe('');
  expect(text[1]).toBe(text[0]);
  expect(other).toBe(text[0]);
  expect(asked()).toEqual(['/rivulet-encoders.mjs']);
  const fits = await page.evaluate(
    async () =>
      (await (window as unknown as { rivulet: typeof Rivulet }).rivulet.estimate('./other.gguf', { backend: 'wasm' }))
        .fits,
  );
  expect(fits).toBe(true);
  expect(asked()).toEqual(['/rivulet-encoders.mjs', '/rivulet-tools.mjs']);
});

test.each<[string, string, (text: string) => string | undefined]>([
  ['is missing', 'Failed to fetch', () => undefined],
  ['is of another version', 'is of another version', (text) => text.replace(/"[0-9a-f]{12}"/, '"000000000000"')],
])('where the side file %s, the load fails by its name, and the loaded model goes on', async (_, got, change) => {
  const before = readFileSync(sideFile, 'utf8');
  const changed = change(before);
  expect(changed).not.toBe(before);
  if (changed === undefined) rmSync(sideFile);
  else writeFileSync(sideFile, changed);
  await open();
  const { text, other, error } = await loadBoth();
  expect(other).toBeUndefined();
  expect(error).toEqual({
    name: 'SourceError',
    message: expect.stringMatching(new RegExp(`^rivulet-encoders\\.mjs did not load: got .*${got}`)),
    cure: expect.stringContaining('Put it beside rivulet, of the same version'),
  });
  expect(text[0]).not.toBe('');
  expect(text[1]).toBe(text[0]);
});

test('where the policy of the page blocks the side file, the load says so, and the loaded model goes on', async () => {
  const only = ['module.js', 'rivulet.mjs'].map((name) => site.url + name).join(' ');
  await open(POLICY.replace(/script-src 'self'/, `script-src ${only}`));
  const { text, error } = await loadBoth();
  expect(error).toMatchObject({
    name: 'SourceError',
    message: expect.stringMatching(/^rivulet-encoders\.mjs did not load/),
    cure: expect.stringContaining('allow it in the Content Security Policy'),
  });
  expect(asked()).toEqual([]);
  expect(text[0]).not.toBe('');
  expect(text[1]).toBe(text[0]);
});
