/** What is known of a request before it is answered. */
import { isObject } from '../openai/fields';
import type { ChatCompletionRequest } from '../openai/types';
import type { Facts, RouteOptions } from './types';

/** of an image with unknown size, as most servers count it */
const TOKENS_OF_IMAGE = 256;
const TOKENS_OF_MESSAGE = 4;

/** Characters a token of each script has about. */
const PER_TOKEN: Record<string, number> = { han: 1.5, kana: 1.5, hangul: 1.8, cyrillic: 2.5, arabic: 2.5, latin: 4 };

const SCRIPTS: readonly [string, RegExp][] = [
  ['kana', /[\u3040-\u30ff]/],
  ['han', /[\u3400-\u9fff]/],
  ['hangul', /[\uac00-\ud7af]/],
  ['cyrillic', /[\u0400-\u04ff]/],
  ['arabic', /[\u0600-\u06ff]/],
  ['greek', /[\u0370-\u03ff]/],
  ['hebrew', /[\u0590-\u05ff]/],
  ['thai', /[\u0e00-\u0e7f]/],
  ['devanagari', /[\u0900-\u097f]/],
];

/** The script of most characters among the first thousand; kana before han, since Japanese has both. */
export function scriptOf(text: string): string {
  const sample = text.slice(0, 1000);
  if (!/[^\p{ASCII}]/u.test(sample)) return 'latin';
  const letters = (sample.match(/\p{L}/gu) ?? []).length;
  const found = SCRIPTS.find(([, of]) => (sample.match(new RegExp(of, 'g')) ?? []).length * 3 > letters);
  return found?.[0] ?? 'latin';
}

/** Path and type of a part of a message that is no text. */
export interface Attachment {
  path: string;
  type: string;
}

export interface RequestFacts extends Pick<
  Facts,
  'tags' | 'promptTokens' | 'maxTokens' | 'messages' | 'tools' | 'images' | 'json' | 'script' | 'private' | 'deadlineMs'
> {
  attachments: readonly Attachment[];
}

/** Never throws: a request that is not valid is refused by the path that reads it. */
export function readFacts(request: ChatCompletionRequest, options: RouteOptions): RequestFacts {
  const list = Array.isArray(request.messages) ? (request.messages as readonly unknown[]) : [];
  const attachments: Attachment[] = [];
  let characters = 0;
  let last = '';
  for (const [i, message] of list.entries()) {
    if (!isObject(message)) continue;
    const texts: string[] = [];
    if (typeof message.content === 'string') texts.push(message.content);
    else if (Array.isArray(message.content))
      for (const [j, part] of (message.content as unknown[]).entries()) {
        if (!isObject(part)) continue;
        if (typeof part.text === 'string') texts.push(part.text);
        if (part.type !== 'text') attachments.push({ path: `messages[${i}].content[${j}]`, type: String(part.type) });
      }
    for (const text of texts) characters += text.length;
    if (Array.isArray(message.tool_calls)) characters += JSON.stringify(message.tool_calls).length;
    if (message.role === 'user' && texts.length) last = texts.at(-1)!;
  }
  const tools = Array.isArray(request.tools) ? request.tools.length : 0;
  if (tools) characters += JSON.stringify(request.tools).length;
  const script = scriptOf(last);
  return {
    tags: options.tags ?? [],
    promptTokens: Math.ceil(
      characters / (PER_TOKEN[script] ?? 2.5) + list.length * TOKENS_OF_MESSAGE + attachments.length * TOKENS_OF_IMAGE,
    ),
    maxTokens: request.max_completion_tokens ?? request.max_tokens ?? null,
    messages: list.length,
    tools,
    images: attachments.length,
    json: request.response_format?.type?.startsWith('json') === true,
    script,
    private: options.private === true,
    deadlineMs: options.deadlineMs ?? null,
    attachments,
  };
}
