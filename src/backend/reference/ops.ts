/** The ops as plain loops with f64 sums: the reference for every kernel. Rows are tokens. */
import type { Rope } from '../../model/ops';

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

export interface Selection {
  /** [E] */
  bias?: Float32Array;
  top: number;
  normalise?: boolean;
  scale: number;
}

/** scores [T, E] → [T, 2·top]: the experts of each token, ascending, then their weights */
export function selectExperts(scores: ActivationRows, E: number, s: Selection): ActivationRows {
  const y = new Float32Array((scores.length / E) * 2 * s.top);
  for (let t = 0; t * E < scores.length; t++) {
    const p = [...scores.subarray(t * E, (t + 1) * E)].map((v) => 1 / (1 + Math.exp(-v)));
    const order = p.map((v, e) => ({ e, chance: Math.fround(Math.fround(v) + (s.bias?.[e] ?? 0)) }));
    const chosen = order.sort((a, b) => b.chance - a.chance).slice(0, s.top); // stable: the first of equals
    const experts = chosen.map(({ e }) => e).sort((a, b) => a - b);
    const sum = s.normalise ? experts.reduce((total, e) => total + p[e], 1e-6) : 1;
    y.set([...experts, ...experts.map((e) => (p[e] / sum) * s.scale)], t * 2 * s.top);
  }
  return y;
}

/** The experts of token t: their numbers and their weights. */
export const chosenExperts = (chosen: ActivationRows, top: number, t: number): (readonly [e: number, g: number])[] =>
  Array.from({ length: top }, (_, j) => [chosen[2 * top * t + j], chosen[2 * top * t + top + j]] as const);

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
  causal?: boolean;
}

/**
 * y[t, c] = C[t, c] · (bias[c] + Σ_k taps[c, k] · u[t − before + k, c]) with u = B ⊙ x.
 * @param past u of all earlier positions, [position, D]; that of these tokens is appended, and `before` is L − 1.
 * Without it `before` is ⌊(L − 1) / 2⌋ unless it is causal, and u is zero outside of what the token reads.
 * @param bounds begin and end of the rows that each token attends to, then of those that it reads here, [T, 4]; y of a
 * token that is not among them is zero
 */
export function shortConv(
  x: ActivationRows,
  { D, taps, L, bias, gated, causal }: Convolution,
  past?: number[][],
  bounds?: Uint32Array,
): ActivationRows {
  const width = gated ? 3 * D : D;
  const T = x.length / width;
  const u = past ?? [];
  const position = u.length;
  for (let at = 0; at < x.length; at += width)
    u.push(Array.from({ length: D }, (_, c) => (gated ? Math.fround(x[at + c] * x[at + 2 * D + c]) : x[at + c])));
  const y = new Float32Array(T * D);
  for (let t = 0; t < T; t++) {
    const first = position + t - (past || causal ? L - 1 : (L - 1) >> 1);
    const [begin, end] = past ? [0, u.length] : bounds!.subarray(4 * t + 2, 4 * t + 4);
    if (!past && (t < begin || t >= end)) continue;
    for (let c = 0; c < D; c++) {
      let sum = bias ? bias[c] : 0;
      for (let k = Math.max(0, begin - first); k < Math.min(L, end - first); k++)
        sum += taps[c * L + k] * u[first + k][c];
      y[t * D + c] = gated ? x[t * width + D + c] * sum : sum;
    }
  }
  return y;
}

/** Rotates a head in place: pair i by the angle position · theta^(−2i/d) / factors[i] */
export function rope(head: Float32Array, position: number, { theta, pairs, factors }: Rope): void {
  const half = head.length / 2;
  for (let i = 0; i < half; i++) {
    const angle = (position * theta ** (-i / half)) / (factors?.[i] ?? 1);
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
    const [first, second] = pairs === 'interleaved' ? [2 * i, 2 * i + 1] : [i, i + half];
    const [a, b] = [head[first], head[second]];
    head[first] = a * cos - b * sin;
    head[second] = b * cos + a * sin;
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
  qNorm?: { weight: Float32Array; eps: number };
  kNorm?: { weight: Float32Array; eps: number };
  rope?: Rope;
  window?: number;
  gate?: boolean;
}

/** called with the attention weights of a head at a position, [position + 1] */
type OnWeights = (head: number, position: number, weights: Float64Array) => void;

/** Rows of q, k and v at a position: normed and rotated. */
function headsAt(row: ActivationRows, position: number, s: AttentionConfig): Record<'q' | 'k' | 'v', Float32Array> {
  const { heads: H, kvHeads: K, headDim: d } = s;
  const prepared = (x: ActivationRows, norm: AttentionConfig['qNorm']): ActivationRows => {
    const y = norm ? rmsNorm(x, d, norm.weight, norm.eps) : x.slice();
    if (s.rope) for (let at = 0; at < y.length; at += d) rope(y.subarray(at, at + d), position, s.rope);
    return y;
  };
  return {
    q: prepared(row.subarray(0, H * d), s.qNorm),
    k: prepared(row.subarray(H * d, (H + K) * d), s.kNorm),
    v: row.slice((H + K) * d, (H + 2 * K) * d),
  };
}

/** One row of attention over the positions begin … end − 1, with the gates of its row: [H · d]. */
function attendRow(
  q: Float32Array,
  { k, v }: KeyValueCache,
  [begin, end]: readonly [number, number],
  { heads: H, kvHeads: K, headDim: d }: AttentionConfig,
  onWeights?: (head: number, weights: Float64Array) => void,
): ActivationRows {
  const y = new Float32Array(H * d);
  for (let h = 0; h < H; h++) {
    const kv = Math.floor((h * K) / H) * d;
    const scores = new Float64Array(end).fill(-Infinity, 0, begin);
    for (let p = begin; p < end; p++) {
      let dot = 0;
      for (let i = 0; i < d; i++) dot += q[h * d + i] * k[p][kv + i];
      scores[p] = dot / Math.sqrt(d);
    }
    const max = scores.reduce((a, b) => Math.max(a, b));
    let total = 0;
    for (let p = 0; p < end; p++) total += scores[p] = Math.exp(scores[p] - max);
    for (let i = 0; i < d; i++) {
      let sum = 0;
      for (let p = begin; p < end; p++) sum += scores[p] * v[p][kv + i];
      y[h * d + i] = sum / total;
    }
    onWeights?.(
      h,
      scores.map((score) => score / total),
    );
  }
  return y;
}

/** Multiplies each head of a row's output by the sigmoid of its gate, which ends the row of qkv. */
function applyGates(y: ActivationRows, row: ActivationRows, { heads: H, headDim: d, gate }: AttentionConfig): void {
  if (!gate) return;
  const gates = row.subarray(row.length - H);
  for (let i = 0; i < y.length; i++) y[i] /= 1 + Math.exp(-gates[Math.floor(i / d)]);
}

const rowsOf = (qkv: ActivationRows, { heads: H, kvHeads: K, headDim: d, gate }: AttentionConfig): ActivationRows[] => {
  const width = (H + 2 * K) * d + (gate ? H : 0);
  return Array.from({ length: qkv.length / width }, (_, t) => qkv.subarray(t * width, (t + 1) * width));
};

/** qkv [T, (H + 2K)·d, then gates] → [T, H·d]; k and v are appended to the cache; its length is the first position. */
export function attend(
  qkv: ActivationRows,
  cache: KeyValueCache,
  s: AttentionConfig,
  onWeights?: OnWeights,
): ActivationRows {
  const rows = rowsOf(qkv, s);
  const y = new Float32Array(rows.length * s.heads * s.headDim);
  rows.forEach((row, t) => {
    const position = cache.k.length;
    const { q, k, v } = headsAt(row, position, s);
    cache.k.push(k);
    cache.v.push(v);
    const begin = Math.max(0, position + 1 - (s.window ?? Infinity));
    const attended = attendRow(q, cache, [begin, position + 1], s, (head, weights) =>
      onWeights?.(head, position, weights),
    );
    applyGates(attended, row, s);
    y.set(attended, t * attended.length);
  });
  return y;
}

/** Without a cache: row t attends to rows bounds[t, 0] … bounds[t, 1] − 1 of [T, 4]; positions count from the first. */
export function attendWithin(qkv: ActivationRows, bounds: Uint32Array, s: AttentionConfig): ActivationRows {
  const rows = rowsOf(qkv, s);
  const y = new Float32Array(rows.length * s.heads * s.headDim);
  const heads = rows.map((row, t) => headsAt(row, t - bounds[4 * t], s));
  const all = { k: heads.map(({ k }) => k), v: heads.map(({ v }) => v) };
  rows.forEach((row, t) => {
    const attended = attendRow(heads[t].q, all, [bounds[4 * t], bounds[4 * t + 1]], s);
    applyGates(attended, row, s);
    y.set(attended, t * attended.length);
  });
  return y;
}
