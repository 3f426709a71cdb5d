/** The types of the router. */
import type {
  ChatCompletion,
  ChatCompletionChunk,
  ChatCompletionMessageToolCall,
  ChatCompletionRequest,
  FinishReason,
  RequestOptions,
  Timings,
  ToolCallError,
} from '../openai/types';
import type { SchemaReport } from '../index';

/** Where an answer comes from. */
export type Source = 'local' | 'cloud';

/** What a policy decides: one side, two sides in order, a question to the user, or none. */
export type Outcome = 'local' | 'cloud' | 'local-then-cloud' | 'cloud-then-local' | 'ask' | 'refuse';

/** What is known of a request before it is answered. A fact that is not known is null. */
export interface Facts {
  /** task tags of the call */
  tags: readonly string[];
  /** tokens of messages and tools, estimated from their characters */
  promptTokens: number;
  maxTokens: number | null;
  messages: number;
  tools: number;
  images: number;
  /** the answer is to be JSON */
  json: boolean;
  /** main script of the last message of the user: 'latin', 'cyrillic', 'han', … */
  script: string;
  /** kinds of private text that the detectors found */
  privateKinds: readonly string[];
  /** the call is marked as private */
  private: boolean;
  /** a model of the device is there, and has room for the prompt */
  local: 'ready' | 'missing' | 'full';
  /** a first token is expected on the device after so many milliseconds */
  localFirstTokenMs: number | null;
  localTokensPerSecond: number | null;
  /** 'waiting': all endpoints are paused; 'off': by governance; 'spent': a budget is used up */
  cloud: 'ready' | 'waiting' | 'offline' | 'off' | 'spent' | 'missing';
  cloudFirstTokenMs: number | null;
  /** in which the caller wants a first token */
  deadlineMs: number | null;
  /** cost of the last 24 hours, in the currency of the prices */
  costToday: number;
  cloudTokensToday: number;
  joulesToday: number;
  /** 0 to 1 */
  battery: number | null;
  charging: boolean | null;
}

export type FactName = keyof Facts;

/** One fact against a value, a bound, another fact by its name, or a list that it is in or contains a part of. */
export type Test =
  | string
  | number
  | boolean
  | { over: number | FactName }
  | { under: number | FactName }
  | { oneOf: readonly (string | number | boolean)[] }
  | { has: string | readonly string[] };

/** All tests must hold; a test of a fact that is not known does not. */
export type Condition = { readonly [Name in FactName]?: Test } & {
  readonly not?: Condition;
  readonly anyOf?: readonly Condition[];
};

export interface RouteRule {
  id: string;
  when: Condition;
  route: Outcome;
}

/** When an answer of the device is given to the next model or to the cloud. */
export interface During {
  /** no token after so many milliseconds */
  firstTokenMs?: number;
  /** not complete after so many milliseconds */
  answerMs?: number;
  /** mean distance between the two most likely tokens, 0 to 1, of the first `tokens` */
  marginUnder?: number;
  /** mean entropy of the first `tokens`, in nats, over the five most likely tokens */
  entropyOver?: number;
  /** 16 if it is not given */
  tokens?: number;
  /** the JSON that was asked for is none, or does not fit its schema. The answer is held until it is complete */
  schema?: boolean;
  /** the answer ended because it repeats itself. It is held until it is complete */
  repetition?: boolean;
}

export interface Budgets {
  /** of 24 hours, in the currency of the prices */
  costPerDay?: number;
  /** of one request, by its estimate */
  costPerRequest?: number;
  /** read and written in the cloud in 24 hours */
  cloudTokensPerDay?: number;
  /** of the device in 24 hours, by `joulesPerToken` */
  joulesPerDay?: number;
}

export interface Hedge {
  /** start the second path when the first has no token after so many milliseconds, or after its own 95th percentile */
  afterMs: number | 'p95';
  /** most requests of the last 200 with a second path, 0.05 if it is not given */
  share?: number;
}

/** A policy as data. The first rule that holds decides. */
export interface Policy {
  name: string;
  rules: readonly RouteRule[];
  otherwise: Outcome;
  during?: During;
  budgets?: Budgets;
  hedge?: Hedge;
}

/** A policy as code: it sees the facts alone, so that the same facts give the same route. */
export type PolicyFunction = (facts: Readonly<Facts>) => Outcome | { route: Outcome; rule?: string };

export type ReasonCode =
  | 'rule'
  | 'otherwise'
  | 'marked_private'
  | 'attachment_stays'
  | 'private_text'
  | 'local_missing'
  | 'local_full'
  | 'cloud_missing'
  | 'cloud_off'
  | 'cloud_waiting'
  | 'offline'
  | 'budget_spent'
  | 'asked'
  | 'refused'
  | 'local_failed'
  | 'cloud_failed'
  | 'low_confidence'
  | 'schema_failed'
  | 'repetition'
  | 'late'
  | 'hedged';

/** The route before the answer. */
export interface Decision {
  outcome: Outcome;
  /** the sides that may be asked, in order */
  sides: readonly Source[];
  /** id of the rule; 'otherwise' if none held */
  rule: string;
  reason: ReasonCode;
  policy: string;
}

/** One path that was tried. */
export interface RouteStep {
  source: Source;
  model: string;
  /** name of the endpoint */
  endpoint: string | null;
  /** 'answered', 'stopped', or the code of the error or of the reason to leave it */
  result: string;
  ms: number;
  bytesSent: number;
}

export interface RouteReport {
  id: string;
  source: Source | null;
  reason: ReasonCode;
  rule: string;
  policy: string;
  outcome: Outcome;
  model: string | null;
  /** name of the endpoint in the cloud */
  endpoint: string | null;
  explanation: string;
  steps: readonly RouteStep[];
  /** by host */
  bytesSent: Readonly<Record<string, number>>;
  /** what was replaced before it left, by kind */
  redacted: Readonly<Record<string, number>>;
  firstTokenMs: number | null;
  ms: number;
  cost: number;
}

export type RoutedCompletion = ChatCompletion & { route: RouteReport };
/** The first and the last chunk, and the first after a change of the path, carry the route. */
export type RoutedChunk = ChatCompletionChunk & { route?: RouteReport };

export interface RouteOptions extends RequestOptions {
  /** what the policy's rules ask for */
  tags?: readonly string[];
  /** never leaves the device, whatever the policy says */
  private?: boolean;
  /** in which a first token is wanted, in milliseconds */
  deadlineMs?: number;
  /** paths of the attachments that may leave, as 'messages[0].content[1]' */
  share?: readonly string[];
  /** gets the route when it is known, and after each change */
  onRoute?: (route: RouteReport) => void;
}

export interface RoutedCompletions {
  /**
   * An answer to a conversation, on the route that the policy gives.
   * @returns the whole answer, or its chunks with `stream: true`. Leaving the loop aborts it, also on the wire
   * @throws RouteError with a code; OpenAIError for a request that is not valid; AbortError
   */
  create(
    request: ChatCompletionRequest & { stream: true },
    options?: RouteOptions,
  ): Promise<AsyncIterable<RoutedChunk>>;
  create(request: ChatCompletionRequest & { stream?: false | null }, options?: RouteOptions): Promise<RoutedCompletion>;
  create(
    request: ChatCompletionRequest,
    options?: RouteOptions,
  ): Promise<RoutedCompletion | AsyncIterable<RoutedChunk>>;
}

/** What a path gives, whichever side it is on. A call comes whole, at the end. */
export type PathEvent =
  { type: 'text' | 'reasoning'; text: string } | { type: 'call'; call: ChatCompletionMessageToolCall } | PathEnd;

export interface PathEnd {
  type: 'end';
  finish: FinishReason;
  promptTokens: number | null;
  tokens: number | null;
  timings?: Timings;
  errors?: ToolCallError[];
  report?: SchemaReport;
}

/** Prices of a million tokens, in one currency for all endpoints. */
export interface Price {
  input: number;
  output: number;
}

/** One server that speaks OpenAI's API. Several with the same `model` and `order` share the load. */
export interface CloudEndpoint {
  /** for reports; the host if it is not given */
  name?: string;
  /** as 'https://api.example.com/v1'. http is for this machine alone, unless `insecure` */
  baseURL: string;
  model: string;
  /** a function is called for each request. It is sent to this host alone, and is stored nowhere */
  key?: string | (() => string | Promise<string>);
  /** lower ones first; 0 if it is not given */
  order?: number;
  price?: Price;
  /** other names that its answers may have for the model */
  aliases?: readonly string[];
  /** it goes on with an unfinished answer (`continue_final_message`), as vLLM and SGLang do */
  continues?: boolean;
  /** http to another machine */
  insecure?: boolean;
  /** false for a server that does not know `stream_options` */
  usage?: boolean;
}

/** Milliseconds. */
export interface Deadlines {
  /** until the headers of the response */
  connectMs?: number;
  /** from the headers to the first token */
  firstTokenMs?: number;
  /** between two pieces */
  stallMs?: number;
  /** of one request with all that is tried */
  totalMs?: number;
}

export interface Retries {
  /** further tries of one request in the cloud, over all endpoints */
  most?: number;
  /** the first pause is a random part of this; it doubles */
  baseMs?: number;
  capMs?: number;
}

export interface BreakerOptions {
  /** failures in a row that open it */
  failures?: number;
  /** it stays open so long, and twice as long after each failed probe */
  openMs?: number;
  maxOpenMs?: number;
}
