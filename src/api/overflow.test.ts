import { expect, it } from 'vitest';
import { RivuletError } from '../errors';
import type { Message } from '../text/history';
import type { Overflow } from './options';
import { withOverflow, withoutMiddle } from './overflow';

const turn = (role: string, content: string): Message => ({ role, content });
const conversation = [
  turn('system', 'short answers'),
  turn('user', 'one'),
  turn('assistant', 'a'),
  turn('tool', 'b'),
  turn('user', 'two'),
  turn('assistant', 'c'),
  turn('user', 'three'),
];
const texts = (messages: readonly Message[]): string => messages.map(({ content }) => content).join(' ');

/** A call that takes so many messages, and what it was given. */
function callOf(most: number) {
  const given: string[] = [];
  const call = async (messages: Message[], options: object) => {
    given.push(`${texts(messages)} ${JSON.stringify(options)}`);
    if (messages.length > most) throw new RivuletError('ContextError', { what: `more than ${most}` });
    return { text: texts(messages) };
  };
  return { given, call };
}

it('leaves out the oldest request with its replies; the system and the last request stay', () => {
  const once = withoutMiddle(conversation)!;
  expect(texts(once)).toBe('short answers two c three');
  const twice = withoutMiddle(once)!;
  expect(texts(twice)).toBe('short answers three');
  expect(withoutMiddle(twice)).toBeUndefined();
  expect(withoutMiddle([turn('system', 'x')])).toBeUndefined();
  expect(texts(withoutMiddle([turn('assistant', 'hello'), ...conversation.slice(1)])!)).toBe('one a b two c three');
});

it('calls with fewer messages until they fit, and tells how many it left out', async () => {
  const { call, given } = callOf(2);
  expect(await withOverflow(conversation, 'dropMiddle', call)).toEqual({ text: 'short answers three', dropped: 5 });
  expect(given.length).toBe(3);
  expect(given[0]).toMatch(/"keepRoom":true/);
  expect(await withOverflow(conversation, 'dropMiddle', callOf(9).call)).toEqual({ text: texts(conversation) });
  await expect(withOverflow(conversation, 'dropMiddle', callOf(1).call)).rejects.toThrow('more than 1');
});

it('is an error by default, whatever fits', async () => {
  const { call, given } = callOf(2);
  await expect(withOverflow(conversation, 'error', call)).rejects.toThrow('more than 2');
  expect(given).toEqual([`${texts(conversation)} {}`]);
});

it('takes what a function makes of the messages, as long as they get shorter', async () => {
  const summary: Overflow = async ([system, ...rest]) => [system, turn('user', `before: ${rest.length}`), rest.at(-1)!];
  expect(await withOverflow(conversation, summary, callOf(3).call)).toEqual({
    text: 'short answers before: 6 three',
    dropped: 4,
  });
  for (const useless of [(all) => all, (all) => [...all, ...all]] as Overflow[])
    await expect(withOverflow(conversation, useless, callOf(3).call)).rejects.toThrow('more than 3');
  const broken: Overflow = () => [turn('robot', 'x')];
  await expect(withOverflow(conversation, broken, callOf(3).call)).rejects.toThrow(/no known role/);
  const thrown: Overflow = () => Promise.reject(new Error('no summary'));
  await expect(withOverflow(conversation, thrown, callOf(3).call)).rejects.toThrow('no summary');
  for (const nothing of [null, undefined, 0]) {
    const none: Overflow = () => {
      throw nothing;
    };
    await expect(withOverflow(conversation, none, callOf(3).call)).rejects.toMatchObject({
      name: 'RequestError',
      message: expect.stringMatching(/The function overflow failed/),
    });
  }
});

it('gives a function a copy: it may change it and return it', async () => {
  const spliced: Overflow = (all) => (all.splice(1, 4), all);
  expect(await withOverflow(conversation, spliced, callOf(3).call)).toEqual({
    text: 'short answers c three',
    dropped: 4,
  });
  const emptied: Overflow = (all) => (all.forEach((message) => (message.content = '')), all);
  const { call, given } = callOf(6);
  await expect(withOverflow(conversation, emptied, call)).rejects.toThrow('more than 6');
  expect(given.length).toBe(2); // the texts went, and then nothing became shorter
  expect(texts(conversation)).toBe('short answers one a b two c three');
});

it('does not wait for a function after an abort', async () => {
  const controller = new AbortController();
  const call = async (messages: Message[]) => {
    if (controller.signal.aborted) return { text: 'aborted' };
    throw new RivuletError('ContextError', { what: `${messages.length} are too many` });
  };
  const asked: Overflow = () => (controller.abort(), new Promise(() => undefined));
  expect(await withOverflow(conversation, asked, call, controller.signal)).toEqual({ text: 'aborted' });
});

it('passes on any other error', async () => {
  const call = () => Promise.reject(new RivuletError('DeviceError', { what: 'gone' }));
  await expect(withOverflow(conversation, 'dropMiddle', call)).rejects.toThrow('gone');
});
