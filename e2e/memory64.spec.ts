/**
 * Models that do not fit into 32-bit WASM memory: what estimate() says of them, and how load() gets the side file
 * `memory64`, on a static host under the policy of docs/hosting.md. There, in this build of the library, no model fits.
 */
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type * as Rivulet from '../src/index';
import { launchFirefox } from './firefox';
import { launchChromium, serve, type Served } from './harness';
import { buildLibrary, createSideFileSite } from './side_file_site';
import { serveSite, type Site } from './site';
import { tinyGguf } from './tools/tiny';

type RivuletWindow = { rivulet: typeof Rivulet };

/** Of 2.6B in F16, whose weights have 5.4 GB; the file takes no memory. */
const ESTIMATE = `(async (options) => {
  const { randomGguf } = await import('/demo/bench/random_gguf.ts');
  while (!window.rivulet) await new Promise((go) => setTimeout(go, 50));
  const { backend, obstacles, memory, tokensPerSecond } = await window.rivulet.estimate(randomGguf('2.6b', 'F16'), options);
  return { variant: backend.variant, notes: backend.notes, obstacles, bytes: memory.total, tokensPerSecond };
})`;

interface Estimated {
  variant: string;
  notes: string[];
  obstacles: string[];
  bytes: number;
  tokensPerSecond: number;
}

describe.each([
  ['chromium', () => launchChromium()],
  ['firefox', () => launchFirefox()],
] as const)('a model of 5 GB in %s', (name, launch) => {
  let browser: { newPage(): Promise<unknown>; close(): Promise<unknown> };
  let server: Served;
  beforeAll(async () => {
    [browser, server] = await Promise.all([launch(), serve()]);
  });
  afterAll(async () => {
    await browser?.close();
    await server?.close();
  });

  const estimate = async (options: Rivulet.EstimateOptions): Promise<Estimated> => {
    const page = (await browser.newPage()) as Pick<Page, 'goto' | 'close'> & { evaluate(text: string): unknown };
    await page.goto(`${server.origin}/e2e/pages/engine.html`);
    const estimated = (await page.evaluate(`${ESTIMATE}(${JSON.stringify(options)})`)) as Estimated;
    await page.close();
    return estimated;
  };

  test('fits in 64-bit memory, and not in that of plain SIMD', { tags: name }, async () => {
    const wide = await estimate({ backend: 'wasm', threads: 2 });
    expect(wide).toMatchObject({ variant: 'relaxed 64-bit', notes: [expect.stringContaining('64-bit memory')] });
    expect(wide.bytes).toBeGreaterThan(2 ** 32);
    expect(wide.tokensPerSecond).toBeGreaterThan(0);
    // this machine may be too small for it
    expect(wide.obstacles.join()).not.toContain('WebAssembly');
    const narrow = await estimate({ backend: 'wasm', threads: 2, variant: 'simd' });
    expect(narrow.obstacles.join()).toMatch(
      /does not fit in WebAssembly memory: .*less than 4295 MB; only 64-bit memory/,
    );
  });
});

describe('the side file', { tags: 'chromium' }, () => {
  const folder = createSideFileSite('memory64');
  const sideFile = join(folder, 'rivulet-memory64.mjs');
  let browser: Browser;
  let site: Site;
  let page: Page;

  beforeAll(async () => {
    await buildLibrary(folder, {
      name: 'no-room',
      enforce: 'pre',
      transform: (code, id) =>
        id.endsWith('/wasm/module.ts') ? code.replace('LEAST_ROOM = 256 << 20', 'LEAST_ROOM = 2 ** 32') : undefined,
    });
    writeFileSync(join(folder, 'text.gguf'), tinyGguf());
    browser = await launchChromium();
    site = await serveSite({ root: folder });
  });
  afterAll(async () => {
    await browser?.close();
    await site?.close();
    rmSync(folder, { recursive: true, force: true });
  });
  beforeEach(async () => {
    site.asked.length = 0;
    page = await browser.newPage();
    await page.goto(`${site.url}page.html`);
    await page.waitForFunction(() => 'rivulet' in window);
  });
  afterEach(() => page.close());

  const asked = (): string[] => site.asked.filter((path) => /rivulet-\w+\.mjs/.test(path));

  const say = (options: Rivulet.LoadOptions): Promise<{ text?: string; variant?: string; message?: string }> =>
    page.evaluate(
      async (options) => {
        try {
          const model = await (window as unknown as RivuletWindow).rivulet.load('./text.gguf', options);
          const { text } = await model.generate('abc', { temperature: 0, maxTokens: 8 }).result;
          const { variant } = model.info.backend;
          await model.unload();
          return { text, variant };
        } catch (error) {
          const { name, message } = error as Error;
          return { message: `${name}: ${message}` };
        }
      },
      { backend: 'wasm', ...options } as const,
    );

  test('is asked for by a model that does not fit, once, and the model answers', async () => {
    const two = await say({ threads: 2 });
    expect(two).toEqual({ text: expect.stringMatching(/./), variant: 'relaxed 64-bit' });
    expect(await say({ threads: 1 })).toEqual(two);
    expect(asked()).toEqual(['/rivulet-memory64.mjs']);
  });

  test('is not asked for where its kernels cannot run', async () => {
    expect(await say({ variant: 'simd' })).toMatchObject({ variant: 'simd' });
    expect(asked()).toEqual([]);
  });

  test('is asked for by estimate(), too', async () => {
    const { fits, backend } = await page.evaluate(() =>
      (window as unknown as RivuletWindow).rivulet.estimate('./text.gguf', { backend: 'wasm' }),
    );
    expect([fits, backend.variant]).toEqual([true, 'relaxed 64-bit']);
    expect(asked()).toEqual(['/rivulet-tools.mjs', '/rivulet-memory64.mjs']);
  });

  test('is named where it is missing', async () => {
    renameSync(sideFile, `${sideFile}.away`);
    try {
      expect((await say({})).message).toMatch(
        /^SourceError: rivulet-memory64\.mjs did not load: .*Put it beside rivulet/,
      );
    } finally {
      renameSync(`${sideFile}.away`, sideFile);
    }
  });
});
