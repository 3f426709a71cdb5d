/** Checkpoints of real sizes with made-up weights: for measurements of speed. */
import { randomGguf } from '../../demo/bench/random_gguf';
import { openCheckpoint, type Checkpoint } from '../../src/engine/checkpoint';
import { blobSource } from '../../src/store/byte_source';

/** @param quant a quantization in small letters. @throws RangeError when the size or the quantization is unknown */
export const randomCheckpoint = (size: string, quant: string): Promise<Checkpoint> =>
  openCheckpoint([blobSource(randomGguf(size, quant.toUpperCase()))]);
