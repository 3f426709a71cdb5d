/** Chat messages to a prompt, by the Jinja template of the checkpoint (spec 6.2). */
import { Template } from '@huggingface/jinja';
import { fail } from '../errors';
import type { Tokenizer } from './tokenizer';

/** A message as templates see it; further fields (tool_calls, thinking, …) are passed on to the template. */
export interface Message {
  role: string;
  content?: string | { type: string; [field: string]: unknown }[] | null;
  [field: string]: unknown;
}

export interface RenderOptions {
  /** JSON schemas of tools, or strings that the template takes as they are */
  tools?: readonly (object | string)[];
  /** ask for an answer at the end; default true */
  addGenerationPrompt?: boolean;
  /** further variables of the template, as keep_past_thinking */
  variables?: Record<string, unknown>;
}

export interface ChatTemplate {
  /** @throws RequestError when the template refuses the messages */
  render(messages: readonly Message[], options?: RenderOptions): string;
}

/** Special tokens that belong to what a model says and not to the frame of the turns. */
export const SPOKEN_MARKERS: readonly string[] = ['<|tool_call_start|>', '<|tool_call_end|>', '<think>', '</think>'];

/**
 * Compiles the template of a tokenizer_config.json. `chat_template` is a text, or a list of named ones of which `default` and `tool_use` are used.
 * @returns undefined when the checkpoint has none
 * @throws CheckpointError when it cannot be compiled
 */
export function compileChatTemplate(config: object): ChatTemplate | undefined {
  const { chat_template: source, bos_token, eos_token } = config as { chat_template?: unknown; bos_token?: unknown; eos_token?: unknown };
  if (source === undefined || source === null) return undefined;
  const named = Array.isArray(source) ? source : [{ name: 'default', template: source }];
  const templates = new Map(named.map(({ name, template }: { name: unknown; template: unknown }) => [name, compile(template)]));
  const standard = templates.get('default');
  if (!standard) fail('CheckpointError', { what: 'The chat templates have no default', got: [...templates.keys()].join(', ') });
  const tokens = { bos_token: textOf(bos_token), eos_token: textOf(eos_token) };

  return {
    render(messages, { tools, addGenerationPrompt = true, variables = {} } = {}) {
      check(messages);
      const template = (tools?.length && templates.get('tool_use')) || standard;
      try {
        return template.render({ ...variables, ...tokens, messages, tools: tools ?? null, add_generation_prompt: addGenerationPrompt });
      } catch (error) {
        const what = "The model's chat template refuses these messages";
        return fail('RequestError', { what, got: (error as Error).message, cure: 'See which roles and fields it takes.' }, error);
      }
    },
  };
}

/**
 * The prompt as token ids. The template's own markers become special tokens; text inside messages and tools cannot: a special string is
 * spelled out there, but for SPOKEN_MARKERS in the content of an assistant. Without special strings in the messages the ids are
 * those of the rendered text.
 */
export function encodeChat(tokenizer: Tokenizer, template: ChatTemplate, messages: readonly Message[], options: RenderOptions = {}): number[] {
  check(messages);
  const guard = createGuard(tokenizer.specials, messages, options.tools);
  const guarded = template.render(
    messages.map((message) => {
      const spoken = message.role === 'assistant' ? SPOKEN_MARKERS : [];
      return { ...(guard.all(message) as Message), content: guard.all(message.content, spoken) as Message['content'] };
    }),
    { ...options, tools: guard.all(options.tools) as RenderOptions['tools'] },
  );
  return tokenizer.split(guarded).flatMap(({ text, id }) => (id === undefined ? tokenizer.encode(guard.remove(text), { special: false }) : [id]));
}

interface Guard {
  /** the value with its texts guarded, but for the markers in `except` */
  all(value: unknown, except?: readonly string[]): unknown;
  remove(text: string): string;
}

/**
 * Puts a character that occurs nowhere in the request after each first character of a special string, so that none can form, not even
 * where the template joins two texts. (A template reads contents, but in practice not at these places.)
 */
function createGuard(specials: readonly string[], ...request: unknown[]): Guard {
  const escape = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
  const present = JSON.stringify(request);
  let code = 0xe000; // the private use area: no case, no normal form, and JSON keeps it as it is
  while (present.includes(String.fromCharCode(code)))
    if (++code > 0xf8ff) fail('RequestError', { what: 'The messages use every private character of Unicode' });
  const mark = String.fromCharCode(code);
  const firsts = [...new Set(specials.map((text) => text[0]))].map(escape).join('|');

  function text(value: string, except: readonly string[]): string {
    if (!firsts) return value;
    const unless = except.length ? `(?!${except.map(escape).join('|')})` : '';
    return value.replace(new RegExp(`${unless}(?:${firsts})`, 'g'), `$&${mark}`);
  }

  function all(value: unknown, except: readonly string[] = []): unknown {
    if (typeof value === 'string') return text(value, except);
    if (Array.isArray(value)) return value.map((item) => all(item, except));
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [text(key, except), all(item, except)]));
  }

  return { all, remove: (value) => value.replaceAll(mark, '') };
}

function compile(source: unknown): Template {
  try {
    return new Template(String(source));
  } catch (error) {
    const cure = 'Render the prompt yourself and use generate().';
    return fail('CheckpointError', { what: "The model's chat template cannot be compiled", got: (error as Error).message, cure }, error);
  }
}

function check(messages: readonly Message[]): void {
  const wanted = 'a list of { role, content }';
  if (!Array.isArray(messages) || messages.length === 0) fail('RequestError', { what: 'There are no messages', wanted });
  const wrong = messages.findIndex((m) => typeof m?.role !== 'string');
  if (wrong >= 0) fail('RequestError', { what: `Message ${wrong} has no role`, wanted });
  try {
    JSON.stringify(messages);
  } catch (error) {
    fail('RequestError', { what: 'The messages are not plain data', got: (error as Error).message, wanted }, error);
  }
}

const textOf = (token: unknown): string => (typeof token === 'string' ? token : ((token as { content?: string } | null | undefined)?.content ?? ''));
