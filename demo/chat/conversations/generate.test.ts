import { expect, test } from 'vitest';
import type { AnswerPart, GenerationResult, Message, Model } from '../../../src/index';
import { describeResult, figuresIn, generate } from './generate';

const result: GenerationResult = {
  text: 'ab',
  finish: 'stop',
  promptTokens: 1,
  reusedTokens: 0,
  tokens: 2,
  seed: 0,
  prefillMs: 1,
  decodeMs: 1,
  firstTokenMs: 50,
  tokensPerSecond: 20,
};
const messages: Message[] = ['s', '1', '2', '3'].map((content, i) => ({ role: i ? 'user' : 'system', content }));

/** A model whose context takes this many messages. */
function model(room: number, asked: Message[][], error?: Error): Pick<Model, 'chat'> {
  return {
    chat(given) {
      asked.push([...given]);
      const failure = given.length > room ? Object.assign(new Error('too long'), { name: 'ContextError' }) : error;
      const outcome = failure ? Promise.reject(failure) : Promise.resolve(result);
      outcome.catch(() => undefined);
      async function* parts(): AsyncGenerator<AnswerPart> {
        if (failure) throw failure;
        yield { type: 'reasoning', text: 'x' };
        yield { type: 'text', text: 'a' };
        yield { type: 'text', text: 'b' };
      }
      return {
        result: outcome,
        parts: parts(),
        [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(new Error('the thinking is lost')) }),
      };
    },
  };
}
const options = (): { signal: AbortSignal } => ({ signal: new AbortController().signal });

test('a prompt that is too long after all loses its oldest requests, one by one', async () => {
  const asked: Message[][] = [];
  const texts: string[] = [];
  expect(
    await generate(model(2, asked), messages, options(), (text, reasoning) => texts.push(`${reasoning} ${text}`)),
  ).toEqual({ text: 'ab', reasoning: 'x', result });
  expect(asked.map((given) => given.map(({ content }) => content).join(''))).toEqual(['s123', 's23', 's3']);
  expect(texts).toEqual(['x ', 'x a', 'x ab']);
});

test('the last request is not left out, and other errors are not tried again', async () => {
  const asked: Message[][] = [];
  await expect(generate(model(1, asked), messages, options(), () => undefined)).rejects.toThrow('too long');
  expect(asked).toHaveLength(3);
  await expect(generate(model(9, [], new Error('lost')), messages, options(), () => undefined)).rejects.toThrow('lost');
});

test('the line under a reply', () => {
  expect(describeResult({ ...result, finish: 'length' })).toBe(
    '2 tokens · 20\u00a0tok/s · 50\u00a0ms to first token · stopped at the length limit',
  );
  expect(describeResult({ ...result, tokens: 1, finish: 'abort' })).toBe('stopped');
});

test('the part of that line that is about speed', () => {
  const cut = describeResult({ ...result, tokens: 1234, finish: 'length' });
  expect(cut.slice(figuresIn(cut).length)).toBe('stopped at the length limit');
  const whole = describeResult(result);
  expect(figuresIn(whole)).toBe(whole);
  for (const note of ['stopped', 'interrupted', '']) expect(figuresIn(note)).toBe('');
});
