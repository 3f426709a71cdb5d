/**
 * Chooses int16 or int32 accumulators for products of bytes (kernels/linear_dot.h) by a measurement. Both give the same
 * bits.
 */
import type { WasmHeap } from './memory';
import type { KernelExports } from './module';

/** upper bound for what a tile of 8 rows × 4 tokens × 1024 columns reads and writes */
const TILE_BYTES = 64 << 10;
/** tiles per call, which takes about 0.1 ms */
const TILES_PER_CALL = 64;
/** ms of the measurement: a browser optimizes code only after it has run a while, and that speed counts */
const MEASURE_MS = 25;

/** the result for this processor, once it was measured */
let int16IsFaster: boolean | undefined;

/**
 * Sets the faster width in the kernels; only the first backend of a worker measures. The plain SIMD kernels have one
 * width. @throws MemoryError
 */
export function setFasterAccumulatorWidth({ time_tiles, use_int16_sums }: KernelExports, heap: WasmHeap): void {
  if (!time_tiles || !use_int16_sums) return;
  int16IsFaster ??= isInt16Faster(time_tiles, heap);
  use_int16_sums(Number(int16IsFaster));
}

function isInt16Faster(timeTiles: NonNullable<KernelExports['time_tiles']>, heap: WasmHeap): boolean {
  const zeros = heap.zeros(3 * TILE_BYTES, 'the measurement of the kernels');
  const best = [Infinity, Infinity];
  for (const begin = performance.now(); performance.now() - begin < MEASURE_MS;)
    for (const int16 of [0, 1]) {
      const start = performance.now();
      let [calls, time] = [0, 0];
      // without cross-origin isolation the clock moves in steps of 0.1 ms
      for (; time < 0.5; time = performance.now() - start, calls++)
        timeTiles(int16, zeros, zeros + TILE_BYTES, zeros + 2 * TILE_BYTES, TILES_PER_CALL);
      best[int16] = Math.min(best[int16], time / calls);
    }
  heap.release(zeros);
  return best[1] < best[0];
}
