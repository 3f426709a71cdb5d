/**
 * Answers as JSON: the form that a request asks for, and the text of such a reply. A form is the text of a JSON Schema;
 * an empty one means any JSON object.
 */
import type { ResponseFormat } from '../../../src/index';

/** A longer schema would fill what a model can read. */
export const LONGEST_SCHEMA = 100_000;

/** What is wrong with the text of a schema, as far as it can be said without a model; undefined: nothing. */
export function schemaProblem(text: string): string | undefined {
  if (text.trim() === '') return undefined;
  if (text.length > LONGEST_SCHEMA)
    return `The schema has ${text.length.toLocaleString('en')} characters. At most ${LONGEST_SCHEMA.toLocaleString('en')} are possible.`;
  let schema: unknown;
  try {
    schema = JSON.parse(text);
  } catch (error) {
    return `The schema is not JSON. The browser says: ${(error as Error).message}.`;
  }
  return typeof schema === 'boolean' || (typeof schema === 'object' && schema !== null && !Array.isArray(schema))
    ? undefined
    : 'The schema is not a JSON Schema. It must be an object, for example {"type": "object"}.';
}

/** @param schema a text in which `schemaProblem` finds nothing */
export function responseFormat(schema: string): ResponseFormat {
  return schema.trim() === ''
    ? { type: 'json_object' }
    : { type: 'json_schema', schema: JSON.parse(schema) as object | boolean, order: 'schema' };
}

/** The system prompt of a request: a model that does not know the form would fill it with anything. */
export function systemPrompt(system: string, schema: string | undefined, demo: boolean): string {
  if (schema === undefined) return system;
  // the demo model was trained on this sentence alone
  const asked = schema.trim() === '' ? 'Answer with JSON.' : `Answer with JSON of this schema: ${jsonLine(schema)}`;
  return [...(demo ? [] : [system.trim()]), asked].filter(Boolean).join('\n\n');
}

/** Anything outside of strings, or a string, which may have no end yet. */
const PARTS = /"(?:[^"\\]|\\.)*(?:"|\\?$)|[{}[\],:]|[^\s"{}[\],:]+/gs;

/** On one line, with a blank behind each comma and colon. */
export const jsonLine = (text: string): string =>
  (text.match(PARTS) ?? []).map((part) => (part === ',' || part === ':' ? `${part} ` : part)).join('');

/** Deeper values are not indented further: what nests without end would become a text of its square. */
const DEEPEST = 40;

/**
 * A JSON text with a line for each value, also while it is being written. Numbers and strings stay as they were
 * written.
 */
export function formatJson(text: string): string {
  let [written, depth, before] = ['', 0, ''];
  const line = (): string => `\n${'  '.repeat(Math.min(depth, DEEPEST))}`;
  for (const [part] of text.matchAll(PARTS)) {
    const closes = part === '}' || part === ']';
    const empty = closes && (before === '{' || before === '[');
    if (closes) depth = Math.max(0, depth - 1);
    if ((closes && !empty) || (!closes && (before === '{' || before === '[' || before === ','))) written += line();
    written += part === ':' ? ': ' : part;
    if (part === '{' || part === '[') depth++;
    before = part;
  }
  return written;
}

/** A reply in JSON as Markdown: a block of code. */
export const jsonBlock = (content: string): string =>
  content === '' ? '' : `\`\`\`json\n${formatJson(content)}\n\`\`\``;

export function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
