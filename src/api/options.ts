/** The options of all calls with their types, one table. They are checked in the page, before a worker is asked. */
import type { ChatOptions } from '../engine/engine';
import type { EstimateOptions } from '../engine/estimate';
import type { LoadOptions } from '../engine/load_model';
import { fail, show } from '../errors';
import type { OpenOptions } from '../store/open_model';
import type { ModelCopies } from '../store/model_locks';
import type { Progress } from '../store/progress';
import type { RenderOptions } from '../text/chat_template';
import type { Message } from '../text/history';
import type { DecodeOptions, EncodeOptions } from '../text/tokenizer';
import { plainCopy, readSafely } from './plain_copy';

/** The options that every call has. */
export interface Abortable {
  signal?: AbortSignal;
}

export interface WatchedCall extends Abortable {
  onProgress?: (progress: Progress) => void;
}

export interface LoadCallOptions extends LoadOptions, WatchedCall {
  /**
   * conversations can be saved on the device, with `model.saveConversations()`: one goes on after a reload of the page
   * without being read again. Its texts are then in the browser's storage
   */
  saveConversations?: boolean;
  /**
   * asked before anything is read, if the model is in memory already, in this tab or in others of this site; the load
   * ends with AbortError unless it gives true. By default it goes on
   */
  confirmCopy?: (copies: ModelCopies) => boolean | Promise<boolean>;
  /** answers can be held to a form, by `responseFormat` and `toolChoice`: the load fetches the side file `grammar` */
  constraints?: boolean;
  /**
   * answers that repeat parts of their context come faster, on WASM: the load fetches the side file `speculation`. The
   * tokens are the same
   */
  speculation?: boolean;
}

/**
 * `error`: the call fails with a ContextError. `dropMiddle`: the oldest requests go with their replies until the rest
 * fits; system messages at the beginning and the last request stay. A function returns fewer or shorter messages, for
 * example a summary in place of the oldest; it is called again until they fit.
 */
export type Overflow =
  'error' | 'dropMiddle' | ((messages: Message[]) => readonly Message[] | Promise<readonly Message[]>);

export interface ChatCallOptions extends Omit<ChatOptions, 'keepRoom'>, Abortable {
  /** a conversation that is longer than the context; by default an error */
  overflow?: Overflow;
  /** called after each tile of a picture that had to be encoded, with how many are done, and how many there are */
  onTiles?: (done: number, total: number) => void;
}

export interface EmbedOptions extends Abortable {
  /** texts are prepared as the model has learned it; 'query' by default */
  kind?: 'query' | 'document';
}

export interface EncodeQueryOptions extends Abortable {
  /**
   * what convolutions make of the tokens that fill a query: by default what the model was trained with, 'zeroed' for
   * causal ones and 'kept' for the others
   */
  padding?: 'zeroed' | 'kept';
}

export interface EncodeDocumentsOptions extends Abortable {
  onProgress?: (done: number, total: number) => void;
}

export type RoomOptions = Pick<OpenOptions, 'id' | 'hub' | 'token' | 'policy'>;

export type DownloadOptions = Pick<OpenOptions, 'id' | 'hub' | 'token' | 'refresh' | 'makeRoom' | 'sha256' | 'policy'> &
  WatchedCall;

/** What an option must be. */
export interface Rule {
  wanted: string;
  valid(value: unknown): unknown;
  /** the value is used in the page, so it is no data to copy */
  live?: boolean;
}
export type RulesOf<T> = Record<keyof T, Rule>;

const rule = (wanted: string, valid: Rule['valid'], live?: boolean): Rule => ({ wanted, valid, live });
const among = (...values: unknown[]): Rule => rule(values.map(show).join(' or '), (value) => values.includes(value));
const number = (wanted: string, valid: (n: number) => unknown): Rule =>
  rule(wanted, (n) => Number.isFinite(n) && valid(n as number));
const whole = (low: number, high = Infinity): Rule =>
  number(
    `a whole number ${high < Infinity ? `from ${low} to ${high}` : `of at least ${low}`}`,
    (n) => Number.isInteger(n) && n >= low && n <= high,
  );
const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null;
const isText = (value: unknown): boolean => typeof value === 'string';
const nothing = (): void => undefined;
const areTexts = (value: unknown): boolean => Array.isArray(value) && value.every(isText);

const TEXT = rule('a text', isText);
const FLAG = among(true, false);
const ANY_NUMBER = number('a number', () => true);
const OBJECT = rule('an object', (value) => isObject(value) && !Array.isArray(value));

const CANCEL: RulesOf<Abortable> = {
  // the listener is never called: a proxy of a signal fails here, a signal of another window does not
  signal: rule(
    'an AbortSignal',
    (signal) =>
      isObject(signal) && 'aborted' in signal && ((signal as AbortSignal).removeEventListener('abort', nothing), true),
    true,
  ),
};
const FUNCTION = rule('a function', (value) => typeof value === 'function', true);
const WATCH = { ...CANCEL, onProgress: FUNCTION };
/** of a header: no other characters can be sent */
const TOKEN = rule(
  'a text of visible ASCII characters',
  (token) => isText(token) && /^\s*[!-~]*\s*$/.test(token as string),
);
const HUB = { id: TEXT, hub: TEXT, token: TOKEN };
const DOWNLOAD: RulesOf<Required<DownloadOptions>> = {
  ...HUB,
  ...WATCH,
  policy: OBJECT,
  refresh: FLAG,
  sha256: rule('64 hexadecimal digits, or those by file name', (value) =>
    (isObject(value) ? Object.values(value) : [value]).every((hash) => /^[0-9a-f]{64}$/i.test(hash as string)),
  ),
  makeRoom: rule('true, false or a function', (value) => /^(boolean|function)$/.test(typeof value), true),
};
const COMPUTE = {
  backend: among('auto', 'webgpu', 'wasm'),
  threads: whole(1),
  allowSoftware: FLAG,
  subgroups: FLAG,
  f16: FLAG,
  variant: among('simd', 'relaxed'),
  exact: FLAG,
  contextLength: whole(1),
  memoryBudget: whole(1),
};
type Fields = Record<string, unknown>;
const FORMS: { type: string; field?: string; valid: (value: unknown) => boolean }[] = [
  { type: 'text', valid: isText },
  { type: 'json_object', valid: isText },
  { type: 'json_schema', field: 'schema', valid: (value) => isObject(value) || typeof value === 'boolean' },
  { type: 'regex', field: 'pattern', valid: isText },
  { type: 'choices', field: 'choices', valid: areTexts },
  { type: 'grammar', field: 'grammar', valid: isText },
];
const CACHE = among(true, false, 'required');
const FORMAT = rule(
  '{ type: "text", "json_object", "json_schema", "regex", "choices" or "grammar", … }',
  (value) =>
    isObject(value) &&
    FORMS.some(
      ({ type, field, valid }) =>
        (value as Fields).type === type && (field === undefined || valid((value as Fields)[field])),
    ),
);
const CHOICE = rule(
  '"auto", "none", "required" or { name }',
  (value) =>
    ['auto', 'none', 'required'].includes(value as string) || (isObject(value) && isText((value as Fields).name)),
);
const GENERATE = {
  ...CANCEL,
  temperature: number('0 (greedy) or more', (n) => n >= 0),
  topK: whole(0),
  topP: number('above 0, at most 1', (n) => n > 0 && n <= 1),
  minP: number('0 to 1', (n) => n >= 0 && n <= 1),
  repetitionPenalty: number('above 0', (n) => n > 0),
  frequencyPenalty: ANY_NUMBER,
  presencePenalty: ANY_NUMBER,
  seed: whole(0, 2 ** 32 - 1),
  bias: rule('numbers by token id', OBJECT.valid),
  maxTokens: whole(1),
  stop: rule(
    'a text or a list of texts, none of them empty',
    (stop) => stop !== '' && (isText(stop) || (areTexts(stop) && !(stop as string[]).includes(''))),
  ),
  stopRepetition: FLAG,
  responseFormat: FORMAT,
  reuse: FLAG,
  logprobs: whole(0, 20),
};
const OVERFLOW = rule(
  '"error", "dropMiddle" or a function',
  (value) => value === 'error' || value === 'dropMiddle' || typeof value === 'function',
  true,
);
const RENDER = {
  tools: rule(
    'a list of objects or texts',
    (tools) => isText(tools) || (Array.isArray(tools) && tools.every((tool) => isText(tool) || isObject(tool))),
  ),
  addGenerationPrompt: FLAG,
  continueFinalMessage: FLAG,
  imageTokens: OBJECT,
  variables: OBJECT,
};

/** The options by call. */
export const OPTIONS = {
  load: {
    ...DOWNLOAD,
    ...COMPUTE,
    saveConversations: FLAG,
    constraints: FLAG,
    confirmCopy: FUNCTION,
    speculation: FLAG,
    cache: CACHE,
    check: among('quick', 'full'),
  } satisfies RulesOf<Required<LoadCallOptions>>,
  estimate: { ...CANCEL, ...HUB, ...COMPUTE, refresh: FLAG } satisfies RulesOf<Required<EstimateOptions & Abortable>>,
  room: { ...CANCEL, ...HUB, policy: OBJECT } satisfies RulesOf<Required<RoomOptions & Abortable>>,
  download: DOWNLOAD,
  inspect: { ...WATCH, ...HUB, cache: CACHE },
  watch: WATCH,
  cancel: CANCEL,
  delete: { ...CANCEL, wait: FLAG },
  generate: GENERATE,
  chat: {
    ...GENERATE,
    ...RENDER,
    overflow: OVERFLOW,
    toolChoice: CHOICE,
    onTiles: FUNCTION,
  } satisfies RulesOf<Required<ChatCallOptions>>,
  render: RENDER,
  score: { ...CANCEL, ...RENDER } satisfies RulesOf<Required<RenderOptions & Abortable>>,
  encode: {
    ...CANCEL,
    kind: among('query', 'document'),
    padding: among('zeroed', 'kept'),
  } satisfies RulesOf<Required<EmbedOptions & EncodeQueryOptions>>,
  importConversation: { state: CACHE },
  tokenize: { special: FLAG, bos: FLAG } satisfies RulesOf<Required<EncodeOptions>>,
  detokenize: { skipSpecial: FLAG, keep: rule('a list of texts', areTexts) } satisfies RulesOf<Required<DecodeOptions>>,
};

/** What other libraries call an option or a role, without capitals and underscores. */
const OTHER_NAMES: Record<string, string> = {
  contextLength: 'ctx|context|window|seqlen',
  memoryBudget: 'mem|ram|budget',
  maxTokens: 'predict|max(new|len|out|compl)',
  repetitionPenalty: 'repeat',
  backend: 'device|gpu|provider',
  hub: 'endpoint|host|mirror|url',
  token: 'key|auth|bearer',
  cache: 'store|persist',
  stop: 'eos|until',
  signal: 'abort|cancel',
  tools: 'func',
  logprobs: 'prob',
  onProgress: 'progress|callback',
  user: 'human',
  assistant: '^ai$|bot|model',
  tool: 'func|observation',
};

/**
 * The known name that is most like a wrong one, if any is: one that it contains, one of another library, or the one
 * with most pairs of letters in common.
 */
export function nearestName(wrong: string, known: readonly string[]): string | undefined {
  const letters = (name: string): string =>
    name
      .slice(0, 40)
      .toLowerCase()
      .replace(/[^a-z0-9]/g, '');
  const pairs = (name: string): string[] => Array.from({ length: name.length - 1 }, (_, i) => name.slice(i, i + 2));
  const given = letters(wrong);
  const likeness = (name: string): number => {
    const own = letters(name);
    if (given === own) return 3;
    if (given.length > 2 && own.length > 2 && (given.includes(own) || own.includes(given))) return 2;
    if (new RegExp(OTHER_NAMES[name] ?? '^$').test(given)) return 1;
    const common = pairs(given).filter((pair) => own.includes(pair)).length;
    return common / Math.max(given.length, own.length);
  };
  const [best] = [...known].sort((a, b) => likeness(b) - likeness(a));
  return likeness(best) > 0.4 ? best : undefined;
}

/**
 * @param elsewhere the options of chat, which stand in the wrong call. @throws RequestError that names the nearest
 * known one
 */
export function failUnknown(
  kind: string,
  name: string,
  known: readonly string[],
  elsewhere: readonly string[] = [],
): never {
  const nearest = nearestName(name, [...known, ...elsewhere]);
  const wanted = nearest && !known.includes(nearest) ? `${nearest} of chat` : nearest;
  fail('RequestError', {
    what: `${show(name)} is no known ${kind}`,
    wanted,
    cure: `The ${kind}s are ${known.join(', ')}.`,
  });
}

/** @throws RequestError that says what the value must be */
export function requireValid(name: string, value: unknown, { wanted, valid }: Rule): void {
  // a secret does not belong into messages
  if (!valid(value))
    fail('RequestError', {
      what: `The value of ${name} is not valid`,
      got: name === 'token' ? undefined : show(value),
      wanted,
    });
}

/** @throws RequestError */
export function readText(name: string, value: string): string {
  requireValid(name, value, TEXT);
  return value;
}

/**
 * The options of a call without those that are undefined or null, as plain data.
 * @throws RequestError for an option that does not exist or has a value of another type
 */
export const readOptions = <T extends object>(rules: RulesOf<Required<T>>, options: T | null | undefined): T =>
  readSafely(() => {
    const read: Record<string, unknown> = {};
    requireValid('the options', options ?? {}, OBJECT);
    for (const [name, given] of Object.entries(options ?? {})) {
      if (given === undefined || given === null) continue;
      const rule = Object.hasOwn(rules, name)
        ? rules[name as keyof T]
        : failUnknown('option', name, Object.keys(rules), Object.keys(OPTIONS.chat));
      const value = rule.live ? given : plainCopy(given, name);
      requireValid(name, value, rule);
      read[name] = value;
    }
    return read as T;
  });
