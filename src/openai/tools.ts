/** The tools of a request, and the calls of an answer checked against them. */
import { show } from '../errors';
import type { ToolCall, ToolChoice } from '../index';
import { findMismatch, uncheckedKeyword } from './check_value';
import { createFieldReader, type FieldReader, type Fields } from './fields';
import { createId } from './models';
import { refuse } from './openai_error';
import type { ChatCompletionMessageToolCall, ToolCallError } from './types';

/** A tool as the model reads it. */
export interface OfferedTool {
  name: string;
  description?: string;
  parameters: Fields;
}

export interface ToolSet {
  /** none of them if the request says tool_choice: 'none' */
  offered: OfferedTool[];
  /** names of tools whose calls must fit */
  strict: ReadonlySet<string>;
  /** more than one call in an answer */
  parallel: boolean;
}

/** What a model may be told of a tool; a larger schema would fill the context. */
const LONGEST_PARAMETERS = 200_000;

/**
 * Reads a tool. OpenAI's two interfaces have its fields at different places.
 * @param at reads the object with name, description, parameters and strict
 */
export function readTool(at: FieldReader, strict: Set<string>): OfferedTool {
  const name = at.requiredText('name');
  if (!/^[\p{L}_][\p{L}\p{N}_.-]{0,127}$/u.test(name))
    at.refuse('name', 'a letter or _, and letters, digits, _, . or - behind it, at most 128');
  const description = at.text('description');
  const parameters = at.object('parameters');
  const schema = (at.value('parameters') as Fields | undefined) ?? { type: 'object', properties: {} };
  let written = '';
  try {
    written = JSON.stringify(schema);
  } catch (error) {
    refuse(at.path('parameters'), { what: 'The schema cannot be written as JSON', got: (error as Error).message });
  }
  if (written.length > LONGEST_PARAMETERS)
    refuse(at.path('parameters'), {
      what: 'The schema is too long',
      got: `${written.length} characters`,
      wanted: `at most ${LONGEST_PARAMETERS}`,
    });
  if (parameters?.has('type')) parameters.oneOf('type', 'object');
  if (at.flag('strict')) {
    const unchecked = uncheckedKeyword(schema, at.path('parameters'));
    if (unchecked)
      refuse(
        unchecked,
        {
          what: `${unchecked} cannot be checked, so calls cannot be strict`,
          cure: 'Leave out the keyword, or strict.',
        },
        'unsupported_parameter',
      );
    strict.add(name);
  }
  return { name, ...(description && { description }), parameters: schema };
}

/** @param read reads one tool of the list */
export function readToolList(
  request: FieldReader,
  choice: ToolChoice,
  read: (at: FieldReader, strict: Set<string>) => OfferedTool,
): ToolSet {
  const strict = new Set<string>();
  const tools = (request.list('tools') ?? []).map((tool, i) =>
    read(createFieldReader(tool, `${request.path('tools')}[${i}]`), strict),
  );
  const twice = tools.findIndex(({ name }, i) => tools.some((other, j) => j < i && other.name === name));
  if (twice >= 0)
    refuse(`${request.path('tools')}[${twice}]`, { what: 'Two tools have one name', got: show(tools[twice].name) });
  if (typeof choice === 'object' && !tools.some(({ name }) => name === choice.name))
    refuse('tool_choice', {
      what: 'tool_choice names a tool that was not given',
      got: show(choice.name),
      wanted: tools.map(({ name }) => name).join(' or ') || 'a list of tools',
    });
  if (choice === 'required' && !tools.length)
    refuse('tool_choice', { what: 'tool_choice wants a call, but there are no tools' });
  return { offered: choice === 'none' ? [] : tools, strict, parallel: request.flag('parallel_tool_calls') ?? true };
}

/** A call as it goes out, or as text because it must not go out; with what is wrong about it. */
export interface CheckedCall {
  call?: ChatCompletionMessageToolCall;
  text?: string;
  error?: ToolCallError;
}

export function checkCall({ name, arguments: given }: ToolCall, { offered, strict }: ToolSet): CheckedCall {
  const id = createId('call_');
  const call: ChatCompletionMessageToolCall = {
    id,
    type: 'function',
    function: { name, arguments: JSON.stringify(given) },
  };
  const text = `${name}(${JSON.stringify(given)})`;
  if (!offered.length)
    return { text, error: { type: 'no_tools', message: `The model called ${name}, but no tools were offered.` } };
  const tool = offered.find((one) => one.name === name);
  if (!tool) {
    const names = offered.map((one) => one.name).join(', ');
    return { call, error: { type: 'unknown_tool', id, message: `There is no tool ${name}. The tools are ${names}.` } };
  }
  const wrong = findMismatch(given, tool.parameters);
  if (!wrong) return { call };
  const message = `${name}: ${wrong.path} is not valid, wanted ${wrong.wanted}.`;
  const error: ToolCallError = { type: 'invalid_arguments', message, param: wrong.path };
  return strict.has(name) ? { text, error } : { call, error: { ...error, id } };
}

/** A block that holds no call. */
export const malformed = (text: string): CheckedCall => ({
  text,
  error: {
    type: 'malformed',
    message: `This cannot be read as a call: ${show(text)}. Wanted name(argument=value) or { "name", "arguments" }.`,
  },
});
