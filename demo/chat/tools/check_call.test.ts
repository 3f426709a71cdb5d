import { expect, test } from 'vitest';
import { checkCall, LONGEST_TEXT } from './check_call';
import { PAGE_TOOLS } from './index';
import { define, type Definition } from './tool';

const page = PAGE_TOOLS.map(({ definition }) => definition);
const odd: Definition[] = [
  define('pick', 'Pick', { colour: { type: 'string', enum: ['Light', 'Dark'] } }),
  {
    name: 'mixed',
    description: 'Mixed',
    parameters: {
      type: 'object',
      properties: {
        flag: { type: 'boolean' },
        list: { type: 'array' },
        thing: { type: 'object' },
        any: {},
        page_size: { type: 'number' },
      },
    },
  },
  define('twin', 'Twin', { some_value: { type: 'string' }, someValue: { type: 'string' } }),
];
const check = (name: unknown, given: unknown, tools: readonly Definition[] = page): ReturnType<typeof checkCall> =>
  checkCall({ name, arguments: given }, tools);
const checked = (name: string, given: unknown, tools?: readonly Definition[]): { values: unknown; repairs: number } => {
  const result = check(name, given, tools);
  if (!result.ok) throw new Error(result.reason);
  return { values: result.call.arguments, repairs: result.repairs.length };
};
const reason = (name: unknown, given: unknown, tools?: readonly Definition[]): string => {
  const result = check(name, given, tools);
  return result.ok ? `ran with ${JSON.stringify(result.call.arguments)}` : result.reason;
};

test('a right call passes unchanged', () =>
  expect(checkCall({ name: 'convert_units', arguments: { value: 2.5, source: 'km', target: 'miles' } }, page)).toEqual({
    ok: true,
    call: { name: 'convert_units', arguments: { value: 2.5, source: 'km', target: 'miles' } },
    repairs: [],
  }));

test.each<[string, object, object]>([
  ['set_timer', { minutes: '10' }, { minutes: 10 }],
  ['set_timer', { minutes: ' 10.0 ' }, { minutes: 10 }],
  ['set_timer', { minutes: '10 minutes' }, { minutes: 10 }],
  ['set_timer', { minutes: 'zehn' }, { minutes: 10 }],
  ['set_timer', { minutes: 'ten' }, { minutes: 10 }],
  ['set_timer', { Minutes: 10 }, { minutes: 10 }],
  ['set_volume', { percent: '50%' }, { percent: 50 }],
  ['set_volume', { percent: '50 percent' }, { percent: 50 }],
  ['convert_units', { value: '2,5', source: 'km', target: '"miles"' }, { value: 2.5, source: 'km', target: 'miles' }],
  ['get_time', { city: " 'Paris' " }, { city: 'Paris' }],
  ['add_note', { text: '“tea”' }, { text: 'tea' }],
  ['add_note', { text: 12 }, { text: '12' }],
  ['set_alarm', { time: '7:30' }, { time: '07:30' }],
  ['set_alarm', { time: '7.30' }, { time: '07:30' }],
  ['set_alarm', { time: '7 pm' }, { time: '19:00' }],
  ['set_alarm', { time: '19h' }, { time: '19:00' }],
  ['set_alarm', { time: '"07:30"' }, { time: '07:30' }],
  ['set_alarm', { time: 'halb acht' }, { time: '07:30' }],
  ['set_alarm', { time: 'viertel nach sieben' }, { time: '07:15' }],
  ['set_alarm', { time: 7 }, { time: '07:00' }],
])('%s %j is repaired', (name, given, values) => {
  const result = checked(name, given);
  expect(result.values).toEqual(values);
  expect(result.repairs).toBeGreaterThan(0);
});

test('10.0 is 10, a name in another spelling is the tool', () => {
  expect(checked('set_timer', { minutes: 10.0 })).toEqual({ values: { minutes: 10 }, repairs: 0 });
  expect(check('setTimer', { minutes: 1 })).toMatchObject({ ok: true, call: { name: 'set_timer' } });
  expect(check('set-timer', { minutes: 1 })).toMatchObject({ ok: true, call: { name: 'set_timer' } });
  expect(checked('mixed', { pageSize: '3' }, odd).values).toEqual({ page_size: 3 });
});

test('choices, booleans, lists and objects', () => {
  expect(checked('pick', { colour: 'dark' }, odd).values).toEqual({ colour: 'Dark' });
  expect(reason('pick', { colour: 'pink' }, odd)).toBe('The colour of pick is "pink". It must be one of: Light, Dark.');
  expect(checked('mixed', { flag: 'True', list: [1], thing: { a: 1 }, any: [2] }, odd).values).toEqual({
    flag: true,
    list: [1],
    thing: { a: 1 },
    any: [2],
  });
  expect(checked('mixed', {}, odd).values).toEqual({});
  expect(checked('mixed', undefined, odd).values).toEqual({});
  expect(reason('mixed', { flag: 'perhaps' }, odd)).toMatch(/must be true or false/);
  expect(reason('mixed', { list: { 0: 1 } }, odd)).toMatch(/must be a list/);
  expect(reason('mixed', { thing: [1] }, odd)).toMatch(/must be an object/);
});

test.each<[unknown, unknown, RegExp]>([
  ['order_pizza', {}, /no tool "order_pizza". The tools are: set_timer, /],
  ['', {}, /names no tool/],
  [7, {}, /names no tool/],
  ['set_timer', {}, /set_timer needs minutes \(Length in minutes\)/],
  ['set_timer', null, /needs minutes/],
  ['set_timer', { minutes: null }, /needs minutes/],
  ['set_timer', { minutes: '  ' }, /needs minutes/],
  ['set_timer', { duration: 10 }, /no argument "duration". Its arguments are: minutes/],
  ['set_timer', { minutes: 10, seconds: 5 }, /no argument "seconds"/],
  ['set_timer', { minutes: 10, MINUTES: 11 }, /no argument "MINUTES"/],
  ['set_timer', { minutes: 10.5 }, /must be a whole number/],
  ['set_timer', { minutes: '10 hours' }, /must be a whole number/],
  ['set_timer', { minutes: '1,000' }, /must be a whole number/],
  ['set_timer', { minutes: Number.NaN }, /is NaN. It must be a whole number/],
  ['set_timer', { minutes: Infinity }, /whole number/],
  ['set_timer', { minutes: 1e300 }, /whole number/],
  ['set_timer', { minutes: [10] }, /whole number/],
  ['set_timer', { minutes: true }, /whole number/],
  ['set_timer', { minutes: '9'.repeat(5000) }, /whole number/],
  ['set_timer', [10], /must be named/],
  ['set_timer', '10', /must be named/],
  ['set_alarm', { time: 'soon' }, /must be a time such as 07:30/],
  ['set_alarm', { time: '25:00' }, /must be a time/],
  ['set_alarm', { time: 7.3 }, /must be a time/],
  ['set_alarm', { time: '7:30 or 8:30' }, /must be a time/],
  ['get_time', { city: ['Paris'] }, /must be a text/],
  ['get_time', { city: { name: 'Paris' } }, /must be a text/],
  ['get_time', { city: true }, /must be a text/],
  ['add_note', { text: 'x'.repeat(LONGEST_TEXT + 1) }, /2001 characters. At most 2000/],
  ['__proto__', {}, /no tool/],
  ['constructor', {}, /no tool/],
  ['set_timer', JSON.parse('{"__proto__": {"minutes": 5}}'), /no argument "__proto__"/],
  ['set_timer', JSON.parse('{"minutes": 5, "__proto__": 1}'), /no argument "__proto__"/],
  ['set_timer', { constructor: 5 }, /no argument "constructor"/],
  ['set_timer', Object.create({ minutes: 5 }), /needs minutes/],
])('%j %j is refused', (name, given, message) => expect(reason(name, given)).toMatch(message));

test('two readings are none', () => {
  expect(reason('twin', { SOMEVALUE: 'x' }, odd)).toMatch(/no argument "SOMEVALUE"/);
  expect(reason('ab', {}, [define('a_b', '', {}), define('aB', '', {})])).toMatch(/no tool "ab"/);
});

test('anything may come', () => {
  const loop: Record<string, unknown> = {};
  loop.minutes = loop;
  for (const call of [
    undefined,
    null,
    7,
    'x',
    [],
    {},
    { name: {} },
    { name: 'set_timer', arguments: loop },
    { name: 'set_timer', arguments: { minutes: 10n } },
    { name: 'set_timer', arguments: { minutes: Symbol('x') } },
  ])
    expect(checkCall(call, page)).toMatchObject({ ok: false, reason: expect.stringMatching(/\.$/) });
  expect(checkCall({ name: 'set_timer', arguments: { minutes: 1 } }, [])).toEqual({
    ok: false,
    reason: 'There is no tool "set_timer". The tools are: none.',
  });
  expect(reason('y'.repeat(100_000), {}).length).toBeLessThan(400);
});
