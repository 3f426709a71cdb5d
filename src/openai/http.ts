/** The interface as HTTP: a request becomes a response of JSON or of server-sent events. */
import type { OpenAI } from './create_openai';
import { isAbort, OpenAIError, toOpenAIError } from './openai_error';

const JSON_TYPE = { 'content-type': 'application/json' };

interface Handled {
  body?: unknown;
  events?: AsyncIterable<object>;
  /** chat completions and completions end with [DONE]; events of responses have names */
  named?: boolean;
}

interface Route {
  method: 'GET' | 'POST' | 'DELETE';
  /** below the base */
  path: RegExp;
  answer(call: { openai: OpenAI; body: never; signal: AbortSignal; id: string }): Promise<unknown>;
  named?: boolean;
}

const ROUTES: Route[] = [
  {
    method: 'POST',
    path: /^\/chat\/completions$/,
    answer: ({ openai, body, signal }) => openai.chat.completions.create(body, { signal }),
  },
  {
    method: 'POST',
    path: /^\/completions$/,
    answer: ({ openai, body, signal }) => openai.completions.create(body, { signal }),
  },
  {
    method: 'POST',
    path: /^\/embeddings$/,
    answer: ({ openai, body, signal }) => openai.embeddings.create(body, { signal }),
  },
  {
    method: 'POST',
    path: /^\/rerank$/,
    answer: ({ openai, body, signal }) => openai.rerank.create(body, { signal }),
  },
  {
    method: 'POST',
    path: /^\/responses$/,
    answer: ({ openai, body, signal }) => openai.responses.create(body, { signal }),
    named: true,
  },
  { method: 'GET', path: /^\/responses\/([^/]+)$/, answer: ({ openai, id }) => openai.responses.retrieve(id) },
  { method: 'DELETE', path: /^\/responses\/([^/]+)$/, answer: ({ openai, id }) => openai.responses.delete(id) },
  { method: 'GET', path: /^\/models$/, answer: ({ openai }) => openai.models.list() },
  { method: 'GET', path: /^\/models\/(.+)$/, answer: ({ openai, id }) => openai.models.retrieve(id) },
];

/**
 * Answers a request.
 * @param path below the base, as '/chat/completions'
 * @returns a response for every request, also for one that fails; rejects with AbortError alone
 */
export async function answerRequest(openai: OpenAI, request: Request, path: string): Promise<Response> {
  const controller = new AbortController();
  const abort = (): void => controller.abort();
  if (request.signal.aborted) abort();
  request.signal.addEventListener('abort', abort, { once: true });
  try {
    const { body, events, named } = await route(openai, request, path, controller.signal);
    if (events) return sseResponse(events, named ?? false, () => controller.abort());
    return new Response(JSON.stringify(body), { headers: JSON_TYPE });
  } catch (error) {
    if (isAbort(error)) throw error;
    return errorResponse(toOpenAIError(error));
  }
}

async function route(openai: OpenAI, request: Request, path: string, signal: AbortSignal): Promise<Handled> {
  const here = ROUTES.filter((one) => one.path.test(path));
  const found = here.find(({ method }) => method === request.method);
  if (!found) {
    if (!here.length || request.method === 'HEAD')
      throw new OpenAIError(`There is nothing at ${request.method} ${path}.`, 404, { code: 'not_found' });
    const methods = here.map(({ method }) => method).join(' or ');
    throw new OpenAIError(`${path} is asked with ${methods}, not with ${request.method}.`, 405, {
      code: 'method_not_allowed',
    });
  }
  const id = decoded(found.path.exec(path)![1] ?? '');
  const body = found.method === 'POST' ? await readBody(request) : undefined;
  const answer = await found.answer({ openai, body: body as never, signal, id });
  if ((body as { stream?: unknown } | undefined)?.stream === true)
    return { events: answer as AsyncIterable<object>, named: found.named ?? false };
  return { body: answer };
}

const decoded = (text: string): string => {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
};

async function readBody(request: Request): Promise<unknown> {
  const text = await request.text();
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new OpenAIError(`The body of the request is no JSON: ${(error as Error).message}`, 400, {
      code: 'invalid_json',
    });
  }
}

export const errorResponse = (error: OpenAIError): Response =>
  new Response(JSON.stringify(error), {
    status: error.status,
    // a model that lacks memory lacks it in the next try, too
    headers: { ...JSON_TYPE, 'x-should-retry': 'false' },
  });

/** @param stop ends the generation when nobody reads the response any more */
function sseResponse(events: AsyncIterable<object>, named: boolean, stop: () => void): Response {
  const encoder = new TextEncoder();
  const iterator = events[Symbol.asyncIterator]();
  const write = (value: object): Uint8Array => {
    const name = named ? `event: ${(value as { type: string }).type}\n` : '';
    return encoder.encode(`${name}data: ${JSON.stringify(value)}\n\n`);
  };
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { done, value } = await iterator.next();
        if (!done) return controller.enqueue(write(value));
        if (!named) controller.enqueue(encoder.encode('data: [DONE]\n\n'));
        controller.close();
      } catch (error) {
        if (isAbort(error)) return controller.error(error);
        controller.enqueue(encoder.encode(`data: ${JSON.stringify(toOpenAIError(error))}\n\n`));
        controller.close();
      }
    },
    cancel: stop,
  });
  return new Response(body, {
    headers: { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' },
  });
}
