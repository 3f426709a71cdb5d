import { describe, expect, it } from 'vitest';
import { readCalls } from './tool_calls';

const block = (inside: string): string => `<|tool_call_start|>${inside}<|tool_call_end|>`;

describe('calls that are read', () => {
  it.each<[string, string, [string, object][]]>([
    ['one call', '[set_timer(minutes=5)]', [['set_timer', { minutes: 5 }]]],
    ['several', '[a(x=1), b(y="z")]', [['a', { x: 1 }], ['b', { y: 'z' }]]],
    ['without arguments', '[now()]', [['now', {}]]],
    ['without the list', 'now()', [['now', {}]]],
    ['all kinds of literals', '[f(a=-1.5, b=1e3, c=True, d=None, e=[1, "2"], g={"h": (1, 2)}, i=false)]', [['f', { a: -1.5, b: 1000, c: true, d: null, e: [1, '2'], g: { h: [1, 2] }, i: false }]]],
    ['brackets and commas in strings', '[f(a="x), g(b=1)]", c=\'it"s\')]', [['f', { a: 'x), g(b=1)]', c: 'it"s' }]]],
    ['escapes', String.raw`[f(a="say \"hi\"\n\u00e9\x41\d")]`, [['f', { a: 'say "hi"\néA\\d' }]]],
    ['spaces and trailing commas', ' [ f( a = 1 , ) , ] ', [['f', { a: 1 }]]],
    ['names with dots and other letters', '[page.überblick(größe=1)]', [['page.überblick', { größe: 1 }]]],
    ['a JSON list', '[{"name": "f", "arguments": {"a": [1]}}]', [['f', { a: [1] }]]],
  ])('%s', (_, inside, wanted) => {
    expect(readCalls(block(inside))).toEqual({ text: '', calls: wanted.map(([name, given]) => ({ name, arguments: given })), broken: [] });
  });

  it('leaves the rest of the answer', () => {
    expect(readCalls(`One moment. ${block('[a()]')}\nDone.${block('[b()]')}`)).toMatchObject({ text: 'One moment. \nDone.', calls: [{ name: 'a' }, { name: 'b' }] });
    expect(readCalls('No call [f(x=1)] here')).toEqual({ text: 'No call [f(x=1)] here', calls: [], broken: [] });
  });

  it('reads a block whose end was cut off only if it is whole', () => {
    expect(readCalls('<|tool_call_start|>[f(a=1)]').calls).toHaveLength(1);
    expect(readCalls('<|tool_call_start|>[f(a="1')).toEqual({ text: '', calls: [], broken: ['[f(a="1'] });
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
  '[f(a=1)] and more',
  '[f(a="\\u12")]',
  '[f(a=1',
  '[f(a=1_e999)]',
  '[{"name": 1}]',
  `[f(a=${'['.repeat(100_000)})]`,
])('does not guess at %.40j', (inside) => {
  expect(readCalls(block(inside))).toEqual({ text: '', calls: [], broken: [inside] });
});

it('takes hostile names as names', () => {
  const { calls } = readCalls(block('[__proto__(__proto__={"__proto__": 1}, constructor=2)]'));
  expect(Object.keys(calls[0].arguments)).toEqual(['__proto__', 'constructor']);
  expect(Object.getPrototypeOf(calls[0].arguments)).toBe(Object.prototype);
  expect(({} as Record<string, unknown>).constructor).toBe(Object);
});
