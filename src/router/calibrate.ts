/** Finds the threshold of confidence from requests whose right answers are known. */
import { fail } from '../errors';

/** One request that the device answered. */
export interface LabelledRequest {
  /** as `confidenceOf` gives it: the margin, or another figure that is higher for surer answers */
  score: number;
  right: boolean;
}

export interface CalibrationCosts {
  /** of a wrong answer of the device */
  error: number;
  /** of one request in the cloud */
  cloud: number;
}

export interface Calibration {
  /** answers with a lower score go to the cloud: `during.marginUnder` */
  threshold: number;
  /** probability that an answer with this score is right, by isotonic regression */
  probability(score: number): number;
  /** share of the requests that stay on the device */
  coverage: number;
  /** share of these that are wrong */
  errorRate: number;
  /** mean cost of a request, in the unit of the costs */
  cost: number;
  /** Σ over ten bins of their share × |accuracy − mean probability| */
  calibrationError: number;
}

/** Fewer requests say little about the next ones. */
const LEAST = 20;

/**
 * The cheapest threshold on labelled requests: t = argmin Σ [s ≥ t]·(1 − right)·error + [s < t]·cloud. Check it on
 * others (`evaluateThreshold`).
 * @throws RequestError for fewer than 20 requests, or numbers that are none
 */
export function calibrate(requests: readonly LabelledRequest[], costs: CalibrationCosts): Calibration {
  if (requests.length < LEAST || !requests.every(({ score }) => Number.isFinite(score)))
    fail('RequestError', {
      what: 'The requests do not suffice for a calibration',
      got: `${requests.length} requests`,
      wanted: `at least ${LEAST}, each with a score`,
    });
  if (![costs.error, costs.cloud].every((n) => Number.isFinite(n) && n >= 0))
    fail('RequestError', { what: 'The costs are not valid', wanted: 'numbers of at least 0' });
  const sorted = [...requests].sort((a, b) => a.score - b.score);
  const steps = isotonic(sorted);
  const thresholds = [...new Set(sorted.map(({ score }) => score)), sorted.at(-1)!.score + Number.EPSILON];
  let best = { threshold: Infinity, ...evaluateThreshold(requests, Infinity, costs) };
  for (const threshold of thresholds) {
    const result = evaluateThreshold(requests, threshold, costs);
    if (result.cost < best.cost) best = { threshold, ...result };
  }
  const probability = (score: number): number => steps.findLast(({ from }) => score >= from)?.value ?? steps[0].value;
  return { ...best, probability, calibrationError: calibrationErrorOf(requests, probability) };
}

/** What a threshold does on labelled requests. */
export function evaluateThreshold(
  requests: readonly LabelledRequest[],
  threshold: number,
  { error, cloud }: CalibrationCosts,
): Pick<Calibration, 'coverage' | 'errorRate' | 'cost'> {
  const kept = requests.filter(({ score }) => score >= threshold);
  const wrong = kept.filter(({ right }) => !right).length;
  return {
    coverage: kept.length / requests.length,
    errorRate: kept.length ? wrong / kept.length : 0,
    cost: (wrong * error + (requests.length - kept.length) * cloud) / requests.length,
  };
}

/** Pool-adjacent-violators: the rising steps with the least squared error. */
function isotonic(sorted: readonly LabelledRequest[]): { from: number; value: number }[] {
  const blocks: { from: number; sum: number; n: number }[] = [];
  for (const { score, right } of sorted) {
    const last = blocks.at(-1);
    if (last?.from === score) Object.assign(last, { sum: last.sum + Number(right), n: last.n + 1 });
    else blocks.push({ from: score, sum: Number(right), n: 1 });
    for (let i = blocks.length - 1; i > 0 && blocks[i - 1].sum / blocks[i - 1].n >= blocks[i].sum / blocks[i].n; i--) {
      const { sum, n } = blocks.pop()!;
      blocks[i - 1].sum += sum;
      blocks[i - 1].n += n;
    }
  }
  return blocks.map(({ from, sum, n }) => ({ from, value: sum / n }));
}

function calibrationErrorOf(requests: readonly LabelledRequest[], probability: (score: number) => number): number {
  const bins = Array.from({ length: 10 }, () => ({ n: 0, right: 0, p: 0 }));
  for (const { score, right } of requests) {
    const p = probability(score);
    const bin = bins[Math.min(9, Math.floor(p * 10))];
    bin.n++;
    bin.right += Number(right);
    bin.p += p;
  }
  return bins.reduce((sum, { right, p }) => sum + Math.abs(right - p), 0) / requests.length;
}
