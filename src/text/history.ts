/** Puts the messages of a conversation, as OpenAI clients keep them, into the form that chat templates read. */
import { fail } from '../errors';
import { readJson, toPython } from './jinja/json';
import { CALL, startWork, text, toJson, write, type Dict, type Value } from './jinja/values';

/**
 * A message as OpenAI clients keep it, with `tool_calls` and `reasoning_content`. Further fields are passed to the
 * template unchanged.
 */
export interface Message {
  role: string;
  /** a text, parts with a `type`, or the result of a tool */
  content?: string | object | null;
  [field: string]: unknown;
}

/** Names of one thing; a template knows one of them. */
const REASONING = ['reasoning_content', 'reasoning', 'thinking'];

/**
 * - `content`: null or none is an empty text, parts that are all text are one text, and a tool's result that is no text
 * is its JSON
 * - `tool_calls`: each has a `function` with `arguments` as an object, in the order of the JSON text if it was one; an
 * empty list is none
 * - `reasoning_content`, `reasoning` and `thinking` are one thing under the names that the template knows
 * - `role`: a developer is the system where the template does not know him
 *
 * What is in this form already stays as it is.
 * @param source the template
 * @throws RequestError if it is no list of messages, or arguments are no object
 */
export function prepareMessages(messages: readonly Message[], source: string): Dict[] {
  startWork();
  const wanted = 'a list of { role, content }';
  if (!Array.isArray(messages) || messages.length === 0)
    fail('RequestError', { what: 'There are no messages', wanted });
  let all: Value[];
  try {
    all = toPython(messages) as Value[];
  } catch (error) {
    return fail(
      'RequestError',
      { what: 'The messages cannot be written as JSON', got: (error as Error).message, wanted },
      error,
    );
  }
  const wrong = all.findIndex((m) => !(m instanceof Map) || typeof m.get('role') !== 'string');
  if (wrong >= 0) fail('RequestError', { what: `Message ${wrong} has no role`, wanted });
  return (all as Dict[]).map((message) => prepare(message, (name) => source.includes(name)));
}

function prepare(given: Dict, knows: (name: string) => boolean): Dict {
  const message = new Map(given);
  if (message.get('role') === 'developer' && !knows('developer')) message.set('role', 'system');
  const content = message.get('content');
  const calls = message.get('tool_calls');
  if (content === null || content === undefined) message.set('content', '');
  else if (isParts(content)) {
    if (content.length && content.every((part) => part.get('type') === 'text'))
      message.set('content', content.map((part) => text(part.get('text'))).join(''));
  } else if (message.get('role') === 'tool' && typeof content !== 'string') message.set('content', toJson(content));
  if (Array.isArray(calls) && calls.length) message.set('tool_calls', calls.map(prepareCall));
  else message.delete('tool_calls');
  const reasoning = REASONING.map((name) => message.get(name)).find((value) => value);
  for (const name of REASONING) {
    if (reasoning === undefined || !knows(name)) message.delete(name);
    else message.set(name, reasoning);
  }
  return message;
}

const isParts = (content: Value): content is Dict[] =>
  Array.isArray(content) && content.every((part) => part instanceof Map && typeof part.get('type') === 'string');

function prepareCall(call: Value): Value {
  const fields = call instanceof Map ? call : new Map<Value, Value>();
  const said = (fields.get('function') ?? fields) as Dict;
  const [name, given] = said instanceof Map ? [said.get('name'), said.get('arguments')] : [];
  let args: Value = given;
  try {
    if (typeof given === 'string') args = given.trim() ? readJson(given) : null;
  } catch {
    // told below
  }
  args ??= new Map();
  if (typeof name !== 'string' || !(args instanceof Map))
    return fail('RequestError', {
      what: 'A message has a tool call that cannot be read',
      got: toJson(call ?? null),
      wanted: '{ function: { name, arguments } }',
    });
  if (said === fields)
    return new Map<Value, Value>([
      ['type', 'function'],
      [
        'function',
        new Map<Value, Value>([
          ['name', name],
          ['arguments', args],
        ]),
      ],
    ]);
  return new Map(fields).set('function', new Map(said).set('arguments', args));
}

/** The message with its calls in its content, as LFM2 says them: for a template that does not know tool_calls. */
export function writeCalls(message: Dict): Dict {
  const calls = message.get('tool_calls') as Dict[] | undefined;
  if (!calls) return message;
  const written = calls.map((call) => {
    const said = call.get('function') as Dict;
    const given = [...(said.get('arguments') as Dict)].map(([key, value]) => `${text(key)}=${write(value, CALL)}`);
    return `${text(said.get('name'))}(${given.join(', ')})`;
  });
  const whole = new Map(message).set(
    'content',
    `${text(message.get('content'))}<|tool_call_start|>[${written.join(', ')}]<|tool_call_end|>`,
  );
  whole.delete('tool_calls');
  return whole;
}
