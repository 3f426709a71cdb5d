// @module-tag chromium
/** The benchmark page as built: a set from start to end, stops, reloads, hostile input, wrong kernels, and what disturbs a measurement. */
import { readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import type { Browser, BrowserContext, Page } from 'playwright';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { CHECK_GOLDEN } from '../demo/bench/check_golden';
import { fromFragment, toFragment, type BenchmarkResult } from '../demo/bench/result';
import schema from '../docs/benchmark.schema.json';
import { loadAxe, objections, PATIENCE } from './chat_page';
import { launchChromium } from './harness';
import { serveSite, type Site } from './site';

const validate = new Ajv2020({ strict: true, strictTuples: false }).compile(schema);

let site: Site;
let browser: Browser;
let context: BrowserContext;
beforeAll(async () => {
  site = await serveSite();
  browser = await launchChromium();
});
afterAll(async () => {
  await browser?.close();
  await site?.close();
});
beforeEach(async () => {
  context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
});
afterEach(() => context.close());

interface Opened {
  page: Page;
  errors: string[];
}

async function open(fragment = '', query = '?threads=1'): Promise<Opened> {
  const page = await context.newPage();
  const errors: string[] = [];
  page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
  page.on('pageerror', (error) => errors.push(String(error)));
  await page.goto(`${site.url}bench.html${query}${fragment}`);
  await page.waitForSelector('body[data-ready]');
  return { page, errors };
}

/** A short set: one prompt and one position, twice. */
async function choose(page: Page, { quantizations = ['Q4_0'], prefill = ['128'], decode = ['128'] }: { quantizations?: string[]; prefill?: string[]; decode?: string[] } = {}): Promise<void> {
  await page.check('input[name=preset][value=quick]');
  await page.click('#details > summary');
  for (const [group, wanted] of Object.entries({ quantizations, prefill, decode, backends: ['wasm'] }))
    for (const box of await page.locator(`#choices input[name=${group}]:enabled`).all()) await box.setChecked(wanted.includes(await box.inputValue()));
  await page.fill('input[name=repetitions]', '2');
}

const ended = (page: Page): Promise<unknown> => page.waitForSelector('#run:visible', { timeout: PATIENCE });
async function run(page: Page): Promise<void> {
  await page.click('#run');
  await page.waitForSelector('#progress:visible');
  await ended(page);
}

async function saved(page: Page): Promise<BenchmarkResult> {
  const [download] = await Promise.all([page.waitForEvent('download'), page.click('#save-json')]);
  return JSON.parse(readFileSync(await download.path(), 'utf8')) as BenchmarkResult;
}

function importable(name: string, content: string): string {
  const path = join(tmpdir(), `rivulet-${process.pid}-${name}`);
  writeFileSync(path, content);
  return path;
}

test('a set is measured, shown, and shared; nothing is asked of anyone else', async () => {
  const asked: string[] = [];
  context.on('request', (request) => /^https?:/.test(request.url()) && asked.push(request.url()));
  const { page, errors } = await open();
  await loadAxe(page);
  expect(await objections(page)).toEqual([]);
  await choose(page, { quantizations: ['Q4_0', 'Q4_K'], prefill: ['128', '512'], decode: ['128', '1024'] });
  expect(await page.innerText('#about-time')).toMatch(/^2 runs, roughly /);
  expect(await objections(page)).toEqual([]);
  await page.click('#run');
  await page.waitForSelector('#progress:visible');
  // after the measurement of the bandwidth
  await page.waitForFunction(() => /^about .* left$/.test(document.querySelector('#progress-left')?.textContent ?? ''), undefined, { timeout: PATIENCE });
  expect(await objections(page)).toEqual([]);
  await ended(page);

  const result = await saved(page);
  expect(validate(result), JSON.stringify(validate.errors)).toBe(true);
  expect(result.runs.map(({ model, status }) => [model.quantization, status])).toEqual([['Q4_0', 'done'], ['Q4_K', 'done']]); // prettier-ignore
  expect(result.device.bandwidth!.cpuThreads).toBe(1);
  expect(result.device.bandwidth!.cpuRead).toBeGreaterThan(0.1);
  for (const { check, loadMs, memoryBytes, measurements, threads } of result.runs) {
    expect(check!.golden).toBeLessThan(1e-2);
    expect(check!.pieces).toBeLessThan(1e-2);
    expect(loadMs).toBeGreaterThan(1);
    expect(memoryBytes).toBeGreaterThan(3e6);
    expect(threads).toBe(1);
    expect(measurements.map(({ prompt, generate, cached }) => [prompt, generate, cached])).toEqual([[128, 1, false], [512, 1, false], [128, 64, true], [1024, 64, true]]); // prettier-ignore
    for (const { prefill, decode, gapMs, firstTokenMs, repetitions } of measurements) {
      expect(repetitions).toBe(2);
      expect(firstTokenMs.median).toBeGreaterThan(0);
      expect((prefill ?? decode)!.median).toBeGreaterThan(10);
      // the time between tokens is that of the tokens a second
      if (decode && gapMs) expect(gapMs.p50).toBeLessThan(3000 / decode.median);
    }
  }
  expect(await page.locator('table').first().innerText()).toContain('Demo model (6M) Q4_K');
  await page.click('details.card summary >> nth=0');
  expect(await objections(page)).toEqual([]);
  await page.emulateMedia({ colorScheme: 'dark', reducedMotion: 'reduce' });
  await page.waitForTimeout(300); // colours change slowly
  expect(await objections(page)).toEqual([]);
  await page.setViewportSize({ width: 390, height: 844 });
  // the plots take their new width a moment later
  await page.waitForFunction(() => document.documentElement.scrollWidth <= 390);
  expect(await page.getByRole('img', { name: /^Tokens a second while writing/ }).count()).toBe(1);

  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  const copied = async (button: string): Promise<string> => {
    await page.click(button);
    await page.waitForFunction((id) => document.querySelector(id)?.textContent === 'Copied', button);
    return page.evaluate(() => navigator.clipboard.readText());
  };
  expect(await copied('#copy-markdown')).toContain('| Demo model (6M) Q4\\_0 |');
  const link = await copied('#copy-link');
  expect(await fromFragment(new URL(link).hash)).toEqual(result);
  const [image] = await Promise.all([page.waitForEvent('download'), page.click('#save-image')]);
  expect(readFileSync(await image.path()).subarray(1, 4).toString()).toBe('PNG');

  // on another device
  await context.close();
  context = await browser.newContext();
  const other = await open(new URL(link).hash);
  expect(await other.page.locator('table').first().innerText()).toContain('Demo model (6M) Q4_K');
  expect([...errors, ...other.errors]).toEqual([]);
  expect(asked.filter((url) => !url.startsWith(site.url))).toEqual([]);
  expect(asked.filter((url) => url.includes('/models/'))).toEqual([]);
});

describe('a set that is interrupted', () => {
  test('is stopped, and goes on after a reload without measuring anything again', async () => {
    const { page } = await open();
    await choose(page, { quantizations: ['Q4_0', 'Q8_0', 'F16'], decode: ['128', '1024'] });
    await page.click('#run');
    await page.waitForFunction(() => document.querySelector('#progress-count')?.textContent === '2 of 3', undefined, { timeout: PATIENCE });
    await page.click('#stop');
    await ended(page);
    expect(await page.innerText('#question')).toContain('1 of 3 runs are done');
    const before = await saved(page);
    await page.reload();
    await page.waitForSelector('body[data-ready]');
    expect(await page.innerText('#question')).toContain('The benchmark was stopped. 1 of 3 runs are done');
    expect(await page.locator('table').first().innerText()).toContain('Q4_0');
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.waitForSelector('#progress:visible');
    await ended(page);
    const after = await saved(page);
    expect(after.runs.map(({ model, status }) => [model.quantization, status])).toEqual([['Q4_0', 'done'], ['Q8_0', 'done'], ['F16', 'done']]); // prettier-ignore
    expect(after.runs[0]).toEqual(before.runs[0]);
    expect(after.created).toBe(before.created);
    await page.reload();
    await page.waitForSelector('body[data-ready]');
    expect(await page.isVisible('#question')).toBe(false);
    expect((await saved(page)).runs).toEqual(after.runs);
  });

  test('by a page that ends: no measurement is lost, and a run that ends the page twice is left out', async () => {
    const { page } = await open();
    await choose(page, { quantizations: ['Q4_0', 'Q8_0'] });
    await page.fill('input[name=repetitions]', '50');
    for (let attempt = 0; attempt < 2; attempt++) {
      if (attempt) await page.getByRole('button', { name: 'Continue' }).click();
      else await page.click('#run');
      // in the middle of the first run
      await page.waitForFunction((step) => document.querySelector('#progress-step')?.textContent?.includes(step), attempt ? 'load' : 'decode at 128', { timeout: PATIENCE });
      await page.reload();
      await page.waitForSelector('body[data-ready]');
      expect(await page.innerText('#question')).toMatch(/^The page ended while it measured Demo model \(6M\) Q4_0. 0 of 2 runs are done, and [12] measurements? of /);
    }
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.waitForSelector('#progress:visible');
    await ended(page);
    const { runs } = await saved(page);
    expect(runs.map(({ status, problem }) => [status, problem])).toEqual([['failed', 'The page ended 2 times during this run, so it was left out.'], ['done', undefined]]); // prettier-ignore
    expect(runs[0].measurements.length).toBeGreaterThan(0);
    expect(runs[0].model.quantization).toBe('Q4_0');
  });
});

describe('what comes from elsewhere', () => {
  const RESULT: BenchmarkResult = {
    format: 'rivulet-benchmark',
    version: 1,
    created: '2026-11-28T18:00:00.000Z',
    build: { version: '0.1.0' },
    method: { repetitions: 3 },
    device: { browser: 'Elsewhere 9', platform: '<img src=x onerror=alert(1)>', mobile: true, cores: 6, isolated: true, clockMs: 1, simd: 'simd' },
    runs: [
      {
        model: { name: 'Demo model (6M)', quantization: 'Q4_0', bytes: 6e6, madeUp: true },
        backend: 'wasm',
        status: 'done',
        measurements: [{ prompt: 128, generate: 64, cached: true, firstTokenMs: { median: 9, min: 8, max: 10 }, decode: { median: 100, min: 90, max: 110 }, repetitions: 3 }],
        notes: [],
      },
    ],
  };

  test('a result in a link is shown as text, also in a fresh browser, and can be taken away', async () => {
    const { page, errors } = await open(await toFragment(RESULT));
    expect(await page.locator('table').first().innerText()).toContain('Demo model (6M) Q4_0');
    expect(await page.locator('img').count()).toBe(0);
    expect(await page.isVisible('#share')).toBe(false);
    expect(await page.isVisible('#run')).toBe(true);
    await page.getByRole('button', { name: /^Remove Elsewhere 9/ }).click();
    expect(await page.locator('table').count()).toBe(0);
    expect(new URL(page.url()).hash).toBe('');
    expect(errors).toEqual([]);
  });

  test('links that hold no result are refused, and the page goes on', async () => {
    const good = await toFragment(RESULT);
    for (const fragment of ['#result=', '#result=%3Cscript%3Ealert(1)%3C/script%3E', good.slice(0, -9), await toFragment({ ...RESULT, runs: [{ ...RESULT.runs[0], backend: 'cuda' as 'wasm' }] })]) {
      const { page, errors } = await open(fragment);
      expect(await page.innerText('#problem')).toMatch(/^The link holds no result that can be read\. .{20,}/);
      expect(await page.isEnabled('#run')).toBe(true);
      expect(errors).toEqual([]);
      await page.close();
    }
    // one fragment after the other in an open page
    const { page } = await open('#result=broken');
    await page.evaluate((hash) => (location.hash = hash), good);
    await page.waitForSelector('table');
  });

  test('imported results are compared with this device, kept over a reload, and refused if they are not ours', async () => {
    const { page, errors } = await open();
    await choose(page);
    await run(page);
    await page.setInputFiles('#import', importable('theirs.json', JSON.stringify(RESULT)));
    const title = 'This device beside Elsewhere 9 on <img src=x onerror=alert(1)>, 6 cores';
    const row = page.getByRole('region', { name: title }).locator('tbody tr');
    await row.waitFor();
    expect(await row.innerText()).toMatch(/Demo model \(6M\) Q4_0\s+CPU.*100\s+×/s);
    await loadAxe(page);
    expect(await objections(page)).toEqual([]);
    for (const [name, content, why] of [
      ['text.json', 'hello', /text\.json holds no result of this benchmark\. It is not JSON/],
      ['other.json', '{"format":"rivulet-conversations"}', /not a result of this benchmark/],
      ['later.json', JSON.stringify({ ...RESULT, version: 7 }), /Its version is 7/],
      ['more.json', JSON.stringify({ ...RESULT, script: 'x' }), /is not allowed/],
      ['large.json', ' '.repeat(3 << 20), /too large/],
    ] as const) {
      await page.setInputFiles('#import', importable(name, content));
      await page.waitForFunction((part) => document.querySelector('#problem')?.textContent?.includes(part), name);
      expect(await page.innerText('#problem')).toMatch(why);
    }
    await page.reload();
    await page.waitForSelector('body[data-ready]');
    await row.waitFor();
    expect(errors).toEqual([]);
  });
});

describe('what is wrong or disturbed is said', () => {
  test('kernels that do not give the known results get no speed', async () => {
    const known = String(CHECK_GOLDEN.Q4_0[1][0]).replace('0.', '.'); // as the build writes it
    let changed = 0;
    await context.route('**/assets/bench-*.js', async (route) => {
      const text = await (await route.fetch()).text();
      changed += text.split(known).length - 1;
      await route.fulfill({ contentType: 'text/javascript', body: text.replaceAll(known, '3.7') });
    });
    const { page } = await open();
    expect(changed).toBe(1);
    await choose(page, { quantizations: ['Q4_0', 'Q8_0'] });
    await run(page);
    const { runs } = await saved(page);
    expect(runs.map(({ status, measurements }) => [status, measurements.length])).toEqual([['wrong', 0], ['done', 2]]); // prettier-ignore
    expect(runs[0].problem).toMatch(/^The kernels compute wrong numbers: they differ from the known results by \d/);
    expect(await page.locator('tr.wrong').innerText()).toMatch(/Q4_0.*wrong result/s);
    expect(await page.locator('details[open] .wrong').innerText()).toBe(runs[0].problem);
  });

  test('a hidden tab: the benchmark waits, and makes the repetition again', async () => {
    const { page } = await open();
    await choose(page);
    await page.fill('input[name=repetitions]', '50');
    await page.click('#run');
    await page.waitForFunction(() => document.querySelector('#progress-step')?.textContent?.includes('decode at 128'), undefined, { timeout: PATIENCE });
    await page.waitForTimeout(200); // after the warm-up
    const hide = (hidden: boolean): Promise<void> =>
      page.evaluate((value) => {
        Object.defineProperty(document, 'hidden', { value, configurable: true });
        document.dispatchEvent(new Event('visibilitychange'));
      }, hidden);
    await hide(true);
    await page.waitForFunction(() => document.querySelector('#progress-step')?.textContent?.startsWith('This tab is hidden.'));
    await page.waitForTimeout(500);
    expect(await page.isVisible('#progress')).toBe(true);
    await hide(false);
    await ended(page);
    const { runs } = await saved(page);
    expect(runs[0].notes).toContain('A repetition of decode at 128 was made again, because the tab was hidden.');
    expect(runs[0].notes).toContain('The tab was hidden during this run.');
    expect(runs[0].measurements.map(({ repetitions }) => repetitions)).toEqual([50, 50]);
  });

  test('a low battery: the page asks first, and the result says so', async () => {
    await context.addInitScript(() => Object.assign(navigator, { getBattery: async () => ({ level: 0.12, charging: false }) }));
    const { page } = await open();
    await choose(page);
    await page.click('#run');
    await page.waitForSelector('#question:visible');
    expect(await page.innerText('#question')).toContain('The battery is at 12 % and not charging.');
    await page.getByRole('button', { name: 'Cancel' }).click();
    expect(await page.isVisible('#question')).toBe(false);
    await page.click('#run');
    await page.getByRole('button', { name: 'Run anyway' }).click();
    await page.waitForSelector('#progress:visible');
    await ended(page);
    const { runs, device } = await saved(page);
    expect(runs[0].notes).toContain('The battery was at 12 % and not charging.');
    expect(device.battery).toEqual({ percent: 12, charging: false });
  });

  test('blocked storage: everything is measured, and the page says that a reload loses it', async () => {
    await context.addInitScript(() => {
      Object.defineProperty(window, 'indexedDB', { value: { open: () => { throw new DOMException('blocked', 'SecurityError'); } } }); // prettier-ignore
    });
    const { page, errors } = await open();
    expect(await page.innerText('#fleeting')).toContain('a reload loses the result');
    await choose(page);
    await run(page);
    expect((await saved(page)).runs[0].status).toBe('done');
    expect(errors).toEqual([]);
  });

  test('nothing chosen: the page says what is missing', async () => {
    const { page } = await open();
    await choose(page, { quantizations: [] });
    await page.click('#run');
    expect(await page.innerText('#problem')).toBe('Choose at least one quantization.');
  });
});
