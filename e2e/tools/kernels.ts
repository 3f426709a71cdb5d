/**
 * Speed of the linear map's WASM kernels alone, in headless Chromium, next to the read roofline.
 * `npm run bench:kernels -- --help` explains the options.
 *
 * `relaxed-int16` is relaxed SIMD with int16 sums (src/backend/wasm/accumulator_width.ts). Prints a line of JSON for
 * each variant, dtype and number of threads: GEMV (one token) in GMAC/s and GB/s of packed weights, GEMM in GMAC/s,
 * packing in GB/s.
 */
import { readFileSync } from 'node:fs';
import { commands } from '@yowasp/clang';
import { DTYPES, type Dtype } from '../../src/tensor/dtype';
import { launchChromium, openPage, serve } from '../harness';
import type { Measured, MeasureOptions } from '../pages/wasm_linear';
import { someOf, startTool, whole, wholes } from './options';

const READER = readFileSync(new URL('../../demo/bench/read_memory.c', import.meta.url), 'utf8');
const FLAGS = [
  '--target=wasm32-unknown-unknown',
  '-O3',
  '-nostdlib',
  '-msimd128',
  '-matomics',
  '-mbulk-memory',
  '-Wl,--no-entry,--import-memory,--shared-memory,--max-memory=4294967296',
];

const TYPES = Object.keys(DTYPES) as Dtype[];
const values = startTool(
  'npm run bench:kernels --',
  "Measures the linear map's WASM kernels alone, beside the speed of reading memory, in headless Chromium.",
  {
    dtypes: someOf(TYPES, 'formats of the weights', TYPES.join()),
    variants: someOf(['simd', 'relaxed', 'relaxed-int16'], 'kernels', 'relaxed,relaxed-int16,simd'),
    threads: wholes('numbers of threads', '1,2'),
    rows: whole('rows of the matrix', 8192, 1),
    cols: whole('columns of the matrix', 2048, 1),
    tokens: whole('tokens of the GEMM', 128, 1),
    budget: whole('milliseconds per measurement', 100, 1),
  },
);
const compiled = await commands.clang(
  [...FLAGS, '-o', 'read.wasm', 'read.c'],
  { 'read.c': READER },
  { fetchProgress: () => undefined },
);
const server = await serve();
const browser = await launchChromium({ args: ['--js-flags=--no-liftoff'] });
const page = await openPage(browser, server.origin);
for (const name of values.variants) {
  const options: MeasureOptions = {
    variant: name === 'simd' ? 'simd' : 'relaxed',
    int16Sums: name === 'relaxed-int16',
    dtypes: values.dtypes,
    threads: values.threads,
    rows: values.rows,
    cols: values.cols,
    T: values.tokens,
    budget: values.budget,
    reader: Buffer.from((compiled as Record<string, Uint8Array>)['read.wasm']).toString('base64'),
  };
  // as text: tsx would rewrite the import() for Node
  const rows = (await page.evaluate(
    `import('/e2e/pages/wasm_linear.ts').then(({ measure }) => measure(${JSON.stringify(options)}))`,
  )) as Measured[];
  for (const row of rows) console.log(JSON.stringify({ variant: name, ...row }));
}
await browser.close();
await server.close();
