/** The ops as plain loops with f64 sums: the reference for every kernel. Rows are tokens. */

import type { Activation } from '../../model/ops';

export type ActivationRows = Float32Array;

/** weight · x / sqrt(mean(x²) + eps), row by row */
export function rmsNorm(x: ActivationRows, cols: number, weight: Float32Array, eps: number): ActivationRows {
  const y = new Float32Array(x.length);
  for (let at = 0; at < x.length; at += cols) {
    let sum = 0;
    for (let i = 0; i < cols; i++) sum += x[at + i] * x[at + i];
    const scale = 1 / Math.sqrt(sum / cols + eps);
    for (let i = 0; i < cols; i++) y[at + i] = weight[i] * (x[at + i] * scale);
  }
  return y;
}

/** weight · (x − mean) / sqrt(var + eps) + bias, row by row */
export function layerNorm(
  x: ActivationRows,
  cols: number,
  weight: Float32Array,
  eps: number,
  bias?: Float32Array,
): ActivationRows {
  const y = new Float32Array(x.length);
  for (let at = 0; at < x.length; at += cols) {
    const row = x.subarray(at, at + cols);
    const mean = row.reduce((sum, v) => sum + v, 0) / cols;
    const scale = 1 / Math.sqrt(row.reduce((sum, v) => sum + (v - mean) ** 2, 0) / cols + eps);
    for (let i = 0; i < cols; i++) y[at + i] = weight[i] * ((row[i] - mean) * scale) + (bias ? bias[i] : 0);
  }
  return y;
}

/** y[t, r] = Σ_c w[r, c] · x[t, c] + bias[r] */
export function linear(
  w: Float32Array,
  rows: number,
  cols: number,
  x: ActivationRows,
  bias?: Float32Array,
): ActivationRows {
  const T = x.length / cols;
  const y = new Float32Array(T * rows);
  for (let r = 0; r < rows; r++)
    for (let t = 0; t < T; t++) {
      let sum = bias ? bias[r] : 0;
      for (let c = 0, i = r * cols, j = t * cols; c < cols; c++) sum += w[i++] * x[j++];
      y[t * rows + r] = sum;
    }
  return y;
}

export const silu = (v: number): number => v / (1 + Math.exp(-v));

export const swiglu = (gate: ActivationRows, up: ActivationRows): ActivationRows => gate.map((v, i) => silu(v) * up[i]);

/** The error function by the series of positive terms (Abramowitz and Stegun 7.1.6); beyond 6 it is 1 in f64. */
function erf(x: number): number {
  if (Math.abs(x) > 6) return Math.sign(x);
  let [term, sum] = [x, x];
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) sum += term *= (2 * x * x) / (2 * n + 1);
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

export const ACTIVATIONS: Record<Activation, (v: number) => number> = {
  gelu: (v) => (v / 2) * (1 + erf(v / Math.SQRT2)),
  gelu_tanh: (v) => (v / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3))),
  silu,
  relu: (v) => Math.max(v, 0),
};

export interface Convolution {
  D: number;
  /** [D, L] */
  taps: Float32Array;
  L: number;
  bias?: Float32Array;
  /** the input is [T, 3D]: B, C, x; else it is [T, D]: x, with B and C of ones */
  gated: boolean;
}

/**
 * y[t, c] = C[t, c] · (bias[c] + Σ_k taps[c, k] · u[t − before + k, c]) with u = B ⊙ x.
 * @param past u of all earlier positions, [position, D]; that of these tokens is appended, and `before` is L − 1.
 * Without it `before` is ⌊(L − 1) / 2⌋, and u is zero outside of the sequence.
 */
export function shortConv(
  x: ActivationRows,
  { D, taps, L, bias, gated }: Convolution,
  past?: number[][],
): ActivationRows {
  const width = gated ? 3 * D : D;
  const T = x.length / width;
  const u = past ?? [];
  const position = u.length;
  for (let at = 0; at < x.length; at += width)
    u.push(Array.from({ length: D }, (_, c) => (gated ? Math.fround(x[at + c] * x[at + 2 * D + c]) : x[at + c])));
  const y = new Float32Array(T * D);
  for (let t = 0; t < T; t++) {
    const first = position + t - (past ? L - 1 : (L - 1) >> 1);
    for (let c = 0; c < D; c++) {
      let sum = bias ? bias[c] : 0;
      for (let k = 0; k < L; k++) sum += taps[c * L + k] * (u[first + k]?.[c] ?? 0); // one sequence: [0, T)
      y[t * D + c] = gated ? x[t * width + D + c] * sum : sum;
    }
  }
  return y;
}

/** Rotates a head in place: pairs (i, i + d/2), angle position · theta^(−2i/d) */
export function rope(head: Float32Array, position: number, theta: number): void {
  const half = head.length / 2;
  for (let i = 0; i < half; i++) {
    const angle = position * theta ** (-i / half);
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
    const [a, b] = [head[i], head[i + half]];
    head[i] = a * cos - b * sin;
    head[i + half] = b * cos + a * sin;
  }
}

export interface KeyValueCache {
  /** [position][K · d] */
  k: Float32Array[];
  v: Float32Array[];
}

export interface AttentionConfig {
  heads: number;
  kvHeads: number;
  headDim: number;
  qNorm: { weight: Float32Array; eps: number };
  kNorm: { weight: Float32Array; eps: number };
  ropeTheta: number;
}

/**
 * qkv [T, (H + 2K)·d] → [T, H·d]; The k and v of these tokens are appended to the cache; its length is the position of
 * the first token.
 * @param onWeights called with the attention weights of a head at a position, [position + 1]
 */
export function attend(
  qkv: ActivationRows,
  cache: KeyValueCache,
  s: AttentionConfig,
  onWeights?: (head: number, position: number, weights: Float64Array) => void,
): ActivationRows {
  const { heads: H, kvHeads: K, headDim: d } = s;
  const width = (H + 2 * K) * d;
  const T = qkv.length / width;
  const y = new Float32Array(T * H * d);
  for (let t = 0; t < T; t++) {
    const position = cache.k.length;
    const row = qkv.subarray(t * width, (t + 1) * width);
    const q = rmsNorm(row.subarray(0, H * d), d, s.qNorm.weight, s.qNorm.eps);
    const k = rmsNorm(row.subarray(H * d, (H + K) * d), d, s.kNorm.weight, s.kNorm.eps);
    for (let h = 0; h < H; h++) rope(q.subarray(h * d, (h + 1) * d), position, s.ropeTheta);
    for (let h = 0; h < K; h++) rope(k.subarray(h * d, (h + 1) * d), position, s.ropeTheta);
    cache.k.push(k);
    cache.v.push(row.slice((H + K) * d));

    for (let h = 0; h < H; h++) {
      const kv = Math.floor((h * K) / H) * d;
      const scores = new Float64Array(position + 1);
      for (let p = 0; p <= position; p++) {
        let dot = 0;
        for (let i = 0; i < d; i++) dot += q[h * d + i] * cache.k[p][kv + i];
        scores[p] = dot / Math.sqrt(d);
      }
      const max = scores.reduce((a, b) => Math.max(a, b));
      let total = 0;
      for (let p = 0; p <= position; p++) total += scores[p] = Math.exp(scores[p] - max);
      for (let i = 0; i < d; i++) {
        let sum = 0;
        for (let p = 0; p <= position; p++) sum += scores[p] * cache.v[p][kv + i];
        y[(t * H + h) * d + i] = sum / total;
      }
      onWeights?.(
        h,
        position,
        scores.map((score) => score / total),
      );
    }
  }
  return y;
}
