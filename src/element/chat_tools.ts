/** The tools of an element: their definitions, and a call of the model checked against them before it runs. */
import type { ToolCall } from '../index';
import { elementError } from './engine';

/** A JSON schema of arguments, as far as calls are checked against it. */
export interface ToolParameters {
  type?: 'object';
  properties?: Record<string, { type?: string; enum?: readonly unknown[]; description?: string }>;
  required?: readonly string[];
}

/** A tool that the model may call. */
export interface ChatTool {
  name: string;
  description?: string;
  parameters?: ToolParameters;
  /**
   * Answers a call. Text is passed to the model unchanged, other values as JSON. Without it, the element's
   * `rivulet-toolcall` event must answer.
   */
  run?(args: Record<string, unknown>): unknown;
}

/** The detail of the `rivulet-toolcall` event. */
export interface ToolCallDetail {
  name: string;
  arguments: Record<string, unknown>;
  /** Answers the call with a value or a promise of one. The first answer counts. */
  respondWith(result: unknown): void;
}

/** How long a tool may take, in ms. */
const TOOL_MS = 30_000;

/** What the model is told of a tool. */
export const definitionOf = ({ name, description, parameters }: ChatTool): object => ({
  name,
  ...(description && { description }),
  parameters: parameters ?? { type: 'object', properties: {} },
});

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const areParameters = (given: unknown): boolean =>
  isObject(given) &&
  (given.required === undefined || Array.isArray(given.required)) &&
  (given.properties === undefined ||
    (isObject(given.properties) &&
      Object.values(given.properties).every(
        (one) => isObject(one) && (one.enum === undefined || Array.isArray(one.enum)),
      )));

/**
 * Takes definitions in OpenAI's form, with or without the `{ type: 'function', function: … }` around them.
 * @throws a RequestError if the value is no list of tools
 */
export function checkTools(value: unknown): ChatTool[] {
  const wrong = (got: string): never => {
    throw elementError(
      'RequestError',
      'The tools cannot be read',
      got,
      'Pass a list of { name, description, parameters }.',
    );
  };
  if (!Array.isArray(value)) return wrong(value === null ? 'null' : typeof value);
  const tools: ChatTool[] = [];
  for (const given of value as unknown[]) {
    const tool = isObject(given) && isObject(given.function) ? given.function : given;
    if (!isObject(tool) || typeof tool.name !== 'string' || !tool.name)
      return wrong(`a tool without a name: ${JSON.stringify(tool)?.slice(0, 80)}`);
    const { parameters, run } = tool;
    if (parameters !== undefined && !areParameters(parameters))
      return wrong(`parameters of ${tool.name} that are no JSON schema of an object`);
    if (run !== undefined && typeof run !== 'function') return wrong(`a run of ${tool.name} that is no function`);
    if (tools.some(({ name }) => name === tool.name)) return wrong(`two tools named ${tool.name}`);
    tools.push(tool as unknown as ChatTool);
  }
  return tools;
}

/** The tools of an attribute, which is JSON. @throws a RequestError */
export function parseTools(json: string): ChatTool[] {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    throw elementError(
      'RequestError',
      'The attribute tools is no JSON',
      json,
      'Write a JSON list of { name, description, parameters }.',
    );
  }
  return checkTools(value);
}

const TYPES: Record<string, (value: unknown) => boolean> = {
  string: (value) => typeof value === 'string',
  integer: Number.isInteger,
  number: Number.isFinite,
  boolean: (value) => typeof value === 'boolean',
  array: Array.isArray,
  object: isObject,
};

/** @returns why the call must not run; undefined if it may */
export function whyRefused({ name, arguments: given }: ToolCall, tools: readonly ChatTool[]): string | undefined {
  const tool = tools.find((one) => one.name === name);
  if (!tool) return `There is no tool ${name}.`;
  const { properties = {}, required = [] } = tool.parameters ?? {};
  const missing = required.find((key) => !Object.hasOwn(given, key));
  if (missing) return `${name} needs the argument ${missing}.`;
  for (const [key, value] of Object.entries(given)) {
    if (!Object.hasOwn(properties, key)) return `${name} has no argument ${key}.`;
    const { type, enum: values } = properties[key];
    if (type && TYPES[type]?.(value) === false)
      return `${name} needs ${type === 'integer' ? 'a whole number' : `a ${type}`} for ${key}.`;
    if (values && !values.includes(value)) return `${name} needs one of ${values.join(', ')} for ${key}.`;
  }
  return undefined;
}

/** A longer result would fill the model's context. */
const LONGEST_RESULT = 20_000;

/** A result as the model reads it. @throws an Error if it cannot be written as JSON */
export function resultText(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? 'ok');
  return text.length > LONGEST_RESULT ? `${text.slice(0, LONGEST_RESULT)}…` : text;
}

/**
 * The result of a call as text. A call that does not fit its tool is refused, and the model is told why.
 * @param tell asks the page, which may answer in place of the tool's own function
 */
export async function runCall(
  call: ToolCall,
  tools: readonly ChatTool[],
  tell: (detail: ToolCallDetail) => void,
): Promise<string> {
  const refused = whyRefused(call, tools);
  if (refused) return refused;
  let answered = false;
  let answer: unknown;
  const respondWith = (result: unknown): void => {
    if (!answered) answer = result;
    answered = true;
  };
  tell({ ...call, respondWith });
  const tool = tools.find(({ name }) => name === call.name);
  if (!answered && !tool?.run) return `${call.name} does nothing on this page.`;
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    const late = new Promise<never>(
      (_, reject) => (timer = setTimeout(() => reject(new Error(`no answer within ${TOOL_MS / 1000} s`)), TOOL_MS)),
    );
    return resultText(await Promise.race([answered ? answer : tool!.run!(call.arguments), late]));
  } catch (error) {
    return `${call.name} failed: ${error instanceof Error ? error.message : String(error)}`;
  } finally {
    clearTimeout(timer);
  }
}
