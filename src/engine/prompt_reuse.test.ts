import { expect, it } from 'vitest';
import type { Tokenizer } from '../text/tokenizer';
import { alignPromptToHistory, commonPrefixLength } from './prompt_reuse';

/** Tokens with several cuts of the same text; 0 and 9 are special. */
const texts: Record<number, string> = { 0: '<', 1: 'a', 2: 'b', 3: 'ab', 4: 'c', 5: '\uFFFD', 9: '>' };
const tokenizer = {
  specials: ['<', '>'],
  tokenId: (text: string) => Number(Object.keys(texts).find((id) => texts[Number(id)] === text)),
  decode: (ids: ArrayLike<number>) => Array.from(ids, (id) => texts[id]).join(''),
} as unknown as Tokenizer;

it('counts the common part', () => expect(commonPrefixLength([1, 2, 3], [1, 2, 4, 5])).toBe(2));

it.each([
  ['another cut of the same text', [0, 3, 9, 4], [0, 1, 2, 9], [0, 1, 2, 9, 4]],
  ['a state that ends before the end token', [0, 3, 9, 4], [0, 1, 2], [0, 1, 2, 9, 4]],
  ['an answer whose last token is not read', [0, 3, 4, 9], [0, 1, 2], [0, 1, 2, 4, 9]],
  ['an answer that ends within a token', [0, 4, 3, 9], [0, 4, 1], [0, 4, 3, 9]],
  ['an answer that ends within a character', [0, 3, 4, 9], [0, 1, 5], [0, 3, 4, 9]],
  ['two such places', [0, 3, 9, 3, 9, 4], [0, 1, 2, 9, 1, 2, 9], [0, 1, 2, 9, 1, 2, 9, 4]],
  ['what follows the end in the state', [0, 3, 9, 4], [0, 1, 2, 9, 1, 1, 1], [0, 1, 2, 9, 4]],
  ['another text', [0, 3, 9, 4], [0, 1, 4, 9], [0, 3, 9, 4]],
  ['the same tokens', [0, 3, 9], [0, 3, 9, 4], [0, 3, 9]],
  ['nothing read', [0, 3], [], [0, 3]],
])('aligns a prompt with %s', (_, prompt, read, expected) =>
  expect(alignPromptToHistory(prompt, read, tokenizer)).toEqual(expected),
);
