/** Checkpoints of real sizes with random weights, which are generated when they are read: for measurements of speed. */
import { randomWeightRows } from '../../src/backend/random_weights';
import type { Checkpoint } from '../../src/engine/checkpoint';
import type { Config } from '../../src/model/config';
import { weightTree } from '../../src/model/weights';
import type { TensorInfo } from '../../src/tensor/tensor';
import { rowBytes, type Dtype } from '../../src/tensor/dtype';

const attention = (count: number, at: number[]): Config['layers'] => Array.from({ length: count }, (_, i) => (at.includes(i) ? 'attention' : 'conv'));
const SIXTEEN = attention(16, [2, 5, 8, 10, 12, 14]);
const THIRTY = attention(30, [2, 5, 9, 13, 17, 21, 24, 27]);

/** The shapes of the published models. */
const SIZES: Record<string, Pick<Config, 'layers' | 'hiddenSize' | 'ffnSize' | 'heads' | 'kvHeads'>> = {
  tiny: { layers: attention(4, [2]), hiddenSize: 256, ffnSize: 512, heads: 4, kvHeads: 2 },
  '350m': { layers: SIXTEEN, hiddenSize: 1024, ffnSize: 4608, heads: 16, kvHeads: 8 },
  '700m': { layers: SIXTEEN, hiddenSize: 1536, ffnSize: 6912, heads: 24, kvHeads: 8 },
  '1.2b': { layers: SIXTEEN, hiddenSize: 2048, ffnSize: 8192, heads: 32, kvHeads: 8 },
  '2.6b': { layers: THIRTY, hiddenSize: 2048, ffnSize: 10752, heads: 32, kvHeads: 8 },
};

/** dtypes of the linear maps and of the tied embedding, as llama.cpp's quantizer chooses them */
const QUANTS: Record<string, [Dtype, Dtype]> = { q4_0: ['Q4_0', 'Q6_K'], q8_0: ['Q8_0', 'Q8_0'], q6_k: ['Q6_K', 'Q6_K'], q4_k: ['Q4_K', 'Q6_K'], f16: ['F16', 'F16'] };

/** Rows of a tensor repeat after this many: random numbers take longer to generate than to load. */
const PERIOD = 16;

/** @throws when the size or the quantization is unknown */
export function randomCheckpoint(size: string, quant: string): Checkpoint {
  if (!(size in SIZES) || !(quant in QUANTS)) throw new Error(`--random takes ${Object.keys(SIZES).join(', ')}, --quant ${Object.keys(QUANTS).join(', ')}`);
  const shape = SIZES[size];
  const config: Config = { ...shape, vocabSize: 65536, headDim: 64, convLength: 3, normEps: 1e-5, ropeTheta: 1e6, contextLength: 128000 };
  const { hiddenSize: D, ffnSize: F, heads: H, kvHeads: K, headDim: d, vocabSize: V } = config;
  const [linear, table] = QUANTS[quant];

  const tensors = new Map<string, TensorInfo>();
  let end = 0;
  const add = (name: string, dtype: Dtype, ...dims: number[]): void => {
    const cols = dims.at(-1)!;
    const byteLength = (dims.length === 1 ? 1 : dims[0]) * rowBytes(dtype, cols);
    tensors.set(name, { name, dtype, shape: dims, file: 0, offset: end, byteLength });
    end += byteLength;
  };
  add('model.embed_tokens.weight', table, V, D);
  add('model.embedding_norm.weight', 'F32', D);
  config.layers.forEach((kind, i) => {
    const at = `model.layers.${i}`;
    for (const norm of ['operator_norm', 'ffn_norm']) add(`${at}.${norm}.weight`, 'F32', D);
    if (kind === 'conv') {
      add(`${at}.conv.in_proj.weight`, linear, 3 * D, D);
      add(`${at}.conv.conv.weight`, 'F32', D, 3);
      add(`${at}.conv.out_proj.weight`, linear, D, D);
    } else {
      for (const [part, rows] of [['q', H * d], ['k', K * d], ['v', K * d]] as const) add(`${at}.self_attn.${part}_proj.weight`, linear, rows, D);
      for (const part of ['q', 'k']) add(`${at}.self_attn.${part}_layernorm.weight`, 'F32', d);
      add(`${at}.self_attn.out_proj.weight`, linear, D, H * d);
    }
    for (const [part, rows, cols] of [['w1', F, D], ['w3', F, D], ['w2', D, F]] as const) add(`${at}.feed_forward.${part}.weight`, linear, rows, cols);
  });

  const all = [...tensors.values()];
  const patterns = new Map<string, Uint8Array>();
  const source = {
    name: `random-${size}-${quant}`,
    size: end,
    async read(offset: number, length: number): Promise<Uint8Array> {
      const { name, dtype, shape: dims, offset: start } = all.find((t) => offset >= t.offset && offset + length <= t.offset + t.byteLength)!;
      let pattern = patterns.get(name);
      if (!pattern) patterns.set(name, (pattern = randomWeightRows(name, dtype, Math.min(PERIOD, dims.length === 1 ? 1 : dims[0]), dims.at(-1)!)));
      const bytes = new Uint8Array(length);
      for (let at = 0, from = (offset - start) % pattern.length; at < length; from = 0) {
        const piece = pattern.subarray(from, from + length - at);
        bytes.set(piece, at);
        at += piece.length;
      }
      return bytes;
    },
  };
  return {
    config,
    weights: weightTree(config, tensors),
    files: [source],
    bytes: end,
    quantization: linear,
    tokenizer: { json: {}, config: {} },
    generationConfig: { eosIds: [] },
  };
}
