import { describe, expect, it } from 'vitest';
import { decide, DEFAULT_POLICY, explainDecision, holds, PRESETS, readPolicy } from './policy';
import { scriptOf } from './facts';
import type { Condition, Facts, Outcome } from './types';

const FACTS: Facts = {
  tags: ['code'],
  promptTokens: 100,
  maxTokens: null,
  messages: 2,
  tools: 1,
  images: 0,
  json: true,
  script: 'latin',
  privateKinds: [],
  private: false,
  local: 'ready',
  localFirstTokenMs: 900,
  localTokensPerSecond: 20,
  cloud: 'ready',
  cloudFirstTokenMs: null,
  deadlineMs: 500,
  costToday: 0,
  cloudTokensToday: 0,
  joulesToday: 0,
  battery: 0.1,
  charging: false,
};

describe('a condition', () => {
  const TABLE: [Condition, boolean][] = [
    [{}, true],
    [{ json: true, script: 'latin' }, true],
    [{ json: true, script: 'han' }, false],
    [{ promptTokens: { over: 99 } }, true],
    [{ promptTokens: { over: 100 } }, false],
    [{ promptTokens: { under: 101 } }, true],
    [{ localFirstTokenMs: { over: 'deadlineMs' } }, true],
    [{ localFirstTokenMs: { under: 'deadlineMs' } }, false],
    [{ cloudFirstTokenMs: { over: 0 } }, false], // not known
    [{ cloudFirstTokenMs: { under: 1e9 } }, false],
    [{ maxTokens: { over: 'cloudFirstTokenMs' } }, false],
    [{ tags: { has: 'code' } }, true],
    [{ tags: { has: ['maths', 'code'] } }, true],
    [{ tags: { has: 'maths' } }, false],
    [{ privateKinds: { has: 'none' } }, true],
    [{ script: { oneOf: ['latin', 'greek'] } }, true],
    [{ not: { json: true } }, false],
    [{ anyOf: [{ json: false }, { tools: 1 }] }, true],
    [{ anyOf: [] }, false],
  ];
  it.each(TABLE)('%j is %s', (condition, expected) => expect(holds(condition, FACTS)).toBe(expected));
});

describe('a route', () => {
  const sides = (route: Outcome, more: Partial<Facts>): unknown => {
    const { sides: found, reason } = decide(() => route, { ...FACTS, ...more });
    return [...found, reason];
  };

  it('has no side that cannot be asked', () => {
    expect(sides('local-then-cloud', {})).toEqual(['local', 'cloud', 'rule']);
    for (const [cloud, reason] of [
      ['missing', 'cloud_missing'],
      ['off', 'cloud_off'],
      ['spent', 'budget_spent'],
    ] as const) {
      expect(sides('cloud-then-local', { cloud })).toEqual(['local', reason]);
      expect(sides('cloud', { cloud })).toEqual([reason]);
    }
    expect(sides('local', { local: 'missing' })).toEqual(['local_missing']);
    expect(sides('local-then-cloud', { local: 'full' })).toEqual(['cloud', 'local_full']);
  });

  it('begins at the device while the cloud is away, and tries it where nothing else is left', () => {
    for (const [cloud, reason] of [
      ['offline', 'offline'],
      ['waiting', 'cloud_waiting'],
    ] as const) {
      expect(sides('cloud-then-local', { cloud })).toEqual(['local', 'cloud', reason]);
      expect(sides('cloud', { cloud })).toEqual(['cloud', reason]);
      expect(sides('cloud-then-local', { cloud, local: 'missing' })).toContain('cloud');
      expect(sides('local', { cloud })).toEqual(['local', 'rule']);
    }
  });

  it('never leaves the device where it is private, whatever the outcome', () => {
    for (const outcome of ['local', 'cloud', 'local-then-cloud', 'cloud-then-local', 'ask', 'refuse'] as const)
      for (const local of ['ready', 'missing'] as const)
        expect(sides(outcome, { private: true, local })).not.toContain('cloud');
  });

  it('is one sentence for every policy and state', () => {
    for (const policy of [DEFAULT_POLICY, ...Object.values(PRESETS)])
      for (const cloud of ['ready', 'missing', 'off', 'spent', 'waiting', 'offline'] as const)
        for (const local of ['ready', 'missing', 'full'] as const) {
          const facts = { ...FACTS, cloud, local };
          const sentence = explainDecision(policy, facts, decide(policy, facts));
          expect(sentence).toMatch(/^[A-Z][^\n]*\.$/);
          expect(sentence).toBe(explainDecision(policy, facts, decide(policy, facts)));
        }
  });
});

it('is a copy that nobody changes behind the router', () => {
  const given = { name: 'p', rules: [], otherwise: 'local' as Outcome };
  const policy = readPolicy(given);
  given.otherwise = 'cloud';
  expect(policy).toMatchObject({ otherwise: 'local' });
});

it('knows scripts', () => {
  const texts = ['Hello', 'Привет, как дела?', '你好吗', 'こんにちは世界', '안녕하세요', 'مرحبا', 'Γειά σου', '', '😀'];
  expect(texts.map(scriptOf)).toEqual([
    'latin',
    'cyrillic',
    'han',
    'kana',
    'hangul',
    'arabic',
    'greek',
    'latin',
    'latin',
  ]);
});
