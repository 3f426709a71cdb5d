/** How this processor adds up products of bytes fastest: kernels/linear.c says between what. Both ways give the same bits. */
import { DTYPES } from '../../tensor/dtype';
import type { Heap } from './memory';
import type { Kernels } from './module';

const [ROWS, COLS, TOKENS] = [64, 1024, 8];
/** ms of one sample: clocks of pages that are not isolated go by tenths */
const SAMPLE = 0.5;
const ROUNDS = 4;

/** Tells the kernels, after some milliseconds over a small matrix. Plain SIMD has no choice. @throws MemoryError */
export function chooseDots(kernels: Kernels, heap: Heap): void {
  const choose = kernels.sum_briefly;
  if (!choose) return;
  const format = DTYPES.Q4_0.ggml;
  const held: number[] = [];
  const alloc = (bytes: number): number => held[held.push(heap.zeros(bytes, 'the choice of kernels')) - 1];
  const weights = alloc(kernels.packed_size(format, ROWS, COLS));
  const [w, x, int8, y] = [16, TOKENS * COLS * 4, kernels.quantized_size(TOKENS, COLS), TOKENS * ROWS * 4].map(alloc);
  heap.u32.set([format, ROWS, COLS, weights], w / 4);
  kernels.quantize(x, int8, COLS, TOKENS, 0, TOKENS);

  const best = [Infinity, Infinity];
  for (let round = 0; round < ROUNDS; round++)
    for (const brief of [0, 1]) {
      choose(brief);
      const start = performance.now();
      let [calls, time] = [0, 0];
      do {
        kernels.linear(w, x, int8, TOKENS, y, ROWS, 0, ROWS);
        calls++;
        time = performance.now() - start;
      } while (time < SAMPLE);
      best[brief] = Math.min(best[brief], time / calls);
    }
  choose(Number(best[1] < best[0]));
  held.forEach((address) => heap.release(address));
}
