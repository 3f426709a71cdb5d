import { expect, test } from 'vitest';
import { placesIn } from './find_text';
import type { KeptCall } from './history';

const call: KeptCall = {
  name: 'calculate',
  arguments: {},
  title: 'Calculator',
  state: 'done',
  summary: '17 * 23 = 391',
  value: {},
  brief: '391',
  repairs: [],
  ms: 0,
};

test('text is found in the words of a message and on its cards, whatever its case', () => {
  const message = {
    content: 'The SUM is 391. No other sum.',
    steps: [{ text: 'I sum up.<|tool_call_start|>[calculate(expression="17 * 23")]<|tool_call_end|>', calls: [call] }],
  };
  expect(placesIn(message, 'Sum')).toBe(3);
  expect(placesIn(message, '391')).toBe(2);
  expect(placesIn(message, 'tool_call')).toBe(0);
  expect(placesIn(message, '')).toBe(0);
});

test('places do not overlap', () => expect(placesIn({ content: 'aaaaa' }, 'aa')).toBe(2));
