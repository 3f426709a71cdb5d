import { expect, test } from 'vitest';
import type { Tokenizer } from '../text/tokenizer';
import { grammarConstraint } from './grammar_constraint';

test('a vocabulary without the characters of the form is told', () => {
  const tokens = ['a', '{', '</s>'].map((text) => new TextEncoder().encode(text));
  const tokenizer = { bytes: (id: number) => tokens[id], tokenId: () => undefined } as unknown as Tokenizer;
  const model = { tokenizer, vocabSize: 3, eosIds: [2], answerMarkers: [] };
  const constraint = grammarConstraint({ responseFormat: { type: 'json_object' } }, model);
  expect([...constraint.mask()]).toEqual([0b10]);
  constraint.accept(1);
  expect(() => constraint.mask()).toThrow('The vocabulary cannot write the form');
});
