/**
 * The operations of the model, at the granularity of the blocks in the LFM2 report (arXiv:2511.23404). The forward pass
 * (lfm2.ts) is written in them once;
 * a backend executes what was recorded.
 *
 * Letters: T tokens of this step, D hidden width, F feed-forward width, H query heads, K key/value heads, d head width,
 * L conv length, V vocabulary. Activations are f32, row-major, one row a token.
 *
 * A fusion is a named optional argument that is part of the mathematics (`norm` before, `add` after), never a second
 * function.
 */
import type { Dtype } from '../tensor/dtype';

/** A weight matrix [rows, cols]; its segments lie one below the other and may differ in dtype (a fused q, k, v). */
export interface Matrix {
  readonly name: string;
  readonly rows: number;
  readonly cols: number;
  readonly segments: readonly { readonly name: string; readonly rows: number; readonly dtype: Dtype }[];
}

/** Small f32 data: norm weights, conv taps, biases. */
export interface Vector {
  readonly name: string;
  readonly length: number;
}

/** RMSNorm: weight · x / sqrt(mean(x²) + eps), in f32. */
export interface Norm {
  kind?: undefined;
  weight: Vector;
  eps: number;
}

/** LayerNorm: weight · (x − mean(x)) / sqrt(var(x) + eps) + bias, in f32; var divides by the number of columns. */
export interface LayerNorm {
  kind: 'layer';
  weight: Vector;
  bias?: Vector;
  eps: number;
}

/**
 * silu: v · sigmoid(v); gelu: v · Φ(v), with the error function; gelu_tanh: its approximation by tanh
 * (gelu_pytorch_tanh in transformers).
 */
export type Activation = 'gelu' | 'gelu_tanh' | 'silu' | 'relu';

export interface Linear {
  norm?: Norm | LayerNorm;
  bias?: Vector;
  act?: Activation;
  /** norm of the result, before `add` (a sandwich norm) */
  post?: Norm;
  add?: Act;
}

/** An activation [rows, cols]; rows is T, or 1 after `last`. */
export interface Act {
  readonly name: string;
  readonly rows: 'T' | 1;
  readonly cols: number;
}

/** Keys (after norm and RoPE) and values of one attention layer, addressed by position. */
export interface KvCache {
  readonly kind: 'kv';
  readonly layer: number;
  readonly kvHeads: number;
  readonly headDim: number;
}

/** B⊙x of one conv layer, a ring by position, of which each step needs the last L − 1. */
export interface ConvState {
  readonly kind: 'conv';
  readonly layer: number;
  readonly channels: number;
  readonly length: number;
}

/** Rotary positions: pair i of a head turns by position · theta^(−2i/d) / factors[i]. */
export interface Rope {
  theta: number;
  /** a pair is (i, i + d/2), or (2i, 2i + 1); 'half' by default */
  pairs?: 'half' | 'interleaved';
  /** [d/2], all 1 by default; a very large one stops its pair */
  factors?: readonly number[];
}

export interface Attend {
  /** of each head, [d] */
  qNorm?: Norm;
  kNorm?: Norm;
  heads: number;
  /** key/value heads without a cache, `heads` by default; a cache has its own */
  kvHeads?: number;
  /** no rotation by default */
  rope?: Rope;
  /** with a cache: position p attends to q with p − window < q ≤ p */
  window?: number;
  /** qkv ends in H more columns: the output of head h is multiplied by the sigmoid of column h */
  gate?: boolean;
}

export interface Experts {
  norm: Norm;
  /** [E], added to the scores that choose, not to the weights */
  bias?: Vector;
  /** experts of a token */
  top: number;
  /** divide the weights by their sum + 1e-6 */
  normalise?: boolean;
  /** of the weights */
  scale: number;
  add: Act;
}

export interface Ops {
  /** rows of the table, one a token: [T, D] */
  embed(table: Matrix): Act;
  /** rows that `prefill` gets instead of tokens, for encoders: [T, D]. The first op of a plan, or the first ones. */
  input(D: number): Act;
  /** norm(x): [T, cols of x] */
  norm(x: Act, norm: Norm | LayerNorm): Act;
  /** y = post(act(W · norm(x) + bias)) + add: [T, rows of W] */
  linear(w: Matrix, x: Act, options?: Linear): Act;
  /** silu(W1 · norm(x)) ⊙ (W3 · norm(x)): [T, F] */
  swiglu(w1: Matrix, w3: Matrix, x: Act, options: { norm: Norm | LayerNorm }): Act;
  /**
   * Mixture of experts (Lfm2MoeSparseMoeBlock in transformers). router [E, D] scores x' = norm(x): s = sigmoid(router ·
   * x'). The `top` experts with the largest s + bias, the first ones of equals, have the weights g = s, then normalised
   * and scaled. w1 and w3 [E·I, D], w2 [E·D, I] have a segment for each expert:
   * Σ_e g_e · W2_e · (silu(W1_e · x') ⊙ (W3_e · x')) + add: [T, D]
   */
  experts(router: Matrix, w: { w1: Matrix; w3: Matrix; w2: Matrix }, x: Act, options: Experts): Act;
  /**
   * Gated short convolution (Lfm2ShortConv in transformers). bcx [T, 3D] holds B, C, x side by side; taps [D, L], the
   * last one for the current token:
   * y[t,c] = C[t,c] · (bias[c] + Σ_k taps[c,k] · (B⊙x)[t−(L−1)+k, c]): [T, D]
   * Without state it reads the sequences of this call, and zeros outside: if `causal` as above, else centred, from
   * (B⊙x)[t−⌊(L−1)/2⌋+k, c].
   * With `gated` false the input is x alone, [T, D], and both products fall away.
   */
  shortConv(
    bcx: Act,
    taps: Vector,
    state: ConvState | undefined,
    options?: { bias?: Vector; gated?: boolean; causal?: boolean },
  ): Act;
  /**
   * qkv [T, (H + 2K)·d], or [T, (H + 2K)·d + H] with gates: per-head norm of q and k, RoPE by position, append k and v
   * to the cache, causal softmax(q·k / √d)·v, query head h reading kv head ⌊h·K/H⌋: [T, H·d].
   * Without a cache all rows of a sequence attend to each other, and positions count from its begin; `prefill` gets the
   * sequences, or what each row attends to.
   */
  attend(qkv: Act, cache: KvCache | undefined, options: Attend): Act;
  /** the row of the last token: [1, cols] */
  last(x: Act): Act;
}
