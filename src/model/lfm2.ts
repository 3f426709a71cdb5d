/**
 * The weights and the forward pass of LFM2 and LFM2.5, dense (modeling_lfm2.py in transformers) and with a mixture of
 * experts (modeling_lfm2_moe.py), and of LFM3 (lfm3.cpp in llama.cpp), once, for every file format, every backend and
 * every T. LFM3 has more: layers with a sliding window, a gate on each head, and norms after each operator and
 * feed-forward network.
 */
import type { Config } from './config';
import type { Act, Attend, ConvState, KvCache, Norm, Ops, Vector } from './ops';
import type { Loaded, MatrixSource, ModuleNames, VectorSource, WeightReader } from './weights';

// modules that the configuration is read from, too
export const EMBEDDING: ModuleNames = ['model.embed_tokens', 'token_embd'];
export const HEAD: ModuleNames = ['lm_head', 'output'];
export const FFN_GATE: ModuleNames = ['feed_forward.w1', 'ffn_gate'];
export const CONV_IN: ModuleNames = ['conv.in_proj', 'shortconv.in_proj'];
export const CONV: ModuleNames = ['conv.conv', 'shortconv.conv'];
export const CONV_OUT: ModuleNames = ['conv.out_proj', 'shortconv.out_proj'];

/** Of LFM3: divides the angles of its full layers. */
export const ROPE_FACTORS: ModuleNames = ['rope_freqs', 'rope_freqs'];

/** The names of a module of a layer. */
export const inLayer = (layer: number) => (hf: string, gguf: string, ...others: string[]): ModuleNames => [
  `model.layers.${layer}.${hf}`,
  `blk.${layer}.${gguf}`,
  ...others.map((name) => `model.layers.${layer}.${name}`),
]; // prettier-ignore

/** The weights of a layer with experts, in place of one network. */
export interface ExpertWeights {
  router: MatrixSource;
  expertBias?: VectorSource;
  w1: MatrixSource;
  w3: MatrixSource;
  w2: MatrixSource;
}

/**
 * Every weight of the model: its names as transformers and llama.cpp (gguf-py) write them, and its shape. Despite its
 * name, token_embd_norm is the final norm; Ollama calls it output_norm (convert_lfm2.go). o_proj is of early versions
 * for MLX. What LFM3 calls its post norms in Hugging Face files is not known.
 */
export function lfm2Weights(
  config: Config,
  read: WeightReader,
  experts?: (at: ReturnType<typeof inLayer>) => ExpertWeights,
) {
  const { vocabSize: V, hiddenSize: D, ffnSize: F, heads: H, kvHeads: K, headDim: d, convLength: L } = config;

  function layer(kind: Config['layers'][number], i: number) {
    const at = inLayer(i);
    const operatorNorm = read.vector(at('operator_norm', 'attn_norm'), [D]);
    const ffnNorm = read.vector(at('ffn_norm', 'ffn_norm'), [D]);
    const operator = kind === 'conv' ? conv(at) : attention(at, kind);
    return {
      ...operator,
      operatorNorm,
      ffnNorm,
      ...postNorms(at),
      ...(experts && i >= config.experts!.denseLayers ? experts(at) : dense(at)),
    };
  }

  const dense = (at: ReturnType<typeof inLayer>) => ({
    router: undefined,
    w1: read.matrix(at(...FFN_GATE), [F, D]),
    w3: read.matrix(at('feed_forward.w3', 'ffn_up'), [F, D]),
    w2: read.matrix(at('feed_forward.w2', 'ffn_down'), [D, F]),
  });

  const conv = (at: ReturnType<typeof inLayer>) => ({
    kind: 'conv' as const,
    inProj: read.matrix(at(...CONV_IN), [3 * D, D]),
    inBias: read.bias(at(...CONV_IN), 3 * D),
    taps: read.vector(at(...CONV), [D, L], [D, 1, L], [D, L, 1]),
    convBias: read.bias(at(...CONV), D),
    outProj: read.matrix(at(...CONV_OUT), [D, D]),
    outBias: read.bias(at(...CONV_OUT), D),
  });

  /** both, or neither */
  function postNorms(at: ReturnType<typeof inLayer>) {
    const [operator, ffn] = [
      at('post_attention_norm', 'post_attention_norm'),
      at('post_ffw_norm', 'post_ffw_norm'),
    ] as const;
    const there = config.sliding && (read.has(operator) || read.has(ffn));
    return {
      operatorPostNorm: there ? read.vector(operator, [D]) : undefined,
      ffnPostNorm: there ? read.vector(ffn, [D]) : undefined,
    };
  }

  /** Rows of q, k and v, and with gates one for each head. */
  function qkv(at: ReturnType<typeof inLayer>): MatrixSource {
    const fused = at('self_attn.qkv_proj', 'attn_qkv');
    const parts: [ModuleNames, rows: number][] = [
      [at('self_attn.q_proj', 'attn_q'), H * d],
      [at('self_attn.k_proj', 'attn_k'), K * d],
      [at('self_attn.v_proj', 'attn_v'), K * d],
    ];
    const rows = (H + 2 * K) * d;
    if (!config.sliding) return read.matrix(fused, [rows, D], parts);
    const all = read.has(fused) ? ([[fused, rows]] as typeof parts) : parts;
    const gates = at('self_attn.gate_proj', 'attn_gate');
    return read.matrix(at('self_attn.qkvg_proj', 'attn_qkvg'), [rows + H, D], [...all, [gates, H]]);
  }

  const attention = (at: ReturnType<typeof inLayer>, kind: 'attention' | 'sliding') => ({
    kind,
    qkvProj: qkv(at),
    qNorm: read.vector(at('self_attn.q_layernorm', 'attn_q_norm'), [d]),
    kNorm: read.vector(at('self_attn.k_layernorm', 'attn_k_norm'), [d]),
    outProj: read.matrix(at('self_attn.out_proj', 'attn_output', 'self_attn.o_proj'), [D, H * d]),
  });

  const embed = read.matrix(EMBEDDING, [V, D]);
  return {
    embed,
    embeddingNorm: read.vector(['model.embedding_norm', 'token_embd_norm', 'output_norm', 'norm'], [D]),
    head: read.has(HEAD) ? read.matrix(HEAD, [V, D]) : embed, // the same object when tied
    layers: config.layers.map(layer),
  };
}

/** Where the weights are stored, and the backend's handles. */
export type Lfm2Sources = ReturnType<typeof lfm2Weights>;
export type Lfm2 = Loaded<Lfm2Sources>;
type Layer = Lfm2['layers'][number];
type ConvLayer = Extract<Layer, { kind: 'conv' }>;
type AttentionLayer = Exclude<Layer, ConvLayer>;

/**
 * All layers. Shapes at the right.
 * @param encoder texts are encoded, as documents of a search: layers hold no state, and read the sequences of a call
 */
export function runLayers(op: Ops, config: Config, m: Lfm2, encoder?: { causal: boolean }): Act {
  const norm = (weight: Vector): Norm => ({ weight, eps: config.normEps });
  const post = (weight: Vector | undefined): Norm | undefined => weight && norm(weight);

  function shortConv(l: ConvLayer, x: Act, layer: number): Act {
    const own: ConvState = { kind: 'conv', layer, channels: config.hiddenSize, length: config.convLength };
    const state = encoder ? undefined : own;
    const bcx = op.linear(l.inProj, x, { norm: norm(l.operatorNorm), bias: l.inBias }); // [T, 3D]
    const y = op.shortConv(bcx, l.taps, state, { bias: l.convBias, causal: encoder?.causal });
    return op.linear(l.outProj, y, { bias: l.outBias, post: post(l.operatorPostNorm), add: x }); // [T, D]
  }

  function positions(kind: AttentionLayer['kind']): Pick<Attend, 'rope' | 'window'> {
    const { ropeTheta: theta, ropeFactors: factors, sliding } = config;
    if (kind === 'sliding') return { rope: { theta: sliding!.ropeTheta }, window: sliding!.window };
    return { rope: factors ? { theta, factors } : { theta } };
  }

  function attention(l: AttentionLayer, x: Act, layer: number): Act {
    const { heads, kvHeads, headDim, sliding } = config;
    const own: KvCache = { kind: 'kv', layer, kvHeads, headDim };
    const cache = encoder ? undefined : own;
    const norms = { qNorm: norm(l.qNorm), kNorm: norm(l.kNorm) };
    const qkv = op.linear(l.qkvProj, x, { norm: norm(l.operatorNorm) }); //                [T, (H + 2K)·d + gates]
    const y = op.attend(qkv, cache, { ...norms, heads, kvHeads, ...positions(l.kind), gate: sliding && true });
    return op.linear(l.outProj, y, { post: post(l.operatorPostNorm), add: x }); //         [T, D]
  }

  function feedForward(l: Layer, x: Act): Act {
    if (l.router) {
      const { top, normalise, scale } = config.experts!;
      const options = { norm: norm(l.ffnNorm), bias: l.expertBias, top, normalise, scale, add: x };
      return op.experts(l.router, l, x, options); //                                       [T, D]
    }
    const g = op.swiglu(l.w1, l.w3, x, { norm: norm(l.ffnNorm) }); //                      [T, F]
    return op.linear(l.w2, g, { post: post(l.ffnPostNorm), add: x }); //                   [T, D]
  }

  let x = op.embed(m.embed); //                                                            [T, D]
  m.layers.forEach((l, i) => {
    x = l.kind === 'conv' ? shortConv(l, x, i) : attention(l, x, i);
    x = feedForward(l, x);
  });
  return x;
}

/** The logits of the last token, [1, V]. */
export const forward = (op: Ops, config: Config, m: Lfm2): Act =>
  op.linear(m.head, op.last(runLayers(op, config, m)), { norm: { weight: m.embeddingNorm, eps: config.normEps } });
