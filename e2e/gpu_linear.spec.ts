/**
 * Embed, linear and swiglu of the WebGPU backend on every weight format: Chromium's and Firefox's software adapters,
 * two shader compilers.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DTYPES, type Dtype } from '../src/tensor/dtype';
import { launchFirefox } from './firefox';
import { launchChromium, openPage, serve, type Served } from './harness';
import type { Case, LinearWindow, Result, FeatureOptions } from './pages/gpu_linear';
import { FIREFOX_WEBGPU } from './system';

const PAGE = '/e2e/pages/gpu_linear.html';

/** f32 rounding of sums of a few hundred terms, relative to the sum of their sizes */
const BOUND = 2e-6;

interface Checker {
  check(c: Case, variant: FeatureOptions): Promise<Result>;
  close(): Promise<void>;
}

/** What runs in the page. */
const inPage = ([c, variant]: readonly [Case, FeatureOptions]): Promise<Result> =>
  (window as Window & Partial<LinearWindow>).check!(c, variant);

async function openChromium(origin: string): Promise<Checker> {
  const browser = await launchChromium({ webgpu: true });
  const page = await openPage(browser, origin, PAGE);
  await page.waitForFunction(() => 'check' in window);
  return { check: (c, variant) => page.evaluate(inPage, [c, variant] as const), close: () => browser.close() };
}

async function openFirefox(origin: string): Promise<Checker> {
  const browser = await launchFirefox({ webgpu: true });
  const page = await browser.newPage();
  await page.goto(origin + PAGE);
  await page.waitForFunction(() => 'check' in window);
  return { check: (c, variant) => page.evaluate(inPage, [c, variant] as const), close: () => browser.close() };
}

/** What each format does: one and several units an invocation, every kernel, whole and torn groups of rows. */
function formatCases(dtype: Dtype): Case[] {
  const { blockLength } = DTYPES[dtype];
  const [narrow, wide] = blockLength === 1 ? [33, 1000] : [blockLength, Math.max(1056, 10 * blockLength)];
  const one = { dtypes: [dtype], norm: true };
  return [
    { ...one, op: 'linear', rows: [1], cols: narrow, T: 1 },
    { ...one, op: 'linear', rows: [130], cols: wide, T: 1 },
    { ...one, op: 'linear', rows: [33], cols: wide, T: 3 },
    { ...one, op: 'linear', rows: [130], cols: wide, T: 33 },
    { ...one, op: 'embed', rows: [33], cols: wide, T: 7 },
  ];
}

/** What does not depend on the format, on one with all planes and on one without scales. */
function optionCases(dtype: 'Q5_K' | 'F16'): Case[] {
  const [narrow, wide] = dtype === 'F16' ? [33, 1000] : [256, 2560];
  const one = { dtypes: [dtype] };
  return [
    { ...one, op: 'linear', rows: [5], cols: wide, T: 1, norm: true, bias: true, add: 'apart' },
    { ...one, op: 'linear', rows: [130], cols: wide, T: 1, add: 'in place', tuning: { groupSize: 32 } },
    { ...one, op: 'linear', rows: [1000], cols: narrow, T: 1, norm: true, tuning: { rows: 8 } },
    { ...one, op: 'linear', rows: [5], cols: narrow, T: 1, tuning: { rows: 8, groupSize: 64 } },
    { ...one, op: 'linear', rows: [33], cols: narrow, T: 2, bias: true },
    { ...one, op: 'linear', rows: [33], cols: wide, T: 7, norm: true, add: 'in place' },
    { ...one, op: 'linear', rows: [5], cols: narrow, T: 9, norm: true },
    { ...one, op: 'linear', rows: [130], cols: narrow, T: 65, norm: true, bias: true, add: 'apart' },
    { ...one, op: 'linear', rows: [1000], cols: wide, T: 1, limit: 2 ** 18 },
    { ...one, op: 'embed', rows: [1000], cols: wide, T: 7, limit: 2 ** 18 },
    { ...one, op: 'swiglu', rows: [130], cols: wide, T: 1, norm: true },
    { ...one, op: 'swiglu', rows: [33], cols: wide, T: 1, norm: true, tuning: { rows: 8 } },
    { ...one, op: 'swiglu', rows: [33], cols: narrow, T: 3, norm: true },
    { ...one, op: 'swiglu', rows: [33], cols: narrow, T: 5, norm: true },
    { ...one, op: 'swiglu', rows: [33], cols: narrow, T: 33, norm: true },
    { op: 'swiglu', dtypes: [dtype, 'F32'], rows: [32, 33], cols: wide, T: 1, norm: true },
  ];
}

const CONV: Case[] = [
  { op: 'convIn', dtypes: ['F32'], rows: [192], cols: 64, T: 1, norm: true, bias: true },
  { op: 'convIn', dtypes: ['Q5_K'], rows: [768], cols: 256, T: 1, norm: true },
];

/** A projection whose value rows have another dtype than its query and key rows. */
const MIXED: Case[] = [
  ...[1, 3, 33].map((T): Case => ({
    op: 'linear',
    dtypes: ['Q4_K', 'Q4_K', 'Q6_K'],
    rows: [64, 32, 33],
    cols: 512,
    T,
    norm: true,
  })),
  // one dispatch for two parts
  { op: 'linear', dtypes: ['Q6_K', 'F16'], rows: [100, 30], cols: 1024, T: 1, norm: true, tuning: { rows: 8 } },
  // neither is whole
  { op: 'linear', dtypes: ['F16', 'F32'], rows: [8, 9], cols: 33, T: 1, norm: true, tuning: { groupSize: 32 } },
  { op: 'linear', dtypes: ['F16', 'F32'], rows: [8, 9], cols: 36, T: 1 }, // the second is
  { op: 'linear', dtypes: ['Q5_1', 'Q8_0', 'Q4_0'], rows: [4, 4, 130], cols: 320, T: 1, add: 'in place' },
  // too many buffers for one
  { op: 'linear', dtypes: ['Q4_1', 'Q5_0'], rows: [12, 6], cols: 64, T: 1, norm: true, bias: true, add: 'apart' },
];

/** The experts of all parts of a matrix, and what conformance lacks: W3 of another format than W1. */
const EXPERTS: Case[] = [1, 5, 70].flatMap((T): Case[] => {
  const one = { op: 'experts', rows: Array(5).fill(48), cols: 64, T } as const;
  return [
    { ...one, dtypes: ['Q8_0', 'Q8_0', 'F16'], rows: Array(5).fill(64), add: 'apart', limit: 15_000 },
    { ...one, dtypes: ['F32', 'F32', 'F32'], add: 'in place', limit: 30_000 },
    { ...one, dtypes: ['Q4_0', 'Q8_0', 'F32'], add: 'apart' },
    { ...one, dtypes: ['F16', 'F32', 'F16'], add: 'in place', limit: 15_000 },
  ];
});

const name = ({ op, dtypes, rows, cols, T, norm, bias, add, limit, tuning }: Case): string =>
  [
    op,
    dtypes.join(' '),
    `[${rows.join('+')}, ${cols}]`,
    `T ${T}`,
    norm && 'norm',
    bias && 'bias',
    add && `add ${add}`,
    limit && 'cut',
    tuning && JSON.stringify(tuning),
  ]
    .filter(Boolean)
    .join(' ');

function suite(
  open: (origin: string) => Promise<Checker>,
  variants: [string, FeatureOptions][],
  dtypes: Dtype[],
  options: ('Q5_K' | 'F16')[],
): void {
  let served: Served;
  let checker: Checker;
  beforeAll(async () => {
    served = await serve();
    checker = await open(served.origin);
  });
  afterAll(async () => {
    await checker?.close();
    await served?.close();
  });

  describe.each(variants)('%s', (_, variant) => {
    const holds = async (cases: Case[]): Promise<void> => {
      for (const c of cases) {
        const { worst, parts } = await checker.check(c, variant);
        expect(worst, name(c)).toBeLessThan(BOUND);
        if (c.limit) expect(parts, name(c)).toBeGreaterThan(1);
      }
    };
    it.each(dtypes)('%s', (dtype) => holds(formatCases(dtype)));
    it.each(options)('options, on %s', (dtype) => holds(optionCases(dtype)));
    it('short convolution behind in_proj', () => holds(CONV));
    it('segments of several dtypes', () => holds(MIXED));
    it('experts', () => holds(EXPERTS));
  });
}

const ALL = Object.keys(DTYPES) as Dtype[];

describe('Chromium', { tags: 'chromium' }, () => {
  const variants: [string, FeatureOptions][] = [
    ['subgroups', { subgroups: true }],
    ['no subgroups, halves by integers', { subgroups: false, integerHalfDecode: true }],
  ];
  suite(openChromium, variants, ALL, ['Q5_K', 'F16']);
});

describe('Firefox', FIREFOX_WEBGPU, () => {
  const variants: [string, FeatureOptions][] = [
    ['no subgroups', { subgroups: false }],
    ['no subgroups, halves by integers', { subgroups: false, integerHalfDecode: true }],
  ];
  suite(openFirefox, variants, ['F16', 'Q4_0', 'Q8_0', 'Q2_K', 'Q4_K', 'Q6_K', 'IQ4_XS'], ['F16']);
});
