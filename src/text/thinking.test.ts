import { expect, it } from 'vitest';
import { createThinkingSplitter, thinkingBegun, withoutThinking } from './thinking';

const run = (pieces: string[], begun = ''): [string, string] => {
  const whole = { reasoning: '', text: '' };
  const { push, flush } = createThinkingSplitter((text, type) => {
    expect(text).not.toBe('');
    whole[type] += text;
  }, begun);
  pieces.forEach(push);
  flush();
  return [whole.reasoning, whole.text];
};

it.each<[string, string, string, string, string?]>([
  ['no thinking', ' Hello\n you ', '', ' Hello\n you '],
  ['at the beginning', '<think>Let me see.</think>\n\nHello you', 'Let me see.', 'Hello you'],
  ['white space around it', ' \n<think>\n\n  a\n b \n\n</think> \n Hello ', 'a\n b', 'Hello '],
  ['begun by the prompt', 'Well.</think>Good day', 'Well.', 'Good day', '<think>'],
  ['begun by the prompt, and by the model again', '\n<think>\nWell.</think>Good day', 'Well.', 'Good day', '<think>'],
  ['no thought in it', '<think>\n\n</think>\n\nHello', '', 'Hello'],
  ['twice', '<think>a</think>\n<think>b</think>c', 'ab', 'c'],
  ['its end alone', '\n</think>\n\nHello', '', 'Hello'],
  ['its end twice', '<think>a</think></think>b', 'a', 'b'],
  ['a mark inside it', '<think>a <think> of b</think>c </think> d', 'a <think> of b', 'c </think> d'],
  ['no end', '<think>one two \n', 'one two', ''],
  ['half an end', '<think>one two</thi', 'one two', ''],
  ['half a beginning', ' <thi', '', ' '],
  ['what is not an end', '<think>1 < 2 </thing></think>a', '1 < 2 </thing>', 'a'],
  ['what is not a beginning', '<thin>a', '', '<thin>a'],
  ['in the middle of an answer', 'Write <think> first.</think>', '', 'Write <think> first.</think>'],
  ['behind an answer that the prompt holds', '<think> is a mark', '', '<think> is a mark', 'The word'],
  ['behind thinking that the prompt holds', ' two</think>three', ' two', 'three', '<think>one'],
  ['one character', '<', '', '<'],
  ['only white space', ' \n', '', ' \n'],
])('%s', (_, text, reasoning, answer, begun) => {
  for (const size of [1, 2, 3, 7, 1000])
    expect(run(text.match(new RegExp(`[^]{1,${size}}`, 'g'))!, begun)).toEqual([reasoning, answer]);
  if (begun === undefined && !text.endsWith('<thi')) expect(withoutThinking(text)).toBe(answer);
});

it('shows each piece as soon as it is certain', () => {
  let shown: string[] = [];
  const { push } = createThinkingSplitter((text) => shown.push(text), '');
  const after = (piece: string): string => {
    shown = [];
    push(piece);
    return shown.join('|');
  };
  expect(['<think>', 'a', ' b', ' ', '<', 'c', '</', 'think>', ' ', 'd'].map(after)).toEqual([
    '',
    'a',
    ' b',
    '',
    '',
    ' <c',
    '',
    '',
    '',
    'd',
  ]);
});

it('knows a prompt that begins the thinking', () => {
  expect(['assistant\n<think>', '<think>\n\n'].map(thinkingBegun)).toEqual(['<think>', '<think>']);
  expect(['assistant\n', '<think></think>', '<think> a'].map(thinkingBegun)).toEqual(['', '', '']);
});

it('takes time by the length of the text', () => {
  const { push, flush } = createThinkingSplitter(() => undefined, '');
  const start = performance.now();
  push('<think>');
  for (let i = 0; i < 200_000; i++) push(i % 2 ? ' \n' : '   ');
  for (let i = 0; i < 200_000; i++) push('</think');
  flush();
  expect(performance.now() - start).toBeLessThan(2000);
});
