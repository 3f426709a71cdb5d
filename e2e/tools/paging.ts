/**
 * Speed of a mixture of experts whose experts are read from the browser's storage, by the memory that it may take, in
 * the built library in headless Chromium. `npm run bench:paging -- --help` explains the options.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright';
import { QUANTIZATIONS, SHAPES, type Shape } from '../../demo/bench/shapes';
import { rowBytes } from '../../src/tensor/dtype';
import { chromiumArgs, findChromium, serve } from '../harness';
import { spread } from '../measure';
import { watchMemory } from '../memory';
import type { PagingPage, PagingReport, PagingRequest } from '../pages/paging';
import { oneOf, someOf, startTool, text, whole, wholes } from './options';

declare const paging: PagingPage;

const MIXTURES = Object.keys(SHAPES).filter((name) => 'experts' in SHAPES[name as keyof typeof SHAPES]);
/** Three words at a time: about half of a token's experts were the last one's too, as is reported of real routers. */
const TOPICS = { words: 3, length: 32 };

const values = startTool(
  'npm run bench:paging --',
  'Measures a mixture of experts that is larger than its memory budget. Run `npm run build` first.',
  {
    shape: oneOf(MIXTURES, 'the shape of the model', '8b-a1b'),
    layers: whole('first layers only', undefined, 3),
    quant: oneOf(Object.keys(QUANTIZATIONS), 'quantisation', 'Q4_0'),
    use: someOf(['even', 'skewed', 'topics'], 'how the experts are used', 'even,skewed,topics'),
    shares: wholes('parts of the experts in memory, in percent; without budgets 100,50,25'),
    budgets: wholes('budgets in MB'),
    prompt: whole('tokens of the prompt', 256, 1),
    gen: whole('tokens to generate', 64, 2),
    runs: whole('how often to measure', 3, 1),
    threads: whole('threads of the WASM backend', 2, 1),
    profile: text('PATH', 'folder of the browser’s profile, which keeps the models for the next run'),
  },
);

const { layers: all, hiddenSize: D, experts }: Shape = SHAPES[values.shape as keyof typeof SHAPES];
const { count, ffnSize: I, denseLayers } = experts!;
const layers = Math.min(values.layers ?? all.length, all.length);
const [dtype] = QUANTIZATIONS[values.quant as keyof typeof QUANTIZATIONS];
const expertBytes = (layers - denseLayers) * count * (2 * I * rowBytes(dtype, D) + D * rowBytes(dtype, I));

if (!existsSync('dist/rivulet.js')) throw new Error('dist/ has no built library. Run `npm run build` first.');
const profile = values.profile ?? mkdtempSync(join(tmpdir(), 'rivulet-paging-'));
const server = await serve({ mounts: { '/built': 'dist' } });

/** A browser of its own gives all memory back. */
async function inPage<T>(work: (page: import('playwright').Page) => Promise<T>): Promise<T> {
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: findChromium(),
    headless: true,
    args: chromiumArgs({}),
  });
  try {
    const page = await context.newPage();
    page.on('console', (message) => console.error(`page: ${message.text()}`));
    await page.goto(`${server.origin}/e2e/pages/paging.html`);
    await page.waitForFunction(() => 'paging' in window);
    return await work(page);
  } finally {
    await context.close();
  }
}

const measure = (id: string, request: PagingRequest): Promise<PagingReport & { peakBytes?: number }> =>
  inPage(async (page) => {
    const memory = watchMemory(100);
    await page.evaluate(([id, request]) => paging.open(id, request), [id, request] as const);
    const peakBytes = memory.stop()?.peak; // the watch takes time itself
    return { ...(await page.evaluate(() => paging.measure())), peakBytes };
  });

async function measureUse(use: string): Promise<void> {
  const skew = use === 'skewed' ? 1 : 0;
  const { shape, quant, prompt, gen, runs, threads } = values;
  const id = await inPage((page) =>
    page.evaluate((model) => paging.store(...model), [shape, quant, skew, layers] as const),
  );
  let whole = 0;
  const row = async (share: number | undefined, memoryBudget: number | undefined): Promise<void> => {
    const topics = use === 'topics' ? TOPICS : undefined;
    const { prefill, decode, memory, ...rest } = await measure(id, {
      options: { threads, memoryBudget },
      prompt,
      gen,
      runs,
      topics,
    });
    if (!memoryBudget) whole = memory;
    const medians = { prefill: spread(prefill.tokensPerSecond), decode: spread(decode.tokensPerSecond) };
    console.log(
      JSON.stringify({
        use,
        share,
        memoryBudget,
        memory,
        ...rest,
        prefill: { ...prefill, ...medians.prefill },
        decode: { ...decode, ...medians.decode },
      }),
    );
  };
  const shares = values.shares ?? (values.budgets ? [] : [100, 50, 25]);
  if (shares.length) await row(100, undefined);
  for (const share of shares) if (share < 100) await row(share, Math.round(whole - (1 - share / 100) * expertBytes));
  for (const megabytes of values.budgets ?? []) await row(undefined, megabytes * 1e6);
}

try {
  for (const use of values.use) await measureUse(use);
} finally {
  await server.close();
  if (!values.profile) rmSync(profile, { recursive: true, force: true });
}
