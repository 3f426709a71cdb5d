/** How much of a prompt the state already holds. */
import type { Tokenizer } from '../text/tokenizer';

export function commonPrefix(a: readonly number[], b: readonly number[]): number {
  let n = 0;
  while (n < a.length && n < b.length && a[n] === b[n]) n++;
  return n;
}

/**
 * The prompt, with the state's own tokens wherever both spell the same text between two special tokens: what a model wrote is rarely cut as
 * the tokenizer cuts it, and would otherwise be read again in the next turn.
 */
export function align(prompt: readonly number[], read: readonly number[], tokenizer: Tokenizer): readonly number[] {
  const special = new Set(tokenizer.specials.map(tokenizer.tokenId));
  const end = (ids: readonly number[], from: number): number => {
    const at = ids.findIndex((id, i) => i >= from && special.has(id));
    return at < 0 ? ids.length : at;
  };
  let aligned = prompt;
  for (;;) {
    const common = commonPrefix(aligned, read);
    if (common === aligned.length || common === read.length) return aligned;
    const start = read.findLastIndex((id, i) => i < common && special.has(id)) + 1;
    const [readEnd, promptEnd] = [end(read, common), end(aligned, common)];
    if (readEnd === common || tokenizer.decode(read.slice(start, readEnd)) !== tokenizer.decode(aligned.slice(start, promptEnd))) return aligned;
    aligned = [...read.slice(0, readEnd), ...aligned.slice(promptEnd)];
  }
}
