/**
 * What a model does with a text, computed by the reference backend: the gates of the short convolutions, and where each
 * attention head looks.
 */
import { firstState } from '../backend/backend';
import { recordModel } from '../backend/model_plan';
import { openReferenceBackend } from '../backend/reference/backend';
import { openCheckpoint } from '../engine/checkpoint';
import { loadWeights } from '../engine/load_weights';
import { fail } from '../errors';
import { mapLeaves, rowsOf } from '../model/weights';
import { openModel, type ModelSource, type OpenOptions } from '../store/open_model';
import { ProgressMeter, type Progress } from '../store/progress';
import { createTokenizer } from '../text/tokenizer';

/** The gates of a short convolution y = C ⊙ conv(B ⊙ x), as `conv.in_proj` computes them. */
export interface ConvGates {
  kind: 'conv';
  layer: number;
  /** D */
  channels: number;
  /** [T, D] */
  B: Float32Array;
  /** [T, D] */
  C: Float32Array;
}

/** The attention weights of a layer: the row of a token sums to 1 and is 0 behind it. */
export interface AttentionWeights {
  kind: 'attention';
  layer: number;
  /** H */
  heads: number;
  /** [H, T, T] */
  weights: Float32Array;
}

export interface Inspection {
  /** ids of the tokens, T of them; BOS is the first where the model expects it */
  ids: number[];
  /** their texts */
  tokens: string[];
  layers: (ConvGates | AttentionWeights)[];
}

export type InspectOptions = Pick<OpenOptions, 'id' | 'hub' | 'token' | 'cache'>;

/** Beside BOS. Plain loops take a second a token for a model of 350 million weights. */
const MOST_TOKENS = 64;
/** Weights are held as 32-bit floats, in bytes. */
const MOST_MEMORY = 2e9;

/**
 * @param text or token ids, which are used unchanged
 * @param onProgress the download and the load
 * @throws RequestError for a text that is empty or has more than 64 tokens; MemoryError; what opening a model throws
 */
export async function inspectModel(
  source: ModelSource,
  text: string | readonly number[],
  options: InspectOptions,
  onProgress: (progress: Progress) => void,
  signal?: AbortSignal,
): Promise<Inspection> {
  const opened = await openModel(source, { ...options, onProgress, signal });
  try {
    const checkpoint = await openCheckpoint(opened.files, signal);
    const { config, bytes } = checkpoint;
    const tokenizer = createTokenizer(checkpoint.tokenizer.json, checkpoint.tokenizer.config);
    const ids = typeof text === 'string' ? (text ? tokenizer.encode(text, { bos: tokenizer.addBos }) : []) : [...text];
    const wrong = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= config.vocabSize);
    if (wrong !== undefined)
      fail('RequestError', {
        what: 'The text has a token that the model does not know',
        got: wrong,
        wanted: `ids below ${config.vocabSize}`,
      });
    const own = ids.length - (typeof text === 'string' && ids.length && tokenizer.addBos ? 1 : 0);
    if (own < 1 || own > MOST_TOKENS)
      fail('RequestError', {
        what: 'The text cannot be inspected',
        got: `${own} tokens`,
        wanted: `1 to ${MOST_TOKENS} tokens`,
        cure: 'Take another text.',
      });

    const gates = new Map<number, ConvGates>();
    const attention = new Map<number, AttentionWeights>();
    const T = ids.length;
    const backend = openReferenceBackend({
      onModuleOutput(name, values, cols) {
        const layer = /\.layers\.(\d+)\.conv\.in_proj$/.exec(name)?.[1];
        if (layer === undefined) return;
        const D = cols / 3;
        const part = (first: number): Float32Array => {
          const rows = new Float32Array(T * D);
          for (let t = 0; t < T; t++) rows.set(values.subarray(t * cols + first, t * cols + first + D), t * D);
          return rows;
        };
        gates.set(Number(layer), { kind: 'conv', layer: Number(layer), channels: D, B: part(0), C: part(D) });
      },
      onAttention(layer, head, position, weights) {
        const { heads } = config;
        if (!attention.has(layer))
          attention.set(layer, { kind: 'attention', layer, heads, weights: new Float32Array(heads * T * T) });
        attention.get(layer)!.weights.set(weights, (head * T + position) * T);
      },
    });
    let parameters = 0;
    mapLeaves(
      checkpoint.weights,
      (matrix) => void (parameters += rowsOf(matrix) * matrix.cols),
      () => undefined,
    );
    if (4 * parameters > MOST_MEMORY)
      fail('MemoryError', {
        what: 'The model is too large to be inspected',
        got: `${Math.round(parameters / 1e6)} million weights`,
        wanted: `at most ${MOST_MEMORY / 4e6} million`,
        cure: 'Choose a smaller model.',
      });
    const meter = new ProgressMeter('load', bytes, onProgress);
    let done = 0;
    const weights = await loadWeights(checkpoint, backend, (n) => meter.update((done += n)), signal);
    const state = await firstState(backend, recordModel(checkpoint, weights), { contextLength: T, prefillBatch: T });
    await state.prefill(Uint32Array.from(ids));
    await opened.finish().catch(() => undefined); // what cannot be stored is downloaded again
    return {
      ids,
      tokens: ids.map((id) => tokenizer.decode([id])),
      layers: config.layers.map((kind, layer) => (kind === 'conv' ? gates.get(layer)! : attention.get(layer)!)),
    };
  } finally {
    opened.close();
  }
}
