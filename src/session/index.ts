/** A conversation with a loaded model as an object, a file of its own beside the library. */
import { fail, show } from '../errors';
import type {
  AnswerPart,
  ChatOptions,
  GenerationResult,
  ImportedConversation,
  Message,
  Model,
  TextStream,
} from '../index';

/** What a session needs of a model. */
export type SessionModel = Pick<Model, 'chat' | 'exportConversation' | 'importConversation'>;

export interface SessionOptions extends Omit<ChatOptions, 'signal' | 'continueFinalMessage'> {
  /** with which the conversation begins */
  messages?: readonly Message[];
}

/** A text is a message of the user. */
export type SessionInput = string | Message | readonly Message[];

/** A conversation. The model keeps what it has read of it, so that each call reads only what is new. */
export interface Session {
  /** the conversation so far, a copy */
  readonly messages: Message[];
  /**
   * Adds messages and answers the last one; without messages it answers the last one again. Messages and answer are
   * part of the session when the answer is complete: a call that fails or is aborted leaves it as it was. Such errors,
   * and a RequestError while the session answers, reject the stream's `result`.
   * @param options replace those of the session for this answer
   */
  send(input?: SessionInput, options?: ChatOptions): TextStream;
  /** Adds messages without an answer. @throws RequestError while the session answers, or for what is no data */
  append(input: SessionInput): void;
  /** A session with the same messages and options. What was read is copied when the two part, not before. */
  clone(): Session;
  /**
   * Takes the last messages back.
   * @param length number of messages that stay
   * @throws RequestError while the session answers, or if there are not so many messages
   */
  rewind(length: number): void;
  /**
   * The conversation as one file, with what the model has read of it, after the answer that is being written. The model
   * needs `saveConversations` at its load. @throws RequestError, DeviceError
   */
  export(): Promise<Blob>;
}

export interface ImportedSession extends Omit<ImportedConversation, 'messages' | 'options'> {
  session: Session;
}

/** Begins a conversation with a loaded model. @throws RequestError for messages that are no data */
export function createSession(model: SessionModel, { messages = [], ...defaults }: SessionOptions = {}): Session {
  let kept = copyOf(messages);
  let answering: Promise<unknown> | undefined;
  const requireIdle = (): void => {
    if (answering)
      fail('RequestError', {
        what: 'The session has not answered yet',
        cure: 'Wait for the result, abort it, or go on with a clone().',
      });
  };
  const session: Session = {
    get messages() {
      return copyOf(kept);
    },
    send(input = [], options) {
      let given: Message[];
      try {
        requireIdle();
        given = readInput(input);
      } catch (error) {
        return failedStream(error);
      }
      const asked = [...kept, ...given];
      const stream = model.chat(asked, { ...defaults, ...options });
      const result = stream.result.then(
        (whole) => {
          if (whole.finish !== 'abort') kept = withAnswer(asked, whole, options?.continueFinalMessage === true);
          answering = undefined;
          return whole;
        },
        (error) => {
          answering = undefined;
          throw error;
        },
      );
      answering = result.catch(() => undefined);
      return streamOf(stream.parts, result);
    },
    append(input) {
      requireIdle();
      kept = [...kept, ...readInput(input)];
    },
    clone: () => createSession(model, { ...defaults, messages: kept }),
    rewind(length) {
      requireIdle();
      if (!Number.isInteger(length) || length < 0 || length > kept.length)
        fail('RequestError', {
          what: 'The session cannot go back there',
          got: show(length),
          wanted: `a number of messages from 0 to ${kept.length}`,
        });
      kept = kept.slice(0, length);
    },
    async export() {
      await answering;
      const { tools, variables } = defaults;
      return model.exportConversation(kept, { ...(tools && { tools }), ...(variables && { variables }) });
    },
  };
  return session;
}

/**
 * A session from the file of `export()`. Its tools and variables come from the file, unless the options have others.
 * @param options.state as for `model.importConversation`
 * @returns also how many tokens the next call need not read, and why not, where they must be read again
 * @throws as `model.importConversation`
 */
export async function importSession(
  model: SessionModel,
  file: Blob,
  { state, ...options }: Omit<SessionOptions, 'messages'> & { state?: boolean | 'required' } = {},
): Promise<ImportedSession> {
  const {
    messages,
    options: read,
    ...rest
  } = await model.importConversation(file, state === undefined ? undefined : { state });
  return { session: createSession(model, { ...read, ...options, messages }), ...rest };
}

function withAnswer(
  messages: readonly Message[],
  { text, reasoning }: GenerationResult,
  continues: boolean,
): Message[] {
  const last = messages.at(-1);
  if (continues && last)
    return [...messages.slice(0, -1), { ...last, content: String(last.content ?? '').trimEnd() + text }];
  return [...messages, { role: 'assistant', content: text, ...(reasoning && { reasoning_content: reasoning }) }];
}

function readInput(input: SessionInput): Message[] {
  if (typeof input === 'string') return [{ role: 'user', content: input }];
  return copyOf(Array.isArray(input) ? (input as readonly Message[]) : [input as Message]);
}

/** Messages are data: what the caller changes later does not change the session. Also proxies become plain objects. */
function copyOf(messages: readonly Message[]): Message[] {
  try {
    const copy: unknown = JSON.parse(JSON.stringify(messages));
    if (Array.isArray(copy)) return copy as Message[];
  } catch (cause) {
    return fail(
      'RequestError',
      { what: 'The messages of the session are no data', got: (cause as Error).message },
      cause,
    );
  }
  return fail('RequestError', {
    what: 'The messages of the session are no data',
    got: show(messages),
    wanted: 'a list of { role, content }',
  });
}

/** The loop ends when the answer is part of the session. */
function streamOf(pieces: AsyncIterable<AnswerPart>, result: Promise<GenerationResult>): TextStream {
  result.catch(() => undefined); // told by the loop, too
  async function* all(): AsyncGenerator<AnswerPart, void> {
    yield* pieces;
    await result;
  }
  const parts = all();
  async function* texts(): AsyncGenerator<string, void> {
    for await (const { type, text } of parts) if (type === 'text') yield text;
  }
  const iterator = texts();
  return { result, parts, [Symbol.asyncIterator]: () => iterator };
}

function failedStream(error: unknown): TextStream {
  const result = Promise.reject(error);
  return streamOf((async function* (): AsyncGenerator<AnswerPart, void> {})(), result);
}
