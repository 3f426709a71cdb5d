/** What the judges of grammars share: a vocabulary, random numbers, and ways to cut a text into tokens. */

/** mulberry32, in [0, 1) */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const PIECES = [
  ...[
    '{"',
    '"}',
    '":',
    '": "',
    '","',
    '", "',
    '"]',
    '},{"',
    '}, {',
    '}}',
    ']]',
    '],',
    '[]',
    '{}',
    '[{',
    '}]',
    '":{"',
    '":["',
    '":[',
    '":{',
    '": [',
  ],
  ...[
    '":""',
    '"",',
    '""}',
    '","a":',
    '"a":1,"b',
    '1,',
    '1}',
    '1]',
    '0.',
    '.5',
    '.0',
    '-1',
    '1,2',
    '[1',
    '[[',
    ',[',
    ', ',
    ',\n',
    '\n  ',
    '\n    ',
    '  ',
    '{\n  "',
    '",\n  "',
  ],
  ...[
    'true',
    'false',
    'null',
    'tru',
    'nul',
    'e}',
    'l]',
    'True',
    'False',
    'None',
    'foo',
    'bar',
    '"foo',
    'foo"',
    '"foo"',
    'oo"',
    'baz"}',
    'o":',
    'name',
    'type',
    'kind',
    'value',
  ],
  ...[
    '\\n',
    '\\"',
    '\\u',
    '\\u00',
    'd83d',
    '\\ud8',
    '\\\\',
    '"\\',
    'é',
    'ü"',
    '漢',
    '漢字',
    '😀',
    '10',
    '12',
    '00',
    '99',
    '100',
    '123',
    '2024',
    '-0',
    '-12',
    '@',
    '://',
    'http',
    '.com',
  ],
  ...['[foo(', '(a=', ')]', '), ', '="', "='", "')", '")', "', ", 'a="', '**', '_'],
];

/** 256 bytes, letters in pairs, pieces of JSON and of calls; the last id ends a text. */
export function syntheticVocabulary(): (Uint8Array | undefined)[] {
  const encoder = new TextEncoder();
  const letters = 'abcdefgh';
  const pairs = [...letters].flatMap((a) => [...letters].map((b) => a + b));
  return [
    ...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)),
    ...[...new Set([...PIECES, ...pairs])].map((text) => encoder.encode(text)).filter(({ length }) => length > 1),
    // parts of characters
    Uint8Array.of(0xe6, 0xbc),
    Uint8Array.of(0xa2, 0x22),
    Uint8Array.of(0xf0, 0x9f),
    undefined,
  ];
}

const byFirst = new WeakMap<object, Map<number, number[]>>();

/** Some way to write a text in tokens. */
export function cutIntoTokens(
  text: string,
  vocabulary: readonly (Uint8Array | undefined)[],
  random: () => number,
): number[] {
  let index = byFirst.get(vocabulary);
  if (!index) {
    index = new Map();
    for (const [id, bytes] of vocabulary.entries())
      if (bytes?.length) index.set(bytes[0], [...(index.get(bytes[0]) ?? []), id]);
    byFirst.set(vocabulary, index);
  }
  const bytes = new TextEncoder().encode(text);
  const ids: number[] = [];
  for (let at = 0; at < bytes.length;) {
    const fitting = index.get(bytes[at])!.filter((id) => vocabulary[id]!.every((byte, i) => bytes[at + i] === byte));
    const id = fitting[Math.floor(random() * fitting.length)];
    ids.push(id);
    at += vocabulary[id]!.length;
  }
  return ids;
}

/** A whole number below n, and one of a list. */
export interface Dice {
  (n: number): number;
  of<T>(list: readonly T[]): T;
}
export function createDice(seed: number): Dice {
  const random = seededRandom(seed);
  const dice = (n: number): number => Math.floor(random() * n);
  return Object.assign(dice, { of: <T>(list: readonly T[]): T => list[dice(list.length)] });
}

const NAMES = ['a', 'b', 'ab', 'foo', 'é'];
const SCALARS = [
  null,
  true,
  false,
  0,
  1,
  2,
  -1,
  0.5,
  12,
  100,
  'a',
  'b',
  'ab',
  'foo',
  '',
  'é',
  '漢字',
  'x"y',
  '\n',
  '😀',
];
const PATTERNS = [
  '^a',
  'b$',
  '^[a-f]*$',
  '^(foo|bar)+$',
  '[0-9]{2}',
  '^.{2}$',
  'é',
  '^\\p{L}+$',
  '^(?=.*a)(?=.*b)',
  '\\bfoo\\b',
];

/** A random schema of draft 2020-12, of a depth of at most `depth`. */
export function randomSchema(dice: Dice, depth: number, root = true): unknown {
  const inner = (): unknown => randomSchema(dice, depth - 1, false);
  const value = (): unknown => {
    const kind = dice(8);
    if (kind === 0) return [dice.of(SCALARS), dice.of(SCALARS)].slice(dice(3));
    if (kind === 1)
      return Object.fromEntries(
        [dice.of(NAMES), dice.of(NAMES)].slice(dice(3)).map((name) => [name, dice.of(SCALARS)]),
      );
    return dice.of(SCALARS);
  };
  const properties = (): Record<string, unknown> =>
    Object.fromEntries(Array.from({ length: 1 + dice(3) }, () => [dice.of(NAMES), inner()]));
  const makers: (() => Record<string, unknown>)[] = [
    () => ({ type: dice.of(['null', 'boolean', 'number', 'integer', 'string']) }),
    () => ({ type: dice.of(['object', 'array', 'string', 'integer']) }),
    () => ({ type: ['string', dice.of(['null', 'number', 'object'])] }),
    () => ({ enum: Array.from({ length: 1 + dice(4) }, value) }),
    () => ({ const: value() }),
    () => ({
      type: 'number',
      minimum: dice.of([0, -1, 0.5, 3, 99.5]),
      ...(dice(2) && { exclusiveMaximum: dice.of([100, 3.25, 0.51, 1000]) }),
    }),
    () => ({
      type: 'integer',
      maximum: dice.of([10, 0, -3, 100]),
      ...(dice(2) && { multipleOf: dice.of([1, 2, 3, 7]) }),
    }),
    () => ({ type: 'number', multipleOf: dice.of([0.5, 2, 0.25, 5]) }),
    () => ({ type: 'string', minLength: dice(4), ...(dice(2) && { maxLength: 3 + dice(3) }) }),
    () => ({ type: 'string', pattern: dice.of(PATTERNS), ...(dice(3) === 0 && { maxLength: 4 + dice(8) }) }),
  ];
  const nested: (() => Record<string, unknown>)[] = [
    () => ({
      type: 'array',
      items: inner(),
      ...(dice(2) && { minItems: dice(3) }),
      ...(dice(2) && { maxItems: 2 + dice(3) }),
    }),
    () => ({ type: 'array', prefixItems: [inner(), inner()], items: dice.of([false, inner()]), minItems: dice(3) }),
    () => ({ type: 'array', items: inner(), uniqueItems: true, ...(dice(2) && { minItems: 2 }) }),
    () => ({
      type: 'array',
      contains: inner(),
      ...(dice(2) && { maxContains: 2 }),
      ...(dice(2) && { minContains: dice(3) }),
      ...(dice(2) && { maxItems: 3 }),
    }),
    () => ({
      type: 'object',
      properties: properties(),
      required: NAMES.filter(() => dice(4) === 0),
      additionalProperties: dice.of([false, true, inner()]),
    }),
    () => ({ type: 'object', properties: properties(), required: [dice.of(NAMES)] }),
    () => ({
      type: 'object',
      patternProperties: { [dice.of(PATTERNS)]: inner() },
      additionalProperties: dice.of([false, inner()]),
      maxProperties: 1 + dice(3),
    }),
    () => ({
      type: 'object',
      propertyNames: dice.of([{ maxLength: 2 }, { pattern: '^[ab]' }, { enum: ['a', 'foo'] }]),
      minProperties: dice(3),
    }),
    () => ({ type: 'object', properties: properties(), dependentRequired: { [dice.of(NAMES)]: [dice.of(NAMES)] } }),
    () => ({ type: 'object', dependentSchemas: { [dice.of(NAMES)]: inner() }, maxProperties: 3 }),
    () => ({ anyOf: [inner(), inner()] }),
    () => ({ oneOf: [inner(), inner()] }),
    () => ({ allOf: [inner(), inner()] }),
    () => ({ not: inner(), type: dice.of(['string', 'number', 'object', 'array']) }),
    () => Object.fromEntries(['if', 'then', 'else'].map((name) => [name, inner()])),
    () => ({
      type: 'object',
      properties: properties(),
      anyOf: [{ properties: properties() }, { required: [dice.of(NAMES)] }],
      unevaluatedProperties: dice.of([false, inner()]),
    }),
    () => ({
      type: 'array',
      prefixItems: [inner()],
      anyOf: [{ prefixItems: [true, inner()] }, true],
      unevaluatedItems: dice.of([false, inner()]),
    }),
    () => ({ $ref: '#/$defs/node' }),
  ];
  const made = depth > 0 && (root || dice(3)) ? dice.of(nested)() : dice.of(makers)();
  const schema = dice(6) === 0 ? { ...dice.of(makers)(), ...made } : made;
  if (!root) return dice(25) === 0 ? dice(2) === 0 : schema;
  const node = {
    type: 'object',
    properties: { next: { anyOf: [{ $ref: '#/$defs/node' }, { type: 'null' }] }, a: inner() },
    required: ['next'],
    additionalProperties: false,
  };
  return { ...schema, $defs: { node } };
}
