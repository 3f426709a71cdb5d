import { describe, expect, test } from 'vitest';
import { dequantize } from './dequant';
import { DTYPES, type Dtype } from './dtype';
import { bfloatToFloat, floatToBfloat, floatToHalf, halfToFloat } from './half';

// values 0, n/2 − 1, n/2 + 3, n − 1 and Σ (i + 1)·y[i] of the block below, by an independent decoder that agrees with
// gguf-py, or by gguf-py 0.19 itself
const EXPECTED: [Dtype, number[], number[]][] = [
  ['Q4_0', [0], [-0.3125, -0.4375, -0.25, 0.1875, -39.125]],
  ['Q4_1', [0, 2], [0.406219482421875, -0.031280517578125, 0.218719482421875, 0.406219482421875, 185.67138671875]],
  ['Q5_0', [0], [0.25, 0.5, -0.4375, -0.5625, -47.9375]],
  ['Q5_1', [0, 2], [1.718719482421875, 0.656219482421875, 0.156219482421875, 0.718719482421875, 467.73388671875]],
  ['Q8_0', [0], [5.1875, -4.9375, 7.5, -4.1875, 885.5]],
  ['Q4_K', [0, 2], [35.5013427734375, 3.43902587890625, 1.532745361328125, 1.906341552734375, 537540.529296875]],
  ['Q5_K', [0, 2], [16.0013427734375, 3.43902587890625, 87.03274536132812, 1.906341552734375, 1158320.654296875]],
  ['Q6_K', [208], [-43.75, 60.0625, 175.0, 24.375, 77185.25]],
  ['Q2_K', [80, 82], [1.25, 0.1251220703125, 0.43792724609375, 0.093841552734375, 32827.853271484375]],
  ['Q3_K', [108], [3.75, 1.3125, 0, -0.9375, 11059.0]],
  ['IQ4_NL', [0], [-4.0625, -6.5, -3.0625, 2.375, -507.125]],
  ['IQ3_S', [0], [-4.8125, -7.5625, 0.1875, -1.3125, -23789.5]],
  ['IQ4_XS', [0], [76.1875, 48.75, 145.25, -20.75, -69215.0625]],
  ['MXFP4', [], [0.75, -1.0, -1.0, 1.0, 10.75]],
];
const SCALES = [0x2c00, 0xa801]; // 0.0625 and about -0.0313

describe('dequantize', () => {
  test.each(EXPECTED)('%s', (dtype, scales, expected) => {
    const { blockLength: n, blockBytes } = DTYPES[dtype];
    const block = Uint8Array.from({ length: blockBytes }, (_, i) => (i * i * 37 + i * 73 + 41) >> 2);
    scales.forEach((at, i) => block.set([SCALES[i] & 255, SCALES[i] >> 8], at));
    if (dtype === 'MXFP4') block[0] = 125; // an exponent
    const bytes = new Uint8Array(2 * blockBytes);
    bytes.set(block, blockBytes); // the second block, so that a wrong stride shows
    const y = dequantize(dtype, bytes, 2 * n).subarray(n);
    const sum = y.reduce((total, value, i) => total + (i + 1) * value, 0);
    expect([y[0], y[n / 2 - 1], y[n / 2 + 3] + 0, y[n - 1]]).toEqual(expected.slice(0, 4).map(Math.fround));
    expect(sum).toBeCloseTo(expected[4], 1);
  });

  test('MXFP4: the whole range of its exponents', () => {
    const bytes = new Uint8Array(17).fill(0x22);
    const first = (exponent: number): number =>
      dequantize('MXFP4', Uint8Array.of(exponent, ...bytes.subarray(1)), 32)[0];
    expect([0, 1, 128, 254].map(first)).toEqual([2 ** -127, 2 ** -126, 2, 2 ** 127]);
  });

  test('F32, F16, BF16 are taken as they are, from any byte offset', () => {
    const floats = new Uint8Array(new Float32Array([0, 1.5, -3e38]).buffer);
    const shifted = new Uint8Array([9, ...floats]).subarray(1);
    expect([...dequantize('F32', shifted, 3)]).toEqual([0, 1.5, Math.fround(-3e38)]);
    expect([...dequantize('F16', new Uint8Array([0, 0x3e, 0xff, 0x7b]), 2)]).toEqual([1.5, 65504]);
    expect([...dequantize('BF16', new Uint8Array([0xc0, 0x3f, 0, 0xc0]), 2)]).toEqual([1.5, -2]);
  });

  test('writes into what it is given and refuses what does not fit', () => {
    const out = new Float32Array(40).fill(7);
    expect(dequantize('Q8_0', new Uint8Array(34), 32, out)).toBe(out);
    expect([out[31], out[32]]).toEqual([0, 7]);
    expect(() => dequantize('Q8_0', new Uint8Array(34), 33)).toThrow(RangeError);
    expect(() => dequantize('Q8_0', new Uint8Array(33), 32)).toThrow(RangeError);
    expect(() => dequantize('Q8_0', new Uint8Array(34), 32, new Float32Array(31))).toThrow(RangeError);
  });
});

describe('half', () => {
  test('all 65536 patterns survive the way to float and back', () => {
    let wrong = 0;
    for (let h = 0; h < 65536; h++) {
      const x = halfToFloat(h);
      if (Number.isNaN(x) ? (h & 0x7fff) <= 0x7c00 : floatToHalf(x) !== h) wrong++;
      if (!Number.isNaN(bfloatToFloat(h)) && floatToBfloat(bfloatToFloat(h)) !== h) wrong++;
    }
    expect(wrong).toBe(0);
  });

  test.each([
    [1 + 2 ** -11, 0x3c00], // ties go to even
    [1 + 3 * 2 ** -11, 0x3c02],
    [2047.5 / 1024, 0x4000], // a round up into the next binade
    [65519, 0x7bff],
    [65520, 0x7c00],
    [-1e9, 0xfc00],
    [2 ** -25, 0],
    [1.5 * 2 ** -24, 2],
    [-0, 0x8000],
    [1e-40, 0],
  ])('floatToHalf(%f)', (value, half) => expect(floatToHalf(value)).toBe(half));

  test('floatToBfloat rounds ties to even', () => {
    expect([1 + 2 ** -8, 1 + 3 * 2 ** -8].map(floatToBfloat)).toEqual([0x3f80, 0x3f82]);
  });
});
