// @module-tag chromium
/**
 * The benchmark page as built: a set from start to end, stops, reloads, and what comes from elsewhere.
 * e2e/bench_disturbed.spec.ts has the rest.
 */
import { readFileSync } from 'node:fs';
import type { Page } from 'playwright';
import { describe, expect, test } from 'vitest';
import { fromFragment, toFragment, type BenchmarkResult } from '../demo/bench/result';
import { choose, ended, importable, measuring, RESULT, run, saved, testBench, validate } from './bench';
import { finishedSet, reloadWith } from './bench_store';
import { loadAxe, objections, PATIENCE, soon } from './chat_page';

const bench = testBench();

test('a set is measured, shown, and shared; nothing is asked of anyone else', async () => {
  const asked: string[] = [];
  bench.context.on('request', (request) => /^https?:/.test(request.url()) && asked.push(request.url()));
  const { page, errors } = await bench.open();
  await loadAxe(page);
  expect(await objections(page)).toEqual([]);
  await choose(page, { quantizations: ['Q4_0', 'Q4_K'], prefill: ['128', '512'], decode: ['128', '1024'] });
  expect(await page.innerText('#about-time')).toMatch(/^2 runs, roughly /);
  expect(await objections(page)).toEqual([]);
  const places = (): Promise<unknown> => Promise.all(['#compare', '#run'].map((id) => page.locator(id).boundingBox()));
  const before = await places();
  await page.click('#run');
  await page.waitForSelector('#progress:visible');
  // what is under the pointer stays, and a bar without a share is not empty
  expect(await places()).toEqual(before);
  expect(await page.isDisabled('#run')).toBe(true);
  expect(await page.locator('#progress-bar:indeterminate').count()).toBe(1);
  // after the measurement of the bandwidth
  await page.waitForFunction(
    () => /^about .* left$/.test(document.querySelector('#progress-left')?.textContent ?? ''),
    undefined,
    { timeout: PATIENCE },
  );
  expect(await objections(page)).toEqual([]);
  await ended(page);
  expect(await places()).toEqual(before);

  const result = await saved(page);
  expect(validate(result), JSON.stringify(validate.errors)).toBe(true);
  expect(result.runs.map(({ model, status }) => [model.quantization, status])).toEqual([
    ['Q4_0', 'done'],
    ['Q4_K', 'done'],
  ]);
  expect(result.device.bandwidth!.cpuThreads).toBe(1);
  expect(result.device.bandwidth!.cpuRead).toBeGreaterThan(0.1);
  for (const { check, loadMs, memoryBytes, measurements, threads } of result.runs) {
    expect(check!.golden).toBeLessThan(1e-2);
    expect(check!.pieces).toBeLessThan(1e-2);
    expect(loadMs).toBeGreaterThan(1);
    expect(memoryBytes).toBeGreaterThan(3e6);
    expect(threads).toBe(1);
    expect(measurements.map(({ prompt, generate, cached }) => [prompt, generate, cached])).toEqual([
      [128, 1, false],
      [512, 1, false],
      [128, 64, true],
      [1024, 64, true],
    ]);
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
  // a table that is cut has a shade at its edge, and its caption is not cut
  expect(
    await page
      .locator('.scroll')
      .first()
      .evaluate((one) => [one.scrollWidth > one.clientWidth, getComputedStyle(one).backgroundAttachment]),
  ).toEqual([true, 'local, local, scroll, scroll, scroll']);
  expect(
    await page
      .locator('.caption:visible')
      .evaluateAll((all) => all.map((one) => one.closest('.scroll') !== null || one.scrollWidth > one.clientWidth)),
  ).toEqual([false, false]);
  expect(await page.getByRole('img', { name: /^Tokens a second while writing/ }).count()).toBe(1);

  await bench.context.grantPermissions(['clipboard-read', 'clipboard-write']);
  const copied = async (button: string): Promise<string> => {
    await page.click(button);
    await page.waitForFunction((id) => document.querySelector(id)?.textContent === 'Copied', button);
    return page.evaluate(() => navigator.clipboard.readText());
  };
  expect(await copied('#copy-markdown')).toContain('| Demo model (6M) Q4\\_0 |');
  const link = await copied('#copy-link');
  expect(await fromFragment(new URL(link).hash)).toEqual(result);
  const [image] = await Promise.all([page.waitForEvent('download'), page.click('#save-image')]);
  expect(
    readFileSync(await image.path())
      .subarray(1, 4)
      .toString(),
  ).toBe('PNG');

  // where the page may not copy, the text is in view and selected
  await page.evaluate('Object.defineProperty(navigator, "clipboard", { value: undefined })');
  await page.click('#copy-link');
  const field = page.locator('#problem textarea');
  expect(
    await field.evaluate((area: HTMLTextAreaElement) => area.value.slice(area.selectionStart, area.selectionEnd)),
  ).toBe(link);
  expect(
    await field.evaluate(
      (area) =>
        document.activeElement === area &&
        area.getBoundingClientRect().top >= 0 &&
        area.getBoundingClientRect().bottom <= innerHeight,
    ),
  ).toBe(true);

  // on another device
  await bench.context.close();
  bench.context = await bench.browser.newContext();
  const other = await bench.open(new URL(link).hash);
  expect(await other.page.locator('table').first().innerText()).toContain('Demo model (6M) Q4_K');
  expect([...errors, ...other.errors]).toEqual([]);
  expect(asked.filter((url) => !url.startsWith(bench.site.url))).toEqual([]);
  expect(asked.filter((url) => url.includes('/models/'))).toEqual([]);
});

test('the settings that vendors publish, and a run without a pause, here of two seconds', async () => {
  const { page } = await bench.open('', '?threads=1&sustained=2');
  await choose(page, { prefill: [], decode: [], repetitions: 1 });
  await page.check('input[name=classes]');
  await page.check('input[name=sustained]');
  await run(page);
  const result = await saved(page);
  expect(validate(result), JSON.stringify(validate.errors)).toBe(true);
  const [{ status, measurements, sustained }] = result.runs;
  expect(status).toBe('done');
  expect(measurements.map(({ prompt, generate, cached }) => [prompt, generate, cached])).toEqual([
    [256, 64, false],
    [1024, 100, false],
    [4096, 128, false],
    [1024, 64, true],
  ]);
  for (const { cached, prefill, decode, firstTokenMs, gapMs } of measurements) {
    expect(prefill !== undefined).toBe(!cached);
    expect(decode!.median).toBeGreaterThan(10);
    // the first token comes after the whole prompt
    expect(firstTokenMs.median).toBeGreaterThan(gapMs!.p50);
    const { p50, p95, p99, max } = gapMs!;
    expect([p50, p95, p99, max]).toEqual([p50, p95, p99, max].sort((a, b) => a - b));
  }
  expect(sustained!.seconds).toBe(2);
  expect(sustained!.points.length).toBeGreaterThan(1);
  expect(sustained!.points.at(-1)![0]).toBeGreaterThanOrEqual(2);
  expect(
    await page
      .getByRole('region', { name: '2 s without a pause, tokens/s' })
      .getByRole('img', { name: /^Writing without a pause, tokens a second\. Demo model \(6M\) Q4_0/ })
      .count(),
  ).toBe(1);
});

describe('a set that is interrupted', () => {
  test('is stopped, and goes on after a reload without measuring anything again', async () => {
    const { page } = await bench.open();
    await choose(page, { quantizations: ['Q4_0', 'Q8_0', 'F16'], decode: ['128', '1024'] });
    await page.click('#run');
    await page.waitForFunction(() => document.querySelector('#progress-count')?.textContent === '2 of 3', undefined, {
      timeout: PATIENCE,
    });
    // the focus is on what can be pressed next
    await page.keyboard.press('Enter');
    await ended(page);
    await soon(() => page.locator(':focus').innerText()).toBe('Continue');
    expect(await page.innerText('#question')).toContain('1 of 3 runs are done');
    const before = await saved(page);
    await page.reload();
    await page.waitForSelector('body[data-ready]');
    expect(await page.innerText('#question')).toContain('The benchmark was stopped. 1 of 3 runs are done');
    expect(await page.locator('table').first().innerText()).toContain('Q4_0');
    await page.getByRole('button', { name: 'Continue' }).press('Enter');
    await page.waitForSelector('#progress:visible');
    await ended(page);
    await soon(() => page.locator(':focus').innerText()).toBe('Run again');
    const after = await saved(page);
    expect(after.runs.map(({ model, status }) => [model.quantization, status])).toEqual([
      ['Q4_0', 'done'],
      ['Q8_0', 'done'],
      ['F16', 'done'],
    ]);
    expect(after.runs[0]).toEqual(before.runs[0]);
    expect(after.created).toBe(before.created);
    await page.reload();
    await page.waitForSelector('body[data-ready]');
    expect(await page.isVisible('#question')).toBe(false);
    expect((await saved(page)).runs).toEqual(after.runs);
  });

  test('by a page that ends: no measurement is lost, and a run that ends the page twice is left out', async () => {
    // the first run waits in its second measurement, as in a hidden tab, until its page ends
    await bench.context.addInitScript(() => {
      const step = (): string => document.querySelector('#progress-step')?.textContent ?? '';
      Object.defineProperty(document, 'hidden', { get: () => /Q4_0 . CPU . decode|^This tab is hidden/.test(step()) });
    });
    let { page } = await bench.open();
    await choose(page, { quantizations: ['Q4_0', 'Q8_0'], repetitions: 1 });
    for (let attempt = 0; attempt < 2; attempt++) {
      if (attempt) await page.getByRole('button', { name: 'Continue' }).click();
      else await page.click('#run');
      await measuring(page, 'This tab is hidden');
      if (attempt) await page.reload();
      else page = await crash(page);
      await page.waitForSelector('body[data-ready]');
      expect(await page.innerText('#question')).toMatch(
        /^The page was closed or crashed while it measured Demo model \(6M\) Q4_0. 0 of 2 runs are done, and 1 measurement of /,
      );
    }
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.waitForSelector('#progress:visible');
    await ended(page);
    const { runs } = await saved(page);
    expect(runs.map(({ status, problem }) => [status, problem])).toEqual([
      ['failed', 'The page was closed or crashed 2 times during this run, so the run was left out.'],
      ['done', undefined],
    ]);
    expect(runs.map(({ model, measurements }) => [model.quantization, measurements.length])).toEqual([
      ['Q4_0', 1],
      ['Q8_0', 2],
    ]);
  });

  test('a new run asks before it takes the place of a result, and can keep it', async () => {
    const { page } = await bench.open();
    const shown = (): Promise<string[]> => page.locator('table').first().locator('tbody tr').allInnerTexts();
    const own = { ...RESULT, device: { ...RESULT.device, platform: 'this system' } };
    await reloadWith(page, { set: finishedSet(own) });
    await choose(page, { repetitions: 50 });
    await page.click('#run');
    await soon(() => page.innerText('#question')).toMatch(/^A new run replaces the result of Nov 28, 2026, /);
    await page.getByRole('button', { name: 'Cancel' }).click();
    expect(await page.isVisible('#progress')).toBe(false);
    expect((await saved(page)).created).toBe(own.created);
    await page.click('#run');
    await page.getByRole('button', { name: 'Keep it to compare' }).click();
    await measuring(page, 'decode at 128');
    await page.click('#stop');
    await ended(page);
    // nothing was finished yet: the page shows the result that was kept
    await soon(shown).toEqual([expect.stringMatching(/Demo model \(6M\) Q4_0/)]);
    await reloadWith(page, { set: finishedSet({ ...own, created: '2026-11-29T18:00:00.000Z' }) });
    await page.getByRole('button', { name: /^Remove Elsewhere 9 on this system/ }).waitFor();
    await page.click('#run');
    await page.getByRole('button', { name: 'Replace it' }).click();
    await page.waitForSelector('#progress:visible');
    await page.click('#stop');
    await ended(page);
    await page.getByRole('button', { name: /^Remove Elsewhere 9 on this system/ }).click();
    expect(await page.locator('table').count()).toBe(0);
  });
});

test('dates are written as the reader writes them; what is disabled is seen', async () => {
  await bench.context.close();
  bench.context = await bench.browser.newContext({ locale: 'de-DE', colorScheme: 'dark' });
  const { page } = await bench.open();
  await reloadWith(page, { set: finishedSet(RESULT) });
  await page.click('#run');
  await soon(() => page.innerText('#question')).toMatch(/^A new run replaces the result of 28\.11\.2026, /);
  expect(await page.locator('input[value=webgpu]:disabled').evaluate((box) => getComputedStyle(box).outlineStyle)).toBe(
    'solid',
  );
});

/** Ends the page's process. @returns a new tab */
async function crash(page: Page): Promise<Page> {
  const session = await bench.context.newCDPSession(page);
  const crashed = page.waitForEvent('crash');
  // a process that ends answers nothing
  void session.send('Page.crash').catch(() => undefined);
  await crashed;
  return (await bench.open()).page;
}

/** A result with the largest, the smallest and the longest values that a result may have. */
function extremeResult(): BenchmarkResult {
  const [one] = RESULT.runs;
  const long = (length: number): string => '<b>W'.repeat(length / 4);
  const spread = { median: 1e12, min: 0, max: 1e12 };
  return {
    ...RESULT,
    device: { ...RESULT.device, browser: long(120), bandwidth: { cpuRead: 0, gpuCopy: 1e12 }, gpu: { name: long(200),
      software: false, features: Array.from({ length: 100 }, () => long(60)), maxBufferBytes: 1e15 } },
    runs: [
      { ...one, model: { ...one.model, name: long(200), bytes: 0 }, measurements: [0, 1,
        1e6].map((prompt) => ({ ...one.measurements[0], prompt, decode: spread })), sustained: { seconds: 3600,
        points: [[3600, 0], [0, 1e12], [0, 0]] as [number, number][] } },
      { ...one, backend: 'webgpu' as const, measurements: [{ ...one.measurements[0], generate: 0, cached: false,
        prefill: { median: 0, min: 0, max: 0 }, decode: { median: 0, min: 0, max: 0 } }], sustained: { seconds: 0,
        points: [] } },
      { ...one, status: 'failed' as const, problem: long(1000), measurements: [], notes: [long(1000)] },
    ],
  }; // prettier-ignore
}

test.each<[string, (page: Page) => Promise<unknown>, string]>([
  [
    'a result from another device beside its own',
    (page) =>
      reloadWith(page, {
        set: finishedSet({ ...RESULT, device: { ...RESULT.device, platform: 'this system' } }),
        compared: [RESULT],
      }),
    '#results table',
  ],
  [
    'a result that a link brings',
    async (page) => page.goto(`${bench.site.url}bench.html${await toFragment(RESULT)}`).then(() => page.reload()),
    '#results table',
  ],
  [
    'a hostile link',
    async (page) =>
      page.goto(`${bench.site.url}bench.html${await toFragment(extremeResult())}`).then(() => page.reload()),
    '#results table',
  ],
  [
    'a link that holds no result',
    (page) => page.goto(`${bench.site.url}bench.html#result=broken`).then(() => page.reload()),
    '#problem:visible',
  ],
  [
    'a file that is no result',
    (page) => page.setInputFiles('#import', importable('wrong.json', 'hello')),
    '#problem:visible',
  ],
  [
    'a set that nothing can measure',
    async (page) => {
      await choose(page, { quantizations: [] });
      await page.click('#run');
    },
    '#problem:visible',
  ],
  [
    'a wrong result and a failed run',
    (page) =>
      reloadWith(page, {
        set: finishedSet({
          ...RESULT,
          runs: (['wrong', 'failed'] as const).map((status) => ({
            ...RESULT.runs[0],
            status,
            problem: 'Nothing was timed.',
            measurements: [],
          })),
        }),
      }),
    '#results table',
  ],
  [
    'the question before a result is replaced',
    async (page) => {
      await reloadWith(page, { set: finishedSet(RESULT) });
      await page.click('#run');
    },
    '#question:visible',
  ],
  [
    'the question after a stop',
    (page) => reloadWith(page, { set: { ...finishedSet(RESULT), state: 'stopped' } }),
    '#question:visible',
  ],
])('accessible: %s', async (_, reach, shows) => {
  const { page } = await bench.open();
  await page.emulateMedia({ reducedMotion: 'reduce' });
  await reach(page);
  await page.waitForSelector('body[data-ready]');
  await page.waitForSelector(shows);
  await page.evaluate(() => {
    for (const one of document.querySelectorAll('details')) one.open = true;
  });
  await loadAxe(page);
  expect(await objections(page)).toEqual([]);
  await page.setViewportSize({ width: 390, height: 844 });
  await page.emulateMedia({ colorScheme: 'dark' });
  await page.waitForFunction(() => document.documentElement.scrollWidth <= 390);
  await page.waitForTimeout(300); // colours change slowly
  expect(await objections(page)).toEqual([]);
});

describe('what comes from elsewhere', () => {
  test('a result in a link is shown as text, also in a fresh browser, and can be taken away', async () => {
    const { page, errors } = await bench.open(await toFragment(RESULT));
    expect(await page.locator('table').first().innerText()).toContain('Demo model (6M) Q4_0');
    expect(await page.locator('img').count()).toBe(0);
    expect(await page.isVisible('#share')).toBe(false);
    expect(await page.isVisible('#run')).toBe(true);
    // it cannot be taken for a result of this device
    const theirs = 'Elsewhere 9 on <img src=x onerror=alert(1)>, 6 cores';
    expect(await page.locator('#results h2').first().innerText()).toBe(`From a link: ${theirs}`);
    expect(await page.getByRole('region', { name: 'Writing an answer' }).innerText()).toContain(theirs);
    expect(await page.locator('#results details summary').allInnerTexts()).toEqual([
      `Demo model (6M) Q4_0 · CPU, ${theirs}: all measurements`,
    ]);
    expect(await page.getByRole('region', { name: 'The device of this result' }).innerText()).toMatch(
      /Elsewhere 9 on .*6 cores, threads allowed/s,
    );
    const here = await page.getByRole('region', { name: 'This device' }).innerText();
    expect(here).toContain('Chrom');
    expect(here).not.toContain('Elsewhere');
    await page.getByRole('button', { name: /^Remove Elsewhere 9/ }).click();
    expect(await page.locator('table').count()).toBe(0);
    expect(new URL(page.url()).hash).toBe('');
    expect(errors).toEqual([]);
  });

  test('a result in a link can be kept', async () => {
    const { page } = await bench.open(await toFragment(RESULT));
    await page.getByRole('button', { name: /^Keep Elsewhere 9/ }).click();
    await soon(() => new URL(page.url()).hash).toBe('');
    await page.reload();
    await page.waitForSelector('body[data-ready]');
    expect(await page.locator('table').first().innerText()).toContain('Demo model (6M) Q4_0');
    expect(await page.getByRole('button', { name: /^Keep/ }).count()).toBe(0);
  });

  test('a wrong result gets no speed, whatever its file says', async () => {
    const [run] = RESULT.runs;
    const { page } = await bench.open(
      await toFragment({
        ...RESULT,
        runs: [
          {
            ...run,
            status: 'wrong',
            sustained: {
              seconds: 60,
              points: [
                [1, 100],
                [60, 100],
              ],
            },
          },
        ],
      }),
    );
    expect(
      await page.getByRole('region', { name: 'No speed: the result is wrong' }).locator('.wrong').innerText(),
    ).toBe('Demo model (6M) Q4_0 · CPU');
    expect(await page.locator('.plot').count()).toBe(0);
    expect(await page.innerText('#results')).not.toMatch(/\b100\b/);
    expect(await page.locator('details[open] .wrong').innerText()).toBe('The result is wrong, so it has no speed.');
    await reloadWith(page, { set: finishedSet({ ...RESULT, device: { ...RESULT.device, platform: 'this system' } }) });
    expect(
      await page
        .getByRole('region', { name: /^This device beside/ })
        .locator('tbody')
        .innerText(),
    ).toMatch(/100\s+wrong result\s+–/);
  });

  test('a ninth result to compare with is refused, and the page says so', async () => {
    const { page } = await bench.open();
    const one = (cores: number): BenchmarkResult => ({ ...RESULT, device: { ...RESULT.device, cores } });
    await reloadWith(page, {
      set: finishedSet({ ...RESULT, created: '2026-11-27T18:00:00.000Z' }),
      compared: Array.from({ length: 8 }, (_, i) => one(i + 10)),
    });
    const rows = (): Promise<number> => page.locator('table').first().locator('tbody tr').count();
    expect(await rows()).toBe(9);
    await page.setInputFiles('#import', importable('ninth.json', JSON.stringify(one(99))));
    await soon(() => page.innerText('#problem')).toMatch(
      /ninth\.json was not added\. There are 8 results to compare with already, which is the most\. Remove one and try again\.$/,
    );
    expect(await rows()).toBe(9);
    await page.click('#run');
    await page.getByRole('button', { name: 'Keep it to compare' }).click();
    await soon(() => page.innerText('#problem')).toMatch(/^The run was not started\. There are 8 results/);
    expect(await page.isVisible('#progress')).toBe(false);
    await page.evaluate(async (hash) => (location.hash = hash), await toFragment(one(99)));
    await page.getByRole('button', { name: /^Keep Elsewhere 9 .* 99 cores/ }).click();
    await soon(() => page.innerText('#problem')).toMatch(/^The result was not kept\. There are 8 results/);
    expect(await rows()).toBe(10);
    await page.getByRole('button', { name: /^Remove Elsewhere 9 .* 10 cores/ }).click();
    await page.getByRole('button', { name: /^Keep Elsewhere 9 .* 99 cores/ }).click();
    await soon(() => page.getByRole('button', { name: /^Keep/ }).count()).toBe(0);
    expect(await rows()).toBe(9);
  });

  test('numbers as large and small as a result may have do not break the page', async () => {
    const extreme = extremeResult();
    expect(validate(extreme), JSON.stringify(validate.errors)).toBe(true);
    const { page, errors } = await bench.open(await toFragment(extreme));
    expect(await page.locator('tbody tr').count()).toBeGreaterThan(5);
    await page.setViewportSize({ width: 390, height: 844 });
    await page.waitForFunction(() => document.documentElement.scrollWidth <= 390);
    expect(await page.isEnabled('#run')).toBe(true);
    expect(errors).toEqual([]);
  });

  test('links that hold no result are refused, and the page goes on', async () => {
    const good = await toFragment(RESULT);
    for (const fragment of [
      '#result=',
      '#result=%3Cscript%3Ealert(1)%3C/script%3E',
      good.slice(0, -9),
      await toFragment({ ...RESULT, runs: [{ ...RESULT.runs[0], backend: 'cuda' as 'wasm' }] }),
    ]) {
      const { page, errors } = await bench.open(fragment);
      expect(await page.innerText('#problem')).toMatch(/^The link holds no result that can be read\. .{20,}/);
      expect(await page.isEnabled('#run')).toBe(true);
      expect(errors).toEqual([]);
      await page.close();
    }
    // one fragment after the other in an open page
    const { page } = await bench.open('#result=broken');
    await page.evaluate((hash) => (location.hash = hash), good);
    await page.waitForSelector('table');
  });

  test('imported results are compared with this device, kept over a reload, and refused if they are not ours', async () => {
    const { page, errors } = await bench.open();
    await choose(page);
    await run(page);
    await page.click('details.card summary >> nth=0');
    await page.setInputFiles('#import', importable('theirs.json', JSON.stringify(RESULT)));
    const title = 'This device beside Elsewhere 9 on <img src=x onerror=alert(1)>, 6 cores';
    const row = page.getByRole('region', { name: title }).locator('tbody tr');
    await row.waitFor();
    expect(await row.innerText()).toMatch(/Demo model \(6M\) Q4_0\s+CPU.*100\s+×/s);
    // what was opened stays open
    expect(await page.locator('details.card[open]').count()).toBe(1);
    await loadAxe(page);
    expect(await objections(page)).toEqual([]);
    for (const [name, content, why] of [
      ['text.json', 'hello', /text\.json holds no result of this benchmark\. It is not JSON/],
      ['other.json', '{"format":"rivulet-conversations"}', /not a result of this benchmark/],
      ['later.json', JSON.stringify({ ...RESULT, version: 7 }), /Its version is 7/],
      ['more.json', JSON.stringify({ ...RESULT, script: 'x' }), /is not allowed/],
      ['large.json', ' '.repeat(5 << 20), /too large/],
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
