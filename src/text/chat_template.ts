/** Turns chat messages into a prompt with the Jinja template of the checkpoint. */
import { fail, RivuletError } from '../errors';
import { prepareMessages, writeCalls, type Message } from './history';
import { readJson, toPython } from './jinja/json';
import { createTemplate } from './jinja/template';
import { text, toJson, type Dict, type Named, type Value } from './jinja/values';
import type { Tokenizer } from './tokenizer';

/** How many tokens a picture gets; the model's own settings by default. */
export interface ImageTokens {
  /** of a picture that is not split, and of the thumbnail of one that is */
  min?: number;
  max?: number;
  /** false: a large picture is not split into tiles */
  tiling?: boolean;
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
  /** of the pictures in the messages */
  imageTokens?: ImageTokens;
}

export interface ChatTemplate {
  /**
   * @param guard changes the messages and tools in the form that the template reads
   * @throws RequestError if the template rejects the messages
   */
  render(
    messages: readonly Message[],
    options?: RenderOptions,
    guard?: (messages: Dict[], tools: Value) => [Dict[], Value],
  ): string;
}

/**
 * Compiles the template of a tokenizer_config.json. `chat_template` is a text, or a list of named templates, of which
 * `default` and `tool_use` are used.
 * @returns undefined if the checkpoint has none
 * @throws CheckpointError if it cannot be compiled
 */
export function compileChatTemplate(config: object): ChatTemplate | undefined {
  const {
    chat_template: source,
    bos_token,
    eos_token,
  } = config as { chat_template?: unknown; bos_token?: unknown; eos_token?: unknown };
  if (source === undefined || source === null) return undefined;
  const named = Array.isArray(source) ? source : [{ name: 'default', template: source }];
  const templates = new Map(
    named.map(({ name, template }: { name: unknown; template: unknown }) => [name, compile(template)]),
  );
  const standard = templates.get('default');
  if (!standard)
    fail('CheckpointError', {
      what: 'The model has chat templates, but no default one',
      got: [...templates.keys()].join(', '),
    });
  const tokens = { bos_token: textOf(bos_token), eos_token: textOf(eos_token) };

  return {
    render(
      messages,
      { tools, addGenerationPrompt = true, continueFinalMessage = false, variables = {} } = {},
      guard = (...given) => given,
    ) {
      const { source, render } = (tools?.length && templates.get('tool_use')) || standard;
      const prepared = prepareMessages(messages, source);
      try {
        const listed = typeof tools === 'string' ? readJson(tools) : toPython(tools ?? null);
        const [guarded, said] = guard(prepared, listed);
        const asked = addGenerationPrompt && !continueFinalMessage;
        const given = { documents: null, ...variables, ...tokens, add_generation_prompt: asked };
        const values = toPython(given) as Named;
        const all = source.includes('tool_calls') ? guarded : guarded.map(writeCalls);
        const rendered = render(values.set('messages', all).set('tools', said));
        return continueFinalMessage ? cutAfterLast(rendered, all) : rendered;
      } catch (error) {
        if (error instanceof RivuletError) throw error;
        const what = "The model's chat template rejects these messages";
        return fail(
          'RequestError',
          { what, got: (error as Error).message, cure: 'Use roles and fields that the template knows.' },
          error,
        );
      }
    },
  };
}

/**
 * The prompt as token ids. The template's own markers become special tokens. Special strings inside messages and tools
 * are encoded as ordinary text, except the markers of answers in the content of an assistant. Without special strings
 * the ids are those of the rendered text.
 * @param model with the special tokens that are part of an answer and not of the frame around turns
 * @param limit of far more tokens, some more than these are given
 */
export function encodeChat(
  model: { tokenizer: Tokenizer; answerMarkers: readonly string[] },
  template: ChatTemplate,
  messages: readonly Message[],
  options: RenderOptions = {},
  limit = Infinity,
): number[] {
  const { tokenizer, answerMarkers } = model;
  let guard!: Guard;
  const guarded = template.render(messages, options, (prepared, tools) => {
    guard = createGuard(tokenizer.specials, [prepared, tools]);
    const all = prepared.map((message) => {
      const spoken = message.get('role') === 'assistant' ? answerMarkers : [];
      return (guard.all(message) as Dict).set('content', guard.all(message.get('content'), spoken));
    });
    return [all, guard.all(tools)];
  });
  const ids: number[] = [];
  for (const { text: part, id } of tokenizer.split(guarded)) {
    if (ids.length >= limit) break;
    const read = id === undefined ? tokenizer.encode(guard.remove(part), { special: false }, limit - ids.length) : [id];
    for (const one of read) ids.push(one);
  }
  return ids;
}

/** The prompt up to the end of the last message's text, without the end-of-turn token that follows. */
function cutAfterLast(rendered: string, messages: readonly Dict[]): string {
  const last = text(messages.at(-1)!.get('content')).trimEnd();
  const at = rendered.lastIndexOf(last);
  if (!last || at < 0) throw new Error('no text to continue in the last message');
  return rendered.slice(0, at + last.length);
}

interface Guard {
  /** the value with all its texts guarded, except for the markers in `except` */
  all(value: Value, except?: readonly string[]): Value;
  remove(text: string): string;
}

/**
 * Inserts a character that the request does not contain after each first character of a special string. So no special
 * string can form, not even where the template joins two texts. (A template that compares contents at these places
 * would see the character; none does in practice.)
 */
function createGuard(specials: readonly string[], request: Value): Guard {
  const escape = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
  const present = toJson(request);
  let code = 0xe000; // the private use area: no case, no normal form, and JSON keeps it unchanged
  while (present.includes(String.fromCharCode(code)))
    if (++code > 0xf8ff) fail('RequestError', { what: 'The messages contain every private-use character of Unicode' });
  const mark = String.fromCharCode(code);
  const firsts = [...new Set(specials.map((text) => text[0]))].map(escape).join('|');

  function one(value: string, except: readonly string[]): string {
    if (!firsts) return value;
    const unless = except.length ? `(?!${except.map(escape).join('|')})` : '';
    return value.replace(new RegExp(`${unless}(?:${firsts})`, 'g'), `$&${mark}`);
  }

  function all(value: Value, except: readonly string[] = []): Value {
    if (typeof value === 'string') return one(value, except);
    if (Array.isArray(value)) return value.map((item) => all(item, except));
    return value instanceof Map
      ? new Map([...value].map(([key, item]) => [all(key, except), all(item, except)]))
      : value;
  }

  return { all, remove: (value) => value.replaceAll(mark, '') };
}

function compile(given: unknown): { source: string; render: (variables: Named) => string } {
  const source = String(given);
  try {
    return { source, render: createTemplate(source) };
  } catch (error) {
    const cure = 'Render the prompt yourself and use generate().';
    return fail(
      'CheckpointError',
      { what: "The model's chat template cannot be compiled", got: (error as Error).message, cure },
      error,
    );
  }
}

const textOf = (token: unknown): string =>
  typeof token === 'string' ? token : ((token as { content?: string } | null | undefined)?.content ?? '');
