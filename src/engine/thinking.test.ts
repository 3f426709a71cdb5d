/**
 * Thinking and answer apart, the whole way from a file: its tokenizer, its chat template, and what the model says token
 * by token.
 */
import { expect, it, vi } from 'vitest';
import { scriptedGguf, type Piece } from '../../e2e/tools/scripted_model';
import { openReferenceBackend } from '../backend/reference/backend';
import { memorySource } from '../store/byte_source';
import { createEngine, type ChatOptions, type EngineWorkerCalls } from './engine';
import type { GenerationResult } from './generate';

// the real backends have their own tests, in browsers
vi.mock('../backend/wasm/backend', () => ({ openWasmBackend: vi.fn() }));
vi.mock('../backend/webgpu/backend', () => ({ openWebGpuBackend: vi.fn() }));

async function load(pieces: Piece[], opening = ''): Promise<EngineWorkerCalls> {
  const file = memorySource('scripted.gguf', scriptedGguf(pieces, { opening }));
  const nothing = async (): Promise<void> => undefined;
  const engine = createEngine({
    open: async () => ({
      id: 'test/scripted',
      files: [file],
      cached: false,
      notes: [],
      finish: nothing,
      close: nothing,
      discard: nothing,
    }),
    candidates: () => [{ name: 'reference', label: 'Reference', open: openReferenceBackend }],
  });
  await engine.load('test/scripted', { contextLength: 128 });
  return engine;
}

/** The result, and the emitted pieces joined. */
async function chat(
  engine: EngineWorkerCalls,
  options: ChatOptions = {},
  messages = [{ role: 'user', content: 'hi' }],
): Promise<{ result: GenerationResult; streamed: { reasoning: string; text: string } }> {
  const streamed = { reasoning: '', text: '' };
  const order: string[] = [];
  const result = await engine.chat(
    messages,
    { temperature: 0, repetitionPenalty: 1, ...options },
    (text, type) => (order.push(type), (streamed[type] += text)),
  );
  expect(order.lastIndexOf('reasoning')).toBeLessThan(order.includes('text') ? order.indexOf('text') : order.length);
  expect(streamed).toEqual({ reasoning: result.reasoning ?? '', text: result.text });
  return { result, streamed };
}

const CALL = ['<|tool_call_start|>', '[bad()]', '<|tool_call_end|>'];

it.each<[string, Piece[], string, ChatOptions, string | undefined, string]>([
  [
    'thinking at the beginning',
    ['<think>', 'Let me', ' see.', '</think>', '\n\n', 'Hello', ' you'],
    '',
    {},
    'Let me see.',
    'Hello you',
  ],
  ['marks in two tokens', ['<th', 'ink>', 'hm', '</', 'thi', 'nk>', 'Yes', '.'], '', {}, 'hm', 'Yes.'],
  [
    'marks that are control tokens',
    [{ special: '<think>' }, 'hm', { special: '</think>' }, 'Yes', '.'],
    '',
    {},
    'hm',
    'Yes.',
  ],
  [
    'marks that are added tokens',
    [{ added: '<think>' }, 'hm', { added: '</think>' }, 'Yes', '.'],
    '',
    {},
    'hm',
    'Yes.',
  ],
  [
    'begun by the template',
    ['Let me', ' see.', '</think>', '\nHello', ' you'],
    '<think>',
    {},
    'Let me see.',
    'Hello you',
  ],
  [
    'begun by the template with a new line',
    ['Well', '.', '</think>', 'Good', ' day'],
    '<think>\\n',
    {},
    'Well.',
    'Good day',
  ],
  [
    'begun by the template with a control token',
    [{ special: '<think>' }, 'Well', '.', { special: '</think>' }, 'Good', ' day'],
    '<think>',
    {},
    'Well.',
    'Good day',
  ],
  ['cut off', ['<think>', 'one', ' two', ' three', '</think>', 'four'], '', { maxTokens: 3 }, 'one two', ''],
  [
    'begun by the template and cut off',
    ['one', ' two', ' three', '</think>', 'four'],
    '<think>',
    { maxTokens: 2 },
    'one two',
    '',
  ],
  ['cut off in the mark', ['<think>', 'one', '</', 'think>', 'two'], '', { maxTokens: 3 }, 'one', ''],
  ['without an end', ['<think>', 'one', ' two'], '', {}, 'one two', ''],
  [
    'a call inside',
    ['<think>', 'maybe ', ...CALL, '</think>', 'So', ' good'],
    '',
    {},
    `maybe ${CALL.join('')}`,
    'So good',
  ],
  [
    'a character of two tokens',
    ['<think>', new Uint8Array([0xf0, 0x9f]), new Uint8Array([0xa6, 0x80]), '</think>', 'crab'],
    '',
    {},
    '🦀',
    'crab',
  ],
  [
    'a stop string inside',
    ['<think>', 'a', ' END', ' b', '</think>', 'done', ' now'],
    '',
    { stop: ['END'] },
    'a END b',
    'done now',
  ],
  ['a stop string behind', ['<think>', 'a', '</think>', 'done', ' END', ' now'], '', { stop: ['END'] }, 'a', 'done '],
  [
    'a mark in the middle of an answer',
    ['Write', ' <think>', ' first', '.'],
    '',
    {},
    undefined,
    'Write <think> first.',
  ],
])('%s', async (_, pieces, opening, options, reasoning, text) => {
  const { result } = await chat(await load(pieces, opening), options);
  expect([result.reasoning, result.text]).toEqual([reasoning, text]);
});

it('goes on thinking where the last message ends in it', async () => {
  const engine = await load([
    { added: '<think>' },
    { added: 'one' },
    { added: ' two' },
    ' three',
    { added: '</think>' },
    'four',
  ]);
  const going = (content: string): Promise<string[]> =>
    chat(engine, { continueFinalMessage: true }, [
      { role: 'user', content: 'hi' },
      { role: 'assistant', content },
    ]).then(({ result }) => [result.reasoning ?? '', result.text]);
  expect(await going('<think>one two')).toEqual([' three', 'four']);
  expect(await going('<think>one two three</think>')).toEqual(['', 'four']);
  expect(await going('So: <think>one two')).toEqual(['', ' three</think>four']);
});

it('leaves a text without a chat template as the model writes it', async () => {
  const engine = await load(['<think>', 'a', '</think>', 'b']);
  const { text, reasoning } = await engine.generate('hi', { temperature: 0, repetitionPenalty: 1 }, () => undefined);
  expect([text, reasoning]).toEqual(['<think>a</think>b', undefined]);
});
