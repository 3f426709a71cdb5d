/** One path that is asked: its request, its events, what it sent and how it ended. */
import type { ChatCompletionRequest } from '../openai/types';
import { isAbort } from '../openai/openai_error';
import { tellBreaker, type Candidate } from './candidates';
import { askCloud } from './cloud_path';
import { continuingRequest, createJoin, type Join } from './continuing';
import { askLocal } from './local_path';
import type { RoutedRequest, RouterParts } from './parts';
import { RouteError } from './route_error';
import type { PathEvent, RouteStep } from './types';
import { wireBody } from './wire_body';

export interface Attempt {
  candidate: Candidate;
  /** the first event, which was asked for when the attempt began */
  first: Promise<IteratorResult<PathEvent, void>>;
  /** the others */
  next(): Promise<IteratorResult<PathEvent, void>>;
  /** what was replaced in what it sent, by kind */
  redacted: Record<string, number>;
  bytesSent: number;
  /** Ends it. @param error absent: it answered. @returns its line of the report */
  end(error?: unknown): RouteStep;
}

/**
 * Begins to ask a path.
 * @param before the answer so far, with which it goes on
 */
export function startAttempt(
  parts: RouterParts,
  routed: RoutedRequest,
  candidate: Candidate,
  before: string,
  outer: AbortSignal,
): Attempt {
  const { environment } = parts;
  const controller = new AbortController();
  const abort = (): void => controller.abort();
  if (outer.aborted) abort();
  outer.addEventListener('abort', abort, { once: true });
  const start = environment.now();
  let ended = false;
  const attempt: Attempt = {
    candidate,
    redacted: {},
    bytesSent: 0,
    first: undefined as never,
    next: () => events.next(),
    end(error) {
      const { source } = candidate;
      if (!ended && source === 'cloud') {
        candidate.endpoint.running--;
        if (error === undefined) candidate.endpoint.breaker.success();
        else tellBreaker(candidate.endpoint, error);
      }
      ended = true;
      outer.removeEventListener('abort', abort);
      controller.abort();
      return {
        source,
        model: source === 'local' ? candidate.model.name : candidate.endpoint.given.model,
        endpoint: source === 'local' ? null : candidate.endpoint.name,
        result: resultOf(error),
        ms: Math.round(environment.now() - start),
        bytesSent: attempt.bytesSent,
      };
    },
  };
  const events =
    candidate.source === 'local'
      ? askLocal({
          completions: candidate.model.completions,
          request: { ...continuingRequest(routed.request, before, true), model: candidate.model.name },
          signal: controller.signal,
          // a sentence that another path began says nothing about this one's first tokens
          during: before ? undefined : routed.during,
        })
      : cloudEvents(parts, routed, { attempt, before, signal: controller.signal });
  if (candidate.source === 'cloud') candidate.endpoint.running++;
  attempt.first = events.next();
  attempt.first.catch(() => undefined); // told by whoever waits for it
  return attempt;
}

interface CloudAttempt {
  attempt: Attempt;
  before: string;
  signal: AbortSignal;
}

async function* cloudEvents(
  parts: RouterParts,
  routed: RoutedRequest,
  { attempt, before, signal }: CloudAttempt,
): AsyncGenerator<PathEvent, void> {
  const { endpoint } = attempt.candidate as Extract<Candidate, { source: 'cloud' }>;
  const { given, host } = endpoint;
  if (!endpoint.breaker.enter()) throw new RouteError('no_route', { what: `${endpoint.name} is paused` });
  // a private text that was cut in two would no longer be found
  const tail = parts.redactor?.partialTail(before) ?? 0;
  const shown = before.slice(0, before.length - tail);
  const asked = continuingRequest(routed.request, shown, given.continues === true);
  const { request, counts } = parts.redactor?.redact(asked) ?? { request: asked, counts: {} };
  const body = JSON.stringify(wireBody(request, given));
  const bytes = new TextEncoder().encode(body).length;
  attempt.redacted = counts;
  const record = { id: routed.id, host, model: given.model, bytes, redacted: counts };
  await parts.recorder.sent(record);
  attempt.bytesSent = bytes;
  const { environment, deadlines } = parts;
  const sent = given.continues || !shown ? '' : String(request.messages.at(-2)?.content ?? '');
  yield* restored(askCloud({ endpoint: given, body, deadlines, environment, signal }), {
    parts,
    again: createJoin(sent),
    tail: createJoin(before.slice(shown.length)),
    json: isJsonRequest(routed.request),
  });
}

export const isJsonRequest = (request: ChatCompletionRequest): boolean =>
  request.response_format?.type?.startsWith('json') === true;

interface Restoring {
  parts: RouterParts;
  /** takes away what the path says again of what it was sent */
  again: Join;
  /** and of what it was not sent, since it may be the beginning of a private text */
  tail: Join;
  json: boolean;
}

/** Puts private text back, and takes away what is said twice. */
async function* restored(
  events: AsyncIterable<PathEvent>,
  { parts: { redactor }, again, tail, json }: Restoring,
): AsyncGenerator<PathEvent, void> {
  const content = redactor?.restorer(json);
  const reasoning = redactor?.restorer(false);
  const back = (text: string): string => tail.push(content ? content.push(text) : text);
  const rest = function* (): Generator<PathEvent> {
    const thought = reasoning?.flush() ?? '';
    if (thought) yield { type: 'reasoning', text: thought };
    const text = back(again.flush()) + tail.push(content?.flush() ?? '') + tail.flush();
    if (text) yield { type: 'text', text };
  };
  let open = true;
  for await (const event of events) {
    if (event.type === 'text') {
      const text = back(again.push(event.text));
      if (text) yield { type: 'text', text };
    } else if (event.type === 'reasoning') {
      const text = reasoning ? reasoning.push(event.text) : event.text;
      if (text) yield { type: 'reasoning', text };
    } else {
      if (open) yield* rest();
      open = false;
      yield event.type === 'call' && redactor ? restoreCall(event, redactor) : event;
    }
  }
}

function restoreCall(
  event: Extract<PathEvent, { type: 'call' }>,
  redactor: NonNullable<RouterParts['redactor']>,
): PathEvent {
  const back = redactor.restorer(true);
  const text = back.push(event.call.function.arguments) + back.flush();
  return { type: 'call', call: { ...event.call, function: { ...event.call.function, arguments: text } } };
}

const resultOf = (error: unknown): string => {
  if (error === undefined) return 'answered';
  if (isAbort(error)) return 'stopped';
  const code = (error as { code?: unknown }).code;
  return typeof code === 'string' ? code : 'failed';
};
