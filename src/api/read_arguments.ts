/** Reads arguments of calls as pages hold them: proxies, typed arrays, objects with functions. */
import type { Message } from '../text/history';
import { failUnknown, requireValid, type Rule } from './options';
import { plainCopy, readSafely } from './plain_copy';

const ROLES = ['system', 'developer', 'user', 'assistant', 'tool'];
const LIST: Rule = { wanted: 'a list of token ids', valid: Array.isArray };
const PROMPT: Rule = {
  wanted: 'a text or a list of token ids',
  valid: (value) => typeof value === 'string' || Array.isArray(value),
};
const CHOICES: Rule = {
  wanted: 'a list of different texts, none of them empty',
  valid: (value) =>
    Array.isArray(value) &&
    value.length > 0 &&
    value.every((text) => typeof text === 'string' && text) &&
    new Set(value).size === value.length,
};
const TEXTS: Rule = {
  wanted: 'a list of texts',
  valid: (value) => Array.isArray(value) && value.every((text) => typeof text === 'string'),
};
const MAX_IDS_BYTES = 2 ** 22;

/** Messages as plain data. @throws RequestError for what is no data, and for a role that does not exist */
export function readMessages(messages: unknown): Message[] {
  const read = plainCopy(messages, 'messages') as Message[];
  if (Array.isArray(read))
    for (const message of read)
      if (typeof message?.role === 'string' && !ROLES.includes(message.role)) failUnknown('role', message.role, ROLES);
  return read; // the chat template refuses what is no list of messages
}

const readList = <T>(name: string, value: T, rule: Rule): T => {
  const list =
    ArrayBuffer.isView(value) && value.byteLength <= MAX_IDS_BYTES
      ? readSafely(() => [...(value as unknown as Uint32Array)])
      : value;
  const read = plainCopy(list, name);
  requireValid(name, read, rule);
  return read as T;
};

/** @throws RequestError */
export const readTokenIds = (ids: readonly number[]): readonly number[] => readList('token ids', ids, LIST);
export const readChoices = (choices: readonly string[]): readonly string[] => readList('choices', choices, CHOICES);
/** @throws RequestError */
export const readTextList = (texts: readonly string[]): readonly string[] => readList('texts', texts, TEXTS);
export const readPrompt = (prompt: string | readonly number[]): string | readonly number[] =>
  readList('prompt', prompt, PROMPT);
