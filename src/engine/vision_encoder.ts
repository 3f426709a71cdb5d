/** Runs the vision encoder of a model: a picture becomes rows in place of the embeddings of its image tokens. */
import { firstState, type Backend, type InputRows, type State } from '../backend/backend';
import { recordVision } from '../backend/vision_plan';
import { abortError, fail } from '../errors';
import type { LoadedWeights } from '../model/architecture';
import type { VisionConfig } from '../model/config';
import { dequantize } from '../tensor/dequant';
import { patchRows, positionRows, type Tile } from '../vision/patches';
import type { CheckpointOutline } from './checkpoint';
import { yieldToEventLoop } from './event_loop';

export interface EncodeTilesOptions {
  /** ends the call with an AbortError before the next tiles */
  signal?: AbortSignal;
  /** the rows of the calls that are done: those of an earlier encode of these tiles, which goes on behind them */
  parts?: Float32Array[];
  /** called after each call of the encoder, with its number of tiles and its time; the next call waits for it */
  onTiles?: (count: number, secondsPerPatch: number) => unknown;
}

export interface VisionEncoder {
  /**
   * Tiles of any pictures: of each token of each tile, in this order, a row of the text model's width.
   * @throws AbortError, DeviceError, MemoryError
   */
  encode(tiles: readonly Tile[], options?: EncodeTilesOptions): Promise<Float32Array<ArrayBuffer>>;
  /** Frees all but the weights. */
  dispose(): void;
}

/** Most patches of a tile, and so of a call of the encoder. */
export const patchesOfCall = ({ patchSize: P, downsample, preparation }: VisionConfig): number =>
  Math.max((preparation.tileSize / P) ** 2, preparation.maxTokens * downsample ** 2);

/**
 * @param checkpoint of a model with vision
 * @param table of `readPositions`
 * @throws MemoryError, DeviceError
 */
export async function createVisionEncoder(
  checkpoint: Pick<CheckpointOutline, 'architecture' | 'config'>,
  table: Float32Array,
  weights: LoadedWeights,
  backend: Backend,
): Promise<VisionEncoder> {
  const config = checkpoint.config.vision!;
  const { hiddenSize: D, downsample } = config;
  const most = patchesOfCall(config);
  const plans = recordVision(checkpoint, weights);
  const calls = (rows: number) => ({ contextLength: rows, prefillBatch: rows });
  const encoder = await firstState(backend, plans.encoder, calls(most));
  const projector = await firstState(backend, plans.projector, calls(most / downsample ** 2)).catch(
    (error: unknown) => {
      encoder.program.dispose();
      throw error;
    },
  );

  const positions = new Map<string, Float32Array<ArrayBuffer>>();
  function positionsOf({ width, height }: Tile): Float32Array<ArrayBuffer> {
    const size = `${height}×${width}`;
    const rows = positions.get(size) ?? positionRows(table, D, [height, width], downsample);
    positions.clear(); // tiles of one size follow each other
    positions.set(size, rows);
    return rows;
  }

  async function encodeCall(tiles: readonly Tile[]): Promise<Float32Array> {
    const sequences = ends(tiles);
    const inputs = [tiles.map((tile) => patchRows(tile, config)), tiles.map(positionsOf)];
    const N = sequences.at(-1)!;
    await encoder.prefill(new Uint32Array(N), { sequences, rows: inputs.map((parts) => allRows(N, parts)) });
    const features = (await encoder.logits()) as Float32Array<ArrayBuffer>;
    // the patches of a token lie side by side: the same numbers, with rows of another width
    const tokens = N / downsample ** 2;
    await projector.prefill(new Uint32Array(tokens), { rows: [allRows(tokens, [features])] });
    return projector.logits();
  }

  return {
    async encode(tiles, { signal, parts = [], onTiles } = {}) {
      // in the meantime another encode may add to the parts, too
      for (const calls = callsOf(tiles, most); parts.length < calls.length;) {
        await yieldToEventLoop(); // an abort may arrive
        if (signal?.aborted) throw abortError();
        const call = calls[parts.length];
        const start = performance.now();
        parts.push(await encodeCall(call));
        const patches = call.reduce((sum, tile) => sum + patchCount(tile), 0);
        await onTiles?.(call.length, (performance.now() - start) / 1000 / patches);
      }
      return joined(parts);
    },
    dispose() {
      encoder.program.dispose();
      projector.program.dispose();
    },
  };
}

const patchCount = ({ width, height }: Tile): number => width * height;

function ends(tiles: readonly Tile[]): Uint32Array {
  let end = 0;
  return Uint32Array.from(tiles, (tile) => (end += patchCount(tile)));
}

/** As many tiles at a time as have at most so many patches. */
function callsOf(tiles: readonly Tile[], most: number): Tile[][] {
  const calls: Tile[][] = [];
  let room = 0;
  for (const tile of tiles) {
    if (patchCount(tile) > room) room = calls.push([]) && most;
    calls.at(-1)!.push(tile);
    room -= patchCount(tile);
  }
  return calls;
}

const allRows = (count: number, parts: Float32Array<ArrayBuffer>[]): InputRows => ({
  at: Uint32Array.from({ length: count }, (_, i) => i),
  values: parts.length === 1 ? parts[0] : joined(parts),
});

function joined(parts: readonly Float32Array[]): Float32Array<ArrayBuffer> {
  const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/**
 * The table of positions [side², D] of a model with vision, whose files are open.
 * @throws CheckpointError for one that holds no numbers; what reading throws
 */
export async function readPositions(
  { config, files }: Pick<CheckpointOutline, 'config' | 'files'>,
  signal?: AbortSignal,
): Promise<Float32Array> {
  const { name, dtype, shape, file, offset, byteLength } = config.vision!.positions;
  const bytes = await files[file].read(offset, byteLength, signal);
  const values = dequantize(dtype, bytes, shape[0] * shape[1]);
  files[file].release?.(bytes);
  const wrong = values.find((value) => !Number.isFinite(value));
  if (wrong !== undefined)
    fail('CheckpointError', {
      what: `Tensor ${name} is not valid`,
      got: String(wrong),
      wanted: 'finite numbers',
      cure: 'The file is damaged: get it again.',
    });
  return values;
}

/**
 * Reads a prompt with pictures: rows take the place of the embeddings of its image tokens.
 * @param features [n, D], a row for each image token of the prompt
 * @param batch tokens of one call
 */
export async function prefillWithFeatures(
  state: State,
  tokens: Uint32Array,
  { imageToken, features }: { imageToken: number; features: Float32Array<ArrayBuffer> },
  batch: number,
): Promise<void> {
  const images = tokens.reduce((sum, token) => sum + Number(token === imageToken), 0);
  const D = features.length / images;
  let seen = 0;
  for (let first = 0; first < tokens.length; first += batch) {
    const part = tokens.subarray(first, first + batch);
    const at = Uint32Array.from([...part.keys()].filter((i) => part[i] === imageToken));
    const values = features.subarray(seen * D, (seen += at.length) * D);
    await state.prefill(part.slice(), at.length ? { rows: [{ at, values }] } : {});
  }
}
