/** Reads the messages of a chat completion into those of `chat`. */
import { show } from '../errors';
import type { Message } from '../index';
import { createFieldReader, isObject, type FieldReader } from './fields';
import { refuse } from './openai_error';
import type { OpenAIModel } from './types';

const ROLES = ['system', 'developer', 'user', 'assistant', 'tool'] as const;

/** Fields of a role that change nothing; null where OpenAI's answers have them. */
const FIELDS: Record<string, string[]> = {
  assistant: [
    'role',
    'content',
    'name',
    'tool_calls',
    'reasoning_content',
    'reasoning',
    'tool_call_errors',
    'annotations',
    'parsed',
  ],
  tool: ['role', 'content', 'name', 'tool_call_id'],
};

/**
 * @param pictures gets the paths of the parts that are pictures
 * @throws OpenAIError with the path of what is wrong
 */
export function readChatMessages(request: FieldReader, pictures: string[]): Message[] {
  const list = request.list('messages') ?? request.refuse('messages', 'a list of messages');
  if (!list.length) request.refuse('messages', 'at least one message');
  const messages = list.map((message, i) => readMessage(createFieldReader(message, `messages[${i}]`), pictures));
  return orderResults(messages, {
    result: (message) => `messages[${messages.indexOf(message)}].tool_call_id`,
    call: (message, i) => `messages[${messages.indexOf(message)}].tool_calls[${i}]`,
  });
}

function readMessage(at: FieldReader, pictures: string[]): Message {
  const role = at.oneOf('role', ...ROLES) ?? at.refuse('role', ROLES.join(' or '));
  at.only(FIELDS[role] ?? ['role', 'content', 'name'], { refusal: [], function_call: [], audio: [] });
  const message: Message = { role, content: readContent(at, role, pictures) };
  const name = at.text('name');
  if (name !== undefined) message.name = name;
  if (role === 'tool') message.tool_call_id = at.requiredText('tool_call_id');
  if (role !== 'assistant') return message;
  const reasoning = at.text('reasoning_content') ?? at.text('reasoning');
  if (reasoning) message.reasoning_content = reasoning;
  const calls = at.list('tool_calls') ?? [];
  if (calls.length)
    message.tool_calls = calls.map((call, i) => readCall(createFieldReader(call, `${at.path('tool_calls')}[${i}]`)));
  return message;
}

function readContent(at: FieldReader, role: string, pictures: string[]): string | object {
  if (at.value('content') === undefined && role === 'assistant') return '';
  if (role === 'user') return readParts(at, 'content', ['text'], pictures);
  return readTexts(at, 'content', role === 'assistant' ? ['text', 'refusal'] : ['text']);
}

/** Parts of messages that this engine does not read. */
const OTHER_PARTS = ['image_url', 'input_image', 'input_audio', 'file', 'input_file'];

/**
 * A text, or the texts of a list of parts.
 * @param types of parts that are read, the usual one first
 * @throws OpenAIError of parts of other types
 */
export const readTexts = (at: FieldReader, name: string, types: readonly string[]): string =>
  readParts(at, name, types) as string;

/**
 * A text, or the texts of a list of parts; with pictures among them a list in the form of `chat`.
 * @param pictures gets the paths of the parts that are pictures; absent: they are refused
 */
export function readParts(
  at: FieldReader,
  name: string,
  types: readonly string[],
  pictures?: string[],
): string | object[] {
  const given = at.value(name);
  if (typeof given === 'string') return given;
  if (!Array.isArray(given)) return at.refuse(name, 'a text or a list of parts');
  const parts = given.map((part, i) => {
    const read = createFieldReader(part, `${at.path(name)}[${i}]`);
    const type = read.requiredText('type');
    if (pictures && /^(image_url|input_image)$/.test(type)) {
      pictures.push(read.path('type'));
      return { type: 'image_url', image_url: readPicture(read, type) };
    }
    if (!types.includes(type))
      refuse(
        read.path('type'),
        { what: 'A part of this type is not read', got: show(type), wanted: `"${types[0]}"` },
        OTHER_PARTS.includes(type) ? 'unsupported_content' : 'invalid_value',
      );
    return type === 'refusal' ? (read.text('refusal') ?? '') : (read.text('text') ?? read.refuse('text', 'a text'));
  });
  if (parts.every((part) => typeof part === 'string')) return parts.join('');
  return parts.map((part) => (typeof part === 'string' ? { type: 'text', text: part } : part));
}

/** The field `image_url`: an object in chat completions, an address in responses. */
function readPicture(at: FieldReader, type: string): { url: string; detail?: string } {
  const inside = type === 'image_url' ? (at.object(type) ?? at.refuse(type, 'an object with url')) : at;
  const url = inside.requiredText(inside === at ? 'image_url' : 'url');
  return { url, detail: inside.oneOf('detail', 'auto', 'low', 'high') };
}

/** @throws OpenAIError of a picture for a model without vision */
export function requireVision({ info }: OpenAIModel, [path]: readonly string[]): void {
  if (path && !info.config?.vision)
    refuse(
      path,
      { what: 'This model reads text only', got: 'a picture', cure: 'Load a vision model.' },
      'unsupported_content',
    );
}

function readCall(at: FieldReader): object {
  const id = at.requiredText('id');
  if (at.has('type')) at.oneOf('type', 'function');
  const said = at.object('function') ?? at.refuse('function', 'an object with name and arguments');
  const name = said.requiredText('name');
  const given = said.text('arguments') ?? '{}';
  return { id, type: 'function', function: { name, arguments: checkJsonObject(given, said.path('arguments')) } };
}

/** @returns the text; @throws OpenAIError if it is no JSON object */
export function checkJsonObject(text: string, path: string): string {
  let value: unknown;
  try {
    value = JSON.parse(text.trim() || '{}');
  } catch {
    // told below
  }
  if (!isObject(value))
    refuse(path, { what: `${path} is not valid`, got: show(text), wanted: 'the JSON of an object' });
  return text;
}

/** The paths of messages in a request. */
interface ResultPaths {
  result(message: Message): string;
  call(message: Message, i: number): string;
}

/**
 * Templates tell results by their order only: those of one message's calls come in the order of the calls.
 * @throws OpenAIError if a call has no result, or a result no call
 */
export function orderResults(messages: readonly Message[], paths: ResultPaths): Message[] {
  const ordered: Message[] = [];
  for (let i = 0; i < messages.length; i++) {
    const message = messages[i];
    const calls = (message.tool_calls ?? []) as { id: string }[];
    const results = new Map<string, Message>();
    for (let result = messages[i + 1]; result?.role === 'tool'; result = messages[++i + 1]) {
      const id = result.tool_call_id as string;
      if (!calls.some((call) => call.id === id) || results.has(id)) refuseResult(paths.result(result), id);
      results.set(id, result);
    }
    if (message.role === 'tool') refuseResult(paths.result(message), message.tool_call_id);
    const missing = calls.findIndex(({ id }) => !results.has(id));
    if (missing >= 0)
      refuse(paths.call(message, missing), {
        what: 'A call has no result',
        got: calls[missing].id,
        wanted: 'a result with this id behind it',
      });
    ordered.push(message, ...calls.map(({ id }) => results.get(id)!));
  }
  return ordered;
}

const refuseResult = (path: string, id: unknown): never =>
  refuse(path, { what: 'The result belongs to no call before it', got: show(id) });
