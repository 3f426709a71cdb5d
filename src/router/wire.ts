/** One request to one endpoint: what is sent, what may come back, and how long it may take. */
import { startTimer, type Environment } from './environment';
import { failRoute, RouteError, type RouteErrorCode } from './route_error';
import type { CloudEndpoint, Deadlines } from './types';

export const DEADLINES = { connectMs: 10_000, firstTokenMs: 30_000, stallMs: 15_000, totalMs: 300_000 };
/** The network says that it is gone: what comes late now does not come any more. */
const OFFLINE_STALL_MS = 1_500;
/** of one answer */
const MOST_BYTES = 32 << 20;

export interface WireCall {
  endpoint: CloudEndpoint;
  /** JSON */
  body: string;
  deadlines: Deadlines;
  environment: Environment;
  signal: AbortSignal;
}

export interface WireAnswer {
  kind: 'events' | 'json';
  pieces: AsyncIterable<Uint8Array>;
  /** the first token is there: from now on the stall deadline counts */
  begun(): void;
  /** ends the request on the wire */
  close(): void;
}

/**
 * Sends a request and waits for the headers of its response.
 * @throws RouteError with what is wrong; nothing that the endpoint wrote stands in it. AbortError
 */
export async function openWire(call: WireCall): Promise<WireAnswer> {
  const { endpoint, environment, body } = call;
  const deadlines = { ...DEADLINES, ...call.deadlines };
  const watch = createWatch(call.signal, environment, Math.min(OFFLINE_STALL_MS, deadlines.stallMs));
  try {
    watch.set(deadlines.connectMs, 'connect_timeout', 'The endpoint does not answer');
    const headers = await watch.race(headersOf(endpoint));
    const response = await watch.race(
      environment.fetch(`${endpoint.baseURL.replace(/\/+$/, '')}/chat/completions`, {
        method: 'POST',
        headers,
        body,
        signal: watch.signal,
        // the key is for this host alone
        redirect: 'manual',
        credentials: 'omit',
        cache: 'no-store',
        referrerPolicy: 'no-referrer',
      }),
    );
    requireUsable(response, endpoint, environment);
    watch.set(deadlines.firstTokenMs, 'first_token_timeout', 'The first token of the endpoint is late');
    return {
      kind: response.headers.get('content-type')!.includes('event-stream') ? 'events' : 'json',
      pieces: watch.pieces(response.body!, deadlines.stallMs),
      begun: () => watch.begin(deadlines.stallMs),
      close: watch.end,
    };
  } catch (error) {
    watch.end();
    throw watch.told(error);
  }
}

async function headersOf({ key, name }: CloudEndpoint): Promise<Record<string, string>> {
  let value = key;
  try {
    if (typeof key === 'function') value = await key();
  } catch {
    failRoute('no_key', { what: `The function for the key of ${name} failed` });
  }
  if (value !== undefined && (typeof value !== 'string' || !/^[\x21-\x7e]*$/.test(value)))
    failRoute('no_key', { what: `The key of ${name} is not valid`, wanted: 'a text without spaces' });
  return {
    'content-type': 'application/json',
    accept: 'text/event-stream, application/json',
    ...(value && { authorization: `Bearer ${value as string}` }),
  };
}

const CODES: Record<number, [RouteErrorCode, string]> = {
  401: ['unauthorized', 'The endpoint does not take the key'],
  402: ['payment_required', 'The endpoint wants to be paid'],
  403: ['forbidden', 'The endpoint refuses the request'],
  404: ['model_missing', 'The endpoint has no such model or address'],
  408: ['server_failed', 'The endpoint waited too long for the request'],
  429: ['rate_limited', 'The endpoint wants fewer requests'],
};

function requireUsable(response: Response, { name }: CloudEndpoint, environment: Environment): void {
  const { status, headers } = response;
  if (response.type === 'opaqueredirect' || (status >= 300 && status < 400))
    failRoute('redirected', {
      what: `${name} sends the request to another address`,
      cure: 'Give that address as baseURL.',
    });
  const pauseMs = retryAfterOf(headers, environment.wall());
  if (!response.ok) {
    const usual: [RouteErrorCode, string] =
      status >= 500
        ? ['server_failed', 'The endpoint failed']
        : ['request_rejected', 'The endpoint rejects the request'];
    const [code, what] = CODES[status] ?? usual;
    failRoute(code, { what: `${what} (${name})`, got: `status ${status}` }, pauseMs);
  }
  const type = headers.get('content-type') ?? '';
  if (!response.body || !/event-stream|json/.test(type))
    failRoute('not_openai', {
      what: `${name} does not answer as OpenAI's API does`,
      got: /^[\w.+-]+\/[\w.+-]+/.exec(type)?.[0] ?? 'no type of content',
      wanted: 'text/event-stream or application/json',
    });
}

/** Seconds, or a date. */
function retryAfterOf(headers: Headers, wall: number): number | undefined {
  const text = headers.get('retry-after')?.trim();
  if (!text) return undefined;
  const ms = /^\d+(\.\d+)?$/.test(text) ? Number(text) * 1000 : Date.parse(text) - wall;
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined;
}

/** One deadline at a time; the request ends with it. */
function createWatch(outer: AbortSignal, environment: Environment, offlineMs: number) {
  const controller = new AbortController();
  let failure: RouteError | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let stop: (error: unknown) => void = () => undefined;
  const stopped = new Promise<never>((_, reject) => (stop = reject));
  stopped.catch(() => undefined);
  const abort = (): void => {
    stop(new DOMException('The call was aborted.', 'AbortError'));
    controller.abort();
  };
  if (outer.aborted) abort();
  outer.addEventListener('abort', abort, { once: true });
  let begun = false;
  const offline = environment.onOnline((online) => {
    if (!online) watch.set(offlineMs, 'network', 'The device is offline');
  });
  const watch = {
    signal: controller.signal,
    set(ms: number, code: RouteErrorCode, what: string): void {
      clearTimeout(timer);
      timer = startTimer(() => {
        failure = new RouteError(code, { what, got: `nothing within ${ms} ms` });
        stop(failure);
        controller.abort();
      }, ms);
    },
    begin(ms: number): void {
      begun = true;
      watch.set(ms, 'stalled', 'The endpoint stopped in its answer');
    },
    race: <T>(work: Promise<T>): Promise<T> => Promise.race([work, stopped]),
    async *pieces(body: ReadableStream<Uint8Array>, stallMs: number): AsyncGenerator<Uint8Array, void> {
      const reader = body.getReader();
      let bytes = 0;
      try {
        for (;;) {
          const { done, value } = await watch.race(reader.read());
          if (done) return;
          bytes += value.length;
          if (bytes > MOST_BYTES)
            failRoute('too_large', { what: 'The answer is too large', wanted: `at most ${MOST_BYTES} bytes` });
          if (begun) watch.begin(stallMs);
          yield value;
        }
      } catch (error) {
        throw watch.told(error, begun);
      } finally {
        watch.end();
        reader.cancel().catch(() => undefined);
      }
    },
    /** What a reader may see: errors of the platform can hold headers and addresses. */
    told(error: unknown, inStream = false): unknown {
      if (error instanceof RouteError) return error;
      if (failure) return failure;
      if (outer.aborted) return new DOMException('The call was aborted.', 'AbortError');
      return inStream
        ? new RouteError('stream_cut', { what: 'The connection ended before the answer did' })
        : new RouteError('network', {
            what: 'The endpoint cannot be reached',
            cure: 'Check the network, and that the endpoint allows requests from this page (CORS).',
          });
    },
    end(): void {
      clearTimeout(timer);
      offline();
      outer.removeEventListener('abort', abort);
      controller.abort();
    },
  };
  return watch;
}
