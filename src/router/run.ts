/** Runs a request on its route: one path after the other, until one has answered to the end. */
import { isAbort, OpenAIError, toOpenAIError } from '../openai/openai_error';
import { isJsonRequest, startAttempt, type Attempt } from './attempts';
import { createCandidates, type Candidate } from './candidates';
import { costOf } from './endpoints';
import { startTimer } from './environment';
import type { RoutedRequest, RouterParts } from './parts';
import { RouteError } from './route_error';
import type { PathEnd, PathEvent, ReasonCode, RouteReport, RouteStep } from './types';
import { DEADLINES } from './wire';

export type RoutedEvent = PathEvent | { type: 'route'; route: RouteReport };

/** The request itself is wrong: no path can answer it. */
const isWrongRequest = (error: unknown): boolean =>
  error instanceof OpenAIError &&
  !(error instanceof RouteError) &&
  error.status === 400 &&
  ['invalid_value', 'missing_required_parameter'].includes(error.code ?? '');

const REASONS: Record<string, ReasonCode> = {
  low_confidence: 'low_confidence',
  schema_failed: 'schema_failed',
  repetition: 'repetition',
  late: 'late',
};

/**
 * Leaving the loop ends it, also on the wire.
 * @throws RouteError with the code of the last path that failed; OpenAIError for a request that is wrong; AbortError
 */
export async function* runRoute(
  parts: RouterParts,
  routed: RoutedRequest,
  outer: AbortSignal,
): AsyncGenerator<RoutedEvent, void> {
  const run = createRun(parts, routed);
  const total = createTotal(parts, outer);
  const { signal } = total;
  const candidates = createCandidates(parts, routed.decision.sides, conversationOf(routed));
  const onePath = !routed.decision.sides.includes('cloud') && parts.locals.length === 1;
  const json = isJsonRequest(routed.request) && !onePath;
  let attempt: Attempt | undefined;
  let error: unknown;
  try {
    for (;;) {
      const candidate = await candidates.next(signal);
      if (!candidate) throw error ?? noRoute(routed);
      // the last path answers as well as it can
      const during = candidates.more() ? routed.during : undefined;
      attempt = startAttempt(parts, { ...routed, during }, candidate, run.text, signal);
      try {
        attempt = await withHedge(attempt, { parts, routed, run, candidates, signal });
        // half a JSON cannot go on with another model
        yield* json ? whole(run.follow(attempt)) : run.follow(attempt);
        return run.finish();
      } catch (thrown) {
        if (outer.aborted || isWrongRequest(thrown)) throw thrown;
        error =
          total.failure() ?? (isAbort(thrown) ? new RouteError('stream_cut', { what: 'The path stopped' }) : thrown);
        run.fail(attempt, error);
        candidates.failed(attempt.candidate, error);
        if (json) run.text = '';
        if (total.failure() || run.called) throw error;
      } finally {
        run.close(attempt);
      }
    }
  } catch (thrown) {
    const told = isAbort(thrown) && !total.failure() ? thrown : routeErrorOf(total.failure() ?? thrown);
    run.end(isAbort(told) ? 'stopped' : ((told as OpenAIError).code ?? 'failed'));
    if (told instanceof RouteError) told.route = run.report();
    throw told;
  } finally {
    if (attempt) run.close(attempt);
    run.end('stopped');
    total.end();
  }
}

async function* whole(events: AsyncIterable<RoutedEvent>): AsyncGenerator<RoutedEvent, void> {
  const all: RoutedEvent[] = [];
  for await (const event of events) all.push(event);
  yield* all;
}

const routeErrorOf = (error: unknown): Error => (error instanceof RouteError ? error : toOpenAIError(error));

const noRoute = ({ explanation }: RoutedRequest): RouteError =>
  new RouteError('no_route', { what: 'No path can answer the request', got: explanation });

const conversationOf = ({ request: { messages } }: RoutedRequest): string =>
  JSON.stringify(messages.slice(0, 2)).slice(0, 2000);

/** The deadline of all paths together. */
function createTotal({ deadlines }: RouterParts, outer: AbortSignal) {
  const controller = new AbortController();
  const abort = (): void => controller.abort();
  if (outer.aborted) abort();
  outer.addEventListener('abort', abort, { once: true });
  const ms = deadlines.totalMs ?? DEADLINES.totalMs;
  let failure: RouteError | undefined;
  const timer = startTimer(() => {
    failure = new RouteError('total_timeout', { what: 'The answer is late', got: `not complete after ${ms} ms` });
    abort();
  }, ms);
  return {
    signal: controller.signal,
    failure: () => failure,
    end(): void {
      clearTimeout(timer);
      outer.removeEventListener('abort', abort);
    },
  };
}

type Run = ReturnType<typeof createRun>;

function createRun(parts: RouterParts, routed: RoutedRequest) {
  const { environment, recorder } = parts;
  const { id, decision, explanation } = routed;
  const start = environment.now();
  const steps: RouteStep[] = [];
  const bytesSent: Record<string, number> = {};
  const redacted: Record<string, number> = {};
  const closed = new WeakSet<Attempt>();
  let { reason } = decision;
  let current: Candidate | undefined;
  let last: PathEnd | undefined;
  let firstTokenMs: number | null = null;
  let ended = false;
  let pieces = 0;
  let cost = 0;

  const run = {
    text: '',
    /** a call was given away: nothing can go on behind it */
    called: false,
    /** thinking was given away: that of a second path would be another one */
    reasoned: false,
    report: (): RouteReport => ({
      id,
      source: current?.source ?? null,
      reason,
      rule: decision.rule,
      policy: decision.policy,
      outcome: decision.outcome,
      model: !current ? null : current.source === 'local' ? current.model.name : current.endpoint.given.model,
      endpoint: current?.source === 'cloud' ? current.endpoint.name : null,
      explanation,
      steps: [...steps],
      bytesSent: { ...bytesSent },
      redacted: { ...redacted },
      firstTokenMs,
      ms: Math.round(environment.now() - start),
      cost,
    }),
    hedged(): void {
      reason = 'hedged';
    },
    async *follow(attempt: Attempt): AsyncGenerator<RoutedEvent, void> {
      let result = await attempt.first;
      const thought = run.reasoned; // by another path
      current = attempt.candidate;
      firstTokenMs ??= Math.round(environment.now() - start);
      const report = run.report();
      routed.onRoute?.(report);
      yield { type: 'route', route: report };
      for (; !result.done; result = await attempt.next()) {
        const event = result.value;
        if (event.type === 'end') {
          last = event;
          run.close(attempt, true);
          yield { type: 'route', route: run.report() };
        } else pieces++;
        if (event.type === 'text') run.text += event.text;
        if (event.type === 'call') run.called = true;
        if (event.type === 'reasoning') run.reasoned = true;
        if (event.type !== 'reasoning' || !thought) yield event;
      }
      if (!last) throw new RouteError('stream_cut', { what: 'The path ended without an end' });
    },
    fail(attempt: Attempt, error: unknown): void {
      const code = (error as { code?: unknown }).code;
      reason = REASONS[String(code)] ?? (attempt.candidate.source === 'local' ? 'local_failed' : 'cloud_failed');
      run.close(attempt, false, error);
    },
    /** Each attempt is closed once: its step, its bytes, its cost. */
    close(attempt: Attempt, answered = false, error: unknown = new DOMException('stopped', 'AbortError')): void {
      if (closed.has(attempt)) return;
      closed.add(attempt);
      steps.push(attempt.end(answered ? undefined : error));
      for (const [kind, n] of Object.entries(attempt.redacted)) redacted[kind] = Math.max(redacted[kind] ?? 0, n);
      const { candidate } = attempt;
      if (candidate.source === 'local' || !attempt.bytesSent) return;
      const { host, given } = candidate.endpoint;
      bytesSent[host] = (bytesSent[host] ?? 0) + attempt.bytesSent;
      const [read, written] = tokensOf(answered);
      cost += costOf(given.price, read, written);
    },
    finish(): void {
      run.end('answered');
    },
    end(result: string): void {
      if (ended) return;
      ended = true;
      const [promptTokens, tokens] = tokensOf(true);
      const report = run.report();
      routed.onRoute?.(report);
      recorder.done(report, { promptTokens, tokens, result });
    },
  };
  /** as the path tells, or estimated */
  function tokensOf(answered: boolean): [number, number] {
    const written = answered && last ? last.tokens : null;
    return [(answered && last?.promptTokens) || routed.facts.promptTokens, written ?? pieces];
  }
  return run;
}

interface HedgeParts {
  parts: RouterParts;
  routed: RoutedRequest;
  run: Run;
  candidates: ReturnType<typeof createCandidates>;
  signal: AbortSignal;
}

/** The attempt whose first event comes first; a second one begins when the first is late. */
async function withHedge(attempt: Attempt, { parts, routed, run, candidates, signal }: HedgeParts): Promise<Attempt> {
  const { hedge } = routed;
  if (!hedge || run.text) return attempt;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<'late'>((resolve) => (timer = startTimer(() => resolve('late'), hedge.afterMs)));
  const settled = attempt.first.then(
    () => 'begun',
    () => 'failed',
  );
  const how = await Promise.race([settled, late]);
  clearTimeout(timer);
  if (how !== 'late' || signal.aborted || !hedge.allowed()) return attempt;
  const other = candidates.second(attempt.candidate);
  if (!other) return attempt;
  const second = startAttempt(parts, routed, other, '', signal);
  try {
    const failures = new Map<Attempt, unknown>();
    const begun = (one: Attempt): Promise<Attempt> =>
      one.first.then(
        () => one,
        (error: unknown) => {
          failures.set(one, error);
          throw error;
        },
      );
    const winner = await Promise.any([begun(attempt), begun(second)]);
    const loser = winner === attempt ? second : attempt;
    run.close(loser, false, failures.get(loser));
    if (failures.has(loser)) candidates.failed(loser.candidate, failures.get(loser));
    if (winner === second) run.hedged();
    return winner;
  } catch {
    // both failed: the second is told here, the first by its own error
    await second.first.catch((error: unknown) => {
      run.close(second, false, error);
      candidates.failed(second.candidate, error);
    });
    return attempt;
  }
}
