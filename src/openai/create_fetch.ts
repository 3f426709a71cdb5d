/** A `fetch` that answers /v1/… in the page. */
import { createOpenAI, type OpenAI } from './create_openai';
import { isObject } from './fields';
import { answerRequest, errorResponse } from './http';
import { OpenAIError } from './openai_error';
import type { Models } from './types';

export interface FetchOptions {
  /** Requests below this URL are answered; without it, all whose path begins with /v1/, on any host. */
  baseURL?: string;
  /** Gets all other requests; without it they are refused with 404, so that nothing leaves the page. */
  fallback?: typeof globalThis.fetch;
}

export const isOpenAI = (value: unknown): value is OpenAI =>
  isObject(value) && isObject(value.chat) && isObject(value.chat.completions) && isObject(value.responses);

/**
 * A `fetch` for clients of OpenAI's API: it answers /v1/chat/completions, /v1/completions, /v1/responses,
 * /v1/embeddings, /v1/rerank and /v1/models from loaded models, streams as server-sent events.
 * @param models as `createOpenAI` takes them, or what it returned
 */
export function createFetch(
  models: Models | OpenAI,
  { baseURL, fallback }: FetchOptions = {},
): typeof globalThis.fetch {
  const openai = isOpenAI(models) ? models : createOpenAI(models);
  const pathIn = createPathReader(baseURL);
  return async (input, init) => {
    const request = new Request(input, init);
    const path = pathIn(request.url);
    if (path !== undefined) return answerRequest(openai, request, path);
    if (fallback) return fallback(request);
    const { origin, pathname } = new URL(request.url);
    const message = `${origin}${pathname} is not served here, and requests are not passed on. Set the client's base URL to ${baseURL ?? 'one that ends in /v1'}.`;
    return errorResponse(new OpenAIError(message, 404, { code: 'not_found' }));
  };
}

/** The path of a URL below the base, as '/chat/completions'; undefined if it lies elsewhere. */
export function createPathReader(baseURL?: string): (url: string) => string | undefined {
  const base = baseURL === undefined ? undefined : new URL(baseURL, globalThis.location?.href);
  const prefix = (base?.pathname ?? '/v1').replace(/\/$/, '');
  return (url) => {
    const { origin, pathname } = new URL(url);
    if ((base && origin !== base.origin) || !pathname.startsWith(`${prefix}/`)) return undefined;
    return pathname.slice(prefix.length).replace(/(?<=.)\/$/, '');
  };
}
