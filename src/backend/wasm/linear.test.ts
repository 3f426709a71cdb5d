import { setFlagsFromString } from 'node:v8';
import { describe, expect, it } from 'vitest';
import { DTYPES } from '../../tensor/dtype';
import { compileKernels } from './kernels/build';
import type { SimdVariant } from './module';
import { checkLinear, ALL_DTYPES, instantiateLinearKernels, LINEAR_SHAPES } from './linear_check';

// Node 20 needs a flag for relaxed SIMD, and its baseline compiler computes wrong dots; e2e/wasm_linear.spec.ts checks
// both compilers of a browser
setFlagsFromString('--experimental-wasm-relaxed-simd');
setFlagsFromString('--no-liftoff');

const open = async (variant: SimdVariant, int16Sums?: boolean): ReturnType<typeof instantiateLinearKernels> =>
  instantiateLinearKernels(await WebAssembly.compile((await compileKernels(variant)) as BufferSource), int16Sums);
const kernels = {
  simd: await open('simd'),
  relaxed: await open('relaxed'),
  'relaxed, int16 sums': await open('relaxed', true),
};

describe.each(ALL_DTYPES)('linear %s', (dtype) => {
  it.each(LINEAR_SHAPES.filter(([, cols]) => cols % DTYPES[dtype].blockLength === 0))(
    '%i × %i, same bits for every T, row range and variant',
    (rows, cols) => {
      expect(checkLinear(kernels, dtype, rows, cols)).toEqual([]);
    },
  );
});
