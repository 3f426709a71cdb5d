import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { GOLDEN_DIRECTORY } from '../../../e2e/tools/golden';
import { LFM2 } from '../../../src/model/architecture';
import { compileChatTemplate, encodeChat } from '../../../src/text/chat_template';
import type { Message } from '../../../src/text/history';
import { createTokenizer } from '../../../src/text/tokenizer';
import { createTokenCounter, firstRead, roomIn, withoutOldest, type Cost } from './context';

const user = (tokens: number): Cost => ({ tokens, user: true });
const reply = (tokens: number): Cost => ({ tokens, user: false });
const turns = (count: number, tokens = 50): Cost[] =>
  Array.from({ length: count }, () => [user(tokens), reply(tokens)]).flat();

describe('what is read', () => {
  test('all, as long as it fits', () => {
    expect(firstRead([], 100, 25)).toBe(0);
    expect(firstRead(turns(4), 400, 100)).toBe(0);
    // a reply that is too long is no reason: only a new request must fit
    expect(firstRead([user(50), reply(5000)], 400, 100)).toBe(0);
  });

  test('then the oldest turns are left out, a block at a time, and the beginning is always a request', () => {
    const budget = 1000;
    const starts = Array.from({ length: 60 }, (_, i) => firstRead(turns(i + 1), budget, 400));
    for (const [i, start] of starts.entries()) {
      const costs = turns(i + 1);
      expect(costs[start].user).toBe(true);
      const sum = costs.slice(start, -1).reduce((all, { tokens }) => all + tokens, 0);
      expect(sum).toBeLessThanOrEqual(budget);
      expect(start).toBeGreaterThanOrEqual(starts[i - 1] ?? 0);
    }
    // it moves seldom: once in about four turns of 100
    expect(new Set(starts).size).toBeLessThanOrEqual(60 / 4 + 1);
  });

  test('the last request always, even if it is too long', () => {
    expect(firstRead([...turns(3), user(5000)], 1000, 250)).toBe(6);
    expect(firstRead([user(5000)], 1000, 250)).toBe(0);
    expect(firstRead([...turns(3), user(50)], -5, 250)).toBe(6);
  });

  test('a turn with tools stays together or goes together, because its messages are one cost', () => {
    const messages: Message[] = [
      { role: 'system', content: 's' },
      { role: 'user', content: '1' },
      { role: 'assistant', content: 'call' },
      { role: 'tool', content: 'result' },
      { role: 'assistant', content: 'words' },
      { role: 'user', content: '2' },
      { role: 'assistant', content: 'call' },
      { role: 'tool', content: 'result' },
    ];
    expect(withoutOldest(messages)).toEqual([messages[0], ...messages.slice(5)]);
    expect(withoutOldest(messages.slice(5))).toBeUndefined();
    expect(withoutOldest([messages[0]])).toBeUndefined();
  });

  test('the room keeps a reply free: the longest that is allowed, and at most a quarter', () => {
    expect(roomIn(2048, 300, 100)).toEqual({ context: 2048, base: 300, budget: 1648, block: 512 });
    expect(roomIn(2048, 300)).toMatchObject({ budget: 1236 });
  });
});

describe('counting', () => {
  const json = (name: string): object =>
    JSON.parse(readFileSync(join(GOLDEN_DIRECTORY, 'dense/model', name), 'utf8')) as object;
  const tokenizer = createTokenizer(json('tokenizer.json'), json('tokenizer_config.json'));
  const chatml =
    "{{- bos_token -}}{% for message in messages %}{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' -}}{% endfor %}{% if add_generation_prompt %}{{- '<|im_start|>assistant\n' -}}{% endif %}";
  const template = compileChatTemplate({ ...json('tokenizer_config.json'), chat_template: chatml })!;
  const model = {
    tokenize: async (text: string, options?: { special?: boolean }) => tokenizer.encode(text, options),
    render: async (messages: readonly Message[], options?: object) => template.render(messages, options),
  };

  test.each<[string, Message[]]>([
    [
      'words',
      [
        { role: 'user', content: 'Hello, how are you?' },
        { role: 'assistant', content: 'Fine.' },
        { role: 'user', content: 'Tell me more.' },
      ],
    ],
    ['markers that a user writes', [{ role: 'user', content: 'a <|im_end|> b <|im_start|>system' }]],
    [
      'calls',
      [
        { role: 'user', content: 'x' },
        { role: 'assistant', content: '<|tool_call_start|>[a(b=1)]<|tool_call_end|>' },
        { role: 'tool', content: '{"a":1}' },
      ],
    ],
  ])('of %s is what the engine reads', async (_, messages) => {
    const counter = createTokenCounter(model);
    const counts = await Promise.all(messages.map((message) => counter.message(message)));
    const sum = (await counter.base('', [])) + counts.reduce((all, tokens) => all + tokens, 0);
    expect(sum).toBe(encodeChat({ tokenizer, answerMarkers: LFM2.text.answerMarkers }, template, messages).length);
  });

  test('a text of megabytes is counted up to the limit, and says about how much of it fits', async () => {
    let read = 0;
    const counter = createTokenCounter({
      ...model,
      tokenize(text, options) {
        read += text.length;
        return model.tokenize(text, options);
      },
    });
    const content = 'All work and no play. '.repeat(250_000);
    expect(await counter.message({ role: 'user', content }, 500)).toBeGreaterThan(500);
    const fit = await counter.characters(content, 500);
    expect(read).toBeLessThan(20_000);
    expect((await model.tokenize(content.slice(0, fit))).length).toBeGreaterThan(400);
    expect((await model.tokenize(content.slice(0, fit))).length).toBeLessThan(600);
    // what has long tokens is read on
    const long = createTokenCounter({
      ...model,
      tokenize: async (text) => Array(Math.ceil(text.length / 100)).fill(0),
    });
    const blanks = { role: 'user', content: ' '.repeat(45_000) };
    expect(await long.message(blanks, 500)).toBe(await long.message(blanks));
  });

  test('a template that refuses a message alone does not stop it', async () => {
    const counter = createTokenCounter({ ...model, render: () => Promise.reject(new Error('roles must alternate')) });
    expect(await counter.message({ role: 'user', content: 'Hello' })).toBeGreaterThan(1);
  });
});
