/**
 * Small random LFM2 checkpoints for tests: GGUF files and Hugging Face directories in memory. The same options give the
 * same bytes.
 * The size of the random weights keeps activations finite.
 */
import { madeUpWeights, type MadeUpTensor } from '../../src/backend/made_up_weights';
import { randomBlocks } from '../../src/backend/random_weights';
import {
  alignmentOf,
  ARRAY,
  BOOL,
  ByteWriter,
  F32,
  ggufHeader,
  I32,
  STRING,
  U32,
  type GgufEntry,
} from '../../src/format/gguf_writer';
import { LFM2 } from '../../src/model/architecture';
import { LFM2MOE } from '../../src/model/lfm2_moe';
import type { Config } from '../../src/model/config';
import { DTYPES, type Dtype } from '../../src/tensor/dtype';
import { dequantize } from '../../src/tensor/dequant';
import { floatToBfloat, floatToHalf } from '../../src/tensor/half';

export interface TinyOptions {
  /** of the matrices; one for all, or by GGUF name */
  dtype?: Dtype | ((name: string) => Dtype);
  seed?: number;
  hidden?: number; // D
  ffn?: number; // F
  layers?: ('conv' | 'attention')[];
  heads?: number; // H
  kvHeads?: number; // K
  headDim?: number; // d
  convLength?: number; // L
  convBias?: boolean;
  /** V, at least 272 */
  vocab?: number;
  tied?: boolean;
  /** attn_qkv instead of attn_q, attn_k, attn_v; all of one dtype then */
  fused?: boolean;
  contextLength?: number;
  /** a mixture of experts; the router is F32 */
  experts?: Config['experts'];
}

export interface TinyTensor {
  name: string;
  /** outermost first */
  shape: number[];
  dtype: Dtype;
  bytes: Uint8Array;
}

export type TinyValue = GgufEntry;

export interface TinyModel {
  metadata: Record<string, TinyValue>;
  tensors: TinyTensor[];
}

/** A whole GGUF file. */
export const tinyGguf = (options: TinyOptions = {}): Uint8Array => ggufBytes(tinyModel(options));

/** The draws follow this order within a layer, so that the same options give the same bytes as ever. */
const DRAWN = [
  /(attn|ffn)_norm/,
  /ffn_/,
  /conv\.weight/,
  /_proj\.weight/,
  /bias/,
  /attn_(q|k|v|qkv)\./,
  /attn_output/,
  /./,
];

/** What the options choose: a configuration, and the tensors of the file. */
function layoutOf(options: TinyOptions): { config: Config; tensors: MadeUpTensor[] } {
  const {
    dtype = 'F32',
    hidden = 256,
    layers = ['conv', 'attention', 'conv'],
    tied = true,
    fused = false,
    convBias = false,
  } = options;
  const config: Config = {
    vocabSize: options.vocab ?? 320, hiddenSize: hidden, ffnSize: options.ffn ?? 2 * hidden, layers,
    heads: options.heads ?? 4, kvHeads: options.kvHeads ?? 2,
    headDim: options.headDim ?? 64, convLength: options.convLength ?? 3, normEps: 1e-5, ropeTheta: 1e6,
    contextLength: options.contextLength ?? 512, ...(options.experts && { experts: options.experts }),
  }; // prettier-ignore
  const { tensors } = madeUpWeights(
    (read) => (config.experts ? LFM2MOE : LFM2).weights(config, read),
    (name) =>
      name.includes('ffn_gate_inp')
        ? 'F32'
        : typeof dtype === 'function'
          ? dtype(name.replace(/\.weight$/, ''))
          : dtype,
    (name) =>
      name.endsWith('bias')
        ? convBias || name.includes('exp_probs_b')
        : name === 'output.weight'
          ? !tied
          : fused && name.includes('attn_qkv'),
  );
  const order = ({ gguf }: MadeUpTensor): number =>
    gguf.startsWith('blk')
      ? Number(gguf.split('.')[1]) * DRAWN.length + DRAWN.findIndex((part) => part.test(gguf))
      : -1;
  return { config, tensors: tensors.sort((a, b) => order(a) - order(b)) };
}

/** Metadata and tensors, to be changed before `ggufBytes` writes them. */
export function tinyModel(options: TinyOptions = {}): TinyModel {
  const { config, tensors: layout } = layoutOf(options);
  const random = generator(options.seed ?? 1);
  const tensors = layout.map(({ gguf: name, shape, dtype, leaf }): TinyTensor => {
    if (leaf === 'matrix')
      return {
        name,
        shape,
        dtype,
        bytes: randomRows(
          dtype,
          product(shape.slice(0, -1)),
          shape.at(-1)!,
          name === 'token_embd.weight' ? 0.5 : shape.at(-1)! ** -0.5,
          random,
        ),
      };
    const middle = name.endsWith('bias') ? 0.1 : shape.length > 1 ? 0.2 : 1; // taps; norms
    return {
      name,
      shape,
      dtype,
      bytes: encode(
        'F32',
        Float32Array.from({ length: product(shape) }, () => middle + random() - 0.5),
      ),
    };
  });

  const { tokens, types, merges } = vocabulary(config.vocabSize);
  const arch = config.experts ? 'lfm2moe' : 'lfm2';
  const metadata: Record<string, TinyValue> = {
    'general.architecture': [STRING, arch],
    'general.name': [STRING, 'tiny'],
    ...(config.experts && expertKeys(arch, config.experts)),
    [`${arch}.block_count`]: [U32, config.layers.length],
    [`${arch}.context_length`]: [U32, config.contextLength],
    [`${arch}.embedding_length`]: [U32, config.hiddenSize],
    [`${arch}.feed_forward_length`]: [U32, config.ffnSize],
    [`${arch}.attention.head_count`]: [U32, config.heads],
    [`${arch}.attention.head_count_kv`]: [
      ARRAY,
      I32,
      config.layers.map((kind) => (kind === 'conv' ? 0 : config.kvHeads)),
    ],
    [`${arch}.attention.key_length`]: [U32, config.headDim],
    [`${arch}.attention.value_length`]: [U32, config.headDim],
    [`${arch}.attention.layer_norm_rms_epsilon`]: [F32, config.normEps],
    [`${arch}.rope.freq_base`]: [F32, config.ropeTheta],
    [`${arch}.vocab_size`]: [U32, config.vocabSize],
    [`${arch}.shortconv.l_cache`]: [U32, config.convLength],
    'tokenizer.ggml.model': [STRING, 'gpt2'],
    'tokenizer.ggml.pre': [STRING, 'lfm2'],
    'tokenizer.ggml.tokens': [ARRAY, STRING, tokens],
    'tokenizer.ggml.token_type': [ARRAY, I32, types],
    'tokenizer.ggml.merges': [ARRAY, STRING, merges],
    'tokenizer.ggml.bos_token_id': [U32, 1],
    'tokenizer.ggml.eos_token_id': [U32, 7],
    'tokenizer.ggml.padding_token_id': [U32, 0],
    'tokenizer.ggml.add_bos_token': [BOOL, true],
    'tokenizer.ggml.add_eos_token': [BOOL, false],
    'tokenizer.chat_template': [STRING, CHAT_TEMPLATE],
  };
  return { metadata, tensors };
}

const expertKeys = (arch: string, experts: NonNullable<Config['experts']>): Record<string, TinyValue> => ({
  [`${arch}.expert_count`]: [U32, experts.count],
  [`${arch}.expert_used_count`]: [U32, experts.top],
  [`${arch}.expert_feed_forward_length`]: [U32, experts.ffnSize],
  [`${arch}.leading_dense_block_count`]: [U32, experts.denseLayers],
  [`${arch}.expert_gating_func`]: [U32, 2],
  [`${arch}.expert_weights_norm`]: [BOOL, experts.normalise],
  [`${arch}.expert_weights_scale`]: [F32, experts.scale],
});

const CHAT_TEMPLATE =
  "{{- bos_token -}}{%- for m in messages -%}{{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' -}}{%- endfor -%}" +
  "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}";

const SPECIAL = [
  '<|pad|>',
  '<|startoftext|>',
  '<|endoftext|>',
  '<|fim_pre|>',
  '<|fim_mid|>',
  '<|fim_suf|>',
  '<|im_start|>',
  '<|im_end|>',
];
const MERGES = ['Ġ t', 'h e', 'i n', 'Ġt he', 'e r', 'o u', 'Ġ a', 'l l'];

/** The 256 bytes in GPT-2's printable stand-ins. */
export const BYTE_TOKENS = ((): string[] => {
  const printable = (byte: number): boolean =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let beyond = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(printable(byte) ? byte : beyond++));
})();

/** Special tokens, the bytes, a few merges, reserved ones up to `size`. */
function vocabulary(size: number): { tokens: string[]; types: number[]; merges: string[] } {
  const words = [...BYTE_TOKENS, ...MERGES.map((merge) => merge.replace(' ', ''))];
  if (size < SPECIAL.length + words.length) throw new RangeError(`a vocabulary of ${size} has no room for the bytes`);
  const reserved = Array.from({ length: size - SPECIAL.length - words.length }, (_, i) => `<|reserved_${i}|>`);
  const types = [...SPECIAL.map(() => 3), ...words.map(() => 1), ...reserved.map(() => 3)];
  return { tokens: [...SPECIAL, ...words, ...reserved], types, merges: MERGES };
}

// ---- weights

/** Uniform in [0, 1). */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let x = Math.imul(state ^ (state >>> 16), 0x85ebca6b);
    x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
    return ((x ^ (x >>> 16)) >>> 0) / 2 ** 32;
  };
}

const product = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/**
 * Block formats: the offset of the scale, the standard deviation of a random block's integers, and the minimum that
 * makes its mean zero, in scales.
 */
const BLOCKS: Partial<Record<Dtype, { scale: number; deviation: number; minimum?: [at: number, factor: number] }>> = {
  Q4_0: { scale: 0, deviation: 4.6 },
  Q4_1: { scale: 0, deviation: 4.6, minimum: [2, -7.5] },
  Q5_0: { scale: 0, deviation: 9.2 },
  Q5_1: { scale: 0, deviation: 9.2, minimum: [2, -15.5] },
  Q8_0: { scale: 0, deviation: 74 },
  Q4_K: { scale: 0, deviation: 258, minimum: [2, 7.5] },
  Q5_K: { scale: 0, deviation: 527, minimum: [2, 15.5] },
  Q6_K: { scale: 208, deviation: 1184 },
  Q3_K: { scale: 108, deviation: 42 },
  IQ4_NL: { scale: 0, deviation: 66 },
  IQ4_XS: { scale: 0, deviation: 1221 },
  IQ3_S: { scale: 0, deviation: 160 },
};

export function randomRows(
  dtype: Dtype,
  rows: number,
  cols: number,
  deviation: number,
  random: () => number,
): Uint8Array {
  if (cols % DTYPES[dtype].blockLength) throw new RangeError(`rows of ${cols} values are not whole blocks of ${dtype}`);
  const block = BLOCKS[dtype];
  if (!block)
    return encode(
      dtype,
      Float32Array.from({ length: rows * cols }, () => (random() - 0.5) * 3.46 * deviation),
    );
  return randomBlocks(
    dtype,
    rows,
    cols,
    () => random() * 256,
    (view, at) => {
      const scale = (deviation / block.deviation) * (0.5 + random());
      view.setUint16(at + block.scale, floatToHalf(scale), true);
      if (block.minimum) view.setUint16(at + block.minimum[0], floatToHalf(scale * block.minimum[1]), true);
    },
  );
}

export function encode(dtype: Dtype, values: Float32Array): Uint8Array {
  if (dtype === 'F32') return new Uint8Array(values.buffer.slice(0));
  if (dtype !== 'F16' && dtype !== 'BF16') throw new RangeError(`no encoder for ${dtype}`);
  return new Uint8Array(Uint16Array.from(values, dtype === 'F16' ? floatToHalf : floatToBfloat).buffer);
}

// ---- containers

export function ggufBytes({ metadata, tensors }: TinyModel, version = 3): Uint8Array {
  const file = new ByteWriter();
  file.raw(
    ggufHeader(
      metadata,
      tensors.map(({ bytes, ...tensor }) => ({ ...tensor, byteLength: bytes.length })),
      version,
    ),
  );
  for (const { bytes } of tensors) {
    file.raw(bytes);
    file.pad(alignmentOf(metadata));
  }
  return file.bytes();
}

export function safetensorsBytes(tensors: readonly TinyTensor[]): Uint8Array {
  let offset = 0;
  const header = tensors.map(({ name, shape, dtype, bytes }) => [
    name,
    { dtype, shape, data_offsets: [offset, (offset += bytes.length)] },
  ]);
  const json = new TextEncoder().encode(
    JSON.stringify({ __metadata__: { format: 'pt' }, ...Object.fromEntries(header) }),
  );
  const file = new ByteWriter();
  file.number(10, json.length);
  file.raw(json);
  for (const { bytes } of tensors) file.raw(bytes);
  return file.bytes();
}

// ---- Hugging Face directory

/** The model of `tinyModel` as a Hugging Face directory, by file name; its matrices as F32, F16 or BF16. */
export function tinyDirectory(
  options: TinyOptions = {},
  dtype: 'F32' | 'F16' | 'BF16' = 'F32',
): Record<string, Uint8Array> {
  const { metadata, tensors } = tinyModel(options);
  const text = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value, null, 1));
  const get = (key: string): unknown => metadata[key][1];
  const list = <T>(key: string): T[] => metadata[key][2] as T[];
  const tokens = list<string>('tokenizer.ggml.tokens');
  const types = list<number>('tokenizer.ggml.token_type');
  const { tensors: layout } = layoutOf(options);
  const weights = tensors.map(({ shape: [rows, ...cols], dtype: from, bytes }, i): TinyTensor => {
    const { name, leaf } = layout[i];
    const values = dequantize(from, bytes, product([rows, ...cols]));
    return {
      name,
      shape: leaf === 'vector' && cols.length ? [rows, 1, ...cols] : [rows, ...cols],
      dtype,
      bytes: encode(dtype, values),
    };
  });
  const kinds = list<number>('lfm2.attention.head_count_kv');
  return {
    'config.json': text({
      architectures: ['Lfm2ForCausalLM'],
      model_type: 'lfm2',
      vocab_size: tokens.length,
      hidden_size: get('lfm2.embedding_length'),
      intermediate_size: 1.5 * Number(get('lfm2.feed_forward_length')),
      block_auto_adjust_ff_dim: true,
      num_hidden_layers: kinds.length,
      num_attention_heads: get('lfm2.attention.head_count'),
      num_key_value_heads: Math.max(...kinds) || get('lfm2.attention.head_count'),
      head_dim: get('lfm2.attention.key_length'),
      layer_types: kinds.map((n) => (n ? 'full_attention' : 'conv')),
      conv_L_cache: get('lfm2.shortconv.l_cache'),
      conv_bias: options.convBias ?? false,
      norm_eps: get('lfm2.attention.layer_norm_rms_epsilon'),
      rope_theta: get('lfm2.rope.freq_base'),
      max_position_embeddings: get('lfm2.context_length'),
      tie_embedding: options.tied ?? true,
    }),
    'model.safetensors': safetensorsBytes(weights),
    'tokenizer.json': text({
      version: '1.0',
      added_tokens: tokens.flatMap((content, id) => (types[id] === 3 ? [{ id, content, special: true }] : [])),
      pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, use_regex: true },
      decoder: { type: 'ByteLevel' },
      model: {
        type: 'BPE',
        vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
        merges: list<string>('tokenizer.ggml.merges'),
      },
    }),
    'tokenizer_config.json': text({
      bos_token: '<|startoftext|>',
      eos_token: '<|im_end|>',
      chat_template: get('tokenizer.chat_template'),
    }),
    'generation_config.json': text({ eos_token_id: [7, 2], temperature: 0.3, min_p: 0.15, repetition_penalty: 1.05 }),
  };
}
