import { describe, expect, it } from 'vitest';
import { readCalls } from './tool_calls';

const block = (inside: string): string => `<|tool_call_start|>${inside}<|tool_call_end|>`;

describe('calls that are read', () => {
  it.each<[string, string, [string, object][]]>([
    ['one call', '[set_timer(minutes=5)]', [['set_timer', { minutes: 5 }]]],
    [
      'several',
      '[a(x=1), b(y="z")]',
      [
        ['a', { x: 1 }],
        ['b', { y: 'z' }],
      ],
    ],
    ['without arguments', '[now()]', [['now', {}]]],
    ['without the list', 'now()', [['now', {}]]],
    [
      'all kinds of literals',
      '[f(a=-1.5, b=1e3, c=True, d=None, e=[1, "2"], g={"h": (1, 2)}, i=false)]',
      [['f', { a: -1.5, b: 1000, c: true, d: null, e: [1, '2'], g: { h: [1, 2] }, i: false }]],
    ],
    ['brackets and commas in strings', '[f(a="x), g(b=1)]", c=\'it"s\')]', [['f', { a: 'x), g(b=1)]', c: 'it"s' }]]],
    ['escapes', String.raw`[f(a="say \"hi\"\n\u00e9\x41\d")]`, [['f', { a: 'say "hi"\néA\\d' }]]],
    ['spaces and trailing commas', ' [ f( a = 1 , ) , ] ', [['f', { a: 1 }]]],
    ['names with dots and other letters', '[page.überblick(größe=1)]', [['page.überblick', { größe: 1 }]]],
    ['a JSON list', '[{"name": "f", "arguments": {"a": [1]}}]', [['f', { a: [1] }]]],
    ['a set', '[f(tags={"a", "b"}, none={})]', [['f', { tags: ['a', 'b'], none: {} }]]],
    ['an f-string, as text', "[f(text=f'hello {name}')]", [['f', { text: 'hello {name}' }]]],
    ['arguments unpacked from a dict', '[f(**{"a": 1, "max-results": 2})]', [['f', { a: 1, 'max-results': 2 }]]],
    ['unpacked beside named ones', '[f(x=1, **{"a": 2}, y=3)]', [['f', { x: 1, a: 2, y: 3 }]]],
    ['names that Python cannot have', '[f(max-results=2, a.b=1)]', [['f', { 'max-results': 2, 'a.b': 1 }]]],
    ['JSON, arguments as text', '[{"name": "f", "arguments": "{\\"a\\": 1}"}]', [['f', { a: 1 }]]],
    ['JSON, arguments as an empty text', '[{"name": "f", "arguments": ""}]', [['f', {}]]],
    [
      "JSON, in OpenAI's wrapper",
      '[{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\\"a\\": 1}"}}]',
      [['f', { a: 1 }]],
    ],
    ['JSON, parameters for arguments', '[{"name": "f", "parameters": {"a": 1}}]', [['f', { a: 1 }]]],
    ['JSON without arguments', '[{"name": "f"}]', [['f', {}]]],
    ['JSON, arguments null', '[{"name": "f", "arguments": null}]', [['f', {}]]],
    ['JSON escapes', String.raw`[{"name": "f", "arguments": {"a": "\ud83e\udd80\/\b"}}]`, [['f', { a: '🦀/\b' }]]],
    [
      'a dict as Python writes it',
      "[{'name': 'f', 'arguments': {'a': True, 'b': None}}]",
      [['f', { a: true, b: null }]],
    ],
    [
      'a JSON object a line',
      '{"name": "f", "arguments": {"a": 1}}\n{"name": "g", "arguments": {}}',
      [
        ['f', { a: 1 }],
        ['g', {}],
      ],
    ],
    ['JSON in a code fence', '```json\n[{"name": "f", "arguments": {"a": 1}}]\n```', [['f', { a: 1 }]]],
    [
      'the end marker in a text',
      '[f(text="say <|tool_call_end|> now")]',
      [['f', { text: 'say <|tool_call_end|> now' }]],
    ],
    [
      'the start marker in a text',
      '[f(text="say <|tool_call_start|> now")]',
      [['f', { text: 'say <|tool_call_start|> now' }]],
    ],
    ["an apostrophe inside '…'", "[f(text='it's fine', n=1)]", [['f', { text: "it's fine", n: 1 }]]],
    [
      'quotes that are not escaped',
      '[f(text="he said "hi", and "no"", n=1)]',
      [['f', { text: 'he said "hi", and "no"', n: 1 }]],
    ],
    [
      'the same in JSON',
      '[{"name": "f", "arguments": {"text": "he said "hi", then left", "n": 1}}]',
      [['f', { text: 'he said "hi", then left', n: 1 }]],
    ],
    ['three quotes', '[f(code="""say "hi"\nand go""")]', [['f', { code: 'say "hi"\nand go' }]]],
    ['a raw string', String.raw`[f(path=r'C:\temp\new')]`, [['f', { path: 'C:\\temp\\new' }]]],
    ['texts side by side', "[f(text='a' 'b' \"c\")]", [['f', { text: 'abc' }]]],
    [
      'whole numbers that JavaScript would round',
      '[f(a=12345678901234567890, b=-9007199254740993, c=9007199254740991)]',
      [['f', { a: '12345678901234567890', b: '-9007199254740993', c: 9007199254740991 }]],
    ],
    ['the same in JSON', '[{"name": "f", "arguments": {"id": 9007199254740993}}]', [['f', { id: '9007199254740993' }]]],
    [
      'hexadecimal, octal and binary',
      '[f(a=0x1F, b=-0o17, c=0b11, d=1_000)]',
      [['f', { a: 31, b: -15, c: 3, d: 1000 }]],
    ],
    ['brackets round one value, and tuples', '[f(a=(800), b=(800,), c=())]', [['f', { a: 800, b: [800], c: [] }]]],
    ['comments', '[f(a=1, # one\n b=2)]  # look it up', [['f', { a: 1, b: 2 }]]],
    [
      'calls on lines of their own',
      'f(a=1)\ng(b=2)',
      [
        ['f', { a: 1 }],
        ['g', { b: 2 }],
      ],
    ],
    ['a block that begins twice', '<|tool_call_start|>[f(a=1)]', [['f', { a: 1 }]]],
    [
      'two lists',
      '[f(a=1)], [g()]',
      [
        ['f', { a: 1 }],
        ['g', {}],
      ],
    ],
  ])('%s', (_, inside, wanted) => {
    expect(readCalls(block(inside))).toEqual({
      text: '',
      calls: wanted.map(([name, given]) => ({ name, arguments: given })),
      broken: [],
    });
  });

  it('leaves the rest of the answer', () => {
    expect(readCalls(`One moment. ${block('[a()]')}\nDone.${block('[b()]')}`)).toMatchObject({
      text: 'One moment. \nDone.',
      calls: [{ name: 'a' }, { name: 'b' }],
    });
    expect(readCalls('No call [f(x=1)] here')).toEqual({ text: 'No call [f(x=1)] here', calls: [], broken: [] });
  });

  it('reads a block whose end was cut off only if it is whole', () => {
    expect(readCalls('<|tool_call_start|>[f(a=1)]').calls).toHaveLength(1);
    expect(readCalls('<|tool_call_start|>[f(a="1')).toEqual({ text: '', calls: [], broken: ['[f(a="1'] });
    expect(readCalls('<|tool_call_start|>[f(a=1), g(a="1')).toEqual({
      text: '',
      calls: [{ name: 'f', arguments: { a: 1 } }],
      broken: ['g(a="1'],
    });
    expect(readCalls(`<|tool_call_start|>[f()]${block('[g()]')} done`)).toMatchObject({
      text: 'done',
      calls: [{ name: 'f' }, { name: 'g' }],
      broken: [],
    });
    expect(readCalls(`<|tool_call_start|>[f(a=?${block('[g()]')}`)).toMatchObject({
      text: '',
      calls: [{ name: 'g' }],
      broken: ['[f(a=?'],
    });
  });

  it('takes no end marker for a part of a text where a block is broken', () => {
    expect(readCalls(`${block('[f(a="b)]')} (see "the manual")`)).toEqual({
      text: '(see "the manual")',
      calls: [],
      broken: ['[f(a="b)]'],
    });
    expect(readCalls(`${block('[f(a="b)]')} and ${block('[g(a="c")]')}`)).toEqual({
      text: 'and',
      calls: [{ name: 'g', arguments: { a: 'c' } }],
      broken: ['[f(a="b)]'],
    });
  });
});

it.each<[string, string, string[], string[]]>([
  ['in the middle', '[f(a=1), g(???), h(b=2)]', ['f', 'h'], ['g(???)']],
  ['with another call in a text', '[f(a=x, b="), g(c=1), "), h(b=2)]', ['h'], ['f(a=x, b="), g(c=1), ")']],
  [
    'in JSON',
    '[{"name": "f", "arguments": {"a": }}, {"name": "g"}, {"nome": "h"}]',
    ['g'],
    ['{"name": "f", "arguments": {"a": }}', '{"nome": "h"}'],
  ],
  ['words behind the list', '[f(a=1)] and more', ['f'], ['and more']],
])('one bad call does not lose the others: %s', (_, inside, names, bad) => {
  const { calls, broken, text } = readCalls(block(inside));
  expect([calls.map(({ name }) => name), broken, text]).toEqual([names, bad, '']);
});

it.each<[string, string, string[], string]>([
  ['inside it', `<think>I could use ${block('[f(a=1)]')} here</think>No need.`, [], 'No need.'],
  ['before a lone end: the template began it', `I could use ${block('[f(a=1)]')} here</think>No need.`, [], 'No need.'],
  ['behind it', `<think>hm ${block('[f()]')}</think>${block('[g(a=1)]')}`, ['g'], ''],
  ['in it, and it has no end', `<think>hm ${block('[f()]')}`, [], ''],
  ['with its end in a text', block('[f(a="</think>")]'), ['f'], ''],
  ['a word about it', 'Write </think> at its end.', [], 'Write </think> at its end.'],
])('calls and thinking: %s', (_, answer, names, words) => {
  const { calls, broken, text } = readCalls(answer);
  expect([calls.map(({ name }) => name), broken, text]).toEqual([names, [], words]);
});

describe('calls of known tools without markers', () => {
  const tools = [
    { type: 'function', function: { name: 'get_weather' } },
    { name: 'page.set_timer' },
    '{"name": "as_text"}',
    'no JSON',
    7 as never,
    null as never,
  ];
  it.each<[string, string[], string]>([
    ['[get_weather(city="Paris")]', ['get_weather'], ''],
    [
      'Sure.\n  [get_weather(city="Paris"), page.set_timer(minutes=1)]\nOne moment.',
      ['get_weather', 'page.set_timer'],
      'Sure.\n\nOne moment.',
    ],
    ['[as_text()]<|tool_call_end|>', ['as_text'], ''],
    ['[{"name": "get_weather", "arguments": {"city": "Paris"}}]', ['get_weather'], ''],
    ['Write [get_weather(city="Paris")] to call it', [], 'Write [get_weather(city="Paris")] to call it'],
    ['[get_weather(city="Paris")] calls it', [], '[get_weather(city="Paris")] calls it'],
    ['[get_weather(city="Paris"), other()]', [], '[get_weather(city="Paris"), other()]'],
    ['[get_weather(city="Par', [], '[get_weather(city="Par'],
    ['[a link](b), get_weather()', [], '[a link](b), get_weather()'],
    ['[]', [], '[]'],
    [`[1] is first ${block('[other()]')}`, ['other'], '[1] is first'],
    [`[get_weather()] ${block('[other()]')}`, ['get_weather', 'other'], ''],
    [`[get_weather()]\n${block('[other()]')}`, ['get_weather', 'other'], ''],
  ])('%s', (answer, names, words) => {
    const { calls, text, broken } = readCalls(answer, { tools });
    expect([calls.map(({ name }) => name), text, broken]).toEqual([names, words, []]);
    if (!answer.includes('other()]<')) expect(readCalls(answer).calls).toEqual([]);
  });
});

it.each([
  '',
  '[]',
  'f',
  '[f(1)]',
  '[f(a=)]',
  '[f(a=x)]',
  '[f(a=1 b=2)]',
  '[f({"a": 1})]',
  '[f(a=g(b=1))]',
  '[f(**[1])]',
  '[f(a={"b": 1, 2})]',
  '[f(a={{"toString": 1}: 2})]',
  '[{"name": "f", "arguments": "1"}]',
  '[{"name": "f", "arguments": [1]}]',
  '[f(a="\\u12")]',
  '[f(a="b\\',
  '[f(a=1',
  '[f(a=1_e999)]',
  '[{"name": 1}]',
  `[f(a=${'['.repeat(100_000)})]`,
])('does not guess at %.40j', (inside) => {
  expect(readCalls(block(inside))).toEqual({ text: '', calls: [], broken: [inside] });
});

it('reads what there is of an answer that is still being written, wherever it breaks off', () => {
  const answer = `Sure. ${block(String.raw`[f(a="say \"hi\" \u00e9", b='it\'s')]`)}\n[a link](b "say \\"hi\\"")`;
  const whole = [{ name: 'f', arguments: { a: 'say "hi" é', b: "it's" } }];
  for (let end = 0; end < answer.length; end++)
    expect([[], whole]).toContainEqual(readCalls(answer.slice(0, end)).calls);
  expect(readCalls(answer)).toEqual({ text: 'Sure. \n[a link](b "say \\"hi\\"")', calls: whole, broken: [] });
});

it.each([undefined, null, 5, {}, ['[f()]']])('reads nothing in %j, which is no text', (answer) =>
  expect(readCalls(answer as never)).toEqual({ text: '', calls: [], broken: [] }),
);

it.each([null, 5, 'x', { tools: null }, { tools: 'x' }, { tools: {} }])('takes %j as no tools', (options) =>
  expect(readCalls('[f()]', options as never)).toEqual({ text: '[f()]', calls: [], broken: [] }),
);

it('takes hostile names as names', () => {
  const { calls } = readCalls(block('[__proto__(__proto__={"__proto__": 1}, constructor=2)]'));
  expect(Object.keys(calls[0].arguments)).toEqual(['__proto__', 'constructor']);
  expect(Object.getPrototypeOf(calls[0].arguments)).toBe(Object.prototype);
  expect(({} as Record<string, unknown>).constructor).toBe(Object);
});

it.each<[string, (n: number) => string]>([
  ['texts without an end', (n) => '<|tool_call_start|>[f(a="<|tool_call_end|>'.repeat(n / 42)],
  ['blocks without an end', (n) => '<|tool_call_start|>f() '.repeat(n / 23)],
  ['calls that fail late', (n) => `<|tool_call_start|>${'f(a="x":), '.repeat(n / 11)}`],
  ['lists without an end', (n) => '[f(a="\n'.repeat(n / 8)],
  ['quotes', (n) => `<|tool_call_start|>[f(a=${'"'.repeat(n)}`],
  ['quotes and commas', (n) => `<|tool_call_start|>[f(a="${'", a '.repeat(n / 5)}`],
  ['white space', (n) => `<|tool_call_start|>[f(a="${' '.repeat(n / 2)}"${' '.repeat(n / 2)}`],
  ['brackets', (n) => `<|tool_call_start|>[f(a=${'['.repeat(n)}`],
  ['digits', (n) => `<|tool_call_start|>[f(a=${'1_'.repeat(n / 2)})]`],
  ['backslashes', (n) => `<|tool_call_start|>[f(a="${'\\'.repeat(n)}`],
  ['many calls', (n) => `<|tool_call_start|>${'f(),'.repeat(n / 4)}`],
  ['comments', (n) => `<|tool_call_start|>${'#"'.repeat(n / 2)}`],
  ['ends of thinking', (n) => `<|tool_call_start|>f()<|tool_call_end|>${'</think>'.repeat(n / 8)}`],
])('takes time by the length of an answer: %s', (_, answer) => {
  const text = answer(300_000);
  const start = performance.now();
  readCalls(text, { tools: [{ name: 'f' }] });
  expect(performance.now() - start).toBeLessThan(5000);
});
