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
import { LFM2 } from '../../src/model/architecture';
import type { Config } from '../../src/model/config';
import { DTYPES, rowBytes, type Dtype } from '../../src/tensor/dtype';
import { QUANTIZATIONS, SHAPES, type Shape, type ShapeName } from './shapes';

const HEAD_DIM = 64;
const CONV_LENGTH = 3;
const NORM_EPS = 1e-5;
const ROPE_THETA = 1e6;
export const RANDOM_CONTEXT = 128_000;
/** Random rows repeat after about this many bytes. */
const PATTERN_BYTES = 1 << 20;
/** What llama.cpp's quantizer takes for rows that are not whole blocks of 256. */
const SMALL_BLOCKS: Partial<Record<Dtype, Dtype>> = { Q4_K: 'Q5_0', Q5_K: 'Q5_1', Q6_K: 'Q8_0' };

/** @throws RangeError for a shape or a quantisation that does not exist */
export function randomGguf(shapeName: string, quantization: string): File {
  const shape = Object.hasOwn(SHAPES, shapeName) ? SHAPES[shapeName as ShapeName] : undefined;
  const dtypes = Object.hasOwn(QUANTIZATIONS, quantization)
    ? (QUANTIZATIONS[quantization as keyof typeof QUANTIZATIONS] as [Dtype, Dtype])
    : undefined;
  if (!shape)
    throw new RangeError(
      `There is no shape ${JSON.stringify(shapeName)}. The shapes are ${Object.keys(SHAPES).join(', ')}.`,
    );
  if (!dtypes)
    throw new RangeError(
      `There is no quantisation ${JSON.stringify(quantization)}. They are ${Object.keys(QUANTIZATIONS).join(', ')}.`,
    );
  const tensors = tensorsOf(shape, ...dtypes);
  const patterns = new Map<string, Pattern>();
  const pattern = (dtype: Dtype, cols: number): Pattern => {
    const key = `${dtype} ${cols}`;
    if (!patterns.has(key)) patterns.set(key, createPattern(dtype, cols));
    return patterns.get(key)!;
  };
  const data = tensors.flatMap(({ name, shape: dims, dtype, byteLength }, i) => {
    const cols = dims.at(-1)!;
    const bytes = name.endsWith('norm.weight')
      ? [new Float32Array(cols).fill(1)]
      : repeated(pattern(dtype, cols), i, byteLength);
    return [...bytes, new Uint8Array(padding(byteLength))];
  });
  return new File([ggufHeader(metadataOf(shape), tensors), ...data], `random-${shapeName}-${quantization}.gguf`);
}

interface Pattern {
  blob: Blob;
  row: number;
  rows: number;
}

function createPattern(dtype: Dtype, cols: number): Pattern {
  const row = rowBytes(dtype, cols);
  const rows = Math.max(16, Math.ceil(PATTERN_BYTES / row));
  return {
    blob: new Blob([randomWeightRows(`${cols} columns`, dtype, rows, cols) as Uint8Array<ArrayBuffer>]),
    row,
    rows,
  };
}

/** `length` bytes of the pattern. Each tensor begins at another row, so that no two are the same. */
function repeated({ blob, row, rows }: Pattern, tensor: number, length: number): Blob[] {
  const first = ((tensor * 37) % rows) * row;
  const parts = [blob.slice(first, Math.min(blob.size, first + length))];
  let left = length - parts[0].size;
  for (; left >= blob.size; left -= blob.size) parts.push(blob);
  if (left > 0) parts.push(blob.slice(0, left));
  return parts;
}

function tensorsOf(shape: Shape, linear: Dtype, embedding: Dtype): GgufTensor[] {
  const config: Config = {
    ...shape,
    headDim: HEAD_DIM,
    convLength: CONV_LENGTH,
    normEps: NORM_EPS,
    ropeTheta: ROPE_THETA,
    contextLength: RANDOM_CONTEXT,
  };
  const dtypeOf = (name: string, cols: number): Dtype => {
    const wanted = name === 'token_embd.weight' ? embedding : linear;
    return cols % DTYPES[wanted].blockLength === 0 ? wanted : (SMALL_BLOCKS[wanted] ?? 'F16');
  };
  const { tensors } = madeUpWeights((read) => LFM2.weights(config, read), dtypeOf);
  return tensors.map(({ gguf, shape, dtype, byteLength }) => ({ name: gguf, shape, dtype, byteLength }));
}

/**
 * The vocabulary has no end token and no special ones: an answer goes on, and each token is a word that arrives by
 * itself.
 */
function metadataOf({ layers, hiddenSize, ffnSize, heads, kvHeads, vocabSize }: Shape): Record<string, GgufEntry> {
  const words = Array.from({ length: vocabSize }, (_, i) => `Ġ${i.toString(36)}`);
  return {
    'general.architecture': [STRING, 'lfm2'],
    'general.name': [STRING, 'Made-up weights'],
    'lfm2.block_count': [U32, layers.length],
    'lfm2.context_length': [U32, RANDOM_CONTEXT],
    'lfm2.embedding_length': [U32, hiddenSize],
    'lfm2.feed_forward_length': [U32, ffnSize],
    'lfm2.attention.head_count': [U32, heads],
    'lfm2.attention.head_count_kv': [ARRAY, I32, layers.map((kind) => (kind === 'conv' ? 0 : kvHeads))],
    'lfm2.attention.key_length': [U32, HEAD_DIM],
    'lfm2.attention.value_length': [U32, HEAD_DIM],
    'lfm2.attention.layer_norm_rms_epsilon': [F32, NORM_EPS],
    'lfm2.rope.freq_base': [F32, ROPE_THETA],
    'lfm2.vocab_size': [U32, vocabSize],
    'lfm2.shortconv.l_cache': [U32, CONV_LENGTH],
    'tokenizer.ggml.model': [STRING, 'gpt2'],
    'tokenizer.ggml.pre': [STRING, 'lfm2'],
    'tokenizer.ggml.tokens': [ARRAY, STRING, words],
    'tokenizer.ggml.token_type': [ARRAY, I32, words.map(() => 1)],
    'tokenizer.ggml.merges': [ARRAY, STRING, []],
    'tokenizer.ggml.add_bos_token': [BOOL, false],
  };
}
