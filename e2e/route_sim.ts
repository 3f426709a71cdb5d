/** Seeded traffic over policies, with prices, times and the device's quality as given curves: no model, no network. */
import { percentile } from '../src/router/ledger/figures';
import { decide, DEFAULT_POLICY, PRESETS } from '../src/router/policy';
import type { Facts, Policy, Source } from '../src/router/types';
import { seeded } from './hub';

/** The curves. Times in milliseconds, prices for a million tokens. */
export const WORLD = {
  /** tokens of a prompt that the device reads in a second, and that it writes */
  device: { prefill: 800, decode: 25, fails: 0.01 },
  /** the time to the first token is lognormal */
  cloud: { firstTokenMs: 700, spread: 0.6, decode: 80, fails: 0.03, price: { input: 1, output: 4 } },
  offline: 0.02,
  waiting: 0.02,
  /** probability of an answer that suffices, by the difficulty of the request from 0 to 1 */
  deviceQuality: (difficulty: number): number => 0.98 / (1 + Math.exp(14 * (difficulty - 0.65))),
  cloudQuality: (difficulty: number): number => 0.985 - 0.1 * difficulty,
  /** a page knows so often that a request is hard */
  told: 0.85,
};

export interface SimulatedPolicy {
  policy: string;
  /** of a thousand requests, in the currency of the prices */
  cost: number;
  /** to the end of the answer, of those that were answered */
  p95Ms: number;
  /** share of requests with an answer that suffices */
  answered: number;
  /** no other policy is better in one of the three and as good in the others */
  pareto: boolean;
}

interface SimulatedRequest {
  facts: Facts;
  difficulty: number;
  tokens: number;
  /** by chance, the same for all policies */
  luck: { deviceFails: number; cloudFails: number; deviceGood: number; cloudGood: number; normal: number };
}

function requestOf(random: () => number): SimulatedRequest {
  const difficulty = random() ** 1.5;
  const promptTokens = Math.round(40 * Math.exp(random() * 4.5));
  const tokens = Math.round(20 * Math.exp(random() * 3));
  const away = random();
  const cloud = away < WORLD.offline ? 'offline' : away < WORLD.offline + WORLD.waiting ? 'waiting' : 'ready';
  const hard = difficulty > 0.6 === random() < WORLD.told;
  const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const facts: Facts = {
    tags: hard ? ['hard'] : [],
    promptTokens,
    maxTokens: null,
    messages: 1,
    tools: 0,
    images: 0,
    json: false,
    script: 'latin',
    privateKinds: random() < 0.05 ? ['email'] : [],
    private: false,
    local: 'ready',
    localFirstTokenMs: (promptTokens / WORLD.device.prefill) * 1000,
    localTokensPerSecond: WORLD.device.decode,
    cloud,
    cloudFirstTokenMs: WORLD.cloud.firstTokenMs,
    deadlineMs: random() < 0.5 ? 2500 : null,
    costToday: 0,
    cloudTokensToday: 0,
    joulesToday: 0,
    battery: random(),
    charging: random() < 0.5,
  };
  const luck = { deviceFails: random(), cloudFails: random(), deviceGood: random(), cloudGood: random(), normal };
  return { facts, difficulty, tokens, luck };
}

interface Answer {
  ms: number;
  cost: number;
  good: boolean;
}

/** One side's answer; without `good` it failed, and took its time. */
function ask(side: Source, { facts, difficulty, tokens, luck }: SimulatedRequest): Partial<Answer> & { ms: number } {
  const { device, cloud } = WORLD;
  if (side === 'local') {
    const first = facts.localFirstTokenMs!;
    if (luck.deviceFails < device.fails) return { ms: first };
    const good = luck.deviceGood < WORLD.deviceQuality(difficulty);
    return { ms: first + (tokens / device.decode) * 1000, cost: 0, good };
  }
  const first = cloud.firstTokenMs * Math.exp(cloud.spread * luck.normal);
  if (facts.cloud !== 'ready' || luck.cloudFails < cloud.fails) return { ms: facts.cloud === 'ready' ? first : 50 };
  const cost = (facts.promptTokens * cloud.price.input + tokens * cloud.price.output) / 1e6;
  const good = luck.cloudGood < WORLD.cloudQuality(difficulty);
  return { ms: first + (tokens / cloud.decode) * 1000, cost, good };
}

/** The four presets and the default policy over the same requests. */
export function simulateRoutes(seed: number, n: number): SimulatedPolicy[] {
  const random = seeded(seed);
  const requests = Array.from({ length: n }, () => requestOf(random));
  const policies: Policy[] = [...Object.values(PRESETS), DEFAULT_POLICY];
  const rows = policies.map((policy) => {
    const answers = requests.map((request): Answer | undefined => {
      let ms = 0;
      for (const side of decide(policy, request.facts).sides) {
        const { ms: own, cost, good } = ask(side, request);
        ms += own;
        if (good !== undefined) return { ms, cost: cost!, good };
      }
      return undefined;
    });
    const given = answers.filter((answer) => answer !== undefined);
    return {
      policy: policy.name,
      cost: (given.reduce((sum, { cost }) => sum + cost, 0) * 1000) / n,
      p95Ms: percentile(
        given.map(({ ms }) => ms),
        0.95,
      ),
      answered: given.filter(({ good }) => good).length / n,
      pareto: true,
    };
  });
  for (const row of rows)
    row.pareto = !rows.some(
      (other) =>
        other.cost <= row.cost &&
        other.p95Ms <= row.p95Ms &&
        other.answered >= row.answered &&
        (other.cost < row.cost || other.p95Ms < row.p95Ms || other.answered > row.answered),
    );
  return rows;
}
