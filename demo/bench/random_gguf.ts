/**
 * GGUF files with made-up weights in the shape of a real model, of any size: a few random megabytes are repeated by
 * reference, so that the file takes no memory.
 */
import { madeUpWeights } from '../../src/backend/made_up_weights';
import { randomWeightRows } from '../../src/backend/random_weights';
import {
  ARRAY,
  BOOL,
  F32,
  ggufHeader,
  I32,
  padding,
  STRING,
  U32,
  type GgufEntry,
  type GgufTensor,
} from '../../src/format/gguf_writer';
import { LFM2, LFM3, type Architecture } from '../../src/model/architecture';
import type { Config } from '../../src/model/config';
import { LFM2MOE } from '../../src/model/lfm2_moe';
import { DTYPES, rowBytes, type Dtype } from '../../src/tensor/dtype';
import { QUANTIZATIONS, SHAPES, type Shape, type ShapeName } from './shapes';

const HEAD_DIM = 64;
const CONV_LENGTH = 3;
const NORM_EPS = 1e-5;
const ROPE_THETA = 1e6;
export const RANDOM_CONTEXT = 128_000;
const ROPE_FREQS = 'rope_freqs.weight';
/** Random rows repeat after about this many bytes. */
const PATTERN_BYTES = 1 << 20;
/** Chromium copies the parts of a file that a read takes a piece of, and keeps the copies for a while. */
const PIECE_BYTES = 256 << 10;
/** What llama.cpp's quantizer takes for rows that are not whole blocks of 256. */
const SMALL_BLOCKS: Partial<Record<Dtype, Dtype>> = { Q4_K: 'Q5_0', Q5_K: 'Q5_1', Q6_K: 'Q8_0' };

/** LFM3's full layers turn half of the pairs: the angles of the others are divided by this. */
const NO_TURN = 1e30;

/** Values of an F32 tensor that are not random; undefined for one that is. */
export type GivenValues = (name: string, shape: readonly number[]) => Float32Array<ArrayBuffer> | undefined;

/**
 * @param layers cuts the model to its first layers
 * @param words the texts of the tokens as byte-level BPE writes them; by default numbers
 * @throws RangeError for a shape or a quantisation that does not exist
 */
export function randomGguf(
  shapeName: string,
  quantization: string,
  layers?: number,
  given?: GivenValues,
  words?: readonly string[],
): File {
  const config = configOf(shapeName, layers);
  const tensors = tensorsOf(config, ...dtypesOf(quantization));
  const patterns = new Map<string, Pattern>();
  const pattern = (dtype: Dtype, cols: number): Pattern => {
    const key = `${dtype} ${cols}`;
    if (!patterns.has(key)) patterns.set(key, createPattern(dtype, cols));
    return patterns.get(key)!;
  };
  const data = tensors.flatMap(({ name, shape: dims, dtype, byteLength }, i) => {
    const cols = dims.at(-1)!;
    const values = dtype === 'F32' ? given?.(name, dims) : undefined;
    const bytes = values
      ? [values]
      : name.endsWith('norm.weight')
        ? [new Float32Array(cols).fill(1)]
        : name === ROPE_FREQS
          ? [new Float32Array(cols).fill(1, 0, cols / 2).fill(NO_TURN, cols / 2)]
          : repeated(pattern(dtype, cols), i, byteLength);
    return [...bytes, new Uint8Array(padding(byteLength))];
  });
  return new File(
    [ggufHeader(metadataOf(config, words), tensors), ...data],
    `random-${shapeName}-${quantization}.gguf`,
  );
}

/**
 * Bytes of the weights of such a file, and of those that a token reads: of the experts, the chosen ones.
 * @throws RangeError as above
 */
export function randomGgufBytes(shapeName: string, quantization: string): { all: number; active: number } {
  const config = configOf(shapeName);
  const bytes = { all: 0, active: 0 };
  for (const { name, byteLength } of tensorsOf(config, ...dtypesOf(quantization))) {
    bytes.all += byteLength;
    const { top, count } = config.experts ?? { top: 1, count: 1 };
    bytes.active += name.includes('_exps.') ? (byteLength * top) / count : byteLength;
  }
  return bytes;
}

function configOf(shapeName: string, layers?: number): Config {
  const shape: Shape | undefined = Object.hasOwn(SHAPES, shapeName) ? SHAPES[shapeName as ShapeName] : undefined;
  if (!shape)
    throw new RangeError(
      `There is no shape ${JSON.stringify(shapeName)}. The shapes are ${Object.keys(SHAPES).join(', ')}.`,
    );
  return {
    headDim: HEAD_DIM,
    convLength: CONV_LENGTH,
    normEps: NORM_EPS,
    ropeTheta: ROPE_THETA,
    contextLength: RANDOM_CONTEXT,
    ...shape,
    layers: shape.layers.slice(0, layers),
  };
}

function dtypesOf(quantization: string): [linear: Dtype, embedding: Dtype] {
  if (Object.hasOwn(QUANTIZATIONS, quantization)) return QUANTIZATIONS[quantization as keyof typeof QUANTIZATIONS];
  throw new RangeError(
    `There is no quantisation ${JSON.stringify(quantization)}. They are ${Object.keys(QUANTIZATIONS).join(', ')}.`,
  );
}

const architectureOf = ({ experts, sliding }: Config): Architecture => (experts ? LFM2MOE : sliding ? LFM3 : LFM2);

interface Pattern {
  pieces: Blob[];
  row: number;
  rows: number;
}

function createPattern(dtype: Dtype, cols: number): Pattern {
  const row = rowBytes(dtype, cols);
  const rows = Math.max(16, Math.ceil(PATTERN_BYTES / row));
  const bytes = randomWeightRows(`${cols} columns`, dtype, rows, cols) as Uint8Array<ArrayBuffer>;
  const pieces = Array.from(
    { length: Math.ceil(bytes.length / PIECE_BYTES) },
    (_, i) => new Blob([bytes.subarray(i * PIECE_BYTES, (i + 1) * PIECE_BYTES)]),
  );
  return { pieces, row, rows };
}

/** `length` bytes of the pattern. Each tensor begins at another row, so that no two are the same. */
function repeated({ pieces, row, rows }: Pattern, tensor: number, length: number): Blob[] {
  const first = ((tensor * 37) % rows) * row;
  const parts: Blob[] = [];
  let skipped = first % PIECE_BYTES;
  let left = length;
  for (let i = Math.floor(first / PIECE_BYTES); left > 0; i = (i + 1) % pieces.length) {
    const piece = pieces[i];
    parts.push(skipped || left < piece.size ? piece.slice(skipped, skipped + left) : piece);
    left -= Math.min(left, piece.size - skipped);
    skipped = 0;
  }
  return parts;
}

function tensorsOf(config: Config, linear: Dtype, embedding: Dtype): GgufTensor[] {
  const dtypeOf = (name: string, cols: number): Dtype => {
    if (name.includes('.ffn_gate_inp.')) return 'F32'; // the router
    const wanted = name === 'token_embd.weight' ? embedding : linear;
    return cols % DTYPES[wanted].blockLength === 0 ? wanted : (SMALL_BLOCKS[wanted] ?? 'F16');
  };
  const { tensors } = madeUpWeights(
    (read) => architectureOf(config).weights(config, read),
    dtypeOf,
    (name) => /\.(exp_probs_b\.bias|post_(attention|ffw)_norm\.weight)$/.test(name),
  );
  const made = tensors.map(({ gguf, shape, dtype, byteLength }) => ({ name: gguf, shape, dtype, byteLength }));
  const pairs = config.headDim / 2;
  return config.sliding ? [...made, { name: ROPE_FREQS, shape: [pairs], dtype: 'F32', byteLength: 4 * pairs }] : made;
}

/**
 * The vocabulary has no end token and no special ones: an answer goes on, and each token is a word that arrives by
 * itself.
 */
function metadataOf(config: Config, given?: readonly string[]): Record<string, GgufEntry> {
  const { layers, hiddenSize, ffnSize, heads, kvHeads, headDim, convLength, vocabSize } = config;
  const { name } = architectureOf(config);
  const words = given ?? Array.from({ length: vocabSize }, (_, i) => `Ġ${i.toString(36)}`);
  return {
    'general.architecture': [STRING, name],
    'general.name': [STRING, 'Made-up weights'],
    [`${name}.block_count`]: [U32, layers.length],
    [`${name}.context_length`]: [U32, RANDOM_CONTEXT],
    [`${name}.embedding_length`]: [U32, hiddenSize],
    [`${name}.feed_forward_length`]: [U32, ffnSize],
    [`${name}.attention.head_count`]: [U32, heads],
    [`${name}.attention.head_count_kv`]: [ARRAY, I32, layers.map((kind) => (kind === 'conv' ? 0 : kvHeads))],
    [`${name}.attention.key_length`]: [U32, headDim],
    [`${name}.attention.value_length`]: [U32, headDim],
    [`${name}.attention.layer_norm_rms_epsilon`]: [F32, NORM_EPS],
    [`${name}.rope.freq_base`]: [F32, ROPE_THETA],
    [`${name}.vocab_size`]: [U32, vocabSize],
    [`${name}.shortconv.l_cache`]: [U32, convLength],
    ...expertsOf(config, name),
    ...slidingOf(config, name),
    'tokenizer.ggml.model': [STRING, 'gpt2'],
    'tokenizer.ggml.pre': [STRING, 'lfm2'],
    'tokenizer.ggml.tokens': [ARRAY, STRING, words],
    'tokenizer.ggml.token_type': [ARRAY, I32, words.map(() => 1)],
    'tokenizer.ggml.merges': [ARRAY, STRING, []],
    'tokenizer.ggml.add_bos_token': [BOOL, false],
  };
}

const expertsOf = ({ experts }: Config, name: string): Record<string, GgufEntry> =>
  experts
    ? {
        [`${name}.expert_count`]: [U32, experts.count],
        [`${name}.expert_used_count`]: [U32, experts.top],
        [`${name}.expert_feed_forward_length`]: [U32, experts.ffnSize],
        [`${name}.leading_dense_block_count`]: [U32, experts.denseLayers],
        [`${name}.expert_gating_func`]: [U32, 2], // sigmoid
      }
    : {};

const slidingOf = ({ sliding, layers }: Config, name: string): Record<string, GgufEntry> =>
  sliding
    ? {
        [`${name}.attention.sliding_window`]: [U32, sliding.window],
        [`${name}.attention.sliding_window_pattern`]: [ARRAY, BOOL, layers.map((kind) => kind === 'sliding')],
        [`${name}.rope.freq_base_swa`]: [F32, sliding.ropeTheta],
      }
    : {};
