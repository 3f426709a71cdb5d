/** The kernels of the linear map in a page, for wasm_linear.spec.ts and tools/kernels.ts. */
import {
  checkLinear,
  ALL_DTYPES,
  instantiateLinearKernels,
  xorshift32,
  randomWeightRowsWithSubnormals,
  LINEAR_SHAPES,
  type LinearKernelInstance,
} from '../../src/backend/wasm/linear_check';
import { loadKernelModule, type SimdVariant } from '../../src/backend/wasm/module';
import { STRUCTS } from '../../src/backend/wasm/structs';
import { DTYPES, type Dtype } from '../../src/tensor/dtype';
import { simpleRowBytes, simplify } from '../../src/tensor/nibbles';
import type { Job, Timed } from './wasm_linear_worker';

const open = async (variant: SimdVariant, int16Sums?: boolean): Promise<LinearKernelInstance> =>
  instantiateLinearKernels(loadKernelModule(true, variant).module, int16Sums);

/** Checks every format and shape with all kernels: simd, relaxed, and relaxed with int16 sums. @returns the errors */
export async function checkAll(): Promise<string[]> {
  const kernels = {
    simd: await open('simd'),
    relaxed: await open('relaxed'),
    'relaxed, int16 sums': await open('relaxed', true),
  };
  return ALL_DTYPES.flatMap((dtype) =>
    LINEAR_SHAPES.filter(([, cols]) => cols % DTYPES[dtype].blockLength === 0).flatMap(([rows, cols]) =>
      checkLinear(kernels, dtype, rows, cols),
    ),
  );
}

export interface MeasureOptions {
  variant: SimdVariant;
  /** relaxed SIMD: add the first products in 16 bits */
  int16Sums: boolean;
  dtypes: Dtype[];
  threads: number[];
  rows: number;
  cols: number;
  /** tokens of the GEMM */
  T: number;
  /** milliseconds of one timing; the best of three counts */
  budget: number;
  /** base64 of a module with read(from, to) over imported memory */
  reader: string;
}

export interface Measured {
  dtype: string;
  threads: number;
  /** packed bytes over bytes in the file */
  packed: number;
  packGBs: number;
  gemvGMACs: number;
  gemvGBs: number;
  gemmGMACs: number;
}

/** Measures GEMV and GEMM of every dtype; the row 'read' is the read roofline in GB/s. */
export async function measure({
  variant,
  int16Sums,
  dtypes,
  threads,
  rows,
  cols,
  T,
  budget,
  reader,
}: MeasureOptions): Promise<Measured[]> {
  const { module } = loadKernelModule(true, variant);
  const { exports: c, memory } = await instantiateLinearKernels(module, int16Sums);
  memory.grow(Math.ceil((rows * cols * 9 + T * (rows + cols * 8) * 4) / 65536) + 64);
  const read = await WebAssembly.compile(Uint8Array.from(atob(reader), (v) => v.charCodeAt(0)));
  let free = c.__heap_base.value;
  const alloc = (bytes: number): number => {
    free = (free + 63) & ~63;
    free += bytes;
    return free - bytes;
  };
  const workers: Worker[] = [];
  const ask = (i: number, message: object): Promise<Timed> =>
    new Promise((resolve, reject) => {
      workers[i].onmessage = ({ data }) => resolve(data as Timed);
      workers[i].onerror = ({ message: text }) => reject(new Error(text));
      workers[i].postMessage(message);
    });
  for (let i = 0; i < Math.max(...threads); i++) {
    workers.push(new Worker(new URL('./wasm_linear_worker.ts', import.meta.url), { type: 'module' }));
    await ask(i, { module, reader: read, memory, stack: alloc(65536) + 65536 });
  }
  const gate = alloc(64) / 4;
  const w = alloc(64);
  const x = alloc(T * cols * 4);
  const xq = alloc(c.quantized_size(T, cols));
  const y = alloc(T * rows * 4);
  const next = xorshift32(1);
  new Float32Array(memory.buffer, x, T * cols).forEach((_, i, all) => (all[i] = next() / 2 ** 31 - 1));
  const base = free;

  /**
   * Rows (or bytes) per second: of one thread from its fastest call, of several from the sum of their means in the best
   * of three rounds.
   */
  const speed = async (n: number, tokens: number, from: number, to: number, step: number): Promise<number> => {
    let most = 0;
    for (let round = 0; round < 3; round++) {
      Atomics.store(new Int32Array(memory.buffer), gate, 0);
      const cut = (i: number): number => from + Math.floor(((to - from) * i) / n / 64) * 64;
      const job = { gate, threads: n, budget, w, x, xq, T: tokens, y, ldy: rows, step };
      const times = await Promise.all(
        Array.from({ length: n }, (_, i) => ask(i, { ...job, r0: cut(i), r1: cut(i + 1) } satisfies Job)),
      );
      most = Math.max(most, n === 1 ? 1 / times[0].best : times.reduce((sum, { mean }) => sum + 1 / mean, 0));
    }
    return most;
  };

  const out: Measured[] = [];
  for (const dtype of dtypes) {
    const format = DTYPES[dtype].ggml;
    free = base;
    const size = c.packed_size(format, rows, cols);
    const source = simplify(dtype, randomWeightRowsWithSubnormals(dtype, rows, cols, next));
    const [data, src] = [alloc(size), alloc(source.length)];
    STRUCTS.WEIGHT.write({ u32: new Uint32Array(memory.buffer) }, w, { format, rows, cols, data });
    new Uint8Array(memory.buffer, src, source.length).set(source);
    let packing = Infinity;
    const [slice, bytes] = [64, simpleRowBytes(dtype, cols)];
    for (let round = 0; round < 5; round++)
      for (let r = 0; r + slice <= rows; r += slice) {
        const start = performance.now();
        c.pack(w, src + r * bytes, r, slice);
        packing = Math.min(packing, (performance.now() - start) / 1e3 / slice);
      }
    for (const n of threads) {
      c.quantize(x, xq, cols, 1, 0, 1);
      const gemv = await speed(n, 1, 0, rows, 4096);
      c.quantize(x, xq, cols, T, 0, T);
      const gemm = await speed(n, T, 0, rows, 128);
      const round = (v: number): number => +(v / 1e9).toFixed(2);
      out.push({
        dtype, threads: n, packed: +(size / source.length).toFixed(3), packGBs: round(bytes / packing),
        gemvGMACs: round(gemv * cols), gemvGBs: round((gemv * size) / rows), gemmGMACs: round(gemm * cols * T),
      }); // prettier-ignore
    }
  }
  for (const n of threads) {
    const bytes = await speed(n, 0, base, base + rows * cols, 1 << 20);
    out.push({
      dtype: 'read',
      threads: n,
      packed: 0,
      packGBs: 0,
      gemvGMACs: 0,
      gemvGBs: +(bytes / 1e9).toFixed(2),
      gemmGMACs: 0,
    });
  }
  for (const worker of workers) worker.terminate();
  return out;
}
