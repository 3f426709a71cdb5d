/** What a running request uses of its router. */
import type { ChatCompletions } from '../openai/chat_completions';
import type { ChatCompletionRequest } from '../openai/types';
import type { Endpoint, EndpointTable } from './endpoints';
import type { Environment } from './environment';
import type { Deadlines, Decision, During, Facts, Retries, RouteReport } from './types';

/** A model of the device, in the order of the chain. */
export interface LocalModel {
  name: string;
  completions: ChatCompletions;
}

/** Replaces private text on the way out and puts it back on the way in. */
export interface Redactor {
  /** Asks the page's judge about texts that are new. @throws what the judge throws */
  learn(request: ChatCompletionRequest): Promise<void>;
  /** kinds of private text in a request, each once */
  kinds(request: ChatCompletionRequest): string[];
  /**
   * The request with placeholders.
   * @returns how many texts of each kind were replaced
   * @throws RouteError private_text where it refuses instead
   */
  redact(request: ChatCompletionRequest): { request: ChatCompletionRequest; counts: Record<string, number> };
  /** Characters at the end of a text that may be the beginning of a text that was replaced before. */
  partialTail(text: string): number;
  /** @param json the text is JSON: what is put back is escaped */
  restorer(json: boolean): { push(text: string): string; flush(): string };
}

export interface SentRecord {
  id: string;
  host: string;
  model: string;
  bytes: number;
  redacted: Record<string, number>;
}

/** Where it is written down. */
export interface Recorder {
  /** before bytes leave. @throws RouteError ledger_failed where nothing may leave without a record */
  sent(record: SentRecord): Promise<void>;
  done(report: RouteReport, figures: { promptTokens: number; tokens: number; result: string }): void;
}

export interface RouterParts {
  locals: readonly LocalModel[];
  endpoints: EndpointTable;
  environment: Environment;
  deadlines: Deadlines;
  retries: Retries;
  redactor?: Redactor | undefined;
  /** why an endpoint may not be asked, by the governance file */
  refuses(endpoint: Endpoint): string | undefined;
  recorder: Recorder;
}

/** One request on its route. */
export interface RoutedRequest {
  id: string;
  request: ChatCompletionRequest;
  facts: Facts;
  decision: Decision;
  explanation: string;
  during?: During | undefined;
  /** the delay is over: may a second path begin? */
  hedge?: { afterMs: number; allowed(): boolean } | undefined;
  onRoute?: ((route: RouteReport) => void) | undefined;
}
