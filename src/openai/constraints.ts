/** What an answer is held to: the format of its text, and the tools that it must call. */
import type { ChatOptions, ToolChoice } from '../index';
import type { Fields, FieldReader } from './fields';
import { refuse } from './openai_error';

export type RequestedFormat =
  { type: 'text' | 'json_object' } | { type: 'json_schema'; name: string; schema: Fields; strict: boolean };

/** The options of `chat` that hold an answer to a format or to tools. */
export function constraintOptions(format: RequestedFormat, choice: ToolChoice): ChatOptions {
  const options: ChatOptions = {};
  if (format.type === 'json_object') options.responseFormat = { type: 'json_object' };
  if (format.type === 'json_schema')
    options.responseFormat = { type: 'json_schema', schema: format.schema, ...(!format.strict && { strict: false }) };
  if (choice !== 'auto' && choice !== 'none') options.toolChoice = choice;
  return options;
}

/** @param nested whether a JSON Schema stands in an object of its own, as in chat completions */
export function readFormat(at: FieldReader | undefined, nested: boolean): RequestedFormat {
  const type = at?.oneOf('type', 'text', 'json_object', 'json_schema') ?? (at ? at.refuse('type', 'a text') : 'text');
  if (!at || type !== 'json_schema') return { type } as RequestedFormat;
  const schemaAt = nested ? (at.object('json_schema') ?? at.refuse('json_schema', 'an object')) : at;
  const name = schemaAt.requiredText('name');
  if (!schemaAt.object('schema')) schemaAt.refuse('schema', 'a JSON Schema');
  const schema = schemaAt.value('schema') as Fields;
  try {
    JSON.stringify(schema);
  } catch (error) {
    refuse(schemaAt.path('schema'), { what: 'The schema cannot be written as JSON', got: (error as Error).message });
  }
  return { type, name, schema, strict: schemaAt.flag('strict') ?? true };
}

/** `tool_choice` in the form of either interface. */
export function readToolChoice(request: FieldReader): ToolChoice {
  const given = request.value('tool_choice');
  if (given === undefined) return 'auto';
  if (typeof given === 'string') return request.oneOf('tool_choice', 'auto', 'none', 'required') ?? 'auto';
  const at = request.object('tool_choice')!;
  if (at.oneOf('type', 'function') === undefined) at.refuse('type', '"function"');
  return { name: (at.object('function') ?? at).requiredText('name') };
}
