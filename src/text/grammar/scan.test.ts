import { expect, test } from 'vitest';
import { largeVocabulary } from '../../../e2e/grammar_vocabulary';
import { compileGrammar, createTokenTrie, isAllowed, type GrammarSpec, type GrammarState } from '.';

const vocabulary = largeVocabulary(9000);
const END = vocabulary.length - 1;
const trie = createTokenTrie(vocabulary, [END]);
const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

const json = (schema: object): GrammarSpec => ({ type: 'json_schema', schema });
const CASES: [string, GrammarSpec, string[]][] = [
  [
    'names by pattern',
    json({ type: 'object', patternProperties: { '^x-': { type: 'string' } }, additionalProperties: { type: 'null' } }),
    ['{"', '{"x', '{"x-', '{"x-y":"', '{"abc', '{"é', '{"\\u00', '{"abc":null,"'],
  ],
  [
    'names but for some, and known ones',
    json({
      type: 'object',
      properties: { a: {}, able: { type: 'integer' } },
      propertyNames: { not: { pattern: '^(con|dis)' } },
      required: ['able'],
      maxProperties: 3,
    }),
    ['{"', '{"c', '{"cob', '{"able":1,"', '{"ab', '{"z":1,"q":2,"'],
  ],
  [
    'most, and few, first characters lead to any text',
    json({
      anyOf: [
        { pattern: '^[^a-m]', maxLength: 9 },
        { type: 'array', items: { pattern: '^(de|ro).', minLength: 4 } },
      ],
    }),
    ['"', '"n', '"nop', '"一', '["', '["d', '["des', '["roé'],
  ],
  [
    'any text but for words, behind a pattern that is somewhere',
    json({ type: 'string', pattern: 'er', not: { enum: ['der', 'con', 'verer'] } }),
    ['"', '"d', '"de', '"der', '"con', '"verer'],
  ],
  ['a whole text', { type: 'regex', pattern: '[^a][^]*' }, ['', 'b', 'bé', 'con\n']],
  [
    'arguments of a call',
    {
      type: 'tool_calls',
      tools: [{ name: 'f', parameters: { type: 'object', properties: { a: { type: 'string', pattern: '^[^c]' } } } }],
      choice: 'required',
      markers: { start: END - 1, end: END - 2 },
    },
    ['[f(a="', '[f(a="x', "[f(a='", "[f(a='d", '[f('],
  ],
];

/** The tokens for which mask and bytes do not agree. */
const wrongIds = (state: GrammarState): number[] => {
  const mask = state.mask();
  return vocabulary.flatMap((bytes, id) =>
    bytes && isAllowed(mask, id) !== (state.read(bytes) !== undefined) ? [id] : [],
  );
};

test.each(CASES)('%s: the mask is what the bytes of each token say', (_, spec, texts) => {
  let start = compileGrammar(spec).start(trie);
  if (spec.type === 'tool_calls') start = start.accept(spec.markers.start);
  for (const text of texts) {
    const state = start.read(bytesOf(text));
    expect(state, text).toBeDefined();
    expect(wrongIds(state!), text).toEqual([]);
  }
});
