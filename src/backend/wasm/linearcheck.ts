/** What the tests and the micro-benchmark ask of kernels/linear.c: random matrices of every format, and the check of a product. */
import { dequantize } from '../../tensor/dequant';
import { DTYPES, rowBytes, type Dtype } from '../../tensor/dtype';
import { floatToHalf } from '../../tensor/half';

/** values between the rows of y, which must stay as they were */
const MARGIN = 3;

export interface Linear {
  __heap_base: WebAssembly.Global;
  __stack_pointer: WebAssembly.Global;
  linear(w: number, x: number, xq: number, T: number, y: number, ldy: number, r0: number, r1: number): void;
  quantize(x: number, xq: number, cols: number, T: number, t0: number, t1: number): void;
  unpack_row(w: number, row: number, out: number): void;
  pack(w: number, src: number, first: number, count: number): void;
  packed_size(format: number, rows: number, cols: number): number;
  quantized_size(T: number, cols: number): number;
  sum_briefly?(yes: number): void;
}

export const DTYPE_NAMES = Object.keys(DTYPES) as Dtype[];
const isFloat = (dtype: Dtype): boolean => DTYPES[dtype].blockLength === 1;

/** xorshift32 */
export function random(seed: number): () => number {
  return () => {
    seed ^= seed << 13;
    seed ^= seed >>> 17;
    seed ^= seed << 5;
    return seed >>> 0;
  };
}

/** Rows of random blocks, with every bit pattern of the quants and small scales of both signs. */
export function randomRows(dtype: Dtype, rows: number, cols: number, next: () => number): Uint8Array {
  const bytes = new Uint8Array(rows * rowBytes(dtype, cols)).map(() => next() >>> 13);
  const view = new DataView(bytes.buffer);
  const real = (): number => ((next() >>> 8) / 2 ** 24 - 0.5) * 0.25;
  const { blockBytes } = DTYPES[dtype];
  const halves = { Q4_1: [0, 2], Q5_1: [0, 2], Q4_K: [0, 2], Q5_K: [0, 2], Q6_K: [208], F16: [0] }[dtype as string] ?? [0];
  for (let at = 0; at < bytes.length; at += blockBytes)
    if (dtype === 'F32') view.setFloat32(at, real(), true);
    else if (dtype === 'BF16') view.setUint16(at, (new Uint32Array(new Float32Array([real()]).buffer)[0] >>> 16), true);
    // some halves are subnormal
    else for (const h of halves) view.setUint16(at + h, floatToHalf(next() % (dtype === 'F16' ? 256 : 8) ? real() : real() * 2e-4), true);
  return bytes;
}

/** The activations as the int8 path sees them (kernels/linear_quantize.h), in f32 arithmetic. */
function throughInt8(x: Float32Array): Float64Array {
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

export interface Kernels {
  c: Linear;
  memory: WebAssembly.Memory;
}

/** @param brief relaxed SIMD: sums of products in 16 bits */
export async function openKernels(module: WebAssembly.Module, brief = false): Promise<Kernels> {
  const memory = new WebAssembly.Memory({ initial: 256, maximum: 65536, shared: true });
  const { exports } = await WebAssembly.instantiate(module, { env: { memory, now: () => 0 } });
  const c = exports as unknown as Linear;
  c.sum_briefly?.(Number(brief));
  return { c, memory };
}

interface Product {
  y: Float32Array;
  /** the last row of the matrix, decoded */
  row: Float32Array;
}

/** Packs, then multiplies x [T, cols]; the rows in two ranges when there are enough, as two threads would. y is [T, rows + MARGIN], its margin NaN. */
function multiply({ c, memory }: Kernels, dtype: Dtype, source: Uint8Array, rows: number, cols: number, x: Float32Array, T: number, exact: boolean): Product {
  const format = DTYPES[dtype].ggml;
  let free = c.__heap_base.value;
  const alloc = (bytes: number): number => (free = (free + 63) & ~63, (free += bytes) - bytes);
  const [w, data] = [alloc(16), alloc(c.packed_size(format, rows, cols))];
  const [src, at, y, out] = [alloc(source.length), alloc(x.byteLength), alloc(T * (rows + MARGIN) * 4), alloc(cols * 4)];
  const xq = isFloat(dtype) || exact ? 0 : alloc(c.quantized_size(T, cols));
  const guard = alloc(4);
  if (free > memory.buffer.byteLength) throw new Error(`the test needs ${free} bytes`);
  new Uint32Array(memory.buffer, w, 4).set([format, rows, cols, data]);
  new Uint32Array(memory.buffer, guard, 1).fill(0xabcdef);
  new Uint8Array(memory.buffer, src, source.length).set(source);
  new Float32Array(memory.buffer, at, x.length).set(x);
  new Float32Array(memory.buffer, y, T * (rows + MARGIN)).fill(NaN);
  new Float32Array(memory.buffer, out, cols).fill(NaN);

  for (let first = 0; first < rows; first += 48) c.pack(w, src + first * rowBytes(dtype, cols), first, Math.min(48, rows - first));
  if (xq) {
    c.quantize(at, xq, cols, T, 0, T >> 1);
    c.quantize(at, xq, cols, T, T >> 1, T);
  }
  const middle = Math.min(rows, Math.ceil(rows / 32) * 16);
  c.linear(w, at, xq, T, y, rows + MARGIN, 0, middle);
  if (middle < rows) c.linear(w, at, xq, T, y, rows + MARGIN, middle, rows);
  c.unpack_row(w, rows - 1, out);
  if (new Uint32Array(memory.buffer, guard, 1)[0] !== 0xabcdef) throw new Error('wrote past the end of a buffer');
  return { y: new Float32Array(memory.buffer, y, T * (rows + MARGIN)).slice(), row: new Float32Array(memory.buffer, out, cols).slice() };
}

/** The shapes of the check; a dtype takes those whose cols are whole blocks. */
export const SHAPES: [rows: number, cols: number][] = [
  [1, 256], [5, 32], [5, 768], [16, 1280], [33, 96], [33, 256], [130, 512], [2, 1], [7, 33], [17, 5], [8, 257], [20, 1031],
]; // prettier-ignore
const TOKENS = [33, 7, 3, 2, 1];

/**
 * Multiplies one shape by the kernels given, for every T, in int8 and exactly, and compares with plain loops over dequantised weights.
 * @returns what is wrong; empty when nothing is: results must be bit-identical for every T and every one of `kernels`
 */
export function checkLinear(kernels: Record<string, Kernels>, dtype: Dtype, rows: number, cols: number): string[] {
  const wrong: string[] = [];
  const next = random(rows * 7919 + cols);
  const source = randomRows(dtype, rows, cols, next);
  const weights = dequantize(dtype, source, rows * cols);
  const lastRow = weights.subarray((rows - 1) * cols);
  const x = new Float32Array(TOKENS[0] * cols).map(() => (next() / 2 ** 31 - 1) * (next() % 16 ? 1 : 20));
  x.fill(0, 0, Math.min(cols, 32)); // a block of zeros
  for (const exact of isFloat(dtype) ? [true] : [false, true]) {
    const wanted = product(weights, exact ? x : throughInt8(x), rows, cols);
    let first: Uint32Array | undefined;
    for (const [name, kernel] of Object.entries(kernels))
      for (const T of TOKENS) {
        const what = `${dtype} ${rows}×${cols}, ${name}, T = ${T}${exact ? ', f32' : ''}: `;
        const { y, row } = multiply(kernel, dtype, source, rows, cols, x.subarray(0, T * cols), T, exact);
        if (row.some((v, k) => v !== lastRow[k])) wrong.push(`${what}unpack_row differs from the dequantised row`);
        let worst = 0;
        for (let i = 0; i < y.length; i++) {
          const r = i % (rows + MARGIN);
          if (r >= rows !== Number.isNaN(y[i])) wrong.push(`${what}y[${i}] is ${y[i]}`);
          if (r < rows) worst = Math.max(worst, wanted.size[i] ? Math.abs(y[i] - wanted.y[i]) / wanted.size[i] : Math.abs(y[i]));
        }
        if (worst > 2e-6) wrong.push(`${what}off by ${worst} of the sum of |w x|`);
        const bits = new Uint32Array(y.buffer);
        if (first && bits.some((v, i) => v !== first![i])) wrong.push(`${what}bits differ from the first result`);
        first ??= bits;
      }
  }
  return wrong;
}

/** In f64, laid out as y; `size` is the sum of |w x|. */
function product(weights: Float32Array, x: ArrayLike<number>, rows: number, cols: number): { y: Float64Array; size: Float64Array } {
  const T = x.length / cols;
  const out = { y: new Float64Array(T * (rows + MARGIN)), size: new Float64Array(T * (rows + MARGIN)) };
  for (let t = 0; t < T; t++)
    for (let r = 0; r < rows; r++)
      for (let k = 0; k < cols; k++) {
        const p = weights[r * cols + k] * x[t * cols + k];
        out.y[t * (rows + MARGIN) + r] += p;
        out.size[t * (rows + MARGIN) + r] += Math.abs(p);
      }
  return out;
}
