/** The forward pass of dense LFM2 and LFM2.5 (modeling_lfm2.py in transformers), once, for every backend and every T. Shapes at the right. */
import type { Config } from './config';
import type { Act, ConvState, KvCache, Matrix, Norm, Ops, Vector } from './ops';

interface FeedForward<M, V> {
  ffnNorm: V;
  w1: M; // [F, D]
  w3: M; // [F, D]
  w2: M; // [D, F]
}

export interface ConvLayer<M = Matrix, V = Vector> extends FeedForward<M, V> {
  kind: 'conv';
  operatorNorm: V;
  inProj: M; // [3D, D]
  inBias?: V;
  taps: V; // [D, L]
  convBias?: V;
  outProj: M; // [D, D]
  outBias?: V;
}

export interface AttentionLayer<M = Matrix, V = Vector> extends FeedForward<M, V> {
  kind: 'attention';
  operatorNorm: V;
  qkvProj: M; // [(H + 2K)·d, D]
  qNorm: V; // [d]
  kNorm: V; // [d]
  outProj: M; // [D, H·d]
}

export type Layer<M = Matrix, V = Vector> = ConvLayer<M, V> | AttentionLayer<M, V>;

/** Every weight of the model. M and V are where a weight comes from before loading, and the backend's handles after. */
export interface Lfm2<M = Matrix, V = Vector> {
  embed: M; // [V, D]
  layers: Layer<M, V>[];
  embeddingNorm: V; // [D], the final norm
  head: M; // [V, D]; the same object as embed when tied
}

export function forward(op: Ops, config: Config, m: Lfm2): Act {
  const norm = (weight: Vector): Norm => ({ weight, eps: config.normEps });

  function shortConv(l: ConvLayer, x: Act, layer: number): Act {
    const state: ConvState = { kind: 'conv', layer, channels: config.hiddenSize, length: config.convLength };
    const bcx = op.linear(l.inProj, x, { norm: norm(l.operatorNorm), bias: l.inBias }); // [T, 3D]
    const y = op.shortConv(bcx, l.taps, state, { bias: l.convBias }); //                   [T, D]  C ⊙ conv(B ⊙ x)
    return op.linear(l.outProj, y, { bias: l.outBias, add: x }); //                        [T, D]
  }

  function attention(l: AttentionLayer, x: Act, layer: number): Act {
    const cache: KvCache = { kind: 'kv', layer, kvHeads: config.kvHeads, headDim: config.headDim };
    const { heads, ropeTheta } = config;
    const qkv = op.linear(l.qkvProj, x, { norm: norm(l.operatorNorm) }); //                [T, (H + 2K)·d]
    const y = op.attend(qkv, cache, { qNorm: norm(l.qNorm), kNorm: norm(l.kNorm), heads, ropeTheta }); // [T, H·d]
    return op.linear(l.outProj, y, { add: x }); //                                         [T, D]
  }

  // the mixture-of-experts branch will be an op here, chosen by the layer's weights
  function feedForward(l: Layer, x: Act): Act {
    const g = op.swiglu(l.w1, l.w3, x, { norm: norm(l.ffnNorm) }); //                      [T, F]
    return op.linear(l.w2, g, { add: x }); //                                              [T, D]
  }

  let x = op.embed(m.embed); //                                                            [T, D]
  m.layers.forEach((l, i) => {
    x = l.kind === 'conv' ? shortConv(l, x, i) : attention(l, x, i);
    x = feedForward(l, x);
  });
  return op.linear(m.head, op.last(x), { norm: norm(m.embeddingNorm) }); //                [1, V]
}
