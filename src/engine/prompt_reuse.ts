/** Finds how much of a prompt the state has already read. */
import type { Tokenizer } from '../text/tokenizer';

export function commonPrefixLength(a: readonly number[], b: readonly number[]): number {
  let n = 0;
  while (n < a.length && n < b.length && a[n] === b[n]) n++;
  return n;
}

/**
 * Returns the prompt with the tokens of the history wherever both spell the same text between two special tokens, or
 * up to the end of the history. A model rarely splits its answer into tokens as the tokenizer does, so without this the
 * next turn would read the answer again.
 */
export function alignPromptToHistory(
  prompt: readonly number[],
  history: readonly number[],
  tokenizer: Tokenizer,
): readonly number[] {
  const special = new Set(tokenizer.specials.map(tokenizer.tokenId));
  const end = (ids: readonly number[], from: number): number => {
    const at = ids.findIndex((id, i) => i >= from && special.has(id));
    return at < 0 ? ids.length : at;
  };
  let aligned = prompt;
  for (;;) {
    const common = commonPrefixLength(aligned, history);
    if (common === aligned.length || common === history.length) return aligned;
    const start = history.findLastIndex((id, i) => i < common && special.has(id)) + 1;
    const [historyEnd, promptEnd] = [end(history, common), end(aligned, common)];
    const textUpTo = (at: number): string => tokenizer.decode(aligned.slice(start, at));
    const text = tokenizer.decode(history.slice(start, historyEnd));
    let at = promptEnd;
    // the last token of an answer that was cut is not read yet: the prompt goes on where the history ends
    if (historyEnd === history.length && !text.endsWith('\uFFFD'))
      for (let low = common; low < at;) {
        const middle = (low + at) >> 1;
        if (textUpTo(middle).length < text.length) low = middle + 1;
        else at = middle;
      }
    if (historyEnd === common || textUpTo(at) !== text) return aligned;
    aligned = [...history.slice(0, historyEnd), ...aligned.slice(at)];
  }
}
