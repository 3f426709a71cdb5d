import { expect, test } from 'vitest';
import { turnIn, type KeptCall, type Turn } from './history';
import { lookIn } from './page_host';

const call: KeptCall = {
  name: 'set_timer',
  title: 'Timer',
  arguments: { minutes: 10 },
  state: 'done',
  summary: 'It runs.',
  value: { started: true },
  brief: 'ok',
  repairs: [],
  ms: 1,
  live: { id: 'a', kind: 'timer', title: 'Timer for 10 minutes', start: 1, end: 2 },
  ended: 'rang',
};

test('a stored turn comes back whole', () => {
  const turn: Turn = {
    role: 'assistant',
    content: 'It runs.',
    note: '10 tokens',
    reasoning: 'hm',
    steps: [{ text: 'x', reasoning: 'first', calls: [call] }],
    offer: 'unanswered',
  };
  expect(turnIn(JSON.parse(JSON.stringify(turn)))).toEqual(turn);
});

test('what is damaged is left out', () => {
  for (const given of [
    null,
    7,
    'x',
    [],
    {},
    { role: 'tool', content: 'x' },
    { role: 'user', content: 1 },
    { role: 'user', content: 'x', note: 1 },
  ])
    expect(turnIn(given)).toBeUndefined();
  const plain = { role: 'assistant', content: 'x' };
  for (const more of [
    { reasoning: 7 },
    { steps: 'x' },
    { steps: [] },
    { steps: [null, { text: 1, reasoning: 'x', calls: [] }] },
    { offer: 'free' },
  ])
    expect(turnIn({ ...plain, ...more })).toEqual(plain);
  const calls = [
    null,
    3,
    { ...call, state: 'hacked' },
    { ...call, summary: {} },
    { ...call, live: { id: 1 }, ended: 'no', arguments: [], value: 'v', repairs: [1, 'r'], ms: 'x', entry: [] },
  ];
  const { live: _live, ended: _ended, ...rest } = call;
  expect(turnIn({ ...plain, steps: [{ text: '', calls }] })?.steps).toEqual([
    { text: '', calls: [{ ...rest, arguments: {}, value: {}, repairs: ['r'], ms: 0 }] },
  ]);
});

test('a stored look that is damaged is the usual one', () => {
  const usual = { theme: 'system', zoom: 100, volume: 70 };
  for (const stored of [null, 1, 'x', [], { theme: 'pink', zoom: 999, volume: '3' }])
    expect(lookIn(stored)).toEqual(usual);
  expect(lookIn({ theme: 'dark', zoom: 150, volume: 0 })).toEqual({ theme: 'dark', zoom: 150, volume: 0 });
});
