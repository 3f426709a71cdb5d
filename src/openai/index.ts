/**
 * OpenAI's interfaces over models of Rivulet: as an object, as a `fetch`, and behind a service worker. A file of its
 * own beside the library: it needs a loaded model, not the library's file.
 */
export { createFetch, type FetchOptions } from './create_fetch';
export { createOpenAI, type OpenAI } from './create_openai';
export { OpenAIError, type OpenAIErrorBody } from './openai_error';
export {
  routeFetchEvent,
  serveToServiceWorker,
  type RoutedFetchEvent,
  type ServiceWorkerRouteOptions,
} from './service_worker';
export type { ChatCompletions } from './chat_completions';
export type { Completions } from './completions';
export type { Embeddings, Rerank } from './embeddings';
export type { Responses } from './responses';
export type * from './responses_types';
export type { RunnableTool, RunToolsOptions, RunToolsRequest, RunToolsResult, ToolRunCall } from './run_tools';
export type * from './types';
