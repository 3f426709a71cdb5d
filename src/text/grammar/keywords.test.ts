/** Each keyword, with texts that it lets through and texts that it does not. */
import { expect, it } from 'vitest';
import { cutIntoTokens, seededRandom, syntheticVocabulary } from '../../../e2e/schema_cases';
import { compileGrammar, createTokenTrie, isAllowed, type Grammar } from './index';

const vocabulary = syntheticVocabulary();
const END = vocabulary.length - 1;
const trie = createTokenTrie(vocabulary, [END]);
const random = seededRandom(5);

/** Whether the text is allowed and may end, the same in other tokens. */
function accepts(grammar: Grammar, text: string): boolean {
  const verdicts = [0, 1, 2].map(() => {
    let state = grammar.start(trie);
    for (const id of cutIntoTokens(text, vocabulary, random)) {
      if (!isAllowed(state.mask(), id)) return false;
      state = state.accept(id);
    }
    return isAllowed(state.mask(), END);
  });
  expect(new Set(verdicts).size, text).toBe(1);
  return verdicts[0];
}

/** [schema, texts that are accepted, texts that are not] */
const CASES: [name: string, schema: unknown, right: string[], wrong: string[]][] = [
  [
    'JSON',
    true,
    ['[1,{"a":[]}]', '{"a" : 1}', ' [ 1 ]', '"\\u00e9\\ud83d\\ude00"', '-0', '1.5e-7', '[\n  1\n]'],
    [
      '[1,]',
      '{"a":1,}',
      '{"a":1,"a":2}',
      '{"a":1,"\\u0061":2}',
      '01',
      '1.',
      '"\\ud83d"',
      '"\n"',
      '[1 2]',
      'nul',
      '{a:1}',
      '"\\x"',
      '[   1]',
      '1 ',
    ],
  ],
  [
    'an enum with escapes',
    { enum: ['a"b', '\n', 'é', '😀', '/'] },
    [
      '"a\\"b"',
      '"\\u0061\\u0022b"',
      '"\\n"',
      '"\\u000A"',
      '"é"',
      '"\\u00E9"',
      '"😀"',
      '"\\ud83d\\ude00"',
      '"\\/"',
      '"/"',
    ],
    ['"a"', '"\\u0062"', '"\\ud83d\\ude01"', '"\\t"', '"e"'],
  ],
  [
    'a constant object',
    { const: { a: 1, b: [true, 'x'] } },
    ['{"a":1,"b":[true,"x"]}', '{"b":[true,"x"],"a":1.0}', '{ "a": 1, "b": [true, "x"] }'],
    ['{"a":1}', '{"a":2,"b":[true,"x"]}', '{"a":1,"b":[true]}', '{"a":1,"b":[true,"x"],"c":1}'],
  ],
  ['a constant number', { const: 1 }, ['1', '1.0'], ['1.1', '10', '0', '-1', '"1"']],
  [
    'a forbidden property',
    { properties: { a: false }, type: 'object' },
    ['{}', '{"b":1}'],
    ['{"a":1}', '{"\\u0061":1}'],
  ],
  [
    'no dead end behind a beginning',
    { properties: { ab: false, abc: true }, additionalProperties: false },
    ['{"abc":1}', '{}'],
    ['{"ab":1}', '{"a":1}'],
  ],
  ['bounds', { type: 'number', minimum: 3 }, ['3', '3.0', '3.5', '10', '1000000'], ['2', '2.999', '-4', '0']],
  [
    'bounds between',
    { minimum: 0, exclusiveMaximum: 1, type: 'number' },
    ['0', '0.5', '0.999'],
    ['1', '1.0', '1.01', '-0.1'],
  ],
  [
    'negative bounds',
    { type: 'integer', minimum: -12, maximum: -3 },
    ['-3', '-12', '-7.0'],
    ['-2', '-13', '3', '-120', '0', '-3.5'],
  ],
  [
    'many digits',
    { type: 'integer', minimum: 123456789, maximum: 223456789 },
    ['123456789', '199999999'],
    ['123456788', '223456790', '12'],
  ],
  ['multipleOf', { type: 'number', multipleOf: 0.01 }, ['0.1', '4.35', '19.99', '3', '1.10'], ['0.001', '4.355']],
  [
    'multipleOf and bounds',
    { type: 'integer', multipleOf: 7, minimum: 10, maximum: 30 },
    ['14', '21', '28'],
    ['7', '35', '15', '1'],
  ],
  [
    'an excluded multiple',
    { type: 'integer', minimum: 0, maximum: 20, not: { multipleOf: 3 } },
    ['1', '20', '10'],
    ['0', '3', '18', '21'],
  ],
  [
    'lengths in code points',
    { type: 'string', minLength: 2, maxLength: 3 },
    ['"ab"', '"😀é"', '"\\n\\n\\n"', '"\\ud83d\\ude00a"'],
    ['"a"', '"abcd"', '"😀"', '"\\ud83d\\ude00"', '""'],
  ],
  ['pattern as search', { type: 'string', pattern: 'b+c' }, ['"abbcx"', '"bc"'], ['"b"', '"acb"']],
  [
    'pattern and lengths',
    { type: 'string', pattern: '^[ab]{2}(c+d)?$', maxLength: 5, minLength: 3 },
    ['"abcd"', '"abccd"'],
    ['"ab"', '"abcccd"', '"abc"'],
  ],
  [
    'look-aheads',
    { type: 'string', pattern: '^(?=.*[A-Z])(?=.*\\d)(?!.*x).{4,}$' },
    ['"aB3d"'],
    ['"abcd"', '"aB3x"', '"B3"'],
  ],
  ['a letter class', { type: 'string', pattern: '^\\p{Lu}\\p{L}+$' }, ['"Éa"', '"漢"'].slice(0, 1), ['"éa"', '"A1"']],
  [
    'uniqueItems by value',
    { type: 'array', uniqueItems: true, items: { enum: [1, '1', true, { a: 1 }, [1]] } },
    ['[1,"1",true,{"a":1},[1]]', '[{"a":1},1]'],
    ['[1,1.0]', '[{"a":1},{"a":1.0}]', '["1","\\u0031"]', '[[1],[1]]'],
  ],
  [
    'unique lists of few values',
    {
      type: 'array',
      uniqueItems: true,
      minItems: 4,
      items: { type: 'array', minItems: 2, maxItems: 2, items: { type: 'boolean' } },
    },
    ['[[true,true],[true,false],[false,true],[false,false]]'],
    ['[[true,true],[true,true]]', '[[true,true],[true,false],[false,true],[false,false],[true,true]]'],
  ],
  [
    'contains',
    { type: 'array', contains: { type: 'integer', minimum: 5 }, minContains: 2, maxContains: 2, maxItems: 3 },
    ['[5,6]', '[1,5,7]', '["a",9,9]'],
    ['[5]', '[5,6,7]', '[1,2,5]'],
  ],
  [
    'prefixItems',
    { type: 'array', prefixItems: [{ type: 'string' }, { type: 'integer' }], items: false },
    ['["a",1]', '["a"]', '[]'],
    ['["a",1,2]', '[1]', '["a","b"]'],
  ],
  [
    'an old tuple',
    {
      $schema: 'http://json-schema.org/draft-07/schema#',
      type: 'array',
      items: [{ type: 'string' }],
      additionalItems: { type: 'integer' },
    },
    ['["a",1,2]'],
    ['["a","b"]'],
  ],
  [
    'patternProperties',
    {
      type: 'object',
      patternProperties: { '^x': { type: 'integer' }, y$: { minimum: 5 } },
      additionalProperties: false,
    },
    ['{"x":1}', '{"xy":7}', '{"y":"s"}'],
    ['{"xy":4}', '{"xy":"s"}', '{"z":1}'],
  ],
  [
    'propertyNames',
    { type: 'object', propertyNames: { pattern: '^[a-c]$' }, minProperties: 2 },
    ['{"a":1,"b":2}'],
    ['{"a":1}', '{"d":1}', '{"a":1,"ab":1}'],
  ],
  [
    'property names used up',
    { type: 'object', propertyNames: { enum: ['a', 'b'] } },
    ['{"a":1,"b":2}', '{}'],
    ['{"a":1,"b":2,"a":3}', '{"c":1}'],
  ],
  [
    'dependentRequired',
    { type: 'object', dependentRequired: { a: ['b'] }, additionalProperties: { type: 'integer' } },
    ['{"a":1,"b":2}', '{"b":1}', '{"b":1,"a":1}'],
    ['{"a":1}', '{"a":1,"c":1}'],
  ],
  [
    'dependentSchemas',
    { type: 'object', dependentSchemas: { a: { properties: { c: { const: 1 } } } } },
    ['{"a":0,"c":1}', '{"c":2}'],
    ['{"a":0,"c":2}', '{"c":2,"a":0}'],
  ],
  [
    'if then else',
    {
      type: 'object',
      properties: { kind: { enum: ['a', 'b'] } },
      required: ['kind', 'v'],
      ...JSON.parse(
        '{"if":{"properties":{"kind":{"const":"a"}}},"then":{"properties":{"v":{"type":"string"}}},"else":{"properties":{"v":{"type":"integer"}}}}',
      ),
    },
    ['{"kind":"a","v":"x"}', '{"v":3,"kind":"b"}'],
    ['{"kind":"a","v":1}', '{"v":3,"kind":"a"}'],
  ],
  ['oneOf that overlaps', { oneOf: [{ type: 'integer' }, { minimum: 2 }] }, ['1', '2.5'], ['3', '1.5']],
  [
    'allOf of objects',
    {
      allOf: [
        { type: 'object', properties: { a: { type: 'integer' } }, required: ['a'] },
        { properties: { a: { minimum: 3 }, b: { type: 'string' } } },
      ],
    },
    ['{"a":3}', '{"b":"x","a":4}'],
    ['{"a":2}', '{"b":"x"}', '{"a":3,"b":1}'],
  ],
  [
    'not by value',
    { type: ['string', 'integer'], not: { enum: ['a', 1] } },
    ['"b"', '2', '"aa"'],
    ['"a"', '"\\u0061"', '1', '1.0'],
  ],
  ['not a property', { type: 'object', not: { required: ['a'] } }, ['{}', '{"b":1}'], ['{"a":1}']],
  [
    'references',
    {
      $ref: '#/$defs/tree',
      $defs: {
        tree: {
          type: 'object',
          properties: { v: { type: 'integer' }, c: { type: 'array', items: { $ref: '#/$defs/tree' } } },
          required: ['v'],
          additionalProperties: false,
        },
      },
    },
    ['{"v":1,"c":[{"v":2,"c":[]},{"c":[],"v":3}]}'],
    ['{"v":1,"c":[{}]}', '{"v":1,"c":[{"v":2,"d":1}]}'],
  ],
  [
    'anchors and ids',
    {
      $id: 'http://x/root',
      $ref: 'item#num',
      $defs: { i: { $id: 'item', $defs: { n: { $anchor: 'num', type: 'integer' } } } },
    },
    ['1'],
    ['"a"'],
  ],
  [
    'unevaluatedProperties',
    {
      type: 'object',
      properties: { a: true },
      anyOf: [{ properties: { b: { const: 1 } }, required: ['b'] }, true],
      unevaluatedProperties: false,
    },
    ['{"a":1}', '{"a":1,"b":1}', '{"b":1}'],
    ['{"b":2}', '{"c":1}'],
  ],
  [
    'unevaluatedItems',
    {
      type: 'array',
      prefixItems: [{ type: 'string' }],
      contains: { type: 'boolean' },
      minContains: 0,
      unevaluatedItems: { type: 'integer' },
    },
    ['["a",true,1]', '["a",1]'],
    ['["a","b"]'],
  ],
  [
    'a date',
    { type: 'string', format: 'date' },
    ['"2024-02-29"', '"1999-12-31"'],
    ['"2023-02-29"', '"2024-13-01"', '"2024-04-31"', '"24-01-01"'],
  ],
  [
    'ip addresses',
    {
      anyOf: [
        { type: 'string', format: 'ipv4' },
        { type: 'string', format: 'ipv6' },
      ],
    },
    ['"1.2.3.255"', '"::1"', '"2001:db8::8a2e:370:7334"'],
    ['"1.2.3.256"', '"1::2::3"', '"1.2.3"'],
  ],
];

it.each(CASES)('%s', (_, schema, right, wrong) => {
  const grammar = compileGrammar({ type: 'json_schema', schema });
  expect(right.filter((one) => !accepts(grammar, one))).toEqual([]);
  expect(wrong.filter((one) => accepts(grammar, one))).toEqual([]);
});
