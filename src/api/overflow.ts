/** What chat() does with a conversation that is longer than the context. */
import type { ChatOptions } from '../engine/engine';
import { fail, show } from '../errors';
import type { Message } from '../text/history';
import type { Overflow } from './options';
import { readMessages } from './read_arguments';

/** The messages without the oldest request and its replies; undefined if it is the last one. */
export function withoutMiddle(messages: readonly Message[]): Message[] | undefined {
  const first = messages.findIndex(({ role }) => role !== 'system' && role !== 'developer');
  const next = messages.findIndex(({ role }, i) => i > first && role === 'user');
  return first < 0 || next < 0 ? undefined : messages.filter((_, i) => i < first || i >= next);
}

/**
 * Calls with fewer messages until they leave room for an answer.
 * @param signal where it is aborted, a policy is not waited for: the call tells what an aborted call gives
 * @throws what the call and a policy throw, a RequestError where that is no Error; the call's ContextError if a policy
 * makes the messages no shorter
 */
export async function withOverflow<T extends object>(
  messages: Message[],
  overflow: Overflow,
  call: (messages: Message[], options: Pick<ChatOptions, 'keepRoom'>) => Promise<T>,
  signal?: AbortSignal,
): Promise<T & { dropped?: number }> {
  if (overflow === 'error') return call(messages, {});
  const stopped = new Promise<void>((resolve) => signal?.addEventListener('abort', () => resolve()));
  for (let read = messages; ;) {
    try {
      const result = await call(read, { keepRoom: true });
      return read === messages ? result : { ...result, dropped: messages.length - read.length };
    } catch (error) {
      if ((error as Error).name !== 'ContextError') throw error;
      const made =
        overflow === 'dropMiddle'
          ? withoutMiddle(read)
          : await Promise.race([ask(overflow, structuredClone(read)), stopped]);
      if (signal?.aborted) continue;
      const fewer = readMessages(made);
      if (!fewer || JSON.stringify(fewer).length >= JSON.stringify(read).length) throw error;
      read = fewer;
    }
  }
}

const ask = async (policy: Extract<Overflow, Function>, messages: Message[]): Promise<readonly Message[]> => {
  try {
    return await policy(messages);
  } catch (cause) {
    if (cause instanceof Error) throw cause;
    return fail('RequestError', { what: 'The function overflow failed', got: show(cause), wanted: 'messages' }, cause);
  }
};
