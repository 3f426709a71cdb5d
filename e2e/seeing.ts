/** Shows pictures to a loaded model, for the checking tools: in a page, or in Node. */
import type { Backend, State } from '../src/backend/backend';
import type { Checkpoint } from '../src/engine/checkpoint';
import { findTokenId } from '../src/engine/tokenizer_files';
import { createVisionEncoder, prefillWithFeatures, readPositions } from '../src/engine/vision_encoder';
import type { LoadedWeights } from '../src/model/architecture';
import { cutPicture } from '../src/vision/tiles';
import { decodePng } from './png';

export interface Sight {
  /**
   * Shows the pictures of the prompts that follow, PNG files.
   * @param rows which of their features are returned, all of them by default
   */
  see(pictures: Uint8Array[], rows?: number[]): Promise<Float32Array>;
  /** Reads a prompt. */
  feed(state: State, tokens: number[], piece: number): Promise<void>;
}

/** Of a model without vision: it reads prompts only. */
export async function createSight(checkpoint: Checkpoint, weights: LoadedWeights, backend: Backend): Promise<Sight> {
  const { vision, hiddenSize } = checkpoint.config;
  const encoder = vision && (await createVisionEncoder(checkpoint, await readPositions(checkpoint), weights, backend));
  const imageToken = vision?.imageToken ?? findTokenId(checkpoint.tokenizer, '<image>') ?? -1;
  let features = new Float32Array();
  return {
    async see(pictures, rows) {
      const decoded = await Promise.all(pictures.map(decodePng));
      features = await encoder!.encode(decoded.flatMap((picture) => cutPicture(picture, vision!).tiles));
      return rows
        ? Float32Array.from(rows.flatMap((row) => [...features.subarray(row * hiddenSize, (row + 1) * hiddenSize)]))
        : features;
    },
    feed: (state, tokens, piece) =>
      prefillWithFeatures(state, Uint32Array.from(tokens), { imageToken, features }, piece),
  };
}
