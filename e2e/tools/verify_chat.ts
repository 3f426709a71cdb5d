/**
 * Compares the prompts that chat templates give with expected ones. `npm run verify:chat -- --help` explains the
 * options.
 *
 * DIR holds templates/*.jinja and rendered.json, a list of { template, case, messages, tools, add_generation_prompt,
 * rendered }. `variables` may hold further variables of the template. `error` stands in place of `rendered` where the
 * template must refuse the messages.
 * Prints one line for each difference. The exit code is 1 when there is one, or when nothing was compared.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readJson } from '../../src/text/jinja/json';
import { compileChatTemplate, type ChatTemplate, type RenderOptions } from '../../src/text/chat_template';
import type { Message } from '../../src/text/history';
import { file, flag, startTool } from './options';

export interface Rendering {
  template: string;
  case: string;
  messages: Message[];
  tools: (object | string)[] | null;
  add_generation_prompt: boolean;
  variables?: Record<string, unknown>;
  /** exactly one of these two */
  rendered?: string;
  error?: string;
}

export interface Difference {
  template: string;
  case: string;
  tools: boolean;
  addGenerationPrompt: boolean;
  /** the first character that differs; undefined where the template refuses the messages, or should */
  at?: number;
  got: string;
  wanted: string;
}

/** @throws Error that names the file which is absent or of another layout */
export function readRenderings(directory: string): { renderings: Rendering[]; templates: Map<string, ChatTemplate> } {
  const folder = join(directory, 'templates');
  const path = join(directory, 'rendered.json');
  const names = reading(folder, () => readdirSync(folder)).filter((name) => name.endsWith('.jinja'));
  const read = reading(path, () => readJson(readFileSync(path, 'utf8')));
  // numbers and keys inside of messages stay as they are written; what stands around them becomes plain objects
  const renderings: unknown = Array.isArray(read) ? read.map(fields) : fields(read);
  if (!Array.isArray(renderings)) throw layout(path, 'is not a list', renderings);
  for (const [i, entry] of renderings.entries()) {
    if (!isRendering(entry)) throw layout(path, `has something else as entry ${i}`, entry);
    if (!names.includes(entry.template))
      throw new Error(
        `${folder} lacks a template: got ${names.join(', ') || 'none'}, wanted ${entry.template} for entry ${i} of ${path}.`,
      );
  }
  const compile = (name: string): ChatTemplate => {
    const chat_template = readFileSync(join(folder, name), 'utf8');
    return reading(join(folder, name), () =>
      compileChatTemplate({ chat_template, bos_token: '<|startoftext|>', eos_token: '<|im_end|>' })!,
    );
  };
  return { renderings: renderings as Rendering[], templates: new Map(names.map((name) => [name, compile(name)])) };
}

/** The entry as an object, with its variables. */
function fields(entry: unknown): unknown {
  if (!(entry instanceof Map)) return entry;
  const { variables, ...others } = Object.fromEntries(entry) as Partial<Rendering>;
  return variables instanceof Map
    ? { ...others, variables: Object.fromEntries(variables) as object }
    : { ...others, ...(variables && { variables }) };
}

export const optionsOf = (entry: Rendering): RenderOptions => ({
  tools: entry.tools ?? undefined,
  addGenerationPrompt: entry.add_generation_prompt,
  variables: entry.variables,
});

/** Renders every entry of a directory; `unused` are templates that no entry names. */
export function verifyChat(directory: string): { compared: number; differences: Difference[]; unused: string[] } {
  const { renderings, templates } = readRenderings(directory);
  const differences: Difference[] = [];
  for (const entry of renderings) {
    const { template, case: name, tools, add_generation_prompt: addGenerationPrompt, rendered, error } = entry;
    const got = attempt(() => templates.get(template)!.render(entry.messages, optionsOf(entry)));
    if (rendered === undefined ? got.text === undefined : got.text === rendered) continue;
    differences.push({
      ...{ template, case: name, tools: Boolean(tools?.length), addGenerationPrompt },
      at: got.text === undefined || rendered === undefined ? undefined : firstDifference(got.text, rendered),
      got: got.text ?? `an error: ${got.error}`,
      wanted: rendered ?? `an error: ${error}`,
    });
  }
  const used = new Set(renderings.map(({ template }) => template));
  return { compared: renderings.length, differences, unused: [...templates.keys()].filter((name) => !used.has(name)) };
}

function attempt(render: () => string): { text?: string; error?: string } {
  try {
    return { text: render() };
  } catch (error) {
    return { error: (error as Error).message };
  }
}

function firstDifference(a: string, b: string): number {
  let at = 0;
  while (at < a.length && a[at] === b[at]) at++;
  return at;
}

function reading<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    const wanted = 'a directory with templates/*.jinja and rendered.json';
    throw new Error(`${path} cannot be read: got ${(error as Error).message}, wanted ${wanted}.`, { cause: error });
  }
}

function isRendering(value: unknown): value is Rendering {
  if (typeof value !== 'object' || value === null) return false;
  const {
    template,
    case: name,
    messages,
    tools,
    add_generation_prompt,
    variables = {},
    rendered,
    error,
  } = value as Partial<Rendering>;
  return (
    [template, name, rendered ?? error].every((text) => typeof text === 'string') &&
    (rendered === undefined) !== (error === undefined) &&
    Array.isArray(messages) &&
    (tools === null || tools === undefined || Array.isArray(tools)) &&
    typeof add_generation_prompt === 'boolean' &&
    typeof variables === 'object'
  );
}

function layout(path: string, what: string, got: unknown): Error {
  const wanted = 'a list of { template, case, messages, tools, add_generation_prompt, rendered }';
  const plain = (_: string, value: unknown): unknown =>
    typeof value === 'bigint' ? Number(value) : value instanceof Map ? Object.fromEntries(value) : value;
  return new Error(`${path} ${what}: got ${JSON.stringify(got, plain)?.slice(0, 200)}, wanted ${wanted}.`);
}

/** What differs, from a few characters before. */
function describe({ template, case: name, tools, addGenerationPrompt, at, got, wanted }: Difference): string {
  const shown = (text: string): string => JSON.stringify(text.slice(Math.max(0, (at ?? 0) - 20), (at ?? 0) + 60));
  const where = `${template}, case ${name}, ${tools ? 'with tools' : 'no tools'}, ${addGenerationPrompt ? 'with' : 'no'} generation prompt`;
  return `${where}: ${at === undefined ? '' : `differs at character ${at}: `}got ${shown(got)}, wanted ${shown(wanted)}`;
}

function main(): void {
  const { expected, json } = startTool(
    'npm run verify:chat --',
    'Compares the prompts that chat templates give with expected ones.',
    {
      expected: file('a folder with templates/*.jinja and rendered.json'),
      json: flag('prints each difference as a JSON line, with both prompts in full'),
    },
  );
  const { compared, differences, unused } = verifyChat(expected);
  for (const difference of differences) console.log(json ? JSON.stringify(difference) : describe(difference));
  for (const name of unused) console.error(`rendered.json has no rendering of ${name}`);
  console.error(
    compared
      ? `${compared} renderings compared, ${differences.length} differ`
      : 'nothing was compared: rendered.json is empty',
  );
  process.exit(differences.length || !compared ? 1 : 0);
}

if (process.argv[1]?.endsWith('verify_chat.ts')) main();
