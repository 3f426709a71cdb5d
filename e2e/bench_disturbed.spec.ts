// @module-tag chromium
/**
 * The benchmark page as built, when something is wrong, or disturbs a measurement: kernels, the GPU, the tab, the
 * battery, storage, a second tab.
 */
import { describe, expect, test } from 'vitest';
import { CHECK_GOLDEN } from '../demo/bench/check_golden';
import { choose, ended, measuring, run, saved, testBench, validate } from './bench';
import { soon } from './chat_page';

const bench = testBench({ webgpu: true });

describe('what is wrong or disturbed is said', () => {
  test('kernels that do not give the known results get no speed', async () => {
    const known = String(CHECK_GOLDEN.Q4_0[1][0]).replace('0.', '.'); // as the build writes it
    let changed = 0;
    await bench.context.route('**/assets/bench-*.js', async (route) => {
      const text = await (await route.fetch()).text();
      changed += text.split(known).length - 1;
      await route.fulfill({ contentType: 'text/javascript', body: text.replaceAll(known, '3.7') });
    });
    const { page } = await bench.open();
    expect(changed).toBe(1);
    await choose(page, { quantizations: ['Q4_0', 'Q8_0'] });
    await run(page);
    const { runs } = await saved(page);
    expect(runs.map(({ status, measurements }) => [status, measurements.length])).toEqual([
      ['wrong', 0],
      ['done', 2],
    ]);
    expect(runs[0].problem).toMatch(/^The kernels compute wrong numbers: they differ from the known results by \d/);
    expect(await page.locator('tr.wrong').innerText()).toMatch(/Q4_0.*wrong result/s);
    expect(await page.locator('tr.wrong').innerText()).toMatch(/wrong\s+wrong\s+wrong\s+wrong/);
    expect(await page.locator('details[open] .wrong').innerText()).toBe(runs[0].problem);
  });

  test('a model that does not fit is named before the run, which can leave it out', async () => {
    await bench.context.addInitScript(() =>
      Object.defineProperty(Navigator.prototype, 'deviceMemory', { get: () => 4 }),
    );
    const { page } = await bench.open();
    await choose(page, { repetitions: 1 });
    expect(await page.innerText('#too-large')).toBe('');
    await page.check('input[name=shapes][value="8b-a1b"]');
    const told =
      'LFM2-8B-A1B Q4_0 does not fit on the CPU: it needs about 5.33 GB of memory, and this page can have about 3.22 GB.';
    const plain = async (id: string): Promise<string> => (await page.innerText(id)).replaceAll('\u00a0', ' ');
    expect(await plain('#too-large')).toBe(told);
    await page.click('#run');
    await soon(() => plain('#question p')).toBe(`${told} The browser may end this page.`);
    await page.getByRole('button', { name: 'Cancel' }).click();
    expect(await page.isVisible('#progress')).toBe(false);
    await page.click('#run');
    await page.getByRole('button', { name: 'Leave out what does not fit' }).click();
    await page.waitForSelector('#progress:visible');
    await ended(page);
    expect((await saved(page)).runs.map(({ model, status }) => [model.name, status])).toEqual([
      ['Demo model (6M)', 'done'],
    ]);
    await page.uncheck('input[name=shapes][value=demo]');
    await page.click('#run');
    await soon(() => page.locator('#question button').allInnerTexts()).toEqual(['Run anyway', 'Cancel']);
  });

  test('a hidden tab: the benchmark waits, and makes the repetition again', async () => {
    const { page } = await bench.open();
    await choose(page, { repetitions: 50 });
    await page.click('#run');
    await measuring(page, 'decode at 128');
    await page.waitForTimeout(200); // after the warm-up
    const hide = (hidden: boolean): Promise<void> =>
      page.evaluate((value) => {
        Object.defineProperty(document, 'hidden', { value, configurable: true });
        document.dispatchEvent(new Event('visibilitychange'));
      }, hidden);
    await hide(true);
    await page.waitForFunction(() =>
      document.querySelector('#progress-step')?.textContent?.startsWith('This tab is hidden.'),
    );
    expect(await page.innerText('#progress-left')).toBe('waiting');
    await page.waitForTimeout(500);
    expect(await page.isVisible('#progress')).toBe(true);
    await hide(false);
    await measuring(page, 'decode at 128');
    expect(await page.innerText('#progress-left')).toMatch(/^about .* left$/);
    await ended(page);
    const { runs } = await saved(page);
    expect(runs[0].notes).toContain('A repetition of decode at 128 was made again, because the tab was hidden.');
    expect(runs[0].notes).toContain('The tab was hidden during this run.');
    expect(runs[0].measurements.map(({ repetitions }) => repetitions)).toEqual([50, 50]);
  });

  test('a low battery: the page asks first, and the result says so', async () => {
    await bench.context.addInitScript(() =>
      Object.assign(navigator, { getBattery: async () => ({ level: 0.12, charging: false }) }),
    );
    const { page } = await bench.open();
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
    await bench.context.addInitScript(() => {
      Object.defineProperty(window, 'indexedDB', {
        value: {
          open: () => {
            throw new DOMException('blocked', 'SecurityError');
          },
        },
      });
    });
    const { page, errors } = await bench.open();
    expect(await page.innerText('#fleeting')).toContain('a reload loses the result');
    await choose(page);
    await run(page);
    expect((await saved(page)).runs[0].status).toBe('done');
    expect(errors).toEqual([]);
  });

  test('nothing chosen: the page says what is missing', async () => {
    const { page } = await bench.open();
    await choose(page, { quantizations: [] });
    await page.click('#run');
    expect(await page.innerText('#problem')).toBe('Choose at least one quantisation.');
  });

  test('a second tab: the benchmark runs in one', async () => {
    const { page } = await bench.open();
    // more than any device measures before the other tab has asked
    await choose(page, {
      quantizations: ['Q4_0', 'Q4_1', 'Q5_0', 'Q5_1', 'Q8_0', 'Q4_K', 'Q5_K', 'Q6_K', 'F16', 'F32'],
      repetitions: 50,
    });
    await page.click('#run');
    await measuring(page, 'decode at 128');
    const other = (await bench.open()).page;
    const busy = /^The benchmark is running in another tab\. Two at once would slow each other down\./;
    expect(await other.innerText('#problem')).toMatch(busy);
    expect(await other.isVisible('#question')).toBe(false);
    await choose(other);
    await other.click('#run');
    await soon(() => other.innerText('#problem')).toMatch(busy);
    expect(await other.isVisible('#progress')).toBe(false);
    await page.click('#stop');
    await ended(page);
    await other.click('#run');
    await other.waitForSelector('#progress:visible, #question:visible');
    // a fast device has finished a run in the first tab
    if (await other.isVisible('#question')) await other.getByRole('button', { name: 'Replace it' }).click();
    await other.waitForSelector('#progress:visible');
    await ended(other);
    expect((await saved(other)).runs[0].status).toBe('done');
  });
});

test('both backends stand in one table; a GPU that is lost in the middle of a run goes on, says so, and costs no finished run', async () => {
  // the GPU is emulated by the browser
  const { page, errors } = await bench.open('', '?threads=1&software=1');
  await choose(page, { backends: ['wasm', 'webgpu'], decode: [], repetitions: 3 });
  await page.click('#run');
  await measuring(page, 'GPU · prefill of 128');
  for (const worker of page.workers())
    await worker.evaluate(() => {
      const { createCommandEncoder } = GPUDevice.prototype;
      let lost = false;
      GPUDevice.prototype.createCommandEncoder = function (...parameters) {
        if (!lost) this.destroy();
        lost = true;
        return createCommandEncoder.apply(this, parameters);
      };
    });
  await ended(page);
  const result = await saved(page);
  expect(validate(result), JSON.stringify(validate.errors)).toBe(true);
  expect(result.device.bandwidth!.gpuCopy).toBeGreaterThan(0);
  const [cpu, gpu] = result.runs;
  expect([cpu, gpu].map(({ backend, status, problem }) => [backend, status, problem])).toEqual([
    ['wasm', 'done', undefined],
    ['webgpu', 'done', undefined],
  ]);
  expect(gpu.check!.golden).toBeLessThan(1e-2);
  expect(gpu.measurements).toMatchObject([{ prompt: 128, repetitions: 3 }]);
  expect(gpu.measurements[0].prefill!.median).toBeGreaterThan(1);
  expect(gpu.notes.join(' ')).toMatch(/lost/);
  expect(await page.locator('table').first().locator('tbody tr').allInnerTexts()).toEqual([
    expect.stringContaining('CPU, 1 thread'),
    expect.stringContaining('GPU'),
  ]);
  expect(errors).toEqual([]);
});
