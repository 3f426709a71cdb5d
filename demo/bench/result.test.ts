/** Results are written, read back, and refused if they are not ours. */
import { readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, test } from 'vitest';
import schema from '../../docs/benchmark.schema.json';
import { browserName } from './device';
import { rooflineOf, shareLabel, toMarkdown } from './describe';
import {
  fromFragment,
  MAX_RESULT_BYTES,
  NotAResult,
  parseResult,
  toFragment,
  type BenchmarkResult,
  type KernelTimes,
  type Run,
} from './result';
import { PRESETS, planRuns, type Selection } from './plan';
import { QUANTIZATIONS, SHAPE_LABELS } from './shapes';

const spread = (median: number) => ({ median, min: median - 1, max: median + 1 });
const RESULT: BenchmarkResult = {
  format: 'rivulet-benchmark',
  version: 1,
  created: '2026-11-28T18:00:00.000Z',
  build: { version: '0.1.0', site: '0123456789abcdef' },
  method: { repetitions: 3 },
  device: { browser: 'Chrome 156', platform: 'Linux', mobile: false, cores: 8, memoryGB: 16, isolated: true,
    clockMs: 0.005, simd: 'relaxed', gpu: { name: 'apple m4', software: false, features: ['shader-f16'],
    maxBufferBytes: 4e9 }, battery: { percent: 80, charging: false }, bandwidth: { cpuRead: 20, cpuThreads: 8 } },
  runs: [
    {
      model: { name: 'LFM2.5-350M', quantization: 'Q4_0', bytes: 219e6, madeUp: true },
      backend: 'wasm',
      status: 'done',
      processor: 'relaxed SIMD × 8',
      variant: 'relaxed',
      threads: 8,
      check: { golden: 0.002, pieces: 0 },
      loadMs: 700,
      memoryBytes: 290e6,
      measurements: [
        { prompt: 512, generate: 1, cached: false, prefill: spread(546), firstTokenMs: spread(930), repetitions: 3 },
        { prompt: 128, generate: 64, cached: true, firstTokenMs: spread(12), decode: spread(82), gapMs: { p50: 12,
          p95: 13, p99: 19, max: 30 }, repetitions: 3 },
      ],
      sustained: { seconds: 60, points: [[1, 82], [60, 70]] },
      notes: [],
    },
    { model: { name: 'LFM2.5-350M', quantization: 'Q4_0', bytes: 219e6, madeUp: true }, backend: 'webgpu',
      status: 'wrong', problem: 'The kernels compute wrong numbers', check: { golden: 1e300, pieces: 0 },
      measurements: [], notes: ['a | b'] },
  ],
}; // prettier-ignore

/** The result after a change that its type forbids. */
type Loose = Record<string, never> & {
  runs: Loose[];
  device: Loose;
  measurements: Loose[];
  prefill: Loose;
  model: Loose;
};
const changed = (change: (result: Loose) => unknown): string => {
  const copy = JSON.parse(JSON.stringify(RESULT)) as Loose;
  change(copy);
  return JSON.stringify(copy);
};

const validate = new Ajv2020({ strict: true, strictTuples: false }).compile(schema);

test('the schema in docs is a valid JSON Schema, and takes what the page writes', () => {
  expect(validate(RESULT), JSON.stringify(validate.errors)).toBe(true);
  expect(validate({ ...RESULT, extra: 1 })).toBe(false);
});

test('a result is read back as it was, from a file and from a link', async () => {
  expect(parseResult(JSON.stringify(RESULT))).toEqual(RESULT);
  const fragment = await toFragment(RESULT);
  expect(fragment).toMatch(/^#result=[\w-]+$/);
  expect(fragment.length).toBeLessThan(1500);
  expect(await fromFragment(fragment)).toEqual(RESULT);
});

describe('what is no result is refused', () => {
  test.each<[string, string, RegExp]>([
    ['no JSON', '<svg onload=alert(1)>', /not JSON/],
    ['other JSON', '{"a":1}', /not a result of this benchmark/],
    ['null', 'null', /not a result/],
    ['a later version', changed((r) => (r.version = 2 as never)), /version is 2/],
    ['a number as text', changed((r) => (r.runs[0].loadMs = '<img src=x>' as never)), /runs\/0\/loadMs/],
    ['an unknown backend', changed((r) => (r.runs[0].backend = 'cuda' as never)), /runs\/0\/backend/],
    [
      'a part that is missing',
      changed((r) => delete (r.runs[0] as { backend?: unknown }).backend),
      /runs\/0 .*backend/,
    ],
    [
      'a point with three numbers',
      changed((r) => ((r.runs[0].sustained as unknown as { points: number[][] }).points[0] = [1, 2, 3])),
      /points\/0/,
    ],
    ['half a token', changed((r) => (r.runs[0].measurements[0].prompt = 0.5 as never)), /prompt.*whole number/],
    ['a list for an object', changed((r) => (r.device = [] as never)), /device.*type object/],
    ['a date that is none', changed((r) => (r.created = 'yesterday' as never)), /created/],
    ['a negative speed', changed((r) => (r.runs[0].measurements[0].prefill.median = -1 as never)), /prefill\/median/],
    ['something more', changed((r) => (r.runs[0].html = '<b>' as never)), /runs\/0/],
    ['__proto__', JSON.stringify(RESULT).replace('"version":1', '"version":1,"__proto__":{"x":1}'), /__proto__/],
    ['a long text', changed((r) => (r.device.browser = 'x'.repeat(500) as never)), /device\/browser/],
    ['too many runs', changed((r) => (r.runs = Array.from({ length: 300 }, () => r.runs[0]))), /runs/],
    ['a huge file', ' '.repeat(MAX_RESULT_BYTES + 1), /too large/],
  ])('%s', (_, text, message) => {
    expect(() => parseResult(text)).toThrow(NotAResult);
    expect(() => parseResult(text)).toThrow(message);
    // and by a validator that was not written here
    if (text.includes('rivulet-benchmark')) expect(validate(JSON.parse(text))).toBe(false);
  });

  test('links that were cut, changed, or that unpack without end', async () => {
    const fragment = await toFragment(RESULT);
    for (const broken of [
      fragment.slice(0, -20),
      '#result=',
      '#result=%3Cscript%3E',
      '#result=AAAA',
      `#result=${'A'.repeat(70_000)}`,
    ])
      await expect(fromFragment(broken), broken.slice(0, 40)).rejects.toThrow(NotAResult);
    // 8 MB of spaces in 8 KB
    const small = await new Response(
      new Blob([' '.repeat(8 << 20)]).stream().pipeThrough(new CompressionStream('deflate-raw')),
    ).arrayBuffer();
    await expect(fromFragment(`#result=${Buffer.from(small).toString('base64url')}`)).rejects.toThrow(
      'unpacks to more than',
    );
  });
});

describe('the largest set of made-up models', () => {
  const [wasm, webgpu] = RESULT.runs;
  const selection: Selection = {
    ...PRESETS.full,
    shapes: Object.keys(SHAPE_LABELS),
    quantizations: Object.keys(QUANTIZATIONS),
    stored: [],
    backends: ['wasm', 'webgpu'],
  };
  const kernels: KernelTimes = {
    clock: 'timestamp',
    copyGigabytesPerSecond: 123.4,
    emptyDispatchMicros: 12.34,
    kernels: Array.from({ length: 30 }, (_, i) => ({
      kernel: `a kernel with a long name ${i}`,
      dispatches: 16,
      micros: 1000.1 * i,
      gigabytesPerSecond: 100.1 + i,
      shareOfCopy: 0.1234,
    })),
    tuned: Array.from({ length: 12 }, (_, i) => ({
      shape: `linear Q4_0 1024 × ${i}`,
      defaultMicros: 100.1 * i,
      micros: 90.1 * i,
      tuning: 'rows 4, columns 8, workgroup 128',
    })),
  };
  const runs = planRuns(selection).map(({ name, quantization, backend, cases }, at): Run => ({
    ...(backend === 'wasm' ? wasm : { ...webgpu, kernels }),
    model: { ...wasm.model, name, quantization: quantization! },
    status: 'done',
    measurements: cases.map((one, i) => ({ ...wasm.measurements[1], ...one, prefill: spread(1000.1 + i + at),
      repetitions: 5 })),
    sustained: { seconds: 60, points: Array.from({ length: 300 }, (_, i) => [i / 5,
      Number((80 + ((i * 7919 + at * 104729) % 1000) / 37).toPrecision(4))]) },
  })); // prettier-ignore

  test('is read back from its file', () => {
    expect(runs).toHaveLength(176);
    expect(parseResult(JSON.stringify({ ...RESULT, runs }, undefined, 1)).runs).toEqual(runs);
  });

  test('is too long for a link; what the page measures by itself is not', async () => {
    await expect(toFragment({ ...RESULT, runs })).rejects.toThrow(
      /^The result is too long for a link: got \d+ letters, wanted at most 65536. Save it as JSON.$/,
    );
    const everything = runs.filter(({ model }) => /350M|1.2B/.test(model.name) && /Q4_0|Q8_0/.test(model.quantization));
    expect(everything).toHaveLength(8);
    const fragment = await toFragment({ ...RESULT, runs: everything });
    expect((await fromFragment(fragment)).runs).toEqual(everything);
  });
});

test('the share of the bandwidth is that of the weights that a token reads', () => {
  const [run] = RESULT.runs; // 219 MB at 82 tokens/s, of 20 GB/s
  expect(rooflineOf(run, RESULT.device)!.share).toBeCloseTo(0.898, 3);
  expect(rooflineOf(run, RESULT.device)!.tokensPerSecond).toBeCloseTo(91.3, 1);
  const mixture = { ...run, model: { ...run.model, bytes: 4.7e9, activeBytes: 219e6 } };
  expect(rooflineOf(mixture, RESULT.device)!.share).toBeCloseTo(0.898, 3);
  expect(parseResult(JSON.stringify({ ...RESULT, runs: [mixture] })).runs).toEqual([mixture]);
  expect(shareLabel({ share: 0.898 })).toBe('90\u00a0% of the measured memory bandwidth');
  expect(shareLabel({ share: 3 })).toContain('the weights fit into caches');
  // the bandwidth of the CPU says nothing about the GPU
  expect(rooflineOf({ ...run, backend: 'webgpu' }, RESULT.device)).toBeUndefined();
});

test('Markdown has every run, and no text of a result ends a cell or becomes markup', () => {
  const text = toMarkdown(parseResult(changed((r) => (r.runs[0].model.name = 'a|b <img src=x> [c](d)' as never))));
  expect(text).toContain('| a\\|b \\<img src=x\\> \\[c\\](d) Q4\\_0 | CPU, 8 threads |');
  expect(text).toContain('wrong result');
  expect(text).toContain('a \\| b');
});

test('a wrong result has no speed, whatever its file says', () => {
  const { runs: [run] } = parseResult(changed((r) => (r.runs[0].status = 'wrong' as never))); // prettier-ignore
  expect(run).toMatchObject({ status: 'wrong', measurements: [] });
  expect([run.sustained, run.kernels]).toEqual([undefined, undefined]);
  const text = toMarkdown({ ...RESULT, runs: [run] });
  expect(text).toContain('wrong result');
  expect(text).not.toMatch(/546|82/);
});

test('browsers are named', () => {
  const chrome = [
    { brand: 'Not(A:Brand', version: '99' },
    { brand: 'Chromium', version: '156' },
    { brand: 'Google Chrome', version: '156' },
  ];
  expect(browserName('', chrome)).toBe('Google Chrome 156');
  expect(browserName('', chrome.slice(0, 2))).toBe('Chromium 156');
  expect(browserName('Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0')).toBe('Firefox 153');
  expect(
    browserName(
      'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/27.1 Safari/605.1.15',
    ),
  ).toBe('Safari 27.1');
});

test('the documentation names the schema', () => {
  expect(readFileSync(new URL('../../docs/benchmark.md', import.meta.url), 'utf8')).toContain('benchmark.schema.json');
});
