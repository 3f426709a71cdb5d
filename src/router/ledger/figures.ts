/** What the router knows from its ledger: times of each path, and what the last day cost. */
import type { LedgerRow } from './rows';

const DAY_MS = 86_400_000;
/** rows of a path that count */
const RECENT = 200;

/** Times to the first token of a path, in milliseconds, over its last 200 answers. */
export interface PathTimes {
  answers: number;
  p50: number;
  p95: number;
  p99: number;
}

export interface LedgerFigures {
  /** Adds a row. */
  add(row: LedgerRow): void;
  /** by 'local NAME' or 'cloud NAME' */
  times(path: string): PathTimes | undefined;
  /** of all paths */
  paths(): Record<string, PathTimes>;
  /** median milliseconds to the first token for each token of the prompt, over the last answers of the device */
  msPerPromptToken(): number | undefined;
  /** median speed of the device's answers; undefined before the third */
  tokensPerSecond(): number | undefined;
  /** sums of the last 24 hours */
  day(now: number): { cost: number; cloudTokens: number; joules: number };
  /** share of the last 200 requests that asked a second path because the first was late */
  hedged(): number;
}

/** Nearest rank. @param q 0 to 1 */
export function percentile(values: readonly number[], q: number): number {
  const ranked = [...values].sort((a, b) => a - b);
  return ranked[Math.max(0, Math.ceil(q * ranked.length) - 1)] ?? NaN;
}

export function createFigures(): LedgerFigures {
  const first = new Map<string, number[]>();
  const rates: number[] = [];
  const speeds: number[] = [];
  const hedges: boolean[] = [];
  const spent: { time: number; cost: number; cloudTokens: number; joules: number }[] = [];
  const keep = <T>(list: T[], value: T, most = RECENT): void => {
    list.push(value);
    if (list.length > most) list.shift();
  };
  const figures: LedgerFigures = {
    add(row) {
      if (row.event !== 'done') return;
      const { source, model, endpoint, firstTokenMs, promptTokens = 0, tokens = 0, cost = 0, joules = 0 } = row;
      const path = source === 'local' ? `local ${model}` : source === 'cloud' ? `cloud ${endpoint}` : undefined;
      const alone = row.steps?.includes(',') !== true;
      keep(hedges, row.reason === 'hedged');
      if (path && alone && row.result === 'answered' && typeof firstTokenMs === 'number') {
        if (!first.has(path)) first.set(path, []);
        keep(first.get(path)!, firstTokenMs);
        if (source === 'local' && promptTokens > 0) keep(rates, firstTokenMs / promptTokens, 20);
        const decodeMs = (row.ms ?? 0) - firstTokenMs;
        if (source === 'local' && tokens > 1 && decodeMs > 0) keep(speeds, ((tokens - 1) * 1000) / decodeMs, 20);
      }
      const cloudTokens = /(^|, )cloud /.test(row.steps ?? '') ? promptTokens + tokens : 0;
      if (cost || cloudTokens || joules) spent.push({ time: row.time, cost, cloudTokens, joules });
    },
    times(path) {
      const values = first.get(path);
      if (!values?.length) return undefined;
      const [p50, p95, p99] = [0.5, 0.95, 0.99].map((q) => percentile(values, q));
      return { answers: values.length, p50, p95, p99 };
    },
    paths: () => Object.fromEntries([...first.keys()].map((path) => [path, figures.times(path)!])),
    msPerPromptToken: () => (rates.length >= 3 ? percentile(rates, 0.5) : undefined),
    tokensPerSecond: () => (speeds.length >= 3 ? percentile(speeds, 0.5) : undefined),
    day(now) {
      // a clock that was set back must not give a spent budget again: later rows count, too
      while (spent.length && spent[0].time <= now - DAY_MS) spent.shift();
      const sum = { cost: 0, cloudTokens: 0, joules: 0 };
      for (const row of spent) {
        if (row.time <= now - DAY_MS) continue;
        sum.cost += row.cost;
        sum.cloudTokens += row.cloudTokens;
        sum.joules += row.joules;
      }
      return sum;
    },
    hedged: () => (hedges.length ? hedges.filter(Boolean).length / Math.max(hedges.length, 20) : 0),
  };
  return figures;
}
