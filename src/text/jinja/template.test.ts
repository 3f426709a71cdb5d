import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, test } from 'vitest';
import { GOLDEN_DIRECTORY } from '../../../e2e/tools/golden';
import { readJson, toPython } from './json';
import { createTemplate } from './template';
import type { Named, Value } from './values';

const golden = readJson(readFileSync(join(GOLDEN_DIRECTORY, 'chat/jinja.json'), 'utf8')) as Named;
const variables = golden.get('variables') as Named;
const cases = golden.get('cases') as [kind: string, template: string, rendered: string | null][];

const render = (template: string, given: Named = variables): string => createTemplate(template)(given);
const attempt = (template: string): string | null => {
  try {
    return render(template);
  } catch {
    return null;
  }
};

describe('as jinja2 prints it', () => {
  it.each([...new Set(cases.map(([kind]) => kind))])('%s', (wanted) => {
    const of = cases.filter(([kind]) => kind === wanted);
    expect(of.length).toBeGreaterThan(15);
    const differ = of
      .map(([, template, rendered]) => ({ template, wanted: rendered, got: attempt(template) }))
      .filter(({ wanted, got }) => wanted !== got);
    expect(differ).toEqual([]);
  });

  test('today, in local time', () => {
    const now = new Date();
    expect(render("{{ strftime_now('%Y-%m-%d %H') }}")).toMatch(
      new RegExp(`^${now.getFullYear()}-\\d\\d-\\d\\d \\d\\d$`),
    );
  });
});

describe('values of JavaScript', () => {
  const print = (value: unknown, template = '{{ v }}'): string => render(template, new Map([['v', toPython(value)]]));

  it.each<[unknown, string]>([
    [1, '1'],
    [-0, '0'],
    [1.5, '1.5'],
    [1e-7, '1e-07'],
    [2 ** 53, '9007199254740992'],
    [1e22, '1e+22'],
    [123456789012345678901n, '123456789012345678901'],
    [null, 'None'],
    [true, 'True'],
    [[1, 'a', null, undefined], "[1, 'a', None, None]"],
    [{ b: 1, a: undefined, c: { d: 2.5 } }, "{'b': 1, 'c': {'d': 2.5}}"],
    [
      new Map([
        ['10', 1],
        ['2', 2],
      ]),
      "{'10': 1, '2': 2}",
    ],
    [new Date(0), '1970-01-01T00:00:00.000Z'],
  ])('%s', (value, wanted) => expect(print(value)).toBe(wanted));

  it('refuses a value that contains itself, not one that stands in two places', () => {
    const shared = { a: 1 };
    expect(print([shared, shared])).toBe("[{'a': 1}, {'a': 1}]");
    const own: unknown[] = [];
    own.push([own]);
    expect(() => toPython(own)).toThrow('contains itself');
  });
});

describe('JSON texts', () => {
  it.each([
    '{"10": 1.0, "2": [1e-7, 3.0e2, -0.0, 12345678901234567890], "a\\"\\u00e9": "\\\\\\n", "e": {}, "f": [[], null, true]}',
    '"x"',
    ' [ 1 , 2 ] ',
    '-0',
  ])('%s', (source) => {
    expect(render('{{ v | tojson }}', new Map([['v', readJson(source)]]))).toBe(
      source === '-0'
        ? '0'
        : source
            .trim()
            .replace('[ 1 , 2 ]', '[1, 2]')
            .replace('1e-7', '1e-07')
            .replace('3.0e2', '300.0')
            .replace('\\u00e9', 'é'),
    );
  });
  it.each(['', '{', '[1,]', "{'a': 1}", '01', 'NaN', '{"a" 1}'])('refuses %j', (source) =>
    expect(() => readJson(source)).toThrow(SyntaxError),
  );
});

describe('hostile templates', () => {
  it.each([
    ['loops', '{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}'],
    ['recursion', '{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}'],
    ['a loop of itself', '{% for x in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}'],
    ['a long text', "{{ 'a' * 999999999999 }}"],
    ['a long list', '{{ [0] * 999999999 }}'],
    [
      'a doubled text',
      "{% set n = namespace(x='a') %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}{{ n.x }}",
    ],
    [
      'a doubled list',
      '{% set n = namespace(x=[0]) %}{% for i in range(99) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}',
    ],
    [
      'doubled lists compared',
      '{% set n = namespace(x=[0], y=[0]) %}{% for i in range(99) %}{% set n.x = [n.x, n.x] %}{% set n.y = [n.y, n.y] %}{% endfor %}{{ n.x == n.y }}',
    ],
    ['a large power', '{{ 9 ** 999999999 }}'],
    ['a growing number', '{% set n = namespace(x=9) %}{% for i in range(999) %}{% set n.x = n.x * n.x %}{% endfor %}'],
    ['a wide column', "{{ 'a' | center(9999999999) }}"],
    ['a wide format', "{{ '%9999999999d' % 1 }}{{ '{:9999999999}'.format(1) }}"],
    ['replacements', "{% set a = 'a' * 1000000 %}{{ a.replace('a', a) }}"],
    ['a join', "{{ range(99999) | join('a' * 100000) }}"],
    ['an indent', "{{ ('\\n' * 100000) | indent(100000) }}"],
    ['a long range', '{{ range(10 ** 12) }}'],
    ['many slices', '{{ [] | slice(10 ** 12) | list }}'],
    ['a filled batch', '{{ [1] | batch(10 ** 12, 0) | list }}'],
    ['output', "{% set a = 'a' * 1000000 %}{% for i in range(99999) %}{{ a }}{% endfor %}"],
    ['brackets', `{{ ${'['.repeat(9999)} }}`],
    ['signs', `{{ ${'-'.repeat(99_999)}1 }}`],
    ['negations', `{{ ${'not '.repeat(99_999)}1 }}`],
    ['blocks', '{% if 1 %}'.repeat(9999)],
    ['a long sum', `{{ 1${' + 1'.repeat(99_999)} }}`],
  ])('are ended: %s', (_, template) => {
    const start = performance.now();
    expect(() => render(template)).toThrow();
    expect(performance.now() - start).toBeLessThan(20_000);
  });

  it.each([
    'constructor',
    '__proto__',
    'toString',
    'valueOf',
    'hasOwnProperty',
    'prototype',
    'call',
    'apply',
    'push',
    'size',
    'kind',
    'items',
  ])('see no property of JavaScript: %s', (name) => {
    const values = [
      'one',
      'text',
      'texts',
      'object',
      'range',
      'float',
      'none',
      'joiner()',
      'cycler(1)',
      'namespace()',
      'range(3)',
    ];
    for (const value of values.filter((each) => each !== 'object' || name !== 'items')) {
      expect(render(`{{ ${value}.${name} is undefined }}{{ ${value}['${name}'] is undefined }}`), value).toBe(
        'TrueTrue',
      );
      expect(() => render(`{{ ${value} | ${name === 'items' ? 'constructor' : name} }}`)).toThrow();
    }
    expect(render(`{{ ${name} is undefined }}`, new Map<string, Value>())).toBe('True');
  });
});

it.each([
  ['a\n{% if x %}b', /got the end, wanted text/],
  ["a\n\n{{ 'x }}", /does not end.*line 3/],
  ['{% for x in y %}{% endif %}', /no tag endif before endfor/],
  ['{{ x | nosuch }}', /no filter nosuch/],
  ['{{ x.y.z }}', /undefined/],
])('says what is wrong in %j', (template, message) => expect(() => render(template)).toThrow(message));
