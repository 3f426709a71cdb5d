/** From a request to its route: everything that is decided before anybody is asked. */
import { show } from '../errors';
import { createId } from '../openai/models';
import { createFieldReader, isObject } from '../openai/fields';
import { refuse, refuseUnsupported } from '../openai/openai_error';
import type { ChatCompletionRequest } from '../openai/types';
import type { RouterOptions } from './router_options';
import type { FactReader } from './fact_reader';
import type { Ledger } from './ledger/ledger';
import type { RoutedRequest, RouterParts } from './parts';
import { explainDecision } from './policy';
import { RouteError, type RouteErrorCode } from './route_error';
import type { Decision, Hedge, Policy, PolicyFunction, ReasonCode, RouteOptions, RouteReport } from './types';

export interface RoutePreparer {
  options: RouterOptions;
  parts: RouterParts;
  policy: Policy | PolicyFunction;
  reader: FactReader;
  ledger: Ledger;
  /** of the router as a model */
  name: string;
}

/** Notes of a request through `fetch`, which has no options: 'a, b' and 'true'. */
const TAGS = 'route_tags';
const PRIVATE = 'route_private';

/**
 * @returns a function that prepares a request
 * @throws OpenAIError for a request that is not valid; RouteError if there is no side that may answer
 */
export function prepareRoute(given: RoutePreparer) {
  const { parts, policy, reader, ledger, name } = given;
  const during = typeof policy === 'function' ? undefined : policy.during;

  return async function prepare(request: ChatCompletionRequest, options: RouteOptions): Promise<RoutedRequest> {
    requireRequest(request, name);
    await ledger.ready;
    const told = await withJudge(parts, request, withNotes(request, options));
    const facts = reader.facts(request, told);
    let decision = reader.decide(request, facts, told);
    let explanation = explainDecision(policy, facts, decision);
    if (decision.outcome === 'ask') {
      const chosen = (await given.options.ask?.(explanation, facts)) ?? 'refuse';
      decision = reader.decide(request, facts, told, chosen === 'ask' ? 'refuse' : chosen);
      explanation = explainDecision(policy, facts, decision);
    }
    const id = createId('route-');
    const routed: RoutedRequest = { id, request, facts, decision, explanation, during, onRoute: told.onRoute };
    if (!decision.sides.length) refuseRoute(parts, routed);
    const hedge = typeof policy === 'function' ? undefined : policy.hedge;
    return { ...routed, hedge: hedge && hedgeOf(hedge, decision, given) };
  };
}

function requireRequest(request: ChatCompletionRequest, name: string): void {
  if (!isObject(request)) refuse('', { what: 'The request is not valid', got: show(request), wanted: 'an object' });
  if (request.model !== name)
    refuse(
      'model',
      { what: 'There is no model of this name', got: show(request.model), wanted: name },
      'model_not_found',
      404,
    );
  if (!Array.isArray(request.messages) || !request.messages.length || !request.messages.every(isObject))
    refuse('messages', { what: 'messages is not valid', got: show(request.messages), wanted: 'a list of messages' });
  requireShape(request);
  try {
    JSON.stringify([request.messages, request.tools, request.response_format, request.stop, request.metadata]);
  } catch {
    refuse('', { what: 'The request is not valid', got: 'what is no JSON', wanted: 'data' });
  }
  if (request.n !== undefined && request.n !== null && request.n !== 1)
    refuseUnsupported('n', 'n is 1 for a routed request');
  if (request.logprobs) refuseUnsupported('logprobs', 'logprobs are not given for a routed request');
}

/** What the facts and the detectors read; the rest is read by the path that is asked. */
function requireShape(request: ChatCompletionRequest): void {
  const reader = createFieldReader(request);
  reader.object('response_format')?.requiredText('type');
  reader.object('metadata');
  if (reader.list('tools')?.every(isObject) === false) reader.refuse('tools', 'a list of objects');
  for (const [i, message] of request.messages.entries()) {
    const at = createFieldReader(message, `messages[${i}]`);
    const content = at.value('content');
    if (Array.isArray(content) ? !content.every(isObject) : !['string', 'undefined'].includes(typeof content))
      at.refuse('content', 'a text or a list of parts');
    if (at.list('tool_calls')?.every(isObject) === false) at.refuse('tool_calls', 'a list of objects');
  }
}

/** What could not be judged stays. */
async function withJudge(
  { redactor }: RouterParts,
  request: ChatCompletionRequest,
  options: RouteOptions,
): Promise<RouteOptions> {
  try {
    await redactor?.learn(request);
    return options;
  } catch {
    return { ...options, private: true };
  }
}

function withNotes({ metadata }: ChatCompletionRequest, options: RouteOptions): RouteOptions {
  const noted: unknown = metadata?.[TAGS];
  const tags = typeof noted === 'string' ? noted.split(',').map((tag) => tag.trim()) : undefined;
  return {
    ...options,
    ...(tags && !options.tags && { tags }),
    ...(metadata?.[PRIVATE] === 'true' && { private: true }),
  };
}

const REFUSALS: Partial<Record<ReasonCode, RouteErrorCode>> = {
  refused: 'refused',
  asked: 'asked_no',
  cloud_off: 'not_allowed',
  attachment_stays: 'attachment_stays',
  private_text: 'private_text',
};

/** Fails closed: nobody is asked, and that is written down, too. */
function refuseRoute({ recorder }: RouterParts, routed: RoutedRequest): never {
  const error = new RouteError(REFUSALS[routed.decision.reason] ?? 'no_route', {
    what: 'The request has no route',
    got: routed.explanation.replace(/\.$/, ''),
  });
  error.route = emptyReport(routed);
  recorder.done(error.route, { promptTokens: routed.facts.promptTokens, tokens: 0, result: error.code });
  throw error;
}

const emptyReport = ({ id, decision, explanation }: RoutedRequest): RouteReport => ({
  id,
  source: null,
  reason: decision.reason,
  rule: decision.rule,
  policy: decision.policy,
  outcome: decision.outcome,
  model: null,
  endpoint: null,
  explanation,
  steps: [],
  bytesSent: {},
  redacted: {},
  firstTokenMs: null,
  ms: 0,
  cost: 0,
});

function hedgeOf(hedge: Hedge, { sides }: Decision, { parts, ledger }: RoutePreparer): RoutedRequest['hedge'] {
  const share = hedge.share ?? 0.05;
  const allowed = (): boolean => ledger.figures.hedged() < share;
  if (hedge.afterMs !== 'p95') return { afterMs: hedge.afterMs, allowed };
  const names =
    sides[0] === 'local'
      ? parts.locals.slice(0, 1).map(({ name }) => `local ${name}`)
      : parts.endpoints.all.map(({ name }) => `cloud ${name}`);
  const times = names.map((path) => ledger.figures.times(path)).filter((one) => one && one.answers >= 20);
  return times.length ? { afterMs: Math.max(...times.map((one) => one!.p95)), allowed } : undefined;
}
