/** The router: a request gets a route from the policy, is answered on it, and is written down. */
import { fail, show } from '../errors';
import type { OpenAI } from '../openai/create_openai';
import { createOpenAI } from '../openai/create_openai';
import { createFetch, type FetchOptions } from '../openai/create_fetch';
import { isAbort } from '../openai/openai_error';
import { createModelTable } from '../openai/models';
import { createResponses, type Responses } from '../openai/responses';
import { runTools } from '../openai/run_tools';
import { startStream } from '../openai/stream';
import type { ChatCompletionRequest, ModelCard, Models, OpenAIModel } from '../openai/types';
import { chunksOf, completionOf } from './assemble';
import { createEndpoints, type EndpointState } from './endpoints';
import { platform } from './environment';
import { createFactReader } from './fact_reader';
import { readGovernance, type Governance } from './governance';
import { createLedger, type Ledger } from './ledger/ledger';
import { createMemoryStorage } from './ledger/storage';
import type { LocalModel, RouterParts } from './parts';
import { explainDecision, readPolicy } from './policy';
import { createRecorder } from './recorder';
import { createRouterModel } from './router_model';
import { createRedactor } from './redact/redactor';
import type { RouterOptions } from './router_options';
import { failRoute } from './route_error';
import { runRoute } from './run';
import { prepareRoute } from './prepare_route';
import type { Facts, RoutedCompletions, RouteOptions } from './types';

export interface Router {
  chat: { completions: RoutedCompletions & Pick<OpenAI['chat']['completions'], 'runTools'> };
  /** The Responses API on the route. */
  responses: Responses;
  /**
   * The router in the place of a loaded model, for `createSession` and other interfaces over `chat`.
   * @param options of each call
   */
  model(options?: RouteOptions): OpenAIModel;
  /** A `fetch` that answers /v1/chat/completions, /v1/responses and /v1/models on the route. */
  fetch: typeof globalThis.fetch;
  /** A `fetch` as above, below an address of its own. */
  createFetch(options?: FetchOptions): typeof globalThis.fetch;
  /** What is known of a request before it is answered. */
  facts(request: ChatCompletionRequest, options?: RouteOptions): Facts;
  /** The route that a request would get, in one sentence. */
  explain(request: ChatCompletionRequest, options?: RouteOptions): string;
  /** how the endpoints are doing */
  endpoints(): EndpointState[];
  readonly ledger: Ledger;
  readonly governance: Governance;
  /** Stops listening to the network's state. */
  close(): void;
}

/**
 * Routes chat completions between models of the device and endpoints in the cloud.
 * @throws RequestError for options that are not valid, and for a governance file that is not
 */
export function createRouter(options: RouterOptions): Router {
  if (typeof options !== 'object' || options === null)
    fail('RequestError', { what: 'The options of the router are not valid', got: show(options), wanted: 'an object' });
  const environment = platform(options.environment);
  const files = options.governance ?? [];
  const governance = readGovernance(
    files.map(({ text }) => text),
    files.map(({ sha256 }) => sha256),
  );
  const ledger = options.ledger ?? createLedger({ storage: createMemoryStorage(), wall: environment.wall });
  const redactor = options.redact === false ? undefined : createRedactor(options.redact ?? {});
  const endpoints = createEndpoints(options.cloud, options.breaker ?? {}, environment);
  const locals = localModels(options.local).filter(({ name }) => governance.allowsModel(name));
  const policy = readPolicy(options.policy);
  const parts: RouterParts = {
    locals,
    endpoints,
    environment,
    deadlines: options.deadlines ?? {},
    retries: options.retries ?? {},
    redactor,
    refuses: ({ host, given }) =>
      !governance.allowsHost(host)
        ? 'host'
        : !governance.allowsModel(given.model)
          ? 'model'
          : governance.file.requireRedaction && !redactor
            ? 'redaction'
            : undefined,
    recorder: createRecorder(ledger, { governance, joulesPerToken: options.joulesPerToken ?? 0 }),
  };
  if (!locals.length && !endpoints.all.length)
    fail('RequestError', {
      what: 'The router has no path',
      wanted: 'a model of the device or an endpoint in the cloud',
    });
  const reader = createFactReader(options, parts, { ledger, policy });
  const stopListening = environment.onOnline((online) => online && endpoints.wake());
  const name = options.name ?? 'auto';
  const prepare = prepareRoute({ options, parts, policy, reader, ledger, name });

  async function create(request: ChatCompletionRequest, given: RouteOptions = {}): Promise<unknown> {
    const routed = await prepare(request, given);
    const { signal } = given;
    if (request.stream === true) return startStream((stop) => chunksOf(runRoute(parts, routed, stop), routed), signal);
    try {
      return await completionOf(runRoute(parts, routed, signal ?? new AbortController().signal), routed);
    } catch (error) {
      throw isAbort(error) && !signal?.aborted ? failRoute('stream_cut', { what: 'The path stopped' }) : error;
    }
  }
  const completions = { create } as RoutedCompletions;
  const chat: Router['chat'] = {
    completions: { ...completions, runTools: (request, given) => runTools(completions, request, given) },
  };
  const model = (given?: RouteOptions): OpenAIModel => createRouterModel(completions, name, given);
  const responses = createResponses(createModelTable({ [name]: model() }));
  const models = modelList(name);
  const openai: OpenAI = { chat, responses, ...onlyChat('completions', 'embeddings', 'rerank'), models };
  return {
    chat,
    responses,
    model,
    fetch: createFetch(openai),
    createFetch: (given) => createFetch(openai, given),
    facts: (request, given = {}) => reader.facts(request, given),
    explain(request, given = {}) {
      const facts = reader.facts(request, given);
      return explainDecision(policy, facts, reader.decide(request, facts, given));
    },
    endpoints: () => endpoints.states(),
    ledger,
    governance,
    close: stopListening,
  };
}

/** Each with an interface of its own. */
function localModels(models: Models | undefined): LocalModel[] {
  if (models === undefined) return [];
  const single = typeof (models as { chat?: unknown }).chat === 'function';
  const entries = single
    ? [[(models as { info: { id: string } }).info.id, models] as const]
    : Object.entries(models as Record<string, never>);
  return entries.map(([name, model]) => ({
    name,
    completions: createOpenAI({ [name]: model as never }).chat.completions,
  }));
}

function modelList(name: string): OpenAI['models'] {
  const card: ModelCard = { id: name, object: 'model', created: Math.floor(Date.now() / 1000), owned_by: 'rivulet' };
  return {
    list: async () => ({ object: 'list', data: [card] }),
    retrieve: async (id) =>
      id === name ? card : failRoute('no_route', { what: 'There is no model of this name', wanted: name }),
  };
}

type NotRouted = 'completions' | 'embeddings' | 'rerank';
/** Interfaces that a route does not have. */
const onlyChat = (...names: NotRouted[]): Pick<OpenAI, NotRouted> => {
  const refuse = (name: string) => async (): Promise<never> =>
    failRoute('request_rejected', { what: `The router does not answer ${name}`, cure: 'Use chat completions.' });
  const calls = names.map((name) => [name, { create: refuse(name), retrieve: refuse(name), delete: refuse(name) }]);
  return Object.fromEntries(calls) as Pick<OpenAI, NotRouted>;
};
