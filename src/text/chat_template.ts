/** Turns chat messages into a prompt with the Jinja template of the checkpoint. */
import { Template } from '@huggingface/jinja';
import { fail } from '../errors';
import type { Tokenizer } from './tokenizer';

/** A message for the template; further fields (tool_calls, thinking, …) are passed to it unchanged. */
export interface Message {
  role: string;
  content?: string | { type: string; [field: string]: unknown }[] | null;
  [field: string]: unknown;
}

export interface RenderOptions {
  /** JSON schemas of tools, or strings that the template uses unchanged */
  tools?: readonly (object | string)[];
  /** end the prompt with the start of an answer; default true */
  addGenerationPrompt?: boolean;
  /** the model continues the last message, a text, instead of answering it */
  continueFinalMessage?: boolean;
  /** further variables of the template, such as keep_past_thinking */
  variables?: Record<string, unknown>;
}

export interface ChatTemplate {
  /** @throws RequestError if the template rejects the messages */
  render(messages: readonly Message[], options?: RenderOptions): string;
}

/** Special tokens that are part of an answer and not of the frame around turns. */
export const ANSWER_MARKERS: readonly string[] = ['<|tool_call_start|>', '<|tool_call_end|>', '<think>', '</think>'];

/**
 * Compiles the template of a tokenizer_config.json. `chat_template` is a text, or a list of named templates, of which `default` and `tool_use` are used.
 * @returns undefined if the checkpoint has none
 * @throws CheckpointError if it cannot be compiled
 */
export function compileChatTemplate(config: object): ChatTemplate | undefined {
  const { chat_template: source, bos_token, eos_token } = config as { chat_template?: unknown; bos_token?: unknown; eos_token?: unknown };
  if (source === undefined || source === null) return undefined;
  const named = Array.isArray(source) ? source : [{ name: 'default', template: source }];
  const templates = new Map(named.map(({ name, template }: { name: unknown; template: unknown }) => [name, compile(template)]));
  const standard = templates.get('default');
  if (!standard) fail('CheckpointError', { what: 'The model has chat templates, but no default one', got: [...templates.keys()].join(', ') });
  const tokens = { bos_token: textOf(bos_token), eos_token: textOf(eos_token) };

  return {
    render(messages, { tools, addGenerationPrompt = true, continueFinalMessage = false, variables = {} } = {}) {
      checkMessages(messages);
      const template = (tools?.length && templates.get('tool_use')) || standard;
      try {
        const text = template.render({ ...variables, ...tokens, messages, tools: tools ?? null, add_generation_prompt: addGenerationPrompt && !continueFinalMessage });
        return continueFinalMessage ? cutAfterLast(text, messages) : text;
      } catch (error) {
        const what = "The model's chat template rejects these messages";
        return fail('RequestError', { what, got: (error as Error).message, cure: 'Use roles and fields that the template knows.' }, error);
      }
    },
  };
}

/**
 * The prompt as token ids. The template's own markers become special tokens. Special strings inside messages and tools are encoded as ordinary
 * text, except ANSWER_MARKERS in the content of an assistant. Without special strings the ids are those of the rendered text.
 */
export function encodeChat(tokenizer: Tokenizer, template: ChatTemplate, messages: readonly Message[], options: RenderOptions = {}): number[] {
  checkMessages(messages);
  const guard = createGuard(tokenizer.specials, messages, options.tools);
  const guarded = template.render(
    messages.map((message) => {
      const spoken = message.role === 'assistant' ? ANSWER_MARKERS : [];
      return { ...(guard.all(message) as Message), content: guard.all(message.content, spoken) as Message['content'] };
    }),
    { ...options, tools: guard.all(options.tools) as RenderOptions['tools'] },
  );
  return tokenizer.split(guarded).flatMap(({ text, id }) => (id === undefined ? tokenizer.encode(guard.remove(text), { special: false }) : [id]));
}

/** The prompt up to the end of the last message's text, without the end-of-turn token that follows. */
function cutAfterLast(text: string, messages: readonly Message[]): string {
  const last = String(messages.at(-1)?.content ?? '').trimEnd();
  const at = text.lastIndexOf(last);
  if (!last || at < 0) throw new Error('no text to continue in the last message');
  return text.slice(0, at + last.length);
}

interface Guard {
  /** the value with all its texts guarded, except for the markers in `except` */
  all(value: unknown, except?: readonly string[]): unknown;
  remove(text: string): string;
}

/**
 * Inserts a character that the request does not contain after each first character of a special string. So no special string can form, not even
 * where the template joins two texts. (A template that compares contents at these places would see the character; none does in practice.)
 */
function createGuard(specials: readonly string[], ...request: unknown[]): Guard {
  const escape = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
  const present = JSON.stringify(request);
  let code = 0xe000; // the private use area: no case, no normal form, and JSON keeps it unchanged
  while (present.includes(String.fromCharCode(code)))
    if (++code > 0xf8ff) fail('RequestError', { what: 'The messages contain every private-use character of Unicode' });
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

function checkMessages(messages: readonly Message[]): void {
  const wanted = 'a list of { role, content }';
  if (!Array.isArray(messages) || messages.length === 0) fail('RequestError', { what: 'There are no messages', wanted });
  const wrong = messages.findIndex((m) => typeof m?.role !== 'string');
  if (wrong >= 0) fail('RequestError', { what: `Message ${wrong} has no role`, wanted });
  try {
    JSON.stringify(messages);
  } catch (error) {
    fail('RequestError', { what: 'The messages cannot be written as JSON', got: (error as Error).message, wanted }, error);
  }
}

const textOf = (token: unknown): string => (typeof token === 'string' ? token : ((token as { content?: string } | null | undefined)?.content ?? ''));
