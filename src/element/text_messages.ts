/** The messages of an element's conversation: what a page may set, and what the element shows of them. */
import type { Message } from '../index';
import { elementError } from './engine';
import type { ChatView } from './rivulet_chat_view';
import { visibleText } from './visible_words';

/**
 * A message of the conversation with plain text. What the assistant thought before it is beside it, as OpenAI's clients
 * have it.
 */
export type TextMessage = Message & { content: string; reasoning_content?: string };

/** @returns a copy. @throws a RequestError if the value is no list of messages */
export function checkMessages(messages: readonly Message[]): TextMessage[] {
  const right = (message: unknown): boolean =>
    ['user', 'assistant', 'tool'].includes((message as TextMessage | null)?.role ?? '') &&
    typeof (message as TextMessage).content === 'string';
  if (!Array.isArray(messages) || !messages.every(right)) {
    const got = Array.isArray(messages)
      ? `message ${messages.findIndex((message) => !right(message))}`
      : String(messages);
    throw elementError(
      'RequestError',
      'The messages cannot be shown',
      got,
      'Pass a list of { role, content } with the roles user, assistant and tool, and text as content.',
    );
  }
  return structuredClone(messages) as TextMessage[];
}

export const shownMessages = (messages: readonly TextMessage[]): Parameters<ChatView['show']>[0] =>
  messages
    .filter(({ role }) => role !== 'tool')
    .map(({ role, content, reasoning_content: reasoning }) => ({
      role,
      text: role === 'user' ? content : visibleText(content),
      ...(typeof reasoning === 'string' && { reasoning }),
    }));
