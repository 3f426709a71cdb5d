import { setFlagsFromString } from 'node:v8';
import { describe, expect, it } from 'vitest';
import { DTYPES } from '../../tensor/dtype';
import { compileKernels, type Variant } from './kernels/build';
import { checkLinear, DTYPE_NAMES, openKernels, SHAPES } from './linearcheck';

// Node 20 has relaxed SIMD behind a flag, and its baseline compiler gives wrong dots; e2e/wasm_linear.spec.ts checks both compilers of a browser
setFlagsFromString('--experimental-wasm-relaxed-simd');
setFlagsFromString('--no-liftoff');

const open = async (variant: Variant, brief?: boolean): ReturnType<typeof openKernels> =>
  openKernels(await WebAssembly.compile((await compileKernels(variant)) as BufferSource), brief);
const kernels = { simd: await open('simd'), relaxed: await open('relaxed'), brief: await open('relaxed', true) };

describe.each(DTYPE_NAMES)('linear %s', (dtype) => {
  it.each(SHAPES.filter(([, cols]) => cols % DTYPES[dtype].blockLength === 0))('%i × %i, alike for every T, row range and variant', (rows, cols) => {
    expect(checkLinear(kernels, dtype, rows, cols)).toEqual([]);
  });
});
