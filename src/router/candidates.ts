/** Which path is asked next: each model of the device once, each endpoint once and some again after a pause. */
import type { Endpoint } from './endpoints';
import { pause } from './environment';
import type { LocalModel, RouterParts } from './parts';
import { RouteError, type RouteErrorCode } from './route_error';
import type { Retries, Source } from './types';

export type Candidate = { source: 'local'; model: LocalModel } | { source: 'cloud'; endpoint: Endpoint };

export const RETRIES = { most: 2, baseMs: 300, capMs: 8_000 };

/** The same endpoint may do better in a moment. */
const PASSING = new Set<RouteErrorCode>([
  'network',
  'connect_timeout',
  'first_token_timeout',
  'stalled',
  'stream_cut',
  'server_failed',
  'rate_limited',
  'not_openai',
  'bad_json',
  'bad_stream',
]);

/** It will not do better until somebody changes something. */
const LASTING = new Set<RouteErrorCode>([
  'unauthorized',
  'payment_required',
  'forbidden',
  'model_missing',
  'redirected',
  'wrong_model',
]);
const LASTING_PAUSE_MS = 60_000;
const BUSY_PAUSE_MS = 2_000;

/** Tells the breaker of an endpoint how a request ended. */
export function tellBreaker({ breaker }: Endpoint, error: unknown): void {
  if (!(error instanceof RouteError)) return breaker.leave();
  const { code, retryAfterMs } = error;
  if (LASTING.has(code)) breaker.failure(retryAfterMs ?? LASTING_PAUSE_MS);
  else if (code === 'rate_limited') breaker.failure(retryAfterMs ?? BUSY_PAUSE_MS);
  else if (PASSING.has(code) || code === 'too_large') breaker.failure(retryAfterMs);
  else breaker.leave();
}

export interface Candidates {
  /** @returns the next path, after a pause where one is due; undefined if there is none in time. AbortError */
  next(signal: AbortSignal): Promise<Candidate | undefined>;
  /** the path that would follow at once, for a hedge; it counts as asked */
  second(than: Candidate): Candidate | undefined;
  /** another path can be asked at once */
  more(): boolean;
  failed(candidate: Candidate, error: unknown): void;
}

export function createCandidates(
  { locals, endpoints, environment, retries, refuses, deadlines }: RouterParts,
  sides: readonly Source[],
  conversation: string,
): Candidates {
  const { most, baseMs, capMs } = { ...RETRIES, ...(retries as Required<Retries>) };
  const start = environment.now();
  const left = [...locals];
  const asked = new Set<Endpoint>();
  const passing = new Set<Endpoint>();
  let again = 0;
  const totalMs = deadlines.totalMs ?? Infinity;

  const nextLocal = (): Candidate | undefined => {
    const model = left.shift();
    return model && { source: 'local', model };
  };
  const freshEndpoint = (): Endpoint | undefined =>
    endpoints.ranked(conversation).find((one) => !asked.has(one) && refuses(one) === undefined);
  const nextEndpoint = (): Candidate | undefined => {
    const endpoint = freshEndpoint();
    if (!endpoint) return undefined;
    asked.add(endpoint);
    return { source: 'cloud', endpoint };
  };
  const atOnce = (side: Source): Candidate | undefined => (side === 'local' ? nextLocal() : nextEndpoint());

  /** One that failed, or was paused when the request came, after a pause with jitter. */
  async function nextAgain(signal: AbortSignal): Promise<Candidate | undefined> {
    while (again < most) {
      const jitter = environment.random() * Math.min(capMs, baseMs * 2 ** again);
      again++;
      const open = endpoints.all.filter((one) => (passing.has(one) || !asked.has(one)) && refuses(one) === undefined);
      const soonest = open.sort((a, b) => a.breaker.waitMs() - b.breaker.waitMs())[0];
      if (!soonest) return undefined;
      const waitMs = Math.max(soonest.breaker.waitMs(), 0) + jitter;
      if (environment.now() - start + waitMs > totalMs || waitMs > capMs + baseMs) return undefined;
      await pause(waitMs, signal);
      if (soonest.breaker.waitMs() > 0) continue;
      asked.add(soonest);
      return { source: 'cloud', endpoint: soonest };
    }
    return undefined;
  }

  return {
    async next(signal) {
      for (const side of sides) {
        const found = atOnce(side);
        if (found) return found;
      }
      return sides.includes('cloud') ? nextAgain(signal) : undefined;
    },
    second(than) {
      const others = sides.filter((side) => side !== than.source);
      for (const side of [...others, than.source]) {
        const found = side === 'local' && than.source === 'local' ? undefined : atOnce(side);
        if (found) return found;
      }
      return undefined;
    },
    more: () =>
      (sides.includes('local') && left.length > 0) || (sides.includes('cloud') && freshEndpoint() !== undefined),
    failed(candidate, error) {
      if (candidate.source !== 'cloud') return;
      if (error instanceof RouteError && PASSING.has(error.code)) passing.add(candidate.endpoint);
      else passing.delete(candidate.endpoint);
    },
  };
}
