import { describe, expect, it } from 'vitest';
import { cutIntoTokens, seededRandom, syntheticVocabulary } from '../../../e2e/schema_cases';
import { readCalls } from '../tool_calls';
import { compileGrammar, createTokenTrie, isAllowed, type Grammar, type GrammarSpec, type GrammarState } from './index';

// ids behind the end token are special
const vocabulary = [...syntheticVocabulary(), undefined, undefined, undefined, undefined];
const END = vocabulary.length - 5;
const [CALLS, CALLS_END, THINK, THINK_END] = [1, 2, 3, 4].map((n) => END + n);
const trie = createTokenTrie(vocabulary, [END]);
const random = seededRandom(5);

/** Reads a text in random tokens; special tokens by id. */
function read(grammar: Grammar, parts: readonly (string | number)[]): GrammarState | undefined {
  let state = grammar.start(trie);
  for (const part of parts)
    for (const id of typeof part === 'number' ? [part] : cutIntoTokens(part, vocabulary, random)) {
      if (!isAllowed(state.mask(), id)) return undefined;
      state = state.accept(id);
    }
  return state;
}
/** Whether the text is allowed and may end; twice, in other tokens, and token by token as byte by byte. */
function accepts(grammar: Grammar, ...parts: (string | number)[]): boolean {
  const verdicts = [0, 1, 2].map(() => {
    const state = read(grammar, parts);
    return state !== undefined && isAllowed(state.mask(), END);
  });
  expect(new Set(verdicts).size, parts.join()).toBe(1);
  return verdicts[0];
}
const schema = (of: unknown, more: object = {}): Grammar =>
  compileGrammar({ type: 'json_schema', schema: of, ...more } as GrammarSpec);
const text = (value: unknown): string => JSON.stringify(value);

describe('schemas', () => {
  it('in the order of the schema', () => {
    const of = { type: 'object', properties: { b: true, a: true, c: true }, required: ['a'] };
    const grammar = schema(of, { order: 'schema' });
    expect(['{"b":1,"a":1,"c":1,"x":1}', '{"a":1,"c":1}'].every((one) => accepts(grammar, one))).toBe(true);
    expect(['{"a":1,"b":1}', '{"b":1,"c":1,"a":1}', '{"x":1,"a":1}'].some((one) => accepts(grammar, one))).toBe(false);
    expect(accepts(schema(of), '{"c":1,"a":1,"b":1}')).toBe(true);
  });

  it('what cannot be enforced is refused by its path, or checked after the fact', () => {
    const cases: [unknown, string][] = [
      [{ properties: { a: { type: 'string', pattern: '(a)\\1' } } }, '/properties/a/pattern'],
      [{ items: { format: 'idn-email' } }, '/items/format'],
      [{ allOf: [{ not: { uniqueItems: true } }] }, '/allOf/0/not'],
    ];
    for (const [of, path] of cases) {
      expect(() => schema(of)).toThrow(`cannot be enforced at ${path}`);
      expect(schema(of, { strict: false }).checked).toEqual([path]);
    }
  });

  it('hostile schemas end in a named error, or compile', () => {
    const deep = (n: number): unknown => (n ? { items: deep(n - 1) } : true);
    const wide = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`property ${i}`, { type: 'integer' }]));
    const refused: [unknown, RegExp][] = [
      [{ $ref: '#' }, /leads back to itself/],
      [{ allOf: [{ $ref: '#/allOf/0' }] }, /leads back to itself/],
      [{ type: 'object', properties: { a: { $ref: '#' } }, required: ['a'] }, /No value fits/],
      [{ type: 'integer', minimum: 3, maximum: 2 }, /No value fits/],
      [{ type: 'string', pattern: '(.*a.{30}){2}' }, /too large/],
      [{ type: 'string', pattern: '(' }, /not valid at \/pattern/],
      [{ type: 'text' }, /not valid at \/type/],
      [{ minLength: -1 }, /not valid at \/minLength/],
      [{ multipleOf: NaN }, /not valid at \/multipleOf/],
      [{ properties: { a: 3 } }, /not valid at \/properties\/a/],
      [deep(1000), /nested too deeply/],
    ];
    for (const [of, message] of refused) expect(() => schema(of), String(message)).toThrow(message);
    expect(accepts(schema({ properties: wide, required: ['property 17'] }), '{"property 3":1,"property 17":4}')).toBe(
      true,
    );
    expect(accepts(schema({ type: 'string', pattern: '^(x+x+)+y$' }), '"xxy"')).toBe(true);
    expect(accepts(schema(deep(200)), '[[[1]]]')).toBe(true);
  });
});

describe('whole texts', () => {
  it('regular expressions agree with those of JavaScript', () => {
    const patterns = [
      'a.c',
      'a..c',
      '(?:ab|c)*d?',
      '[^a-c\\d]+',
      '\\w+@\\w+\\.(com|org)',
      'a{2,3}?b',
      '^a|b$',
      '\\bfoo\\b bar',
      '(?=a)\\w{3}',
      '(?!ab)[ab]{2}',
      '[\\s\\S]',
      '\\u{1F600}+',
      'x*',
      '\\p{Lu}\\P{L}',
      '[é-ü]',
      '(a|)(b|)c',
    ];
    const texts = [
      'aéc',
      'ac',
      'a\nc',
      'aéec',
      'abcd',
      '',
      'ababcc',
      'd',
      'xyz',
      'a@b.com',
      'a@b.net',
      'aab',
      'aaab',
      'ab',
      'ba',
      'a',
      'b',
      'foo bar',
      'foobar',
      'abc',
      'aa',
      'bb',
      '\n',
      '😀😀',
      'x',
      'xx',
      'A1',
      'Éa',
      'é',
      'c',
      'bc',
    ];
    for (const pattern of patterns) {
      const grammar = compileGrammar({ type: 'regex', pattern });
      for (const one of texts)
        expect(accepts(grammar, one), `${pattern} on ${text(one)}`).toBe(new RegExp(`^(?:${pattern})$`, 'u').test(one));
    }
    expect(() => compileGrammar({ type: 'regex', pattern: '(a)\\1' })).toThrow(/back-reference/);
    expect(() => compileGrammar({ type: 'regex', pattern: '[' })).toThrow(/not valid/);
    expect(() => compileGrammar({ type: 'regex', pattern: 'a(?!)' })).toThrow(/No text fits/);
  });

  it('choices', () => {
    const grammar = compileGrammar({ type: 'choices', choices: ['yes', 'yes, please', 'né', ''] });
    expect(['yes', 'yes, please', 'né', ''].every((one) => accepts(grammar, one))).toBe(true);
    expect(['ye', 'yes,', 'n', 'no'].some((one) => accepts(grammar, one))).toBe(false);
  });

  it('EBNF', () => {
    const grammar = compileGrammar({
      type: 'grammar',
      grammar: `
        root  ::= sum "\\n"?           # an expression
        sum   ::= term ([-+] term)*
        term  ::= number | "(" sum ")" |
                  call
        call  ::= [a-z]{1,3} "[" (sum (", " sum)*)? "]"
        number ::= "0" | [1-9] [0-9]*
      `,
    });
    expect(['1', '(1+20)-3', 'f[]', 'abc[1, (2)]-f[g[0]]', '1\n'].every((one) => accepts(grammar, one))).toBe(true);
    expect(['', '01', '(1', '1+', 'abcd[]', 'f[1,2]', '1\n\n', 'f[1, ]'].some((one) => accepts(grammar, one))).toBe(
      false,
    );
    const wrong: [string, RegExp][] = [
      ['a ::= "x"', /no rule root/],
      ['root ::= b', /b, which is not defined/],
      ['root ::= root "x" | "y"', /begins with itself/],
      ['root ::= "a" root', /No text fits/],
      ['root ::= "x', /not valid in line 1/],
      ['root ::= [z-a]', /not valid in line 1/],
      ['root ::= ("a"', /not closed/],
    ];
    for (const [source, message] of wrong)
      expect(() => compileGrammar({ type: 'grammar', grammar: source }), source).toThrow(message);
  });

  it('thinking comes before a text', () => {
    const of = { type: 'json_schema', schema: { type: 'integer' } } as const;
    const begun = compileGrammar(of, { end: THINK_END, begun: true });
    expect(accepts(begun, 'any {text', THINK_END, '\n\n12')).toBe(true);
    expect(accepts(begun, '12')).toBe(false);
    const may = compileGrammar(of, { start: THINK, end: THINK_END, begun: false });
    expect(accepts(may, THINK, 'hm', THINK_END, '12') && accepts(may, '12')).toBe(true);
    expect(accepts(may, 'hm', THINK_END, '12')).toBe(false);
  });
});

describe('tool calls', () => {
  const tools = [
    {
      type: 'function',
      function: {
        name: 'set_timer',
        parameters: {
          type: 'object',
          properties: { minutes: { type: 'integer', minimum: 1, maximum: 60 }, label: { type: 'string' } },
          required: ['minutes'],
        },
      },
    },
    {
      name: 'find',
      parameters: {
        type: 'object',
        properties: {
          query: { type: 'string', maxLength: 20 },
          options: {
            type: 'object',
            properties: { deep: { type: 'boolean' }, tags: { type: 'array', items: { enum: ['a', "it's"] } } },
          },
        },
        required: ['query'],
      },
    },
    { name: 'now' },
  ];
  const markers = { start: CALLS, end: CALLS_END };
  const spec = (more: object = {}): Grammar =>
    compileGrammar({ type: 'tool_calls', tools, choice: 'auto', markers, ...more } as GrammarSpec);

  it('in the syntax of Python', () => {
    const grammar = spec();
    const right = [
      '[set_timer(minutes=5)]',
      '[set_timer(minutes=5, label="tea"), now()]',
      '[find(query="it\'s", options={"deep": True, "tags": ["a", "it\'s"]})]',
      "[find(query='a\\'b\\n', options={'deep': false})]",
      '[now( )]',
    ];
    const wrong = [
      '[set_timer()]',
      '[set_timer(minutes=0)]',
      '[set_timer(minutes="5")]',
      '[set_timer(minutes=5, other=1)]',
      '[unknown()]',
      '[]',
      '[find(query="a", query="b")]',
      '[find(query="aaaaaaaaaaaaaaaaaaaaa")]',
      '[now(),]',
    ];
    for (const calls of right) {
      expect(accepts(grammar, 'Well: ', CALLS, calls, CALLS_END), calls).toBe(true);
      const { broken, calls: found } = readCalls(`<|tool_call_start|>${calls}<|tool_call_end|>`);
      expect(broken).toEqual([]);
      expect(found.every(({ name }) => tools.some((tool) => (tool.function ?? tool).name === name))).toBe(true);
    }
    expect(wrong.filter((calls) => accepts(grammar, CALLS, calls, CALLS_END))).toEqual([]);
    expect(accepts(grammar, 'only text')).toBe(true);
    expect(accepts(grammar, CALLS, '[now()]')).toBe(false);
    expect(accepts(grammar, CALLS, '[now()]', CALLS_END, 'and ', CALLS, '[now()]', CALLS_END)).toBe(true);
  });

  it('in JSON', () => {
    const grammar = spec({ syntax: 'json' });
    expect(
      accepts(grammar, CALLS, '[{"name": "set_timer", "arguments": {"label": "x", "minutes": 5}}]', CALLS_END),
    ).toBe(true);
    expect(
      accepts(grammar, CALLS, '[{"name":"now","arguments":{}},{"name":"find","arguments":{"query":""}}]', CALLS_END),
    ).toBe(true);
    expect(accepts(grammar, CALLS, '[{"name":"now","arguments":{"minutes":5}}]', CALLS_END)).toBe(false);
    expect(accepts(grammar, CALLS, '[{"name":"set_timer","arguments":{}}]', CALLS_END)).toBe(false);
  });

  it('by choice', () => {
    const required = spec({ choice: 'required' });
    expect(accepts(required, 'text')).toBe(false);
    expect(accepts(required, CALLS, '[now()]', CALLS_END)).toBe(true);
    const named = spec({ choice: { name: 'now' }, parallel: false });
    expect(accepts(named, CALLS, '[now()]', CALLS_END)).toBe(true);
    expect(accepts(named, CALLS, '[now(), now()]', CALLS_END)).toBe(false);
    expect(accepts(named, CALLS, '[set_timer(minutes=5)]', CALLS_END)).toBe(false);
    expect(() => spec({ choice: { name: 'none' } })).toThrow(/No tool is called "none"/);
    expect(() => spec({ tools: [{ parameters: {} }] })).toThrow(/tools\[0\] has no name/);
    expect(() => spec({ tools: [{ name: 'a b' }] })).toThrow(/cannot be written/);
    expect(() => spec({ tools: [{ name: 'a', parameters: { properties: { x: { pattern: '(a)\\1' } } } }] })).toThrow(
      'tools[0].parameters/properties/x/pattern',
    );
  });

  it.each(['python', 'json'])('random calls in %s are read back as valid ones', (syntax) => {
    const grammar = spec({ choice: 'required', syntax });
    const dice = seededRandom(syntax.length);
    for (let n = 0; n < 30; n++) {
      let state = grammar.start(trie);
      const bytes: number[] = [];
      for (let at = 0; at < 400 && !state.ended; at++) {
        const mask = state.mask();
        const ids = vocabulary.flatMap((_, id) => (isAllowed(mask, id) ? [id] : []));
        const closing = [END, CALLS_END, ...[']', '}', ')', '"', "'", '1', '='].map((c) => c.charCodeAt(0))].find(
          (id) => ids.includes(id),
        );
        const id =
          closing !== undefined && dice() < (at > 60 ? 0.95 : 0.4) ? closing : ids[Math.floor(dice() * ids.length)];
        expect(id, 'a dead end').toBeDefined();
        state = state.accept(id);
        bytes.push(...(vocabulary[id] ?? []));
      }
      if (!state.ended) continue;
      const source = new TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.from(bytes));
      const { calls, broken } = readCalls(`<|tool_call_start|>${source}<|tool_call_end|>`);
      expect(broken, source).toEqual([]);
      for (const call of calls) {
        if (call.name === 'set_timer')
          expect(call.arguments.minutes, source).toSatisfy((m: number) => m >= 1 && m <= 60 && Number.isInteger(m));
        else if (call.name === 'find')
          expect(Array.from(call.arguments.query as string).length, source).toBeLessThanOrEqual(20);
        else expect(call, source).toEqual({ name: 'now', arguments: {} });
      }
      expect(calls.length, source).toBeGreaterThan(0);
    }
  });
});
