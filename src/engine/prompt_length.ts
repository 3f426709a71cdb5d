/** Whether a prompt fits the context. */
import { fail } from '../errors';
import type { Tokenizer } from '../text/tokenizer';

/** So much of a prompt is read: far more than fits, for the number in the message, in a fraction of a second. */
export const tokensRead = (contextLength: number): number => 4 * contextLength;

const countTokens = (count: number, contextLength: number): string =>
  `${count < tokensRead(contextLength) ? '' : 'at least '}${count} tokens`;

/** @throws ContextError, RequestError */
export function checkPrompt(
  { vocabSize, tokenizer }: { vocabSize: number; tokenizer: Pick<Tokenizer, 'decode'> },
  { contextLength }: { contextLength: number },
  prompt: readonly number[],
  what = 'The prompt',
): void {
  if (prompt.length === 0) fail('RequestError', { what: 'The prompt is empty', wanted: 'at least one token' });
  if (prompt.length >= contextLength)
    fail('ContextError', {
      what: `${what} is too long for the context`,
      got: countTokens(prompt.length, contextLength),
      wanted: `fewer than ${contextLength}`,
      cure: 'Shorten it, or load the model with a larger contextLength.',
    });
  // what stands for a part of a picture has a text, too
  const unknown = (id: number): boolean => id >= vocabSize && !tokenizer.decode([id]);
  const wrong = prompt.find((id) => !Number.isInteger(id) || id < 0 || unknown(id));
  if (wrong !== undefined)
    fail('RequestError', { what: 'The prompt has an unknown token id', got: wrong, wanted: `0 to ${vocabSize - 1}` });
}

/** @throws ContextError unless a quarter of the context, or `maxTokens`, is left */
export function checkRoom(prompt: number, contextLength: number, maxTokens = Infinity): void {
  const most = contextLength - Math.min(maxTokens, contextLength >> 2);
  if (prompt > most)
    fail('ContextError', {
      what: 'The conversation leaves too little of the context for an answer',
      got: countTokens(prompt, contextLength),
      wanted: `at most ${most}`,
      cure: 'Shorten the last message, or load the model with a larger contextLength.',
    });
}
