/** What the tests of the benchmark page do with it. */
import { readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import type { Browser, BrowserContext, Page } from 'playwright';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import type { BenchmarkResult } from '../demo/bench/result';
import schema from '../docs/benchmark.schema.json';
import { PATIENCE } from './chat_page';
import { launchChromium, type LaunchOptions } from './harness';
import { serveSite, type Site } from './site';

/** a validator that was not written here */
export const validate = new Ajv2020({ strict: true, strictTuples: false }).compile(schema);

export interface Opened {
  page: Page;
  /** messages of the console, and exceptions */
  errors: string[];
}

export interface BenchTests {
  readonly site: Site;
  readonly browser: Browser;
  /** the profile of the test that runs */
  context: BrowserContext;
  /** The page in a new tab. */
  open(fragment?: string, query?: string): Promise<Opened>;
}

/** For the tests of a file: one site and one browser, and a new profile for each test. */
export function testBench(launch?: LaunchOptions): BenchTests {
  let site: Site;
  let browser: Browser;
  let context: BrowserContext;
  beforeAll(async () => {
    [site, browser] = await Promise.all([serveSite(), launchChromium(launch)]);
  });
  afterAll(async () => {
    await browser?.close();
    await site?.close();
  });
  beforeEach(async () => {
    context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  });
  afterEach(() => context.close());
  return {
    get site() {
      return site;
    },
    get browser() {
      return browser;
    },
    get context() {
      return context;
    },
    set context(next) {
      context = next;
    },
    async open(fragment = '', query = '?threads=1') {
      const page = await context.newPage();
      const errors: string[] = [];
      page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
      page.on('pageerror', (error) => errors.push(String(error)));
      await page.goto(`${site.url}bench.html${query}${fragment}`);
      await page.waitForSelector('body[data-ready]');
      return { page, errors };
    },
  };
}

interface Choices {
  quantizations?: string[];
  prefill?: string[];
  decode?: string[];
  backends?: string[];
  repetitions?: number;
}

/** A short set: one prompt and one position, twice. */
export async function choose(
  page: Page,
  { quantizations = ['Q4_0'], prefill = ['128'], decode = ['128'], backends = ['wasm'], repetitions = 2 }: Choices = {},
): Promise<void> {
  await page.check('input[name=preset][value=quick]');
  await page.click('#details > summary');
  for (const [group, wanted] of Object.entries({ quantizations, prefill, decode, backends }))
    for (const box of await page.locator(`#choices input[name=${group}]:enabled`).all())
      await box.setChecked(wanted.includes(await box.inputValue()));
  await page.fill('input[name=repetitions]', String(repetitions));
}

export const ended = (page: Page): Promise<unknown> => page.waitForSelector('#run:enabled', { timeout: PATIENCE });
/** what is measured now */
export const measuring = (page: Page, step: string): Promise<unknown> =>
  page.waitForFunction((part) => document.querySelector('#progress-step')?.textContent?.includes(part), step, {
    timeout: PATIENCE,
  });
export async function run(page: Page): Promise<void> {
  await page.click('#run');
  await page.waitForSelector('#progress:visible');
  await ended(page);
}

export async function saved(page: Page): Promise<BenchmarkResult> {
  const [download] = await Promise.all([page.waitForEvent('download'), page.click('#save-json')]);
  return JSON.parse(readFileSync(await download.path(), 'utf8')) as BenchmarkResult;
}

export function importable(name: string, content: string): string {
  const path = join(tmpdir(), `rivulet-${process.pid}-${name}`);
  writeFileSync(path, content);
  return path;
}

/** Of another device; its platform is markup. */
export const RESULT: BenchmarkResult = {
  format: 'rivulet-benchmark',
  version: 1,
  created: '2026-11-28T18:00:00.000Z',
  build: { version: '0.1.0' },
  method: { repetitions: 3 },
  device: {
    browser: 'Elsewhere 9',
    platform: '<img src=x onerror=alert(1)>',
    mobile: true,
    cores: 6,
    isolated: true,
    clockMs: 1,
    simd: 'simd',
  },
  runs: [
    {
      model: { name: 'Demo model (6M)', quantization: 'Q4_0', bytes: 6e6, madeUp: true },
      backend: 'wasm',
      status: 'done',
      measurements: [
        {
          prompt: 128,
          generate: 64,
          cached: true,
          firstTokenMs: { median: 9, min: 8, max: 10 },
          decode: { median: 100, min: 90, max: 110 },
          repetitions: 3,
        },
      ],
      notes: [],
    },
  ],
};
