/** Policies: which facts lead to which side. Pure functions: the same facts give the same route. */
import { fail, show } from '../errors';
import type {
  Condition,
  Decision,
  FactName,
  Facts,
  Outcome,
  Policy,
  PolicyFunction,
  ReasonCode,
  Source,
  Test,
} from './types';

const preset = (name: string, otherwise: Outcome): Policy => ({ name, rules: [], otherwise });

/** The modes that other hybrid libraries have, by the same names. */
export const PRESETS = {
  PREFER_ON_DEVICE: preset('PREFER_ON_DEVICE', 'local-then-cloud'),
  ONLY_ON_DEVICE: preset('ONLY_ON_DEVICE', 'local'),
  PREFER_IN_CLOUD: preset('PREFER_IN_CLOUD', 'cloud-then-local'),
  ONLY_IN_CLOUD: preset('ONLY_IN_CLOUD', 'cloud'),
} as const satisfies Record<string, Policy>;

export type PresetName = keyof typeof PRESETS;

/**
 * The policy of a router without one: requests with private text begin on the device; hard tasks, those whose first
 * token would be late on the device, and those on a low battery go to the cloud; all else begins on the device.
 */
export const DEFAULT_POLICY: Policy = {
  name: 'DEFAULT',
  rules: [
    { id: 'private_text', when: { not: { privateKinds: { oneOf: ['none'] } } }, route: 'local-then-cloud' },
    { id: 'hard_tasks', when: { tags: { has: 'hard' } }, route: 'cloud-then-local' },
    { id: 'late_here', when: { localFirstTokenMs: { over: 'deadlineMs' } }, route: 'cloud-then-local' },
    { id: 'low_battery', when: { battery: { under: 0.15 }, charging: false }, route: 'cloud-then-local' },
  ],
  otherwise: 'local-then-cloud',
};

const OUTCOMES: readonly string[] = ['local', 'cloud', 'local-then-cloud', 'cloud-then-local', 'ask', 'refuse'];

/** @throws RequestError for a policy that is none */
export function readPolicy(given: Policy | PolicyFunction | PresetName | undefined): Policy | PolicyFunction {
  if (given === undefined) return DEFAULT_POLICY;
  if (typeof given === 'function') return given;
  const policy = typeof given === 'string' && Object.hasOwn(PRESETS, given) ? PRESETS[given] : given;
  const wrong = (got: string, wanted: string): never =>
    fail('RequestError', { what: 'The policy is not valid', got, wanted });
  if (typeof policy !== 'object' || policy === null || !Array.isArray(policy.rules))
    return wrong(show(given), `a policy, a function, or ${Object.keys(PRESETS).join(', ')}`);
  const outcomes = [policy.otherwise, ...policy.rules.map(({ route }) => route)];
  const strange = outcomes.find((outcome) => !OUTCOMES.includes(outcome));
  if (strange !== undefined || outcomes.includes(undefined as never)) wrong(show(strange), OUTCOMES.join(', '));
  for (const { id, when } of policy.rules) {
    if (typeof id !== 'string' || !id) wrong(`a rule with the id ${show(id)}`, 'an id for each rule');
    requireCondition(when, wrong);
  }
  return structuredClone(policy) as Policy;
}

const NAMES = new Set<string>([
  'tags',
  'promptTokens',
  'maxTokens',
  'messages',
  'tools',
  'images',
  'json',
  'script',
  'privateKinds',
  'private',
  'local',
  'localFirstTokenMs',
  'localTokensPerSecond',
  'cloud',
  'cloudFirstTokenMs',
  'deadlineMs',
  'costToday',
  'cloudTokensToday',
  'joulesToday',
  'battery',
  'charging',
] satisfies FactName[]);

const TESTS = ['over', 'under', 'oneOf', 'has'];

/** A rule that names a fact that there is none of would never hold, and nobody would notice. */
function requireCondition(condition: unknown, wrong: (got: string, wanted: string) => never): void {
  if (typeof condition !== 'object' || condition === null)
    wrong(`the condition ${show(condition)}`, 'an object of facts');
  for (const [name, test] of Object.entries(condition as object)) {
    if (name === 'not') requireCondition(test, wrong);
    else if (name === 'anyOf') for (const one of test as unknown[]) requireCondition(one, wrong);
    else if (!NAMES.has(name)) wrong(`the fact ${show(name)}`, [...NAMES].join(', '));
    else if (
      typeof test === 'object' &&
      !(test && Object.keys(test).length === 1 && TESTS.includes(Object.keys(test)[0]))
    )
      wrong(`a test of ${name}`, `a value, or an object with one of ${TESTS.join(', ')}`);
  }
}

/** Whether all tests hold. */
export const holds = (condition: Condition, facts: Facts): boolean =>
  Object.entries(condition).every(([name, test]) => {
    if (name === 'not') return !holds(test as Condition, facts);
    if (name === 'anyOf') return (test as Condition[]).some((one) => holds(one, facts));
    return testHolds(test as Test, facts[name as FactName], facts);
  });

function testHolds(test: Test, value: Facts[FactName], facts: Facts): boolean {
  if (typeof test !== 'object') return value === test;
  if ('over' in test || 'under' in test) {
    const given = 'over' in test ? test.over : test.under;
    const bound = typeof given === 'string' ? facts[given] : given;
    if (typeof value !== 'number' || typeof bound !== 'number') return false;
    return 'over' in test ? value > bound : value < bound;
  }
  const list = Array.isArray(value) ? (value.length ? (value as unknown[]) : ['none']) : [value];
  const wanted: readonly unknown[] =
    'oneOf' in test ? test.oneOf : typeof test.has === 'string' ? [test.has] : test.has;
  return wanted.some((one) => list.includes(one));
}

const SIDES: Record<Outcome, readonly Source[]> = {
  local: ['local'],
  cloud: ['cloud'],
  'local-then-cloud': ['local', 'cloud'],
  'cloud-then-local': ['cloud', 'local'],
  ask: [],
  refuse: [],
};

const MISSING: Record<Exclude<Facts['cloud'], 'ready'>, ReasonCode> = {
  missing: 'cloud_missing',
  off: 'cloud_off',
  spent: 'budget_spent',
  waiting: 'cloud_waiting',
  offline: 'offline',
};

/** The route of a request: what the policy says, without the sides that cannot be asked. */
export function decide(policy: Policy | PolicyFunction, facts: Facts): Decision {
  const { outcome, rule, name } = outcomeOf(policy, facts);
  return routeOf({ outcome, rule, policy: name }, facts);
}

/** Also for what the user chose when he was asked. */
export function routeOf(
  { outcome, rule, policy }: Pick<Decision, 'outcome' | 'rule' | 'policy'>,
  facts: Facts,
): Decision {
  let sides = SIDES[outcome];
  let reason: ReasonCode = outcome === 'refuse' ? 'refused' : rule === 'otherwise' ? 'otherwise' : 'rule';
  if (facts.private && outcome !== 'refuse') {
    reason = 'marked_private';
    sides = sides.length ? sides.filter((side) => side === 'local') : sides;
    if (outcome === 'ask') return { outcome: 'local', sides: drop(['local'], facts).sides, rule, reason, policy };
  }
  const left = drop(sides, facts);
  return {
    outcome,
    sides: left.sides,
    rule,
    reason: reason === 'marked_private' ? reason : (left.reason ?? reason),
    policy,
  };
}

/** The sides that can be asked; a reason if one is missing. */
function drop(sides: readonly Source[], facts: Facts): { sides: readonly Source[]; reason?: ReasonCode } {
  let reason: ReasonCode | undefined;
  const left = sides.filter((side) => {
    if (side === 'local') {
      if (facts.local !== 'ready') reason = facts.local === 'full' ? 'local_full' : 'local_missing';
      return facts.local === 'ready';
    }
    if (facts.cloud === 'ready') return true;
    reason = MISSING[facts.cloud];
    // both are worth a try where nothing else is left
    return (
      (facts.cloud === 'offline' || facts.cloud === 'waiting') && !(sides.includes('local') && facts.local === 'ready')
    );
  });
  const waits =
    sides.includes('cloud') && sides.includes('local') && (facts.cloud === 'offline' || facts.cloud === 'waiting');
  // a cloud that comes back while the device answers can still take over
  const after = waits && left.includes('local') ? [...left, 'cloud' as const] : left;
  return { sides: after, ...(reason && { reason }) };
}

function outcomeOf(policy: Policy | PolicyFunction, facts: Facts): { outcome: Outcome; rule: string; name: string } {
  if (typeof policy === 'function') {
    const given = policy(Object.freeze({ ...facts }));
    const { route, rule = 'code' } = typeof given === 'object' && given !== null ? given : { route: given };
    if (!OUTCOMES.includes(route))
      fail('RequestError', { what: 'The policy gave no outcome', got: show(route), wanted: OUTCOMES.join(', ') });
    return { outcome: route, rule, name: policy.name || 'code' };
  }
  const rule = policy.rules.find(({ when }) => holds(when, facts));
  return { outcome: rule?.route ?? policy.otherwise, rule: rule?.id ?? 'otherwise', name: policy.name };
}

const WAYS: Record<Outcome, string> = {
  local: 'The device alone answers',
  cloud: 'The cloud alone answers',
  'local-then-cloud': 'The device answers, then the cloud if it cannot',
  'cloud-then-local': 'The cloud answers, then the device if it cannot',
  ask: 'The user is asked',
  refuse: 'The request is refused',
};

const BECAUSE: Partial<Record<ReasonCode, string>> = {
  marked_private: 'the request is marked as private, so nothing leaves the device',
  local_missing: 'no model is loaded on the device',
  local_full: 'the prompt is longer than the context on the device',
  cloud_missing: 'there is no endpoint in the cloud',
  cloud_off: 'the cloud is off by the governance file',
  cloud_waiting: 'all endpoints in the cloud are paused after failures',
  offline: 'the device is offline',
  budget_spent: 'a budget for the cloud is spent',
};

/** The route in one sentence, from the decision and its facts alone. */
export function explainDecision(policy: Policy | PolicyFunction, facts: Facts, decision: Decision): string {
  const { outcome, rule, reason, sides } = decision;
  const found = typeof policy === 'function' ? undefined : policy.rules.find(({ id }) => id === rule);
  const values = found ? factsOf(found.when).map((name) => `${name} is ${showFact(facts[name])}`) : [];
  const why = found
    ? `rule '${rule}' holds, since ${values.join(' and ')}`
    : rule === 'otherwise'
      ? 'no rule holds'
      : `'${rule}' says so`;
  const because = BECAUSE[reason] ? `; ${BECAUSE[reason]}` : '';
  const none = !sides.length && outcome !== 'ask' && outcome !== 'refuse' ? ', so nobody can answer' : '';
  return `${WAYS[outcome]} (${decision.policy}): ${why}${because}${none}.`;
}

const factsOf = (condition: Condition): FactName[] => [
  ...new Set(
    Object.entries(condition).flatMap(([name, test]): FactName[] => {
      if (name === 'not') return factsOf(test as Condition);
      if (name === 'anyOf') return (test as Condition[]).flatMap(factsOf);
      const bound = typeof test === 'object' ? (Object.values(test as object)[0] as unknown) : undefined;
      return [name as FactName, ...(typeof bound === 'string' && NAMES.has(bound) ? [bound as FactName] : [])];
    }),
  ),
];

const showFact = (value: unknown): string =>
  value === null
    ? 'not known'
    : Array.isArray(value)
      ? value.join(', ') || 'none'
      : typeof value === 'number'
        ? String(Math.round(value * 1000) / 1000)
        : String(value);
