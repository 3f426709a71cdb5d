import { expect, it } from 'vitest';
import { readChoices, readMessages, readPrompt, readTokenIds } from './read_arguments';

it.each(['system', 'developer', 'user', 'assistant', 'tool'])('takes messages of the role %s', (role) => {
  expect(readMessages([{ role, content: 'x', remove() {} }])).toEqual([{ role, content: 'x' }]);
});

it('refuses a role that does not exist, with the nearest one', () => {
  const error = expect.objectContaining({
    name: 'RequestError',
    message: expect.stringContaining('"humann" is no known role, wanted user. The roles are system,'),
  });
  expect(() =>
    readMessages([
      { role: 'user', content: 'x' },
      { role: 'humann', content: 'x' },
    ]),
  ).toThrow(error);
});

it('leaves what is no list of messages to the chat template', () => {
  for (const messages of [undefined, 'x', [null], [{}]]) expect(readMessages(messages)).toEqual(messages);
});

it('takes token ids as a list, a proxy or a typed array', () => {
  for (const ids of [[1, 2], new Proxy([1, 2], {}), Uint32Array.of(1, 2)]) {
    expect(readPrompt(ids as number[])).toEqual([1, 2]);
    expect(readTokenIds(ids as number[])).toEqual([1, 2]);
  }
  expect(readPrompt('x')).toBe('x');
});

it('refuses anything else as a prompt', () => {
  for (const prompt of [5, undefined, { 0: 1 }, new Uint8Array(100e6), new DataView(new ArrayBuffer(4))])
    expect(() => readPrompt(prompt as never)).toThrow(expect.objectContaining({ name: 'RequestError' }));
});

it('takes different texts as choices, and nothing else', () => {
  expect(readChoices(['yes', 'no'])).toEqual(['yes', 'no']);
  for (const choices of [[], ['yes', ''], ['yes', 'yes'], ['yes', 5], 'yes', undefined])
    expect(() => readChoices(choices as never)).toThrow(/choices is not valid: .* a list of different texts/);
});
