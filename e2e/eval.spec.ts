/** How `npm run eval` judges an answer, and the form of the held-out requests in words that the grammar never has. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { checkCall } from '../demo/chat/tools/check_call';
import type { Definition } from '../demo/chat/tools/tool';
import { judge, readCases, SETS, type Case } from './tools/eval';
import { nameOf, unseen } from './tools/unseen_words';

const call = (text: string): string => `<|tool_call_start|>[${text}]<|tool_call_end|>`;
const given = (expected: Case['expect']): Case => ({ messages: [{ role: 'user', content: 'x' }], expect: expected });
const judged = (expected: Case['expect'], answer: string): [boolean, boolean] => {
  const { exact, decided } = judge(given(expected), answer);
  return [exact, decided];
};

describe('an answer is judged', () => {
  const wanted = { calls: [{ name: 'set_alarm', arguments: { time: '07:30' }, accept: { time: ['7:30'] } }] };
  test.each([
    ['set_alarm(time="07:30")', true],
    ['set_alarm(time=" 7:30 ")', true],
    ['set_alarm(time="17:30")', false],
    ['set_alarm(time=730)', false],
    ['set_alarm(hour="07:30")', false],
    ['set_alarm(time="07:30", day="Monday")', false],
    ['set_timer(time="07:30")', false],
    ['set_alarm(time="07:30"), set_alarm(time="07:30")', false],
  ])('%s', (text, right) => expect(judged(wanted, call(text))).toEqual([right, true]));

  test('a broken call and plain words are no call that was wanted', () => {
    expect(judged(wanted, call('set_alarm(time='))).toEqual([false, true]);
    expect(judged(wanted, 'At what time?')).toEqual([false, false]);
    expect(
      judged(
        {
          calls: [
            { name: 'a', arguments: {} },
            { name: 'b', arguments: {} },
          ],
        },
        call('b(), a()'),
      ),
    ).toEqual([false, true]);
  });

  test('where no call is wanted, by what its words say', () => {
    expect(judged({ none: true }, 'No.')).toEqual([true, true]);
    expect(judged({ none: true }, call('f()'))).toEqual([false, false]);
    expect(judged({ none: true, says: '\\?' }, 'Which one?')).toEqual([true, true]);
    expect(judged({ none: true, says: '\\?' }, 'No.')).toEqual([false, true]);
    expect(judged({ none: true, says: 'weiß' }, 'Das WEISS\nich nicht, das weiß keiner.')).toEqual([true, true]);
  });
});

test('unseen words: no word of the recipe, no short word, and outside the values', () => {
  const one = (content: string, value: string): Case => ({
    messages: [{ role: 'user', content }],
    tools: [{ type: 'function', function: { name: 'book_table' } }, { name: 'set_alarm' }],
    expect: { calls: [{ name: 'book_table', arguments: { restaurant: value } }] },
  });
  const cases = [
    one('Reserve a table at Chez Paul', 'Chez Paul'),
    one('table for Luigi please', 'Luigi'),
    one('with the table', 'table'),
    { messages: [], expect: { none: true } },
  ];
  expect(unseen(cases, 'a table at set_alarm')).toEqual({
    requests: 3,
    withUnseenWord: 2,
    outsideValues: 1,
    tools: 2,
    unseenTools: 1,
  });
});

describe('the held-out requests in words that the grammar never has', () => {
  const cases = readCases(SETS.words);
  const requests = cases.map(({ messages }) => String(messages.at(-1)?.content));
  const definition = (tool: object): Definition => ('function' in tool ? tool.function : tool) as Definition;

  test('are at least 300 different ones, and none is of the first minute', () => {
    expect(new Set(requests).size).toBe(cases.length);
    expect(cases.length).toBeGreaterThanOrEqual(300);
    const asked = readFileSync(new URL('first_minute.jsonl', import.meta.url), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).request);
    expect(requests.filter((request) => asked.includes(request))).toEqual([]);
  });

  test('a quarter and more want no call, a third is German, and over 60 foreign tools are called', () => {
    const share = (test: (each: Case) => unknown): number => cases.filter(test).length / cases.length;
    expect(share(({ expect: wanted }) => wanted.none)).toBeGreaterThan(0.25);
    expect(share(({ skill }) => /German/.test(skill ?? ''))).toBeGreaterThan(0.32);
    const called = cases.flatMap(({ tools = [], expect: wanted }) =>
      (wanted.calls ?? []).map(({ name }) => tools.find((tool) => nameOf(tool) === name)),
    );
    expect(called.every((tool) => tool !== undefined)).toBe(true);
    expect(
      new Set(called.filter((tool) => tool && 'function' in tool).map((tool) => nameOf(tool!))).size,
    ).toBeGreaterThan(60);
  });

  test('every wanted call fits the tool that is offered, without a repair', () => {
    for (const { tools = [], expect: wanted } of cases)
      for (const { name, arguments: values } of wanted.calls ?? []) {
        const result = checkCall({ name, arguments: values }, tools.map(definition));
        expect(result).toMatchObject({ ok: true, call: { name, arguments: values }, repairs: [] });
      }
  });

  test('no value is made up: a text stands in the request, or is one of the words that a tool allows', () => {
    for (const { messages, tools = [], expect: wanted } of cases)
      for (const { name, arguments: values, accept = {} } of wanted.calls ?? []) {
        const { properties } = definition(tools.find((tool) => nameOf(tool) === name)!).parameters;
        for (const [key, value] of Object.entries(values)) {
          if (typeof value !== 'string' || properties[key].enum || /^\d\d:\d\d$/.test(value)) continue;
          const request = messages
            .map(({ content }) => content)
            .join(' ')
            .toLowerCase();
          const possible = [value, ...(accept[key] ?? [])].map((text) => String(text).toLowerCase());
          expect(
            possible.some(
              (text) => request.includes(text) || /^(?:[\d.]+ [-*/] [\d.]+|\d+% of [\d.]+|sqrt\(\d+\))$/.test(text),
            ),
            `${key}=${value}`,
          ).toBe(true);
        }
      }
  });
});
