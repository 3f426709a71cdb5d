/** Gathers the facts of a request: from itself, from the device, from the endpoints and from the ledger. */
import type { ChatCompletionRequest } from '../openai/types';
import { costOf } from './endpoints';
import { readFacts } from './facts';
import type { Ledger } from './ledger/ledger';
import type { RouterParts } from './parts';
import { decide, routeOf } from './policy';
import type { RouterOptions } from './router_options';
import type { Decision, Facts, Outcome, Policy, PolicyFunction, ReasonCode, RouteOptions } from './types';

export interface FactReader {
  facts(request: ChatCompletionRequest, options: RouteOptions): Facts;
  decide(request: ChatCompletionRequest, facts: Facts, options: RouteOptions, chosen?: Outcome): Decision;
}

/** of an answer whose length nobody gave */
const USUAL_TOKENS = 500;

export function createFactReader(
  options: RouterOptions,
  { locals, endpoints, environment, redactor, refuses }: RouterParts,
  { ledger, policy }: { ledger: Ledger; policy: Policy | PolicyFunction },
): FactReader {
  const budgets = typeof policy === 'function' ? {} : (policy.budgets ?? {});

  function cloudState(facts: { promptTokens: number; maxTokens: number | null }): Facts['cloud'] {
    const { all } = endpoints;
    if (!all.length) return 'missing';
    const allowed = all.filter((one) => refuses(one) === undefined);
    if (!allowed.length) return 'off';
    const day = ledger.figures.day(environment.wall());
    const prices = allowed.map(({ given: { price } }) =>
      costOf(price, facts.promptTokens, facts.maxTokens ?? USUAL_TOKENS),
    );
    const least = Math.min(...prices);
    if (
      day.cost + least > (budgets.costPerDay ?? Infinity) ||
      least > (budgets.costPerRequest ?? Infinity) ||
      day.cloudTokens >= (budgets.cloudTokensPerDay ?? Infinity)
    )
      return 'spent';
    if (!environment.online()) return 'offline';
    return allowed.every(({ breaker }) => breaker.waitMs() > 0) ? 'waiting' : 'ready';
  }

  /** over all endpoints, the quickest */
  function cloudFirstTokenMs(): number | null {
    const times = endpoints.all.flatMap(({ name }) => ledger.figures.times(`cloud ${name}`)?.p50 ?? []);
    return times.length ? Math.min(...times) : null;
  }

  function localState(promptTokens: number, maxTokens: number | null): Facts['local'] {
    if (!locals.length) return 'missing';
    if (ledger.figures.day(environment.wall()).joules >= (budgets.joulesPerDay ?? Infinity)) return 'missing';
    return promptTokens + (maxTokens ?? 1) > (options.contextTokens ?? Infinity) ? 'full' : 'ready';
  }

  /** Sides that a request may not have, whatever the policy says. */
  function stays(request: ChatCompletionRequest, facts: Facts, given: RouteOptions): ReasonCode | undefined {
    const unnamed = readFacts(request, given).attachments.some(({ path }) => !given.share?.includes(path));
    if (unnamed) return 'attachment_stays';
    const refusing = options.redact !== false && options.redact?.mode === 'refuse';
    return refusing && facts.privateKinds.length ? 'private_text' : undefined;
  }

  return {
    facts(request, given) {
      const { attachments: _, ...own } = readFacts(request, given);
      const rate =
        ledger.figures.msPerPromptToken() ?? (options.prefillPerSecond ? 1000 / options.prefillPerSecond : undefined);
      const day = ledger.figures.day(environment.wall());
      const battery = options.battery?.();
      return {
        ...own,
        privateKinds: redactor?.kinds(request) ?? [],
        local: localState(own.promptTokens, own.maxTokens),
        localFirstTokenMs: rate === undefined ? null : Math.round(rate * own.promptTokens),
        localTokensPerSecond: ledger.figures.tokensPerSecond() ?? null,
        cloud: cloudState(own),
        cloudFirstTokenMs: cloudFirstTokenMs(),
        costToday: day.cost,
        cloudTokensToday: day.cloudTokens,
        joulesToday: day.joules,
        battery: battery?.level ?? null,
        charging: battery?.charging ?? null,
      };
    },
    decide(request, facts, given, chosen) {
      const asked = decide(policy, facts);
      const decision = chosen ? { ...routeOf({ ...asked, outcome: chosen }, facts), reason: 'asked' as const } : asked;
      const reason = decision.sides.includes('cloud') ? stays(request, facts, given) : undefined;
      return reason ? { ...decision, sides: decision.sides.filter((side) => side !== 'cloud'), reason } : decision;
    },
  };
}
