/** Medians, spreads and percentiles. */

export interface Spread {
  median: number;
  min: number;
  max: number;
}

export interface Percentiles {
  p50: number;
  p95: number;
  p99: number;
  max: number;
}

/** Four digits are more than any measurement here repeats. */
export const rounded = (value: number): number => Number(value.toPrecision(4));

const ascending = (values: readonly number[]): number[] => [...values].sort((a, b) => a - b);

/** The upper of the two middle values of an even count, as in `npm run bench`. @throws RangeError without values */
export function spread(values: readonly number[]): Spread {
  if (values.length === 0) throw new RangeError('A spread needs at least one value');
  const sorted = ascending(values);
  return {
    median: rounded(sorted[sorted.length >> 1]),
    min: rounded(sorted[0]),
    max: rounded(sorted[sorted.length - 1]),
  };
}

/** By nearest rank: each is a value that was measured. @throws RangeError without values */
export function percentiles(values: readonly number[]): Percentiles {
  if (values.length === 0) throw new RangeError('Percentiles need at least one value');
  const sorted = ascending(values);
  const rank = (share: number): number => rounded(sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]);
  return { p50: rank(0.5), p95: rank(0.95), p99: rank(0.99), max: rank(1) };
}

/** Tokens that arrive closer together than this, and than half of the mean, came in one call of the backend. */
const BURST_MS = 0.3;

/**
 * Times between tokens from the times of their arrival. A backend may deliver several tokens at once: these share the
 * time since the tokens before, which is what a reader of the text waits on average.
 */
export function tokenGaps(arrivals: readonly number[]): number[] {
  const gaps: number[] = [];
  const burst = Math.min(BURST_MS, (arrivals[arrivals.length - 1] - arrivals[0]) / (arrivals.length - 1) / 2);
  for (let at = 1; at < arrivals.length;) {
    let end = at + 1;
    while (end < arrivals.length && arrivals[end] - arrivals[end - 1] < burst) end++;
    const each = (arrivals[end - 1] - arrivals[at - 1]) / (end - at);
    for (; at < end; at++) gaps.push(each);
  }
  return gaps;
}
