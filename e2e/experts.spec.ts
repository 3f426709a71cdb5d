/**
 * A mixture of experts through the public calls, in the library as built, on a static host under the policy of
 * docs/hosting.md: its side file, both backends, and experts that are read from the browser's storage.
 */
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type * as Rivulet from '../src/index';
import { launchChromium } from './harness';
import { copyLibrary, createSideFileSite } from './side_file_site';
import { serveSite, type Site } from './site';
import { tinyGguf } from './tools/tiny';

type RivuletWindow = { rivulet: typeof Rivulet };

const folder = createSideFileSite('experts');
/** less than the model has, and more than one layer needs */
const BUDGET = 7e6;
const GPU_BUDGET = 10e6;

let browser: Browser;
let site: Site;
let page: Page;

beforeAll(async () => {
  copyLibrary(folder);
  const model = tinyGguf({
    dtype: 'Q4_0',
    layers: ['conv', 'attention', 'conv', 'conv'],
    hidden: 256,
    experts: { count: 16, top: 2, ffnSize: 512, denseLayers: 1, normalise: true, scale: 1 },
  });
  writeFileSync(join(folder, 'experts.gguf'), model);
  [browser, site] = await Promise.all([launchChromium({ webgpu: true }), serveSite({ root: folder })]);
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

const asked = (): string[] => site.asked.filter((path) => /rivulet-\w+\.mjs|experts\.gguf/.test(path));

interface Said {
  text?: string;
  /** of three tokens for each, which tell whether all bits are the same */
  logprobs?: number[];
  backend?: string;
  memory?: number;
  paging?: Awaited<ReturnType<Rivulet.Model['status']>>['paging'];
  message?: string;
}

/** Names of the files that this site has in the origin private file system. */
const privateFiles = (): Promise<string[]> =>
  page.evaluate(async () => {
    const names: string[] = [];
    for await (const name of (await navigator.storage.getDirectory()).keys()) names.push(name);
    return names;
  });

const say = (options: Rivulet.LoadOptions): Promise<Said> =>
  page.evaluate(async (options) => {
    const { load } = (window as unknown as RivuletWindow).rivulet;
    try {
      const model = await load('./experts.gguf', { contextLength: 256, ...options });
      const greedy = { temperature: 0, maxTokens: 12, logprobs: 3 };
      const { text, logprobs } = await model.generate('What is a tide pool?', greedy).result;
      const { memory, paging } = await model.status();
      const { name: backend } = model.info.backend;
      await model.unload();
      return {
        text,
        logprobs: logprobs!.flatMap(({ top }) => top.map(({ logprob }) => logprob)),
        backend,
        memory,
        paging,
      };
    } catch (error) {
      const { name, message } = error as Error;
      return { message: `${name}: ${message}` };
    }
  }, options);

test('needs its side file, once, and is named where it is missing', { tags: 'chromium' }, async () => {
  const sideFile = join(folder, 'rivulet-experts.mjs');
  renameSync(sideFile, `${sideFile}.away`);
  expect((await say({ backend: 'wasm' })).message).toMatch(/^SourceError: rivulet-experts\.mjs did not load: .*beside/);
  renameSync(`${sideFile}.away`, sideFile);
  site.asked.length = 0;
  for (const threads of [1, 2]) expect((await say({ backend: 'wasm', threads })).text).toMatch(/./);
  expect(asked().filter((path) => path.includes('rivulet-'))).toEqual(['/rivulet-experts.mjs']);
});

test(
  'gives the same text from the memory and from the storage, which its own calls tell',
  { tags: 'chromium' },
  async () => {
    const all = await say({ backend: 'wasm', threads: 2 });
    const estimated = await page.evaluate(
      async (memoryBudget) =>
        (window as unknown as RivuletWindow).rivulet.estimate('./experts.gguf', {
          backend: 'wasm',
          threads: 2,
          contextLength: 256,
          memoryBudget,
        }),
      BUDGET,
    );
    expect(estimated).toMatchObject({ fits: true, obstacles: [], architecture: 'lfm2moe' });
    expect(estimated.memory.total).toBeLessThanOrEqual(BUDGET);
    expect(estimated.notes.join()).toMatch(/\d+ % of the experts fit into memoryBudget/);
    const few = await say({ backend: 'wasm', threads: 2, memoryBudget: BUDGET });
    expect([few.text, few.logprobs, few.backend, all.paging]).toEqual([all.text, all.logprobs, 'wasm', undefined]);
    expect(few.memory).toBeLessThanOrEqual(BUDGET);
    expect(few.memory).toBeLessThan(all.memory!);
    expect(few.paging).toMatchObject({ experts: 48 });
    expect(few.paging!.hitRate).toBeGreaterThan(0);
    expect(few.paging!.bytesPerToken).toBeGreaterThan(0);
    // at the same time: one has the swap file, the other reads from the storage, or has it later
    const both = await Promise.all([1, 2].map(() => say({ backend: 'wasm', threads: 2, memoryBudget: BUDGET })));
    for (const { text, logprobs } of both) expect([text, logprobs]).toEqual([all.text, all.logprobs]);
    expect(both.map(({ paging }) => paging!.misses - paging!.swapped)).toContain(0);
    expect(await privateFiles()).toEqual([expect.stringMatching(/^rivulet-swap-[0-9a-f]{64}$/)]);
    expect((await say({ backend: 'wasm', memoryBudget: 3e6 })).message).toMatch(
      /^RequestError: .*budget is too small for the model: got 3 MB, wanted at least 7 MB/,
    );
    expect((await say({ backend: 'wasm', memoryBudget: BUDGET, cache: false })).message).toMatch(
      /^StorageError: .* needs storage/,
    );
  },
);

test('runs on WebGPU after its self test, also with experts in the storage', { tags: 'chromium' }, async () => {
  const gpu = { backend: 'webgpu', allowSoftware: true, exact: true } as const;
  const [wasm, webgpu] = [await say({ backend: 'wasm', exact: true }), await say(gpu)];
  expect([webgpu.backend, webgpu.text]).toEqual(['webgpu', wasm.text]);
  const few = await say({ ...gpu, memoryBudget: GPU_BUDGET });
  expect([few.backend, few.text, few.logprobs]).toEqual(['webgpu', webgpu.text, webgpu.logprobs]);
  expect(few.memory).toBeLessThanOrEqual(GPU_BUDGET);
  expect(few.memory).toBeLessThan(webgpu.memory!);
  expect(few.paging).toMatchObject({ experts: 48 });
  expect(few.paging!.hitRate).toBeGreaterThan(0);
  expect(few.paging!.bytesPerToken).toBeGreaterThan(0);
  expect((await say({ ...gpu, memoryBudget: 3e6 })).message).toMatch(/budget is too small for the model: got 3 MB/);
  await page.evaluate(async () => {
    const { deleteModel, listModels } = (window as unknown as RivuletWindow).rivulet;
    for (const { id } of await listModels()) await deleteModel(id);
  });
  expect(await privateFiles()).toEqual([]);
});
