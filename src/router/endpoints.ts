/** The endpoints in the cloud: which one gets a request, and how each is doing. */
import { fail, show } from '../errors';
import { createBreaker, type Breaker } from './breaker';
import type { Environment } from './environment';
import type { BreakerOptions, CloudEndpoint, Price } from './types';

export interface Endpoint {
  readonly given: CloudEndpoint;
  readonly name: string;
  readonly host: string;
  readonly breaker: Breaker;
  /** requests that it is answering */
  running: number;
}

/** What can be shown of an endpoint. */
export interface EndpointState {
  name: string;
  host: string;
  model: string;
  breaker: 'closed' | 'open' | 'probing';
  /** milliseconds until it is asked again */
  waitMs: number;
  running: number;
}

export interface EndpointTable {
  readonly all: readonly Endpoint[];
  /** those that may be asked now, the best first. Of several that are equal a conversation always gets the same one */
  ranked(conversation: string): Endpoint[];
  states(): EndpointState[];
  /** the network is back */
  wake(): void;
}

/** @throws RequestError for addresses that are not safe, or hold a key */
export function createEndpoints(
  given: CloudEndpoint | readonly CloudEndpoint[] | undefined,
  breaker: BreakerOptions,
  environment: Environment,
): EndpointTable {
  const list = given === undefined ? [] : Array.isArray(given) ? (given as CloudEndpoint[]) : [given as CloudEndpoint];
  const all = list.map((one): Endpoint => {
    const { host } = requireEndpoint(one);
    const name = one.name ?? host;
    return {
      given: { ...one, name },
      name,
      host,
      breaker: createBreaker(breaker, environment.now),
      running: 0,
    };
  });
  return {
    all,
    ranked: (conversation) =>
      all
        .map((one) => ({
          one,
          order: one.given.order ?? 0,
          luck: hashOf(`${conversation} ${one.name} ${one.given.baseURL}`),
        }))
        .filter(({ one }) => one.breaker.waitMs() === 0)
        .sort((a, b) => a.order - b.order || busy(a.one) - busy(b.one) || a.luck - b.luck)
        .map(({ one }) => one),
    states: () =>
      all.map(({ name, host, given: { model }, breaker: own, running }) => ({
        name,
        host,
        model,
        breaker: own.state(),
        waitMs: Math.ceil(own.waitMs()),
        running,
      })),
    wake: () => all.forEach((one) => one.breaker.wake()),
  };
}

/** In steps: one request more does not move a conversation away from what its server has read of it. */
const busy = ({ running }: Endpoint): number => Math.floor(running / 4);

/** FNV-1a */
export function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

function requireEndpoint(given: unknown): URL {
  const wrong = (got: string, wanted: string, cure?: string): never =>
    fail('RequestError', { what: 'An endpoint in the cloud is not valid', got, wanted, ...(cure && { cure }) });
  if (typeof given !== 'object' || given === null) return wrong(show(given), 'an object with baseURL and model');
  const { baseURL, model, insecure, price } = given as Partial<CloudEndpoint>;
  if (typeof model !== 'string' || !model) wrong(`model ${show(model)}`, 'the name that the server has for its model');
  const url = URL.parse?.(String(baseURL)) ?? urlOf(String(baseURL));
  if (!url) return wrong('a baseURL that is no address', "an address as 'https://api.example.com/v1'");
  // messages and the ledger name hosts, and an address would tell the key
  if (url.username || url.password || url.search || url.hash)
    wrong('a baseURL with a user, a query or a fragment', 'an address alone', 'Give the key as `key`.');
  const own = /^(localhost|127(\.\d+){3}|\[::1\])$/.test(url.hostname);
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && (own || insecure === true)))
    wrong(`${url.protocol} to ${url.hostname}`, 'https', 'For a server of your own network set insecure: true.');
  if (price !== undefined && !isPrice(price)) wrong('a price that is none', '{ input, output } for a million tokens');
  return url;
}

function urlOf(text: string): URL | undefined {
  try {
    return new URL(text);
  } catch {
    return undefined;
  }
}

const isPrice = ({ input, output }: Price): boolean => [input, output].every((n) => Number.isFinite(n) && n >= 0);

/** @returns in the currency of the price */
export const costOf = (price: Price | undefined, promptTokens: number, tokens: number): number =>
  price ? (promptTokens * price.input + tokens * price.output) / 1e6 : 0;
