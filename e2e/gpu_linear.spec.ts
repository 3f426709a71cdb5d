/** Embed, linear and swiglu of the WebGPU backend on every weight format, in Chromium's software adapter. */
import type { Browser, Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DTYPES, type Dtype } from '../src/tensor/dtype';
import { launchChromium, openPage, serve, type Served } from './harness';
import type { Case, LinearWindow, Result } from './pages/linear';

let served: Served;
let browser: Browser;
let page: Page;
beforeAll(async () => {
  served = await serve();
  browser = await launchChromium({ webgpu: true });
  page = await openPage(browser, served.origin, '/e2e/pages/linear.html');
  await page.waitForFunction(() => 'check' in window);
});
afterAll(async () => {
  await browser?.close();
  await served?.close();
});

const check = (c: Case, subgroups: boolean): Promise<Result> =>
  page.evaluate(([c, subgroups]) => (window as Window & Partial<LinearWindow>).check!(c, { subgroups }), [c, subgroups] as const);

/** f32 rounding of sums of a few hundred terms, relative to the sum of their sizes */
const BOUND = 2e-6;

function cases(dtype: Dtype): Case[] {
  const { blockLength } = DTYPES[dtype];
  const [narrow, wide] = blockLength === 1 ? [33, 1000] : [blockLength, Math.max(1056, 5 * blockLength)];
  const one = { dtypes: [dtype] };
  return [
    { ...one, op: 'linear', rows: [1], cols: narrow, T: 1 },
    { ...one, op: 'linear', rows: [5], cols: wide, T: 1, norm: true, bias: true, add: 'apart' },
    { ...one, op: 'linear', rows: [130], cols: wide, T: 1, add: 'in place' },
    { ...one, op: 'linear', rows: [33], cols: wide, T: 2, norm: true },
    { ...one, op: 'linear', rows: [33], cols: narrow, T: 3, bias: true },
    { ...one, op: 'linear', rows: [1000], cols: narrow, T: 7, norm: true, add: 'in place' },
    { ...one, op: 'linear', rows: [5], cols: narrow, T: 33, norm: true },
    { ...one, op: 'linear', rows: [130], cols: wide, T: 65, norm: true, bias: true, add: 'apart' },
    { ...one, op: 'linear', rows: [1000], cols: wide, T: 1, limit: 2 ** 18 },
    { ...one, op: 'swiglu', rows: [130], cols: wide, T: 1, norm: true },
    { ...one, op: 'swiglu', rows: [33], cols: narrow, T: 5, norm: true },
    { ...one, op: 'swiglu', rows: [33], cols: wide, T: 33, norm: true },
    { ...one, op: 'embed', rows: [130], cols: narrow, T: 7 },
    { ...one, op: 'embed', rows: [1000], cols: wide, T: 3, limit: 2 ** 18 },
  ];
}

const name = ({ op, dtypes, rows, cols, T, norm, bias, add, limit }: Case): string =>
  [op, dtypes.join(' '), `[${rows.join('+')}, ${cols}]`, `T ${T}`, norm && 'norm', bias && 'bias', add && `add ${add}`, limit && 'cut'].filter(Boolean).join(' ');

describe.each([true, false])('subgroups %s', (subgroups) => {
  it.each(Object.keys(DTYPES) as Dtype[])('%s', async (dtype) => {
    for (const c of cases(dtype)) {
      const { worst, parts } = await check(c, subgroups);
      expect(worst, name(c)).toBeLessThan(BOUND);
      if (c.limit) expect(parts, name(c)).toBeGreaterThan(1);
    }
  });

  it('segments of several dtypes', async () => {
    const c: Case = { op: 'linear', dtypes: ['Q4_K', 'Q4_K', 'Q6_K'], rows: [64, 32, 33], cols: 512, T: 1, norm: true };
    for (const T of [1, 3, 33]) {
      const { worst, parts } = await check({ ...c, T }, subgroups);
      expect(worst, `T ${T}`).toBeLessThan(BOUND);
      expect(parts).toBe(2);
    }
  });
});
