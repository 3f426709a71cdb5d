/** The names of the weights in Hugging Face and GGUF files, as transformers (modeling_lfm2.py) and llama.cpp (gguf-py) write them, and the tree that tells where each weight's bytes are. */
import { fail } from '../errors';
import { refuseArchitecture } from '../other_kinds';
import type { Dtype } from '../tensor/dtype';
import type { TensorInfo } from '../tensor/tensor';
import type { Config } from './config';
import type { Layer, Lfm2 } from './lfm2';

export interface MatrixSource {
  /** the Hugging Face module: 'model.layers.3.conv.in_proj' */
  name: string;
  cols: number;
  segments: { name: string; rows: number; dtype: Dtype; tensor: TensorInfo }[];
}

export interface VectorSource {
  name: string;
  length: number;
  tensor: TensorInfo;
}

/** Tensors by their Hugging Face name ('model.layers.3.conv.in_proj.weight'), in files of either format. */
export type TensorsByName = ReadonlyMap<string, TensorInfo>;

/**
 * Hugging Face module, GGUF module, and how else converters spell them; `N` is the layer. Despite its name, token_embd_norm is the final norm.
 * Ollama calls it output_norm (convert_lfm2.go); o_proj is of early versions for MLX.
 */
const NAMES = [
  ['model.embed_tokens', 'token_embd'],
  ['model.embedding_norm', 'token_embd_norm', 'output_norm', 'norm'],
  ['lm_head', 'output'],
  ['model.layers.N.operator_norm', 'blk.N.attn_norm'],
  ['model.layers.N.ffn_norm', 'blk.N.ffn_norm'],
  ['model.layers.N.conv.in_proj', 'blk.N.shortconv.in_proj'],
  ['model.layers.N.conv.conv', 'blk.N.shortconv.conv'],
  ['model.layers.N.conv.out_proj', 'blk.N.shortconv.out_proj'],
  ['model.layers.N.self_attn.q_proj', 'blk.N.attn_q'],
  ['model.layers.N.self_attn.k_proj', 'blk.N.attn_k'],
  ['model.layers.N.self_attn.v_proj', 'blk.N.attn_v'],
  ['model.layers.N.self_attn.qkv_proj', 'blk.N.attn_qkv'],
  ['model.layers.N.self_attn.out_proj', 'blk.N.attn_output', 'layers.N.self_attn.o_proj'],
  ['model.layers.N.self_attn.q_layernorm', 'blk.N.attn_q_norm'],
  ['model.layers.N.self_attn.k_layernorm', 'blk.N.attn_k_norm'],
  ['model.layers.N.feed_forward.w1', 'blk.N.ffn_gate'],
  ['model.layers.N.feed_forward.w3', 'blk.N.ffn_up'],
  ['model.layers.N.feed_forward.w2', 'blk.N.ffn_down'],
] as const;

const CANONICAL = new Map<string, string>(NAMES.flatMap(([hf, ...others]) => [hf.replace('model.', ''), ...others].map((name) => [name, hf] as const)));

/** Parts of a name that only say what a module is wrapped in: by a model, torch.compile, DistributedDataParallel, FSDP, activation checkpoints, PEFT. */
const WRAPPERS = /^(_\w+|module|base_\w+|(language_|text_)?model|lfm)$/;

/** 'blk.3.attn_q.weight' or 'lfm.layers.3.self_attn.q_proj.weight' → 'model.layers.3.self_attn.q_proj.weight'; undefined if it is not a weight of LFM2. */
export function canonicalName(name: string): string | undefined {
  const parts = name.split('.').filter((part) => !WRAPPERS.test(part));
  const kind = parts.pop();
  const layer = parts.find((part) => /^\d{1,6}$/.test(part));
  const hf = CANONICAL.get(parts.join('.').replace(`.${layer}.`, '.N.'));
  return hf && (kind === 'weight' || kind === 'bias') ? `${hf.replace('.N.', `.${layer}.`)}.${kind}` : undefined;
}

/**
 * Tensors that are not weights of LFM2 keep their names.
 * @throws CheckpointError if a weight occurs twice, or if they are those of an adapter
 */
export function tensorsByName(tensors: readonly TensorInfo[]): Map<string, TensorInfo> {
  const named = new Map<string, TensorInfo>();
  for (const tensor of tensors) {
    if (tensor.name.endsWith('rotary_emb.inv_freq')) continue; // computed from the configuration
    if (/\.lora_/i.test(tensor.name)) refuseArchitecture('adapter', tensor.name);
    const name = canonicalName(tensor.name) ?? tensor.name;
    if (named.has(name)) fail('CheckpointError', { what: `The checkpoint has ${name} twice`, got: `${named.get(name)?.name} and ${tensor.name}`, cure: 'Remove one.' });
    named.set(name, tensor);
  }
  return named;
}

/** @throws CheckpointError */
export function requireTensor(tensors: TensorsByName, name: string): TensorInfo {
  const tensor = tensors.get(name);
  if (tensor) return tensor;
  const gguf = NAMES.find(([hf]) => hf === name.replace(/\.\d+\./, '.N.').replace(/\.(weight|bias)$/, ''))?.[1];
  return fail('CheckpointError', {
    what: 'The checkpoint lacks a tensor',
    wanted: `${name}${gguf ? ` (GGUF: ${gguf.replace('.N.', `.${/\d+/.exec(name)?.[0]}.`)}.${name.split('.').at(-1)})` : ''}`,
    cure: 'The file is incomplete, or the model has another architecture.',
  });
}

/**
 * The tree of the model's weights, with where each one is stored.
 * @throws CheckpointError that names a tensor that is missing, has a wrong shape, or does not belong to the model
 */
export function weightTree(config: Config, tensors: TensorsByName): Lfm2<MatrixSource, VectorSource> {
  const { vocabSize: V, hiddenSize: D, ffnSize: F, heads: H, kvHeads: K, headDim: d, convLength: L } = config;
  const used = new Set<string>();

  function take(name: string, ...shapes: number[][]): TensorInfo {
    const tensor = requireTensor(tensors, name);
    used.add(name);
    const got = tensor.shape.join(', ');
    if (!shapes.some((shape) => shape.join(', ') === got))
      fail('CheckpointError', {
        what: `Tensor ${tensor.name} has a wrong shape`,
        got: `[${got}]`,
        wanted: shapes.map((shape) => `[${shape.join(', ')}]`).join(' or '),
        cure: 'The configuration belongs to other weights.',
      });
    return tensor;
  }

  function matrix(name: string, cols: number, parts: [string, number][]): MatrixSource {
    const segments = parts.map(([part, rows]) => {
      const tensor = take(`${part}.weight`, [rows, cols]);
      return { name: part, rows, dtype: tensor.dtype, tensor };
    });
    return { name, cols, segments };
  }

  const linear = (name: string, rows: number, cols: number): MatrixSource => matrix(name, cols, [[name, rows]]);

  function vector(name: string, ...shapes: number[][]): VectorSource {
    const tensor = take(name, ...shapes);
    return { name, length: shapes[0].reduce((a, b) => a * b), tensor };
  }

  const bias = (name: string, length: number): VectorSource | undefined => (tensors.has(`${name}.bias`) ? vector(`${name}.bias`, [length]) : undefined);

  function layer(kind: 'conv' | 'attention', i: number): Layer<MatrixSource, VectorSource> {
    const at = `model.layers.${i}`;
    const shared = {
      operatorNorm: vector(`${at}.operator_norm.weight`, [D]),
      ffnNorm: vector(`${at}.ffn_norm.weight`, [D]),
      w1: linear(`${at}.feed_forward.w1`, F, D),
      w3: linear(`${at}.feed_forward.w3`, F, D),
      w2: linear(`${at}.feed_forward.w2`, D, F),
    };
    if (kind === 'conv')
      return {
        kind,
        ...shared,
        inProj: linear(`${at}.conv.in_proj`, 3 * D, D),
        inBias: bias(`${at}.conv.in_proj`, 3 * D),
        taps: vector(`${at}.conv.conv.weight`, [D, L], [D, 1, L], [D, L, 1]),
        convBias: bias(`${at}.conv.conv`, D),
        outProj: linear(`${at}.conv.out_proj`, D, D),
        outBias: bias(`${at}.conv.out_proj`, D),
      };
    const qkv = `${at}.self_attn.qkv_proj`;
    const [q, k, v] = ['q', 'k', 'v'].map((x) => `${at}.self_attn.${x}_proj`);
    return {
      kind,
      ...shared,
      qkvProj: tensors.has(`${qkv}.weight`) ? linear(qkv, (H + 2 * K) * d, D) : matrix(qkv, D, [[q, H * d], [k, K * d], [v, K * d]]),
      qNorm: vector(`${at}.self_attn.q_layernorm.weight`, [d]),
      kNorm: vector(`${at}.self_attn.k_layernorm.weight`, [d]),
      outProj: linear(`${at}.self_attn.out_proj`, D, H * d),
    };
  }

  const embed = linear('model.embed_tokens', V, D);
  const tree = {
    embed,
    layers: config.layers.map(layer),
    embeddingNorm: vector('model.embedding_norm.weight', [D]),
    head: tensors.has('lm_head.weight') ? linear('lm_head', V, D) : embed,
  };
  for (const [name, tensor] of tensors)
    if (!used.has(name))
      fail('CheckpointError', {
        what: 'The checkpoint has a tensor that does not fit its configuration',
        got: tensor.name,
        cure: 'It is another kind of model, or the configuration belongs to other weights.',
      });
  return tree;
}

/** The same tree with other leaves. A tied head stays the same object as the embedding. */
export function mapWeights<M, V, M2, V2>(weights: Lfm2<M, V>, matrix: (m: M) => M2, vector: (v: V) => V2): Lfm2<M2, V2> {
  const optional = (v: V | undefined): V2 | undefined => (v === undefined ? undefined : vector(v));
  const layer = (l: Layer<M, V>): Layer<M2, V2> => {
    const shared = { operatorNorm: vector(l.operatorNorm), ffnNorm: vector(l.ffnNorm), w1: matrix(l.w1), w3: matrix(l.w3), w2: matrix(l.w2) };
    const outProj = matrix(l.outProj);
    if (l.kind === 'attention') return { kind: l.kind, ...shared, qkvProj: matrix(l.qkvProj), qNorm: vector(l.qNorm), kNorm: vector(l.kNorm), outProj };
    const biases = { inBias: optional(l.inBias), convBias: optional(l.convBias), outBias: optional(l.outBias) };
    return { kind: l.kind, ...shared, ...biases, inProj: matrix(l.inProj), taps: vector(l.taps), outProj };
  };
  const embed = matrix(weights.embed);
  return {
    embed,
    layers: weights.layers.map(layer),
    embeddingNorm: vector(weights.embeddingNorm),
    head: weights.head === weights.embed ? embed : matrix(weights.head),
  };
}
