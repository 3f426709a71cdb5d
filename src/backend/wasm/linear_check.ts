/**
 * For tests and the micro-benchmark of kernels/linear.c: random matrices of every format, and a check of their
 * products.
 */
import { dequantize } from '../../tensor/dequant';
import { DTYPES, type Dtype } from '../../tensor/dtype';
import { simpleRowBytes, simplify } from '../../tensor/nibbles';
import { randomTestWeightRows } from '../random_weights';
import { STRUCTS } from './structs';

const { WEIGHT } = STRUCTS;

/** values between the rows of y, which the kernels must not change */
const ROW_PADDING = 3;

/** The exports of the kernels that concern linear maps. */
export interface LinearKernelExports {
  __heap_base: WebAssembly.Global;
  __stack_pointer: WebAssembly.Global;
  linear(w: number, x: number, xq: number, T: number, y: number, ldy: number, r0: number, r1: number): void;
  quantize(x: number, xq: number, cols: number, T: number, t0: number, t1: number): void;
  unpack_row(w: number, row: number, out: number): void;
  pack(w: number, src: number, first: number, count: number): void;
  packed_size(format: number, rows: number, cols: number): number;
  quantized_size(T: number, cols: number): number;
  use_int16_sums?(yes: number): void;
}

export const ALL_DTYPES = Object.keys(DTYPES) as Dtype[];
/** whether the kernels read f32 activations only */
const isFloat = (dtype: Dtype): boolean => DTYPES[dtype].blockLength === 1 || dtype === 'Q2_K';

/** A generator of numbers in [0, 2³²) by the algorithm xorshift32. */
export function xorshift32(seed: number): () => number {
  return () => {
    seed ^= seed << 13;
    seed ^= seed >>> 17;
    seed ^= seed << 5;
    return seed >>> 0;
  };
}

/**
 * Rows of random blocks with every bit pattern of the codes; their floats are small, of both signs, and some are
 * subnormal halves.
 */
export const randomWeightRowsWithSubnormals = (
  dtype: Dtype,
  rows: number,
  cols: number,
  next: () => number,
): Uint8Array => {
  const small = (): number => ((next() >>> 8) / 2 ** 24 - 0.5) * 0.25;
  return randomTestWeightRows(
    dtype,
    rows,
    cols,
    () => next() >>> 13,
    () => (next() % (dtype === 'F16' ? 256 : 8) ? small() : small() * 2e-4),
  );
};

/** Rounds activations to int8 and back as kernels/linear_quantize.h does, in f32 arithmetic. */
function roundToInt8(x: Float32Array): Float64Array {
  const { fround } = Math;
  const out = new Float64Array(x.length);
  for (let b = 0; b < x.length; b += 32) {
    const largest = x.subarray(b, b + 32).reduce((most, v) => Math.max(most, Math.abs(v)), 0);
    if (largest < 1e-30) continue;
    for (let i = b; i < b + 32; i++) {
      const exact = fround(x[i] * fround(127 / largest));
      const low = Math.floor(exact);
      const q = exact - low === 0.5 ? low + (low & 1) : Math.round(exact);
      out[i] = q * fround(largest / 127);
    }
  }
  return out;
}

/** An instance of the kernels with its memory. */
export interface LinearKernelInstance {
  exports: LinearKernelExports;
  memory: WebAssembly.Memory;
}

/** @param int16Sums relaxed SIMD: add the first products in 16 bits */
export async function instantiateLinearKernels(
  module: WebAssembly.Module,
  int16Sums = false,
): Promise<LinearKernelInstance> {
  const memory = new WebAssembly.Memory({ initial: 256, maximum: 65536, shared: true });
  const { exports } = await WebAssembly.instantiate(module, { env: { memory, now: () => 0 } });
  const c = exports as unknown as LinearKernelExports;
  c.use_int16_sums?.(Number(int16Sums));
  return { exports: c, memory };
}

interface Product {
  y: Float32Array;
  /** the last row of the matrix, decoded */
  row: Float32Array;
}

/**
 * Packs the matrix and multiplies x [T, cols], in two ranges of rows as two threads would. y is [T, rows +
 * ROW_PADDING]; its padding is NaN.
 */
function multiply(
  { exports: c, memory }: LinearKernelInstance,
  dtype: Dtype,
  rawRows: Uint8Array,
  rows: number,
  cols: number,
  x: Float32Array,
  T: number,
  exact: boolean,
): Product {
  const format = DTYPES[dtype].ggml;
  const source = simplify(dtype, rawRows);
  let free = c.__heap_base.value;
  const alloc = (bytes: number): number => ((free = (free + 63) & ~63), (free += bytes) - bytes);
  const [w, data] = [alloc(WEIGHT.bytes), alloc(c.packed_size(format, rows, cols))];
  const [src, at, y, out] = [
    alloc(source.length),
    alloc(x.byteLength),
    alloc(T * (rows + ROW_PADDING) * 4),
    alloc(cols * 4),
  ];
  const xq = isFloat(dtype) || exact ? 0 : alloc(c.quantized_size(T, cols));
  const guard = alloc(4);
  if (free > memory.buffer.byteLength) throw new Error(`the test needs ${free} bytes`);
  WEIGHT.write({ u32: new Uint32Array(memory.buffer) }, w, { format, rows, cols, data });
  new Uint32Array(memory.buffer, guard, 1).fill(0xabcdef);
  new Uint8Array(memory.buffer, src, source.length).set(source);
  new Float32Array(memory.buffer, at, x.length).set(x);
  new Float32Array(memory.buffer, y, T * (rows + ROW_PADDING)).fill(NaN);
  new Float32Array(memory.buffer, out, cols).fill(NaN);

  for (let first = 0; first < rows; first += 48)
    c.pack(w, src + first * simpleRowBytes(dtype, cols), first, Math.min(48, rows - first));
  if (xq) {
    c.quantize(at, xq, cols, T, 0, T >> 1);
    c.quantize(at, xq, cols, T, T >> 1, T);
  }
  const middle = Math.min(rows, Math.ceil(rows / 32) * 16);
  c.linear(w, at, xq, T, y, rows + ROW_PADDING, 0, middle);
  if (middle < rows) c.linear(w, at, xq, T, y, rows + ROW_PADDING, middle, rows);
  c.unpack_row(w, rows - 1, out);
  if (new Uint32Array(memory.buffer, guard, 1)[0] !== 0xabcdef) throw new Error('wrote past the end of a buffer');
  return {
    y: new Float32Array(memory.buffer, y, T * (rows + ROW_PADDING)).slice(),
    row: new Float32Array(memory.buffer, out, cols).slice(),
  };
}

/** The shapes to check; a dtype takes those whose columns are whole blocks. */
export const LINEAR_SHAPES: [rows: number, cols: number][] = [
  [1, 256], [5, 32], [5, 768], [16, 1280], [33, 96], [33, 256], [130, 512], [2, 1], [7, 33], [17, 5], [8, 257],
  [20, 1031],
]; // prettier-ignore
const TOKENS = [33, 7, 3, 2, 1];

/**
 * Multiplies a matrix of one shape for every T, with int8 and with f32 activations, and compares with plain loops over
 * dequantized weights.
 * @returns the errors; results must have the same bits for every T and all `kernels`
 */
export function checkLinear(
  kernels: Record<string, LinearKernelInstance>,
  dtype: Dtype,
  rows: number,
  cols: number,
): string[] {
  const wrong: string[] = [];
  const next = xorshift32(rows * 7919 + cols);
  const source = randomWeightRowsWithSubnormals(dtype, rows, cols, next);
  const weights = dequantize(dtype, source, rows * cols);
  const lastRow = weights.subarray((rows - 1) * cols);
  const x = new Float32Array(TOKENS[0] * cols).map(() => (next() / 2 ** 31 - 1) * (next() % 16 ? 1 : 20));
  x.fill(0, 0, Math.min(cols, 32)); // a block of zeros
  for (const exact of isFloat(dtype) ? [true] : [false, true]) {
    const wanted = product(weights, exact ? x : roundToInt8(x), rows, cols);
    let first: Uint32Array | undefined;
    for (const [name, kernel] of Object.entries(kernels))
      for (const T of TOKENS) {
        const what = `${dtype} ${rows}×${cols}, ${name}, T = ${T}${exact ? ', f32' : ''}: `;
        const { y, row } = multiply(kernel, dtype, source, rows, cols, x.subarray(0, T * cols), T, exact);
        if (row.some((v, k) => v !== lastRow[k])) wrong.push(`${what}unpack_row differs from the dequantized row`);
        let worst = 0;
        for (let i = 0; i < y.length; i++) {
          const r = i % (rows + ROW_PADDING);
          if (r >= rows !== Number.isNaN(y[i])) wrong.push(`${what}y[${i}] is ${y[i]}`);
          if (r < rows)
            worst = Math.max(worst, wanted.size[i] ? Math.abs(y[i] - wanted.y[i]) / wanted.size[i] : Math.abs(y[i]));
        }
        if (worst > 2e-6) wrong.push(`${what}off by ${worst} of the sum of |w x|`);
        const bits = new Uint32Array(y.buffer);
        if (first && bits.some((v, i) => v !== first![i])) wrong.push(`${what}bits differ from the first result`);
        first ??= bits;
      }
  }
  return wrong;
}

/** The product in f64, in the layout of y; `size` is the sum of |w x|. */
function product(
  weights: Float32Array,
  x: ArrayLike<number>,
  rows: number,
  cols: number,
): { y: Float64Array; size: Float64Array } {
  const T = x.length / cols;
  const out = { y: new Float64Array(T * (rows + ROW_PADDING)), size: new Float64Array(T * (rows + ROW_PADDING)) };
  for (let t = 0; t < T; t++)
    for (let r = 0; r < rows; r++)
      for (let k = 0; k < cols; k++) {
        const p = weights[r * cols + k] * x[t * cols + k];
        out.y[t * (rows + ROW_PADDING) + r] += p;
        out.size[t * (rows + ROW_PADDING) + r] += Math.abs(p);
      }
  return out;
}
