import { expect, it } from 'vitest';
import { collect, createScriptedModel, type ScriptedModel } from '../../e2e/scripted_model';
import { createOpenAI } from './create_openai';
import type { CompletionRequest } from './types';

const complete = (model: ScriptedModel, request: Partial<CompletionRequest>) =>
  createOpenAI({ m: model }).completions.create({ model: 'm', prompt: 'Once', ...request } as CompletionRequest & {
    stream?: false;
  });

it('continues texts and tokens: n for each, each with its figures', async () => {
  const model = createScriptedModel(' upon', ' a', ' time', '.');
  const { choices, usage, object } = await complete(model, { prompt: ['Once', 'Twice'], n: 2, seed: 3 });
  expect(object).toBe('text_completion');
  expect(choices.map(({ index, text, finish_reason }) => [index, text, finish_reason])).toEqual([
    [0, ' upon', 'stop'],
    [1, ' a', 'stop'],
    [2, ' time', 'stop'],
    [3, '.', 'stop'],
  ]);
  expect(model.calls.map(({ prompt, options }) => [prompt, options.seed, options.maxTokens])).toEqual([
    ['Once', 3, 16],
    ['Once', 4, 16],
    ['Twice', 3, 16],
    ['Twice', 4, 16],
  ]);
  expect(usage!.prompt_tokens).toBe(40);
  expect((await complete(createScriptedModel('a'), { prompt: [1, 2] })).choices[0].text).toBe('a');
});

it('echoes the prompt, gives log probabilities in the old form, keeps marks of thinking', async () => {
  const model = createScriptedModel('<think>x');
  const { choices } = await complete(model, { echo: true, logprobs: 1, max_tokens: 2 });
  expect(choices[0]).toEqual({
    index: 0,
    text: 'Once<think',
    logprobs: {
      tokens: ['<100>', '<101>'],
      token_logprobs: [-100, -101],
      top_logprobs: [{ '<100>': -100 }, { '<101>': -101 }],
      text_offset: [4, 9],
    },
    finish_reason: 'length',
  });
  expect((await complete(createScriptedModel('a'), { prompt: [[1, 2]], echo: true })).choices[0].text).toBe('<1><2>a');
});

it('streams', async () => {
  const { completions } = createOpenAI({ m: createScriptedModel('abcdef') });
  const request = {
    model: 'm',
    prompt: 'Once',
    stream: true,
    echo: true,
    stream_options: { include_usage: true },
  } as const;
  const chunks = await collect(completions.create(request));
  expect(chunks.map(({ choices }) => choices[0]?.text)).toEqual(['Once', 'abc', 'def', '', undefined]);
  expect(chunks.map(({ choices }) => choices[0]?.finish_reason)).toEqual([null, null, null, 'stop', undefined]);
  expect(chunks.at(-1)!.usage!.completion_tokens).toBe(3);
});

it.each<[string, object, string]>([
  ['no prompt', { prompt: undefined }, 'prompt'],
  ['an empty list', { prompt: [] }, 'prompt'],
  ['tokens that are none', { prompt: [1.5] }, 'prompt'],
  ['no tokens', { max_tokens: 0 }, 'max_tokens'],
  ['the best of more', { best_of: 3 }, 'best_of'],
  ['a suffix', { suffix: 'end' }, 'suffix'],
  ['too many alternatives', { logprobs: 21 }, 'logprobs'],
])('%s is refused', async (_, request, param) => {
  await expect(complete(createScriptedModel('a'), request)).rejects.toMatchObject({ status: 400, param });
});
