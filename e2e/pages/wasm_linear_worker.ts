/** One thread of the micro-benchmark: calls linear() on its rows; all threads start together. */
import { instantiateKernels } from '../../src/backend/wasm/module';
import type { LinearKernelExports } from '../../src/backend/wasm/linear_check';

export interface Job {
  /** index of the word that counts the threads that are ready */
  gate: number;
  threads: number;
  /** approximate milliseconds of the timed part */
  budget: number;
  /** arguments of linear(), or of the read loop when T is 0 */
  w: number;
  x: number;
  xq: number;
  T: number;
  y: number;
  ldy: number;
  r0: number;
  r1: number;
  /** rows of one call */
  step: number;
}

/**
 * Seconds per row (per byte of the read loop): the mean, and that of the fastest call, which other load does not
 * affect.
 */
export interface Timed {
  mean: number;
  best: number;
}

let linear: LinearKernelExports;
let read: (from: number, to: number) => number;
let words: Int32Array;

onmessage = async ({
  data,
}: MessageEvent<
  { module: WebAssembly.Module; reader: WebAssembly.Module; memory: WebAssembly.Memory; stack: number } | Job
>) => {
  if ('module' in data) {
    linear = instantiateKernels(data.module, data.memory) as unknown as LinearKernelExports;
    linear.__stack_pointer.value = data.stack;
    read = (await WebAssembly.instantiate(data.reader, { env: { memory: data.memory } })).exports.read as typeof read;
    words = new Int32Array(data.memory.buffer);
    return postMessage(0);
  }
  const { gate, threads, budget, w, x, xq, T, y, ldy, r0, r1, step } = data;
  let row = r0;
  const call = (): number => {
    const end = Math.min(row + step, r1);
    const start = performance.now();
    if (T) linear.linear(w, x, xq, T, y, ldy, row, end);
    else read(row, end);
    const time = (performance.now() - start) / (end - row) / 1e3;
    row = end < r1 ? end : r0;
    return time;
  };
  const warm = performance.now() + budget / 2;
  while (performance.now() < warm) call(); // compiles and warms
  Atomics.add(words, gate, 1);
  while (Atomics.load(words, gate) < threads);
  let rows = 0;
  let best = Infinity;
  const start = performance.now();
  for (; performance.now() - start < budget; rows += step) best = Math.min(best, call());
  postMessage({ mean: (performance.now() - start) / rows / 1e3, best } satisfies Timed);
};
