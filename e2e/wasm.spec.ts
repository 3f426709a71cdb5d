// @module-tag chromium
/** The WASM backend in Chromium: the same bits however it is run, and what it does without threads. */
import type { Browser, Page } from 'playwright';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { launchChromium, openPage, serve, type Served } from './harness';
import type { WasmPage } from './pages/wasm.worker';

let browser: Browser;
let servers: Served[];
let isolated: Page;
let plain: Page;

beforeAll(async () => {
  browser = await launchChromium();
  servers = [await serve(), await serve({ isolated: false })];
  [isolated, plain] = await Promise.all(servers.map(({ origin }) => openPage(browser, origin)));
});
afterAll(async () => {
  await browser?.close();
  await Promise.all(servers?.map((server) => server.close()) ?? []);
});

/**
 * Calls the worker page; comlink comes from the dev server. `lend`: the page makes the threads, as it does for the
 * engine.
 */
const run = <K extends keyof WasmPage>(
  page: Page,
  lend: boolean,
  name: K,
  ...args: Parameters<WasmPage[K]>
): Promise<Awaited<ReturnType<WasmPage[K]>>> =>
  page.evaluate(`(async () => {
    const { wrap } = await import('/node_modules/comlink/dist/esm/comlink.mjs');
    const { lendThreads } = await import('/src/api/lend_threads.ts');
    const worker = new Worker('/e2e/pages/wasm.worker.ts', { type: 'module' });
    const takeBack = ${lend} ? lendThreads(worker) : () => {};
    try { return await wrap(worker).${name}(...${JSON.stringify(args)}); } finally { worker.terminate(); takeBack(); }
  })()`) as never;
const call = <K extends keyof WasmPage>(page: Page, name: K, ...args: Parameters<WasmPage[K]>) =>
  run(page, false, name, ...args);

it.each(['relaxed', 'simd'] as const)(
  '%s: encoders of given rows have the same bits with one thread and with more',
  async (variant) => {
    const wanted = await call(isolated, 'bitsOfGivenRows', { variant, threads: 1 });
    expect(Object.keys(wanted).length).toBeGreaterThan(50);
    expect(await call(isolated, 'bitsOfGivenRows', { variant, threads: 2 }), '2 threads').toEqual(wanted);
    if (variant === 'simd') return; // it has no kernels for 64-bit memory
    expect(await call(isolated, 'bitsOfGivenRows', { threads: 3, memory64: true }), '64-bit memory').toEqual(wanted);
  },
);

it.each(['relaxed', 'simd'] as const)(
  '%s: every case has the same bits with 1, 2, 3 and 4 threads, shared memory or not, of 32 bits or of 64',
  async (variant) => {
    const wanted = await call(isolated, 'bits', { variant, threads: 1 });
    expect(Object.keys(wanted).length).toBeGreaterThan(500);
    for (const threads of [2, 4])
      expect(await call(isolated, 'bits', { variant, threads }), `${threads} threads`).toEqual(wanted);
    expect(wanted, '3 threads').toMatchObject(
      await call(isolated, 'bits', { variant, threads: 3 }, 'attend H 16 K 8 d 64'),
    );
    expect(await call(plain, 'bits', { variant }), 'not isolated').toEqual(wanted);
    if (variant === 'simd') return; // it has no kernels for 64-bit memory
    expect(await call(isolated, 'bits', { threads: 2, memory64: true }), '64-bit memory').toEqual(wanted);
    expect(wanted, '64-bit memory, not isolated').toMatchObject(
      await call(plain, 'bits', { memory64: true }, 'attend H 16 K 8 d 64'),
    );
  },
);

it('measures how many threads help', async () => {
  const info = await call(isolated, 'info', {}, { steps: 20 });
  expect(info.isolated).toBe(true);
  expect(info.threads).toBeGreaterThanOrEqual(1);
  expect(info.threads).toBeLessThanOrEqual(8);
  expect(info.device).toBe(`relaxed SIMD × ${info.threads}`);
  expect(info.notes).toEqual([]);
});

it('says why it has one thread, and computes the same', async () => {
  const many = await call(isolated, 'info', { threads: 4 }, { steps: 50 });
  const one = await call(plain, 'info', {}, { steps: 50 });
  const refused = await call(isolated, 'info', { threads: 4 }, { steps: 50, workers: false });
  const lent = await run(isolated, true, 'info', { threads: 4 }, { steps: 50, workers: false });
  expect(many).toMatchObject({ threads: 4, notes: [] });
  expect(lent, 'by the page').toMatchObject({ threads: 4, notes: [], tokens: many.tokens });
  expect(one).toMatchObject({
    threads: 1,
    isolated: false,
    notes: [expect.stringMatching(/not cross-origin isolated/)],
    tokens: many.tokens,
  });
  expect(refused).toMatchObject({
    threads: 1,
    notes: [expect.stringMatching(/1 of 4 threads.*no workers today/)],
    tokens: many.tokens,
  });
});
