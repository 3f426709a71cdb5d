/**
 * Random numbers and weights that depend on a name only, so that they are the same everywhere: for the self test, the
 * estimate and tests.
 */
import type { Matrix } from '../model/ops';
import { DTYPES, rowBytes, type Dtype } from '../tensor/dtype';
import { floatToBfloat, floatToHalf } from '../tensor/half';
import { ROW_SLICE_MULTIPLE, type Backend } from './backend';

/** A generator of numbers in [0, 2³²) whose seed is a name. */
export function seededRandom(name: string): () => number {
  let state = [...name].reduce((hash, c) => Math.imul(hash ^ c.charCodeAt(0), 16777619), 2166136261) >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state ^ (state >>> 15)) >>> 0;
  };
}

/**
 * Rows of random bytes in which `setFloats` then writes the floats of each block, since random bits may be infinite or
 * NaN.
 * @param byte draws a number whose lowest 8 bits are the next byte
 */
export function randomBlocks(
  dtype: Dtype,
  rows: number,
  cols: number,
  byte: () => number,
  setFloats: (view: DataView, at: number) => void,
): Uint8Array {
  const bytes = new Uint8Array(rows * rowBytes(dtype, cols));
  for (let i = 0; i < bytes.length; i++) bytes[i] = byte();
  const view = new DataView(bytes.buffer);
  for (let at = 0; at < bytes.length; at += DTYPES[dtype].blockBytes) setFloats(view, at);
  return bytes;
}

/** Where the halves of a block lie, if not at its start. */
const FLOATS_AT: Partial<Record<Dtype, number[]>> = {
  Q2_K: [80, 82],
  Q3_K: [108],
  Q4_K: [0, 2],
  Q5_K: [0, 2],
  Q6_K: [208],
};

/**
 * Rows of random blocks for tests of kernels: `float` draws the scales, the minima and the weights of float formats.
 */
export function randomTestWeightRows(
  dtype: Dtype,
  rows: number,
  cols: number,
  byte: () => number,
  float: () => number,
): Uint8Array {
  const offsets = FLOATS_AT[dtype] ?? (/_1$/.test(dtype) ? [0, 2] : [0]);
  return randomBlocks(dtype, rows, cols, byte, (view, at) => {
    if (dtype === 'F32') view.setFloat32(at, float(), true);
    else if (dtype === 'MXFP4') view.setUint8(at, 112 + (byte() & 15));
    else
      for (const offset of offsets)
        view.setUint16(at + offset, (dtype === 'BF16' ? floatToBfloat : floatToHalf)(float()), true);
  });
}

/** Exponent of the smallest scale of a block, by the size of its codes. */
const SMALLEST_SCALE: Partial<Record<Dtype, number>> = {
  Q4_0: -7,
  Q4_1: -7,
  Q5_0: -8,
  Q5_1: -8,
  Q8_0: -11,
  Q2_K: -8,
  Q3_K: -10,
  Q4_K: -13,
  Q5_K: -14,
  Q6_K: -14,
  IQ4_NL: -11,
  IQ3_S: -12,
  IQ4_XS: -14,
};
/** 2^exponent as a half */
const half = (exponent: number): number => (exponent + 15) << 10;

/**
 * Rows of random blocks of a dtype. Weights of every format are about 1/16, so that a map of 256 columns keeps the size
 * of its input.
 */
export function randomWeightRows(name: string, dtype: Dtype, rows: number, cols: number): Uint8Array {
  const next = seededRandom(`${name} ${dtype}`);
  return randomBlocks(
    dtype,
    rows,
    cols,
    () => next() >>> 24,
    (view, at) => {
      const value = (next() / 2 ** 32 - 0.5) * 0.25;
      if (dtype === 'F32') view.setFloat32(at, value, true);
      else if (dtype === 'BF16') view.setUint16(at, bf16(value), true);
      else if (dtype === 'MXFP4') view.setUint8(at, 121 + (next() & 1));
      else if (dtype === 'F16') view.setUint16(at, (value < 0 ? 0x8000 : 0) | 0x2800 | (next() & 0x7ff), true);
      else {
        const d = half(SMALLEST_SCALE[dtype]!) + (next() & 0x7ff); // 1 to 4 times the smallest
        // in Q6_K often a subnormal half, which some devices flush to zero
        const [first] = FLOATS_AT[dtype] ?? [0];
        view.setUint16(at + first, dtype === 'Q6_K' && next() & 3 ? 0x200 | (d & 0x1ff) : d, true);
        // a minimum near the middle code: else an offset common to all weights would hide their differences
        const minimum =
          (d & 0x7c00) + (dtype === 'Q2_K' ? 0x0200 : dtype.startsWith('Q4') ? 0x0c00 : 0x1000) + (next() & 0x3ff);
        if (dtype.endsWith('_1')) view.setUint16(at + 2, 0x8000 | minimum, true);
        if (!/^Q[245]_K$/.test(dtype)) return;
        view.setUint16(at + first + 2, minimum, true);
        // the minima are near the scales for the same reason
        const bytes = new Uint8Array(view.buffer);
        if (dtype === 'Q2_K') for (let i = at; i < at + 16; i++) bytes[i] = (bytes[i] & 31) ^ ((bytes[i] & 15) << 4);
        else
          for (let i = at + 4; i < at + 8; i++) {
            bytes[i + 4] = bytes[i] ^ (bytes[i + 4] & 7);
            bytes[i + 8] = (bytes[i + 8] & 15) | ((bytes[i + 8] << 4) ^ (bytes[i + 8] & 0x30));
          }
      }
    },
  );
}

const word = new DataView(new ArrayBuffer(4));
const bf16 = (value: number): number => (word.setFloat32(0, value), word.getUint16(0));

/** Writes a random matrix to a backend, two slices per segment, as a loader does. */
export async function writeRandomMatrix(backend: Pick<Backend, 'matrix'>, spec: Matrix): Promise<Matrix> {
  const writer = backend.matrix(spec);
  for (const [i, { name, rows, dtype }] of spec.segments.entries()) {
    const bytes = randomWeightRows(name, dtype, rows, spec.cols);
    const middle = Math.floor(rows / 2 / ROW_SLICE_MULTIPLE) * ROW_SLICE_MULTIPLE;
    const border = middle * rowBytes(dtype, spec.cols);
    if (middle > 0) await writer.write(i, 0, bytes.slice(0, border));
    await writer.write(i, middle, bytes.slice(border));
  }
  return writer.finish();
}
