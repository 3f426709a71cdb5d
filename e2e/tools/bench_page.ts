/**
 * Runs the built benchmark page in headless Chromium, as a visitor would. `npm run bench:page -- --help` explains the
 * options.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import type { Page } from 'playwright';
import { toMarkdown } from '../../demo/bench/describe';
import { DECODE, PREFILL, PRESETS, type Preset, type Selection } from '../../demo/bench/plan';
import { parseResult, type BenchmarkResult } from '../../demo/bench/result';
import { QUANTIZATIONS, SHAPE_LABELS } from '../../demo/bench/shapes';
import { launchChromium } from '../harness';
import { serveSite } from '../site';
import { flag, oneOf, optionalFile, someOf, startTool, text, whole, wholes } from './options';

export interface PageOptions extends Partial<Omit<Selection, 'stored' | 'file' | 'backends'>> {
  preset: Preset;
  backends: ('wasm' | 'webgpu')[];
  /** a GGUF file, in place of made-up weights */
  model?: string;
  threads?: number;
  /** of the run without a pause; 60 if absent */
  sustainedSeconds?: number;
  /** 'swiftshader': Chromium's software adapter */
  adapter?: 'swiftshader' | 'hardware';
  onProgress?(line: string): void;
}

/** Ticks the boxes of the form. */
async function choose(page: Page, { preset, model, ...options }: PageOptions): Promise<void> {
  await page.check(`input[name=preset][value=${preset}]`);
  await page.click('#details > summary');
  const {
    shapes = [],
    quantizations = [],
    ...rest
  } = { ...PRESETS[preset], ...options, ...(model !== undefined && { shapes: [], quantizations: [] }) };
  const groups = { shapes, quantizations, backends: rest.backends, prefill: rest.prefill, decode: rest.decode };
  for (const [group, values] of Object.entries(groups)) {
    for (const box of await page.locator(`#choices input[name=${group}]:enabled`).all())
      await box.setChecked(values.map(String).includes(await box.inputValue()));
  }
  for (const name of ['classes', 'sustained', 'kernels'] as const) {
    const box = page.locator(`#choices input[name=${name}]`);
    if (await box.isEnabled()) await box.setChecked(rest[name]);
  }
  await page.fill('#choices input[name=repetitions]', String(rest.repetitions));
  if (model !== undefined) await page.setInputFiles('#file', resolve(model));
}

/**
 * In the page: tells each step, and resolves with its problem or ''. The page tells of itself, for each look from
 * outside would take time from the measurement.
 */
function untilDone(): Promise<string> {
  return new Promise((resolve) => {
    let told = '';
    // no function with a name: tsx names them through a helper, which a page does not have
    new MutationObserver((_, observer) => {
      const [step, run, problem] = ['progress-step', 'run', 'problem'].map((id) => document.getElementById(id)!);
      if (step.textContent !== told)
        void (window as unknown as { progress(step: string): Promise<void> }).progress((told = step.textContent));
      if ((run as HTMLButtonElement).disabled) return;
      observer.disconnect();
      resolve(problem.checkVisibility() ? problem.textContent : '');
    }).observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true });
    document.body.dataset.watched = ''; // the first look
  });
}

/** The result as the page saves it. @throws Error with what the page says */
export async function benchPage(options: PageOptions): Promise<BenchmarkResult> {
  const site = await serveSite();
  const gpu = options.backends.includes('webgpu');
  const browser = await launchChromium({ webgpu: gpu, ...(gpu && { adapter: options.adapter ?? 'hardware' }) });
  try {
    const page = await browser.newPage();
    page.on('pageerror', (error) => console.error(`page: ${error.stack ?? error}`));
    page.on('console', (message) => message.type() === 'error' && console.error(`page: ${message.text()}`));
    const query = [
      ...(options.adapter === 'swiftshader' ? ['software=1'] : []),
      ...(options.threads ? [`threads=${options.threads}`] : []),
      ...(options.sustainedSeconds ? [`sustained=${options.sustainedSeconds}`] : []),
    ];
    await page.goto(`${site.url}bench.html?${query.join('&')}`);
    await page.waitForSelector('body[data-ready]');
    await choose(page, options);
    await page.exposeFunction('progress', (step: string) => options.onProgress?.(step));
    await page.click('#run');
    await page.waitForSelector('#progress:visible, #problem:visible, #question:visible');
    // about a battery that is low, or a model that does not fit
    if (await page.isVisible('#question')) await page.click('#question button:has-text("Run anyway")');
    await page.waitForSelector('#progress:visible, #problem:visible');
    const problem = await page.evaluate(untilDone);
    if (problem) throw new Error(problem);
    const [download] = await Promise.all([page.waitForEvent('download'), page.click('#save-json')]);
    return parseResult(readFileSync(await download.path(), 'utf8'));
  } finally {
    await browser.close();
    await site.close();
  }
}

async function main(): Promise<void> {
  const shapes = Object.keys(SHAPE_LABELS) as (keyof typeof SHAPE_LABELS)[];
  const values = startTool(
    'npm run bench:page --',
    'Runs the built benchmark page in headless Chromium and prints its result. Run `npm run build` first.',
    {
      quick: flag("the same as --preset quick: the demo model's shape, under a minute"),
      preset: oneOf(['quick', 'standard', 'full'], 'what is measured', 'standard'),
      shapes: text('A,B', `shapes of made-up models: ${shapes.join(', ')}`),
      quants: text('A,B', `their quantisations: ${Object.keys(QUANTIZATIONS).join(', ')}`),
      model: optionalFile('a GGUF file, in place of made-up weights'),
      backends: someOf(['wasm', 'webgpu'], 'backends', 'wasm'),
      threads: whole('threads of the WASM backend', undefined, 1),
      prefill: wholes(`lengths of prompts, of ${PREFILL.join(', ')}`),
      decode: wholes(`positions to generate at, of ${DECODE.join(', ')}`),
      classes: flag('also the settings that vendors publish'),
      sustained: flag('also a minute without a pause'),
      seconds: whole('seconds without a pause, in place of a minute', undefined, 1),
      kernels: flag('also times by kernel (WebGPU)'),
      runs: whole('repetitions', undefined, 1),
      software: flag("WebGPU on Chromium's software adapter"),
      out: text('PATH', 'also writes the JSON into this file'),
      json: flag('prints the result as JSON, not as Markdown'),
    },
  );
  const { quants, prefill, decode, runs, model, threads } = values;
  const result = await benchPage({
    preset: values.quick ? 'quick' : values.preset,
    backends: values.backends,
    adapter: values.software ? 'swiftshader' : 'hardware',
    ...(values.shapes && { shapes: values.shapes.split(',') }),
    ...(quants && { quantizations: quants.split(',') }),
    ...(prefill && { prefill }),
    ...(decode && { decode }),
    ...(values.classes && { classes: true }),
    ...((values.sustained || values.seconds) && { sustained: true, sustainedSeconds: values.seconds }),
    ...(values.kernels && { kernels: true }),
    ...(runs && { repetitions: runs }),
    ...(model && { model }),
    ...(threads && { threads }),
    onProgress: (line) => console.error(line),
  });
  const json = JSON.stringify(result);
  if (values.out) writeFileSync(values.out, `${json}\n`);
  console.log(values.json ? json : toMarkdown(result));
  const wrong = result.runs.filter(({ status }) => status !== 'done');
  for (const {
    model: { name, quantization },
    backend,
    problem,
  } of wrong)
    console.error(`${name} ${quantization} on ${backend}: ${problem}`);
  if (wrong.length || !result.runs.length) process.exitCode = 1;
}

if (basename(process.argv[1] ?? '') === 'bench_page.ts') await main();
