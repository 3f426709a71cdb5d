/** How this processor adds up products of bytes fastest: kernels/linear_dot.h says between what. Both ways give the same bits. */
import type { Heap } from './memory';
import type { Kernels } from './module';

/** at least what a tile of 8 rows × 4 tokens × 1024 k reads and writes */
const TILE_BYTES = 64 << 10;
/** tiles of one call: some 0.1 ms */
const TILES = 64;
/** ms: browsers compile quickly at first and well a little later, and only the latter counts */
const TIME = 25;

/** of this processor, once it was measured */
let brief: boolean | undefined;

/** Tells the kernels, after a short measurement by the first backend of a worker. Plain SIMD has no choice. @throws MemoryError */
export function chooseDots({ try_tiles: run, sum_briefly: choose }: Kernels, heap: Heap): void {
  if (!run || !choose) return;
  brief ??= isBriefFaster(run, heap);
  choose(Number(brief));
}

function isBriefFaster(run: NonNullable<Kernels['try_tiles']>, heap: Heap): boolean {
  const zeros = heap.zeros(3 * TILE_BYTES, 'the choice of kernels');
  const best = [Infinity, Infinity];
  for (const begin = performance.now(); performance.now() - begin < TIME; )
    for (const way of [0, 1]) {
      const start = performance.now();
      let [calls, time] = [0, 0];
      // clocks of pages that are not isolated go by tenths of a millisecond
      for (; time < 0.5; time = performance.now() - start, calls++) run(way, zeros, zeros + TILE_BYTES, zeros + 2 * TILE_BYTES, TILES);
      best[way] = Math.min(best[way], time / calls);
    }
  heap.release(zeros);
  return best[1] < best[0];
}
