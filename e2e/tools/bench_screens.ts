/**
 * The states of the built benchmark page, for people to look at. What they show is measured once, on the processor and
 * on Chromium's software adapter.
 */
import type { Page } from 'playwright';
import { PRESETS, type Selection } from '../../demo/bench/plan';
import { toFragment, type BenchmarkResult } from '../../demo/bench/result';
import { partialOf, type StoredSet } from '../../demo/bench/set_store';
import { finishedSet, reloadWith } from '../bench_store';
import { benchPage } from './bench_page';
import type { Screen } from './screens';

const selection: Selection = {
  ...PRESETS.quick,
  quantizations: ['Q4_0'],
  prefill: [128, 512],
  decode: [128, 1024],
  sustained: true,
  kernels: true,
  repetitions: 1,
  stored: [],
  backends: ['wasm', 'webgpu'],
};

const ready = (page: Page): Promise<unknown> => page.waitForSelector('body[data-ready]');

/** @param given a saved result with both backends; without it they are measured */
export async function benchScreens(given?: BenchmarkResult): Promise<Record<string, Screen>> {
  const { backends, ...choices } = selection;
  const result =
    given ??
    (await benchPage({
      ...choices,
      preset: 'quick',
      backends,
      adapter: 'swiftshader',
      threads: 1,
      sustainedSeconds: 10,
    }));
  const set = finishedSet(result, selection);
  const half: StoredSet = {
    ...set,
    result: { ...result, runs: result.runs.slice(0, 1) },
    partial: partialOf({ measurements: result.runs[1].measurements.slice(0, 1) }),
    state: 'running',
    attempts: 1,
  };
  // the same numbers as if from another device
  const other: BenchmarkResult = {
    ...result,
    device: { ...result.device, browser: 'Another browser 1', platform: 'another device' },
  };
  const link = await toFragment(other);
  const begin = async (page: Page): Promise<void> => {
    await ready(page);
    await page.click('#run');
    await page.waitForSelector('#progress:visible, #question:visible');
  };
  const screens: Record<string, Omit<Screen, 'path' | 'full'>> = {
    first: { reach: (page) => ready(page).then(() => undefined) },
    choices: { reach: async (page) => void (await page.click('#details > summary')) },
    running: {
      async reach(page) {
        await begin(page);
        await page.waitForFunction(() => document.querySelector('#progress-left')?.textContent?.startsWith('about'));
      },
    },
    hidden: {
      async reach(page) {
        await begin(page);
        await page.evaluate(() => {
          Object.defineProperty(document, 'hidden', { value: true, configurable: true });
          document.dispatchEvent(new Event('visibilitychange'));
        });
        await page.waitForFunction(
          () => document.querySelector('#progress-step')?.textContent?.startsWith('This tab is hidden'),
          undefined,
          { timeout: 120_000 },
        );
      },
    },
    done: { reach: (page) => reloadWith(page, { set }) },
    details: {
      async reach(page) {
        await reloadWith(page, { set });
        await page.evaluate(() => {
          for (const one of document.querySelectorAll('details')) one.open = true;
        });
      },
    },
    ended: { reach: (page) => reloadWith(page, { set: half }) },
    compared: { reach: (page) => reloadWith(page, { set, compared: [other] }) },
    link: { fragment: link, reach: (page) => ready(page).then(() => undefined) },
    'link-refused': { fragment: '#result=%3Cscript%3E', reach: (page) => ready(page).then(() => undefined) },
    'battery-low': {
      async reach(page) {
        await page.evaluate(() =>
          Object.assign(navigator, { getBattery: async () => ({ level: 0.12, charging: false }) }),
        );
        await begin(page);
      },
    },
    wrong: {
      async reach(page) {
        const [cpu, gpu] = result.runs;
        const problem =
          'The kernels compute wrong numbers: they differ from the known results by 170 % of the power, and 1.0 % are allowed. Nothing was timed.';
        await reloadWith(page, {
          set: {
            ...set,
            result: {
              ...result,
              runs: [cpu, { ...gpu, status: 'wrong', problem, measurements: [], check: { golden: 1.7, pieces: 0 } }],
            },
          },
        });
      },
    },
    'run-again': {
      async reach(page) {
        await reloadWith(page, { set });
        await page.click('#run');
        await page.waitForSelector('#question:visible');
      },
    },
    'nothing-chosen': {
      async reach(page) {
        await ready(page);
        await page.click('#details > summary');
        for (const box of await page.locator('input[name=shapes]').all()) await box.uncheck();
        await page.click('#run');
      },
    },
    'copy-refused': {
      async reach(page) {
        await reloadWith(page, { set });
        await page.evaluate(() => Object.defineProperty(navigator, 'clipboard', { value: undefined }));
        await page.click('#copy-link');
        await page.waitForSelector('#problem textarea');
      },
    },
    'storage-blocked': {
      async reach(page) {
        await page.addInitScript(
          "Object.defineProperty(window, 'indexedDB', { value: { open() { throw new DOMException('blocked', 'SecurityError'); } } })",
        );
        await page.reload();
        await ready(page);
      },
    },
  };
  return Object.fromEntries(
    Object.entries(screens).map(([name, screen]) => [`bench-${name}`, { ...screen, path: 'bench.html', full: true }]),
  );
}
