/**
 * The interface behind a service worker: the worker passes requests to a page that has the model, and the page's answer
 * back. Browsers let a service worker start no other worker, so the engine lives in a page.
 *
 * Each request has a message channel. The worker asks all pages; the first that is here gets the request. It sends the
 * head of its response, and then a chunk for each `pull`.
 */
import { createPathReader, isOpenAI } from './create_fetch';
import { createOpenAI, type OpenAI } from './create_openai';
import { answerRequest, errorResponse } from './http';
import { OpenAIError } from './openai_error';
import type { Models } from './types';

/** What marks the worker's messages among others that the page gets. */
const MARK = 'rivulet openai';
/** How long the worker waits for a page: one that is busy answers late. */
const WAIT_MS = 5000;

type ToPage =
  | { type: 'request'; url: string; method: string; headers: [string, string][]; body: string; path: string }
  | { type: 'pull' | 'cancel' };
type ToWorker =
  | { type: 'here' | 'end' }
  | { type: 'head'; status: number; headers: [string, string][] }
  | { type: 'chunk'; bytes: Uint8Array<ArrayBuffer> }
  | { type: 'error'; message: string };

/** A fetch event, as far as it is used. */
export interface RoutedFetchEvent {
  readonly request: Request;
  readonly clientId?: string;
  respondWith(response: Promise<Response>): void;
}

export interface ServiceWorkerRouteOptions {
  /** requests below this URL are answered; `v1` below the worker's scope if it is not given */
  baseURL?: string;
}

interface WorkerScope {
  registration: { scope: string };
  clients: {
    matchAll(options: object): Promise<{ id: string; postMessage(message: unknown, transfer: Transferable[]): void }[]>;
  };
}

/**
 * For the `fetch` handler of a service worker: answers a request below the base from a page that called
 * `serveToServiceWorker`.
 * @returns false for another request, which the handler then deals with itself
 */
export function routeFetchEvent(event: RoutedFetchEvent, { baseURL }: ServiceWorkerRouteOptions = {}): boolean {
  const scope = globalThis as unknown as WorkerScope;
  const path = createPathReader(baseURL ?? new URL('v1', scope.registration.scope).href)(event.request.url);
  if (path === undefined) return false;
  event.respondWith(
    (async () => {
      const port = await findPage(scope, event.clientId);
      if (!port)
        return errorResponse(new OpenAIError('No open page of this site has a model.', 503, { code: 'no_model' }));
      return passOn(event.request, path, port);
    })(),
  );
  return true;
}

/** A port to a page that has models, the asking page before others; undefined if there is none. */
async function findPage(scope: WorkerScope, own?: string): Promise<MessagePort | undefined> {
  const pages = await scope.clients.matchAll({ type: 'window', includeUncontrolled: true });
  pages.sort((a, b) => Number(b.id === own) - Number(a.id === own));
  const ports: MessagePort[] = [];
  const found = await new Promise<MessagePort | undefined>((resolve) => {
    setTimeout(() => resolve(undefined), WAIT_MS);
    for (const page of pages) {
      const { port1, port2 } = new MessageChannel();
      ports.push(port1);
      port1.onmessage = () => resolve(port1);
      page.postMessage(MARK, [port2]);
    }
  });
  for (const port of ports) if (port !== found) port.close();
  return found;
}

async function passOn(request: Request, path: string, port: MessagePort): Promise<Response> {
  const send = (message: ToPage): void => port.postMessage(message);
  let got = (_message: ToWorker): void => undefined;
  port.onmessage = ({ data }) => got(data as ToWorker);
  const next = (): Promise<ToWorker> => new Promise((resolve) => (got = resolve));
  // a page that ends without a word closes the channel, where browsers tell that
  port.addEventListener('close', () => got({ type: 'error', message: 'The page that had the model is gone.' }));
  const { url, method } = request;
  const answered = next();
  send({ type: 'request', url, method, headers: [...request.headers], body: await request.text(), path });
  const head = await answered;
  if (head.type !== 'head') {
    port.close();
    return errorResponse(new OpenAIError(head.type === 'error' ? head.message : 'The page gave no answer.', 503));
  }
  // when the client stops, only this stream hears of it, not the signal of the request
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const chunk = next();
        send({ type: 'pull' });
        const message = await chunk;
        if (message.type === 'chunk') return controller.enqueue(message.bytes);
        if (message.type === 'error') controller.error(new TypeError(message.message));
        else controller.close();
        port.close();
      },
      cancel() {
        send({ type: 'cancel' });
        port.close();
      },
    },
    { highWaterMark: 0 },
  );
  return new Response(body, { status: head.status, headers: head.headers });
}

/**
 * For a page that has loaded models: answers the requests that its service worker, with `routeFetchEvent`, gets from
 * this and other pages of the site.
 * @returns a function that ends it, and what is running
 */
export function serveToServiceWorker(models: Models | OpenAI): () => void {
  const openai = isOpenAI(models) ? models : createOpenAI(models);
  const running = new Set<() => void>();
  const worker = navigator.serviceWorker;
  const onMessage = ({ data, ports: [port] }: MessageEvent): void => {
    if (data === MARK && port) answerPort(openai, port, running);
  };
  const stopAll = (): void => running.forEach((stop) => stop());
  worker.addEventListener('message', onMessage);
  worker.startMessages();
  addEventListener('pagehide', stopAll);
  return () => {
    worker.removeEventListener('message', onMessage);
    removeEventListener('pagehide', stopAll);
    stopAll();
  };
}

function answerPort(openai: OpenAI, port: MessagePort, running: Set<() => void>): void {
  const controller = new AbortController();
  const send = (message: ToWorker, transfer: Transferable[] = []): void => port.postMessage(message, transfer);
  let reader: ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>> | undefined;
  const end = (): void => {
    running.delete(stop);
    controller.abort();
    port.close();
  };
  const stop = (): void => {
    send({ type: 'error', message: 'The page that has the model was left.' });
    end();
  };

  async function begin({ url, method, headers, body, path }: Extract<ToPage, { type: 'request' }>): Promise<void> {
    const request = new Request(url, { method, headers, ...(body && { body }), signal: controller.signal });
    const response = await answerRequest(openai, request, path);
    reader = (response.body as ReadableStream<Uint8Array<ArrayBuffer>> | null)?.getReader();
    send({ type: 'head', status: response.status, headers: [...response.headers] });
  }
  async function pull(): Promise<void> {
    const { done, value } = (await reader?.read()) ?? { done: true };
    if (value) return send({ type: 'chunk', bytes: value }, [value.buffer]);
    if (done) send({ type: 'end' });
    end();
  }
  async function answer(message: ToPage): Promise<void> {
    try {
      if (message.type === 'request') await begin(message);
      else if (message.type === 'pull') await pull();
      else end();
    } catch (error) {
      send({ type: 'error', message: (error as Error).message });
      end();
    }
  }
  running.add(stop);
  port.addEventListener('close', () => running.delete(stop)); // the worker chose another page
  port.onmessage = ({ data }) => void answer(data as ToPage);
  send({ type: 'here' });
}
