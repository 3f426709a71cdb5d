import { expect, it, vi } from 'vitest';
import { createScriptedModel, type ScriptedModel } from '../../e2e/scripted_model';
import { createOpenAI } from './create_openai';
import type { RunnableTool, RunToolsOptions, RunToolsResult } from './run_tools';

const parameters = { type: 'object', properties: { minutes: { type: 'integer' } }, required: ['minutes'] };
const calls = (...texts: string[]): string => `<|tool_call_start|>[${texts.join(', ')}]<|tool_call_end|>`;
const timer = (run: RunnableTool['function']['function']): RunnableTool => ({
  type: 'function',
  function: { name: 'set_timer', parameters, function: run },
});

const run = (model: ScriptedModel, tool: RunnableTool, options?: RunToolsOptions): Promise<RunToolsResult> =>
  createOpenAI({ m: model }).chat.completions.runTools(
    { model: 'm', messages: [{ role: 'user', content: 'Set a timer' }], tools: [tool] },
    options,
  );
const results = ({ messages }: RunToolsResult): unknown[] =>
  messages.filter(({ role }) => role === 'tool').map(({ content }) => content);

it('runs calls, feeds results back, and ends with the answer', async () => {
  const model = createScriptedModel(`On it. ${calls('set_timer(minutes=5)', 'set_timer(minutes=6)')}`, 'Done.');
  const handler = vi.fn(({ minutes }) => ({ set: minutes }));
  const onResult = vi.fn();
  const result = await run(model, timer(handler), { onResult });
  expect(handler.mock.calls.map(([given]) => given)).toEqual([{ minutes: 5 }, { minutes: 6 }]);
  expect(result).toMatchObject({ rounds: 2, finish: 'stop' });
  expect(result.completion.choices[0].message.content).toBe('Done.');
  expect(result.messages.map(({ role, content }) => [role, content])).toEqual([
    ['user', 'Set a timer'],
    ['assistant', 'On it.'],
    ['tool', '{"set":5}'],
    ['tool', '{"set":6}'],
    ['assistant', 'Done.'],
  ]);
  expect(onResult.mock.calls.map(([{ name }, text]) => [name, text])).toEqual([
    ['set_timer', '{"set":5}'],
    ['set_timer', '{"set":6}'],
  ]);
  // the handlers are not sent to the worker
  expect(model.calls[0].options.tools).toEqual([{ name: 'set_timer', parameters }]);
});

it.each<[string, RunnableTool['function']['function'], string | RegExp]>([
  [
    'throws',
    () => {
      throw new Error('no clock');
    },
    'set_timer failed: no clock',
  ],
  ['rejects', () => Promise.reject(new Error('no clock')), 'set_timer failed: no clock'],
  ['never returns', () => new Promise(() => undefined), 'set_timer failed: no answer within 0.05 s'],
  ['gives nothing', () => undefined, 'ok'],
  ['gives what is no JSON', () => 1n, /^set_timer failed: .*BigInt/],
  ['gives far too much', () => 'x'.repeat(50_000), /^x{20000}…$/],
])('a handler that %s is told to the model', async (_, handler, text) => {
  const result = await run(createScriptedModel(calls('set_timer(minutes=5)'), 'Oh.'), timer(handler), {
    timeLimit: 50,
  });
  expect(results(result)).toEqual([expect.stringMatching(text)]);
  expect(result.finish).toBe('stop');
});

it('a call of no tool, or with wrong arguments, does not run and is told to the model', async () => {
  const handler = vi.fn();
  const result = await run(createScriptedModel(calls('f()', 'set_timer(minutes="x")'), 'Oh.'), timer(handler));
  expect(handler).not.toHaveBeenCalled();
  expect(results(result)).toEqual([
    'There is no tool f. The tools are set_timer.',
    'set_timer: arguments.minutes is not valid, wanted integer.',
  ]);
});

it('asks for consent: only true lets a call run', async () => {
  const handler = vi.fn(() => 'ran');
  const consent = vi
    .fn<NonNullable<RunToolsOptions['consent']>>()
    .mockResolvedValueOnce(true)
    .mockReturnValueOnce(false)
    .mockReturnValueOnce('yes' as unknown as boolean)
    .mockRejectedValueOnce(new Error('closed'));
  const four = calls(...[1, 2, 3, 4].map((n) => `set_timer(minutes=${n})`));
  const result = await run(createScriptedModel(four, 'Oh.'), timer(handler), { consent });
  const refused = 'set_timer was not allowed by the user.';
  expect(results(result)).toEqual(['ran', refused, refused, refused]);
  expect(handler).toHaveBeenCalledTimes(1);
  expect(consent.mock.calls[3][0]).toMatchObject({ name: 'set_timer', arguments: { minutes: 4 } });
});

it('ends after so many rounds, without the last calls', async () => {
  const handler = vi.fn(() => 'again');
  const model = createScriptedModel(calls('set_timer(minutes=5)'));
  const result = await run(model, timer(handler), { maxRounds: 3 });
  expect(result).toMatchObject({ finish: 'max_rounds', rounds: 3 });
  expect(handler).toHaveBeenCalledTimes(2);
  expect(model.calls.length).toBe(3);
});

it('holds the first answer alone to tool_choice', async () => {
  const model = createScriptedModel(calls('set_timer(minutes=5)'), 'Done.');
  model.constrained = true;
  const { chat } = createOpenAI({ m: model });
  const { finish } = await chat.completions.runTools({
    model: 'm',
    messages: [{ role: 'user', content: 'Set a timer' }],
    tools: [timer(() => 'ok')],
    tool_choice: 'required',
  });
  expect(finish).toBe('stop');
  expect(model.calls.map(({ options }) => 'toolChoice' in options)).toEqual([true, false]);
});

it.each(['consent', 'handler', 'answer'])('an abort ends the run: %s', async (place) => {
  const controller = new AbortController();
  let stopped: AbortSignal | undefined;
  const wait = (): Promise<never> => {
    setTimeout(() => controller.abort());
    return new Promise(() => undefined);
  };
  const model = createScriptedModel(place === 'answer' ? 'word '.repeat(100) : calls('set_timer(minutes=5)'), 'Oh.');
  const tool = timer((_, { signal }) => {
    stopped = signal;
    return wait();
  });
  const options = { signal: controller.signal, ...(place === 'consent' && { consent: wait }) };
  if (place === 'answer') setTimeout(() => controller.abort(), 20);
  await expect(run(model, tool, options)).rejects.toMatchObject({ name: 'AbortError' });
  if (place === 'handler') expect(stopped!.aborted).toBe(true);
});

it.each<[string, object, object, string]>([
  ['no tools', { tools: [] }, {}, 'tools'],
  [
    'a tool without a function',
    { tools: [{ type: 'function', function: { name: 'f' } }] },
    {},
    'tools[0].function.function',
  ],
  ['no rounds', {}, { maxRounds: 0 }, 'maxRounds'],
  ['no time', {}, { timeLimit: NaN }, 'timeLimit'],
  ['consent that is no function', {}, { consent: 5 }, 'consent'],
  ['a listener that is no function', {}, { onResult: 'x' }, 'onResult'],
  [
    'a tool with consent of its own',
    { tools: [{ type: 'function', function: { name: 'f', function: () => 'ok', consent: 5 } }] },
    {},
    'tools[0].function.consent',
  ],
])('%s is refused', async (_, request, options, param) => {
  const { chat } = createOpenAI({ m: createScriptedModel('a') });
  const whole = {
    model: 'm',
    messages: [{ role: 'user' as const, content: '' }],
    tools: [timer(() => 'ok')],
    ...request,
  };
  await expect(chat.completions.runTools(whole, options)).rejects.toMatchObject({ param });
});

it('refuses what is no request, and takes any limit and any error', async () => {
  const { runTools } = createOpenAI({ m: createScriptedModel(calls('set_timer(minutes=5)'), 'Done.') }).chat
    .completions;
  for (const wrong of [null, { model: 'm', tools: [timer(() => 'ok')] }] as never[])
    await expect(runTools(wrong)).rejects.toMatchObject({ name: 'OpenAIError', status: 400 });
  const later = () => new Promise((resolve) => setTimeout(resolve, 20, 'set'));
  for (const timeLimit of [Infinity, 1e12]) {
    const model = createScriptedModel(calls('set_timer(minutes=5)'), 'Done.');
    expect(results(await run(model, timer(later), { timeLimit }))).toEqual(['set']);
  }
  const hostile = {
    toString() {
      throw new Error('inner');
    },
  };
  const model = createScriptedModel(calls('set_timer(minutes=5)'), 'Done.');
  expect(
    results(
      await run(
        model,
        timer(() => Promise.reject(hostile as never)),
      ),
    ),
  ).toEqual(['set_timer failed: an object']);
});
