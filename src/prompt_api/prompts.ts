/** Reads the prompts of the Prompt API into the messages of `chat`, and the engine's errors into its own. */
import type { Message } from '../index';

export interface LanguageModelMessage {
  role: 'system' | 'user' | 'assistant';
  content: string | readonly { type: 'text'; value: string }[];
  /** the model goes on with this message, which is the last one and an assistant's */
  prefix?: boolean;
}

export type LanguageModelPrompt = string | readonly LanguageModelMessage[];

export const notSupported = (message: string): DOMException => new DOMException(message, 'NotSupportedError');

const ROLES = ['system', 'user', 'assistant'];

/** @throws TypeError for what is no prompt; NotSupportedError for another kind than text */
export function readPrompts(prompt: LanguageModelPrompt, initial = false): { messages: Message[]; prefix: boolean } {
  if (typeof prompt === 'string') return { messages: [{ role: 'user', content: prompt }], prefix: false };
  if (!Array.isArray(prompt) || (!prompt.length && !initial))
    throw new TypeError('A prompt is a text or a list of messages.');
  let prefix = false;
  const messages = prompt.map((given: unknown, i): Message => {
    const { role = 'user', content, prefix: goesOn = false } = (given ?? {}) as Partial<LanguageModelMessage>;
    if (!ROLES.includes(role))
      throw new TypeError(`messages[${i}].role is ${JSON.stringify(role)}, not ${ROLES.join(' or ')}.`);
    if (role === 'system' && (!initial || i > 0)) {
      const message = `messages[${i}]: the system prompt can only be the first of initialPrompts.`;
      throw initial ? new TypeError(message) : notSupported(message);
    }
    if (goesOn && (role !== 'assistant' || i < prompt.length - 1 || initial)) {
      const message = `messages[${i}].prefix is for an assistant's message at the end of a prompt.`;
      throw new DOMException(message, 'SyntaxError');
    }
    prefix ||= goesOn;
    return { role, content: readContent(content, i) };
  });
  return { messages, prefix };
}

function readContent(content: unknown, i: number): string {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) throw new TypeError(`messages[${i}].content is neither a text nor a list.`);
  return content
    .map((part: unknown, j) => {
      const { type, value } = (part ?? {}) as { type?: unknown; value?: unknown };
      if (type !== 'text') throw notSupported(`messages[${i}].content[${j}].type: the model reads text only.`);
      if (typeof value !== 'string') throw new TypeError(`messages[${i}].content[${j}].value is no text.`);
      return value;
    })
    .join('');
}

/** The error of a prompt that the context cannot hold, with the fields of the platform's own. */
export function quotaExceeded(requested: number, quota: number): Error {
  const message = `The prompt has ${requested} tokens, and the context has room for ${quota} beside an answer.`;
  const { QuotaExceededError } = globalThis as { QuotaExceededError?: new (message: string, options: object) => Error };
  if (QuotaExceededError) return new QuotaExceededError(message, { requested, quota });
  return Object.assign(new DOMException(message, 'QuotaExceededError'), { requested, quota });
}

/** What a method rejects with in place of an error of the engine. */
export function toPromptError(error: unknown, signal?: AbortSignal): unknown {
  if (signal?.aborted) return signal.reason;
  const { name, message } = error as Error;
  if (name === 'AbortError' || error instanceof TypeError || error instanceof DOMException) return error;
  if (message.startsWith('This model cannot be held to'))
    return notSupported('This model cannot be held to responseConstraint: it was loaded without constraints: true.');
  return new DOMException(message, name === 'RequestError' ? 'NotSupportedError' : 'OperationError');
}
