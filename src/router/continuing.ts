/** An answer that one path began and another one ends. */
import type { ChatCompletionRequest } from '../openai/types';

/** A piece that two texts share by chance is shorter. */
const LEAST_OVERLAP = 12;
const MOST_OVERLAP = 400;

/** @param exactly the path knows `continue_final_message`; otherwise it is asked in words */
export function continuingRequest(
  request: ChatCompletionRequest,
  text: string,
  exactly: boolean,
): ChatCompletionRequest {
  if (!text) return request;
  const went = request.continue_final_message ? request.messages.slice(0, -1) : request.messages;
  const before = request.continue_final_message ? textOf(request) : '';
  const messages = [...went, { role: 'assistant' as const, content: before + text }];
  if (exactly) return { ...request, messages, continue_final_message: true };
  const { continue_final_message: _, ...rest } = request;
  const ask = 'Your answer was cut off. Go on exactly where it ended. Repeat nothing and add no introduction.';
  return { ...rest, messages: [...messages, { role: 'user', content: ask }] };
}

const textOf = ({ messages }: ChatCompletionRequest): string => {
  const content = messages.at(-1)?.content;
  return typeof content === 'string'
    ? content
    : (content ?? []).map((part) => ('text' in part ? part.text : '')).join('');
};

export interface Join {
  /** @returns what is new */
  push(text: string): string;
  /** what was held back */
  flush(): string;
}

/**
 * Takes away what a model says again when it was asked in words to go on: the whole answer so far, or its last words.
 * @param before the answer so far
 */
export function createJoin(before: string): Join {
  let held = '';
  let passing = before === '';
  const decided = (final: boolean): string => {
    if (!final && (before.startsWith(held) || endsInside(held, before))) return '';
    const out = withoutOverlap(held, before);
    passing = true;
    held = '';
    return out;
  };
  return {
    push(text) {
      if (passing) return text;
      held += text;
      return decided(false);
    },
    flush: () => (passing ? '' : decided(true)),
  };
}

/** `held` begins somewhere in the last characters of `before` and has not come to their end. */
const endsInside = (held: string, before: string): boolean => {
  const tail = before.slice(-MOST_OVERLAP);
  return held.length < tail.length && tail.includes(held);
};

function withoutOverlap(held: string, before: string): string {
  if (held.startsWith(before)) return held.slice(before.length);
  if (before.startsWith(held) && held.length >= LEAST_OVERLAP) return '';
  for (let n = Math.min(held.length, before.length, MOST_OVERLAP); n >= LEAST_OVERLAP; n--)
    if (before.endsWith(held.slice(0, n))) return held.slice(n);
  return held;
}
