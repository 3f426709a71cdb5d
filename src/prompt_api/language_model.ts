/** The Prompt API (https://webmachinelearning.github.io/prompt-api/) over a model of Rivulet. */
import type { ChatOptions, Message, Model, Progress } from '../index';
import { notSupported, quotaExceeded, readPrompts, toPromptError, type LanguageModelPrompt } from './prompts';

type PromptModel = Pick<Model, 'info' | 'chat' | 'render' | 'tokenize'>;

export type LanguageModelAvailability = 'unavailable' | 'downloadable' | 'downloading' | 'available';

export interface LanguageModelCreateOptions {
  signal?: AbortSignal;
  /** gets an EventTarget with `downloadprogress` events: `loaded` from 0 to 1 */
  monitor?(monitor: EventTarget): void;
  initialPrompts?: Exclude<LanguageModelPrompt, string>;
  expectedInputs?: readonly { type: string; languages?: readonly string[] }[];
  expectedOutputs?: readonly { type: string; languages?: readonly string[] }[];
  temperature?: number;
  topK?: number;
  /** not supported: `create` rejects */
  tools?: readonly object[];
}

export interface LanguageModelPromptOptions {
  signal?: AbortSignal;
  /** a JSON Schema or a RegExp. It is not added to the prompt */
  responseConstraint?: object;
  omitResponseConstraintInput?: boolean;
}

/** Also where the browser's own streams, or the types of them, cannot be iterated. */
export type TextReadableStream = ReadableStream<string> & AsyncIterable<string>;

/** A session: its prompts and answers one after the other. */
export interface LanguageModelSession extends EventTarget {
  prompt(input: LanguageModelPrompt, options?: LanguageModelPromptOptions): Promise<string>;
  promptStreaming(input: LanguageModelPrompt, options?: LanguageModelPromptOptions): TextReadableStream;
  append(input: LanguageModelPrompt, options?: { signal?: AbortSignal }): Promise<void>;
  measureContextUsage(input: LanguageModelPrompt, options?: LanguageModelPromptOptions): Promise<number>;
  readonly contextUsage: number;
  readonly contextWindow: number;
  oncontextoverflow: ((event: Event) => unknown) | null;
  clone(options?: { signal?: AbortSignal }): Promise<LanguageModelSession>;
  destroy(): void;
}

export interface LanguageModelStatic {
  new (): LanguageModelSession;
  availability(options?: LanguageModelCreateOptions): Promise<LanguageModelAvailability>;
  /**
   * Loads the model if that has not been done, and begins a session.
   * @throws by name: NotSupportedError for tools and other kinds than text, QuotaExceededError, TypeError, the signal's
   * reason; what loading throws
   */
  create(options?: LanguageModelCreateOptions): Promise<LanguageModelSession>;
}

export interface LanguageModelSource {
  /** Loads the model; it is called once, and again after a failure. Pass the options on to `load`. */
  load(options: { onProgress: (progress: Progress) => void; signal?: AbortSignal }): PromiseLike<PromptModel>;
  /** Whether the model is on the device, so that `availability` is 'available' before the first `create`. */
  stored?(): boolean | PromiseLike<boolean>;
}

/** A prompt leaves this share of the context to its answer. */
const ANSWER_SHARE = 1 / 8;

/** A class with the shape of the browser's `LanguageModel`. */
export function createLanguageModel({ load, stored }: LanguageModelSource): LanguageModelStatic {
  let loading: Promise<PromptModel> | undefined;
  let loaded = false;
  const monitors = new Set<(share: number) => void>();

  /** One load for all sessions: the signal of one of them does not end it. */
  function getModel(): Promise<PromptModel> {
    const onProgress = ({ phase, bytes, total }: Progress): void => {
      if (phase === 'download' && total) for (const tell of monitors) tell(Math.min(1, bytes / total));
    };
    loading ??= (async () => load({ onProgress }))();
    loading.then(
      () => (loaded = true),
      () => (loading = undefined),
    );
    return loading;
  }

  interface Start {
    model: PromptModel;
    sampling: ChatOptions;
    initial: readonly Message[];
    turns: readonly Message[];
    usage: number;
  }
  let start: Start | undefined;

  class LanguageModel extends EventTarget implements LanguageModelSession {
    oncontextoverflow: ((event: Event) => unknown) | null = null;
    readonly #model: PromptModel;
    readonly #sampling: ChatOptions;
    readonly #initial: readonly Message[];
    #turns: readonly Message[];
    #usage: number;
    readonly #end = new AbortController();
    /** settles when the calls before have */
    #last: Promise<unknown> = Promise.resolve();

    constructor() {
      super();
      if (!start) throw new TypeError('Illegal constructor: call LanguageModel.create().');
      const { model, sampling, initial, turns, usage } = start;
      [this.#model, this.#sampling, this.#initial] = [model, sampling, initial];
      [this.#turns, this.#usage] = [turns, usage];
      this.addEventListener('contextoverflow', (event) => this.oncontextoverflow?.(event));
    }

    static async availability(options: LanguageModelCreateOptions = {}): Promise<LanguageModelAvailability> {
      if (unsupported(options)) return 'unavailable';
      if (loaded || (await stored?.())) return 'available';
      return loading ? 'downloading' : 'downloadable';
    }

    static async create(options: LanguageModelCreateOptions = {}): Promise<LanguageModelSession> {
      const { signal, monitor, initialPrompts = [], temperature, topK } = options;
      signal?.throwIfAborted();
      if (!(temperature === undefined || (temperature >= 0 && temperature < Infinity)))
        throw new RangeError(`temperature is not valid: got ${temperature}, wanted a number from 0 on.`);
      if (!(topK === undefined || topK >= 1)) throw new RangeError(`topK is not valid: got ${topK}, wanted 1 or more.`);
      const reason = unsupported(options);
      if (reason) throw notSupported(reason);
      const { messages } = readPrompts(initialPrompts, true);
      const target = new EventTarget();
      monitor?.call(undefined, target);
      const tell = (share: number): void =>
        void target.dispatchEvent(
          new ProgressEvent('downloadprogress', { loaded: share, total: 1, lengthComputable: true }),
        );
      monitors.add(tell);
      try {
        tell(0);
        const model = await untilAborted(getModel(), signal);
        tell(1);
        const usage = messages.length ? await countTokens(model, messages, false) : 0;
        if (usage > room(model)) throw quotaExceeded(usage, room(model));
        const sampling = { ...(temperature !== undefined && { temperature }), ...(topK !== undefined && { topK }) };
        return begin({ model, sampling, initial: messages, turns: [], usage });
      } finally {
        monitors.delete(tell);
      }
    }

    get contextUsage(): number {
      return this.#usage;
    }
    get contextWindow(): number {
      return this.#model.info.contextLength;
    }

    async prompt(input: LanguageModelPrompt, options: LanguageModelPromptOptions = {}): Promise<string> {
      return this.#answer(input, options, () => undefined);
    }

    promptStreaming(input: LanguageModelPrompt, options: LanguageModelPromptOptions = {}): TextReadableStream {
      const cancelled = new AbortController();
      const signal = options.signal ? AbortSignal.any([options.signal, cancelled.signal]) : cancelled.signal;
      const stream = new ReadableStream<string>({
        start: (controller) => {
          this.#answer(input, { ...options, signal }, (text) => controller.enqueue(text)).then(
            () => controller.close(),
            (error) => controller.error(error),
          );
        },
        cancel: (reason) => cancelled.abort(reason),
      });
      if (!(Symbol.asyncIterator in stream))
        Object.assign(stream as object, { [Symbol.asyncIterator]: () => piecesOf(stream) });
      return stream as TextReadableStream;
    }

    async append(input: LanguageModelPrompt, { signal }: { signal?: AbortSignal } = {}): Promise<void> {
      await this.#inTurn(signal, async () => {
        const { messages, prefix } = readPrompts(input);
        if (prefix) throw new DOMException('A prefix needs an answer.', 'SyntaxError');
        await this.#fit(messages);
        this.#turns = [...this.#turns, ...messages];
        this.#usage = await countTokens(this.#model, this.#all(), false);
      });
    }

    async measureContextUsage(
      input: LanguageModelPrompt,
      { signal }: LanguageModelPromptOptions = {},
    ): Promise<number> {
      return this.#inTurn(signal, async () => {
        const all = this.#all();
        const before = all.length ? await countTokens(this.#model, all, false) : 0;
        return (await countTokens(this.#model, [...all, ...readPrompts(input).messages], false)) - before;
      });
    }

    async clone({ signal }: { signal?: AbortSignal } = {}): Promise<LanguageModelSession> {
      return this.#inTurn(signal, async () =>
        begin({
          model: this.#model,
          sampling: this.#sampling,
          initial: this.#initial,
          turns: this.#turns,
          usage: this.#usage,
        }),
      );
    }

    destroy(): void {
      this.#end.abort(new DOMException('The session was destroyed.', 'AbortError'));
    }

    #all(): Message[] {
      return [...this.#initial, ...this.#turns];
    }

    /** Calls of a session run one after the other. An abort, and `destroy`, reject at once. */
    #inTurn<T>(signal: AbortSignal | undefined, task: (signal: AbortSignal) => Promise<T>): Promise<T> {
      const either = signal ? AbortSignal.any([signal, this.#end.signal]) : this.#end.signal;
      const run = this.#last.then(async () => {
        either.throwIfAborted();
        return task(either);
      });
      this.#last = run.catch(() => undefined);
      return untilAborted(run, either).catch((error) => {
        throw toPromptError(error, either);
      });
    }

    /** The prompt and its answer become part of the session when the answer is complete. */
    #answer(
      input: LanguageModelPrompt,
      options: LanguageModelPromptOptions,
      emit: (text: string) => void,
    ): Promise<string> {
      return this.#inTurn(options.signal, async (signal) => {
        const { messages, prefix } = readPrompts(input);
        await this.#fit(messages);
        const stream = this.#model.chat([...this.#all(), ...messages], {
          ...this.#sampling,
          ...constraintOf(options.responseConstraint),
          ...(prefix && { continueFinalMessage: true }),
          signal,
        });
        stream.result.catch(() => undefined); // told by the loop
        try {
          for await (const text of stream) if (!signal.aborted) emit(text);
        } catch (error) {
          if ((error as Error).name !== 'AbortError') throw error; // told by `finish`
        }
        const { text, promptTokens, tokens, finish } = await stream.result;
        if (finish === 'abort') throw new DOMException('The model was unloaded.', 'InvalidStateError');
        const begun = prefix ? String(messages.pop()!.content) : '';
        this.#turns = [...this.#turns, ...messages, { role: 'assistant', content: begun + text }];
        this.#usage = promptTokens + tokens;
        return text;
      });
    }

    /**
     * Drops the oldest turns until the messages fit; initial prompts stay.
     * @throws QuotaExceededError if they do not fit alone
     */
    async #fit(messages: readonly Message[]): Promise<void> {
      let turns = this.#turns;
      const most = room(this.#model);
      for (;;) {
        const needed = await countTokens(this.#model, [...this.#initial, ...turns, ...messages], true);
        if (needed <= most) break;
        if (!turns.length) throw quotaExceeded(needed, most);
        const next = turns.findIndex(({ role }, i) => i > 0 && role === 'user');
        turns = next < 0 ? [] : turns.slice(next);
      }
      if (turns === this.#turns) return;
      this.#turns = turns;
      this.dispatchEvent(new Event('contextoverflow'));
    }
  }

  function begin(given: Start): LanguageModelSession {
    start = given;
    try {
      return new LanguageModel();
    } finally {
      start = undefined;
    }
  }
  return LanguageModel;
}

/** Why these options cannot be served; undefined if they can. */
function unsupported({
  expectedInputs = [],
  expectedOutputs = [],
  tools = [],
}: LanguageModelCreateOptions): string | undefined {
  if (tools.length) return 'tools are not supported.';
  const other = [...expectedInputs, ...expectedOutputs].find(({ type }) => type !== 'text');
  return other && `${other.type} is not supported: the model reads and writes text.`;
}

async function* piecesOf(stream: ReadableStream<string>): AsyncGenerator<string, void> {
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel();
  }
}

const room = ({ info }: PromptModel): number => Math.floor(info.contextLength * (1 - ANSWER_SHARE));

const countTokens = async (model: PromptModel, messages: readonly Message[], asked: boolean): Promise<number> =>
  (await model.tokenize(await model.render(messages, { addGenerationPrompt: asked }))).length;

/** The option of `chat` that holds an answer to a constraint. */
function constraintOf(constraint: object | undefined): ChatOptions {
  if (!constraint) return {};
  const format =
    constraint instanceof RegExp
      ? { type: 'regex', pattern: constraint.source }
      : { type: 'json_schema', schema: constraint };
  return { responseFormat: format } as ChatOptions;
}

/** Rejects with the signal's reason as soon as it fires. */
async function untilAborted<T>(promise: Promise<T>, signal?: AbortSignal): Promise<T> {
  if (!signal) return promise;
  promise.catch(() => undefined);
  let abort = (): void => undefined;
  const stopped = new Promise<never>((_, reject) => (abort = () => reject(signal.reason as Error)));
  stopped.catch(() => undefined);
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort);
  try {
    return await Promise.race([promise, stopped]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
