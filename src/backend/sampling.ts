/**
 * How the next token is chosen: one definition, which the C and the WGSL sampler follow, and the oracle that they are tested against.
 *
 * 1. l[v] of every token: seen before (prompt or output): l > 0 ? l / repetitionPenalty : l · repetitionPenalty;
 *    then − frequencyPenalty · n − presencePenalty · (n > 0), n the times v is in the output; then + bias[v].
 * 2. Tokens outside `mask` are dropped. If temperature is 0: the highest l, the lowest id among equals.
 * 3. w[v] = exp((l[v] − max) / temperature). In this order: top-k keeps the k highest; top-p keeps, from the highest down, the fewest
 *    whose sum reaches topP of the kept sum; min-p keeps w ≥ minP. Among equals the lower id goes first. One token is always kept.
 * 4. u = random(seed, position) in [0, 1): the kept tokens in order of id, the first whose running sum exceeds u · total.
 */
export interface Sampling {
  /** 0 is greedy */
  temperature: number;
  /** 0 keeps all */
  topK: number;
  /** 1 keeps all */
  topP: number;
  /** 0 keeps all */
  minP: number;
  /** 1 does nothing */
  repetitionPenalty: number;
  frequencyPenalty: number;
  presencePenalty: number;
  seed: number;
  /** added to the logits, by token id */
  bias?: ReadonlyMap<number, number>;
  /** @internal bit v of word v >> 5 set: token v is allowed; one draw only */
  mask?: Uint32Array;
}

export const GREEDY: Sampling = {
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  repetitionPenalty: 1,
  frequencyPenalty: 0,
  presencePenalty: 0,
  seed: 0,
};

/** Every filter and penalty, for measurements. */
export const TYPICAL: Sampling = { ...GREEDY, temperature: 0.7, topK: 40, topP: 0.9, minP: 0.05, repetitionPenalty: 1.05, seed: 1 };

/** 24 random bits as a number in [0, 1): PCG's output permutation over (seed, position), u32 arithmetic only (Jarzynski & Olano 2020). */
export function random(seed: number, position: number): number {
  const pcg = (v: number): number => {
    const state = (Math.imul(v, 747796405) + 2891336453) >>> 0;
    const word = Math.imul((state >>> ((state >>> 28) + 4)) ^ state, 277803737) >>> 0;
    return ((word >>> 22) ^ word) >>> 0;
  };
  return (pcg((pcg(seed >>> 0) + position) >>> 0) >>> 8) / 16777216;
}

/**
 * Chooses a token.
 * @param logits [V], changed in place
 * @param history tokens by position; those from `promptLength` on are output
 * @param position of the token being chosen
 */
export function sample(logits: Float32Array, s: Sampling, history: ArrayLike<number>, promptLength: number, position: number): number {
  const V = logits.length;
  const count = new Map<number, number>();
  for (let i = 0; i < history.length; i++) count.set(history[i], (count.get(history[i]) ?? 0) + (i < promptLength ? 0 : 1));
  for (const [v, n] of count) {
    logits[v] = logits[v] > 0 ? logits[v] / s.repetitionPenalty : logits[v] * s.repetitionPenalty;
    logits[v] -= s.frequencyPenalty * n + (n > 0 ? s.presencePenalty : 0);
  }
  for (const [v, b] of s.bias ?? []) logits[v] += b;
  if (s.mask) for (let v = 0; v < V; v++) if (!((s.mask[v >>> 5] >>> (v & 31)) & 1)) logits[v] = -Infinity;

  let best = 0;
  for (let v = 1; v < V; v++) if (logits[v] > logits[best]) best = v;
  if (s.temperature === 0) return best;

  const weight = new Float32Array(V);
  for (let v = 0; v < V; v++) weight[v] = Math.exp((logits[v] - logits[best]) / s.temperature);
  let kept = Array.from(weight.keys())
    .filter((v) => weight[v] > 0)
    .sort((a, b) => weight[b] - weight[a] || a - b);
  if (s.topK > 0) kept = kept.slice(0, s.topK);
  if (s.topP < 1) {
    const target = s.topP * kept.reduce((sum, v) => sum + weight[v], 0);
    let sum = 0;
    const end = kept.findIndex((v) => (sum += weight[v]) >= target);
    if (end >= 0) kept = kept.slice(0, end + 1);
  }
  kept = kept.filter((v, i) => i === 0 || weight[v] >= s.minP).sort((a, b) => a - b);

  const target = random(s.seed, position) * kept.reduce((sum, v) => sum + weight[v], 0);
  let sum = 0;
  return kept.find((v) => (sum += weight[v]) > target) ?? kept[kept.length - 1];
}

export interface Logprob {
  id: number;
  /** natural logarithm of the token's probability */
  logprob: number;
}

/** A chosen token, and the most likely ones at its place, from the highest down. */
export interface ChosenLogprob extends Logprob {
  top: Logprob[];
}

/**
 * What the model itself says of a token: log-softmax of the raw logits, before penalties, bias, mask and temperature, as is the custom of
 * completion APIs. Among equals the lower id goes first.
 * @param logits [V], from which `chosen` was drawn
 * @param n how many of the most likely tokens are told
 */
export function logprobs(logits: Float32Array, chosen: number, n: number): ChosenLogprob {
  const top: number[] = [];
  let max = -Infinity;
  for (let v = 0; v < logits.length; v++) {
    max = Math.max(max, logits[v]);
    if (top.length === n && !(n > 0 && logits[v] > logits[top[n - 1]])) continue;
    let at = top.length;
    while (at > 0 && logits[v] > logits[top[at - 1]]) at--;
    top.splice(at, 0, v);
    top.length = Math.min(top.length, n);
  }
  let sum = 0;
  for (const l of logits) sum += Math.exp(l - max);
  const log = max + Math.log(sum);
  const of = (id: number): Logprob => ({ id, logprob: logits[id] - log });
  return { ...of(chosen), top: top.map(of) };
}
