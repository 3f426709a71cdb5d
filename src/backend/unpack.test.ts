/** Packs bytes of many kinds, and unpacks them whole and in parts. */
import { modules } from 'virtual:rivulet-kernels';
import { expect, it } from 'vitest';
import { compileKernels } from './wasm/kernels/build';
import { pack } from './wasm/kernels/pack';
import { createUnpacker } from './unpack';

/** the same numbers in each run */
function randomBytes(length: number, values: number): Uint8Array {
  let state = 1;
  return Uint8Array.from({ length }, () => ((state = (state * 48271) % 0x7fffffff) >> 8) % values);
}

const numbers = (length: number, value: (i: number) => number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => value(i));

it.each([
  ['no byte', new Uint8Array(0), 4],
  ['one byte', numbers(1, () => 255), 8],
  ['one byte over and over', numbers(4000, () => 7), 20],
  ['bytes that do not compress', randomBytes(3000, 256), 3300],
  ['bytes of two values', randomBytes(3000, 2), 560],
  ['a repeat after many other bytes', Buffer.concat([randomBytes(3000, 256), randomBytes(3000, 256)]), 3300],
  ['records that differ in one byte', numbers(3000, (i) => (i % 16 === 5 ? (i >> 4) & 255 : i % 16)), 220],
])('%s', (_, bytes, most) => {
  const packed = pack(bytes);
  expect(packed.length).toBeLessThanOrEqual(most);
  expect(createUnpacker(packed, bytes.length)(0, bytes.length)).toEqual(Uint8Array.from(bytes));
});

it('unpacks a part, and goes on from there', () => {
  const bytes = Buffer.concat([randomBytes(3000, 9), randomBytes(3000, 9)]);
  const unpack = createUnpacker(pack(bytes), bytes.length);
  for (const [begin, end] of [
    [0, 2500],
    [2000, 2400],
    [2500, 6000],
    [0, 6000],
  ])
    expect(unpack(begin, end)).toEqual(Uint8Array.from(bytes.subarray(begin, end)));
});

it('the bundle has both sets of kernels as clang made them, smaller than deflate makes them', async () => {
  const [simd, relaxed] = await Promise.all([compileKernels('simd'), compileKernels('relaxed')]);
  const packed = Buffer.from(modules.text, 'base64');
  const unpack = createUnpacker(packed, modules.relaxed + modules.simd);
  expect(Buffer.compare(unpack(0, modules.relaxed), relaxed)).toBe(0);
  expect(Buffer.compare(unpack(modules.relaxed, modules.relaxed + modules.simd), simd)).toBe(0);
  expect(packed.length).toBeLessThan((relaxed.length + simd.length) / 8);
});
