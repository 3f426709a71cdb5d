/**
 * The definition of sampling. The C sampler and the WGSL sampler follow it, and tests compare both with the code here.
 *
 * 1. For every token v that occurs in the prompt or the output:
 *    l[v] = l > 0 ? l / repetitionPenalty : l · repetitionPenalty.
 *    Then l[v] −= frequencyPenalty · n + presencePenalty · (n > 0), where n counts v in the output.
 *    Then l[v] += bias[v].
 * 2. Tokens outside `mask` are dropped. At temperature 0 the token with the highest l is taken, among equals the
 *    lowest id.
 * 3. w[v] = exp((l[v] − max) / temperature). The filters follow in this order: top-k keeps the k highest weights;
 *    top-p keeps the fewest highest weights whose sum reaches topP of the sum so far kept; min-p keeps w ≥ minP. Among
 *    equals the lower id goes first. At least one token is kept.
 * 4. u = uniformRandom(seed, position) in [0, 1). In order of id, the first kept token whose running sum exceeds
 *    u · total is drawn.
 */
export interface SamplingParams {
  /** 0 takes the most likely token (greedy) */
  temperature: number;
  /** 0 keeps all tokens */
  topK: number;
  /** 1 keeps all tokens */
  topP: number;
  /** 0 keeps all tokens */
  minP: number;
  /** 1 changes nothing */
  repetitionPenalty: number;
  frequencyPenalty: number;
  presencePenalty: number;
  seed: number;
  /** added to the logits, by token id */
  bias?: ReadonlyMap<number, number>;
  /** @internal bit v & 31 of word v >> 5 is set when token v is allowed; for one draw only */
  mask?: Uint32Array;
}

export const GREEDY_SAMPLING: SamplingParams = {
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  repetitionPenalty: 1,
  frequencyPenalty: 0,
  presencePenalty: 0,
  seed: 0,
};

/** Uses every filter and a penalty: for measurements and tests. */
export const ALL_FILTERS_SAMPLING: SamplingParams = {
  ...GREEDY_SAMPLING,
  temperature: 0.7,
  topK: 40,
  topP: 0.9,
  minP: 0.05,
  repetitionPenalty: 1.05,
  seed: 1,
};

/**
 * 24 random bits as a number in [0, 1): PCG's output permutation of (seed, position) in u32 arithmetic (Jarzynski &
 * Olano 2020).
 */
export function uniformRandom(seed: number, position: number): number {
  const pcg = (v: number): number => {
    const state = (Math.imul(v, 747796405) + 2891336453) >>> 0;
    const word = Math.imul((state >>> ((state >>> 28) + 4)) ^ state, 277803737) >>> 0;
    return ((word >>> 22) ^ word) >>> 0;
  };
  return (pcg((pcg(seed >>> 0) + position) >>> 0) >>> 8) / 16777216;
}

/**
 * Draws a token.
 * @param logits [V], changed in place
 * @param history tokens by position; those from `promptLength` on are output
 * @param position of the token that is drawn
 */
export function sampleToken(
  logits: Float32Array,
  s: SamplingParams,
  history: ArrayLike<number>,
  promptLength: number,
  position: number,
): number {
  const V = logits.length;
  const count = new Map<number, number>();
  for (let i = 0; i < history.length; i++)
    count.set(history[i], (count.get(history[i]) ?? 0) + (i < promptLength ? 0 : 1));
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

  const target = uniformRandom(s.seed, position) * kept.reduce((sum, v) => sum + weight[v], 0);
  let sum = 0;
  return kept.find((v) => (sum += weight[v]) > target) ?? kept[kept.length - 1];
}

export interface Logprob {
  id: number;
  /** natural logarithm of the token's probability */
  logprob: number;
}

/** A drawn token, and the most likely tokens at its position, from the highest down. */
export interface ChosenLogprob extends Logprob {
  top: Logprob[];
}

/**
 * Log-softmax of the raw logits, before penalties, bias, mask and temperature, as completion APIs define it. Among
 * equals the lower id goes first.
 * @param logits [V], from which `chosen` was drawn
 * @param n number of most likely tokens to return
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
