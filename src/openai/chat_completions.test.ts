import { describe, expect, it } from 'vitest';
import { createScriptedModel, engineError, type ScriptedModel } from '../../e2e/scripted_model';
import { RivuletError } from '../errors';
import { createOpenAI } from './create_openai';
import type { OpenAIError } from './openai_error';
import type { ChatCompletionChunk, ChatCompletionRequest } from './types';

const parameters = { type: 'object', properties: { minutes: { type: 'integer' } }, required: ['minutes'] };
const tools = [
  { type: 'function', function: { name: 'set_timer', description: 'Start a timer', parameters } },
  { type: 'function', function: { name: 'now' } },
] as const;
const messages = [{ role: 'user', content: 'Hello!' }] as const;
const CALL = '<|tool_call_start|>[set_timer(minutes=5)]<|tool_call_end|>';

const complete = (model: ScriptedModel, request: object = {}): ReturnType<typeof completions> =>
  completions(model, { model: 'm', messages, ...request } as ChatCompletionRequest & { stream?: false });
const completions = (model: ScriptedModel, request: ChatCompletionRequest & { stream?: false }) =>
  createOpenAI({ m: model }).chat.completions.create(request);

async function chunksOf(model: ScriptedModel, request: object = {}): Promise<ChatCompletionChunk[]> {
  const chunks: ChatCompletionChunk[] = [];
  const stream = await createOpenAI({ m: model }).chat.completions.create({
    model: 'm',
    messages,
    stream: true,
    ...request,
  });
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

const failure = async (call: Promise<unknown>): Promise<OpenAIError> =>
  call.then(
    () => expect.unreachable('the call succeeded'),
    (error: OpenAIError) => error,
  );

describe('an answer', () => {
  it('has the form of OpenAI, with usage and timings', async () => {
    expect(await complete(createScriptedModel('Hi there'))).toEqual({
      id: expect.stringMatching(/^chatcmpl-\w{24}$/),
      object: 'chat.completion',
      created: expect.closeTo(Date.now() / 1000, -1),
      model: 'm',
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: 'Hi there', refusal: null },
          logprobs: null,
          finish_reason: 'stop',
        },
      ],
      usage: { prompt_tokens: 20, completion_tokens: 4, total_tokens: 24, prompt_tokens_details: { cached_tokens: 5 } },
      timings: {
        cache_n: 5,
        prompt_n: 15,
        prompt_ms: 30,
        prompt_per_second: 500,
        predicted_n: 4,
        predicted_ms: 30,
        predicted_per_second: 100,
      },
    });
  });

  it('maps every option of sampling, and leaves out what is null', async () => {
    const model = createScriptedModel('a');
    await complete(model, {
      temperature: 0.5,
      top_p: 0.9,
      top_k: 40,
      min_p: 0.1,
      frequency_penalty: 0.2,
      presence_penalty: -0.3,
      repetition_penalty: 1.1,
      logit_bias: { 42: -100, 7: 5 },
      seed: -1,
      stop: 'END',
      max_completion_tokens: 9,
      logprobs: true,
      top_logprobs: 2,
      chat_template_kwargs: { keep_past_thinking: true },
      parallel_tool_calls: null,
      n: null,
      user: 'someone',
      store: false,
    });
    expect(model.calls[0].options).toEqual({
      temperature: 0.5,
      topP: 0.9,
      topK: 40,
      minP: 0.1,
      frequencyPenalty: 0.2,
      presencePenalty: -0.3,
      repetitionPenalty: 1.1,
      bias: new Map([
        [7, 5],
        [42, -100],
      ]),
      seed: 2 ** 32 - 1,
      stop: ['END'],
      maxTokens: 9,
      logprobs: 2,
      variables: { keep_past_thinking: true },
    });
  });

  it('gives thinking apart, and the reason of its end', async () => {
    const model = createScriptedModel('<think>Well, well.</think>Yes indeed');
    const { choices } = await complete(model, { max_tokens: 9 });
    expect(choices[0]).toMatchObject({
      message: { content: 'Y', reasoning_content: 'Well, well.' },
      finish_reason: 'length',
    });
    expect(
      (await complete(createScriptedModel('a', 'b', 'c'), { n: 3, seed: 5 })).choices.map(
        ({ message }) => message.content,
      ),
    ).toEqual(['a', 'b', 'c']);
  });

  it('gives every choice a seed of its own, counts the prompt once', async () => {
    const model = createScriptedModel('abc');
    const { usage } = await complete(model, { n: 2, seed: 2 ** 32 - 1 });
    expect(model.calls.map(({ options }) => options.seed)).toEqual([2 ** 32 - 1, 0]);
    expect(usage).toMatchObject({ prompt_tokens: 20, completion_tokens: 4, total_tokens: 24 });
  });

  it('gives log probabilities of the tokens without the end', async () => {
    const { choices } = await complete(createScriptedModel('abcdef'), { logprobs: true, top_logprobs: 2 });
    const bytes = [...new TextEncoder().encode('<100>')];
    expect(choices[0].logprobs!.content.length).toBe(2);
    expect(choices[0].logprobs!.content[0]).toEqual({
      token: '<100>',
      logprob: -100,
      bytes,
      top_logprobs: [
        { token: '<100>', logprob: -100, bytes },
        { token: '<101>', logprob: -101, bytes: [...new TextEncoder().encode('<101>')] },
      ],
    });
    const cut = await complete(createScriptedModel('abcdef'), { logprobs: true, max_tokens: 2 });
    expect(cut.choices[0].logprobs!.content.length).toBe(2);
    expect(cut.choices[0].logprobs!.content[0].top_logprobs).toEqual([]);
  });

  it('continues its last message', async () => {
    const model = createScriptedModel('lo');
    const both = [...messages, { role: 'assistant', content: 'Hel' }];
    await complete(model, { messages: both, continue_final_message: true, add_generation_prompt: false });
    expect(model.calls[0].options).toEqual({ continueFinalMessage: true });
    expect((await failure(complete(model, { continue_final_message: true }))).param).toBe('continue_final_message');
  });
});

describe('tools', () => {
  it('are offered as the model knows them, and called', async () => {
    const model = createScriptedModel(`I set it. ${CALL}`);
    const { choices } = await complete(model, { tools });
    expect(model.calls[0].options.tools).toEqual([
      { name: 'set_timer', description: 'Start a timer', parameters },
      { name: 'now', parameters: { type: 'object', properties: {} } },
    ]);
    expect(choices[0]).toEqual({
      index: 0,
      message: {
        role: 'assistant',
        content: 'I set it.',
        refusal: null,
        tool_calls: [
          {
            id: expect.stringMatching(/^call_\w{24}$/),
            type: 'function',
            function: { name: 'set_timer', arguments: '{"minutes":5}' },
          },
        ],
      },
      logprobs: null,
      finish_reason: 'tool_calls',
    });
    expect((await complete(createScriptedModel(CALL), { tools })).choices[0].message.content).toBe(null);
  });

  it.each([
    ['of a tool that was not offered', 'f()', { type: 'unknown_tool' }],
    [
      'with arguments of the wrong type',
      'set_timer(minutes="five")',
      { type: 'invalid_arguments', param: 'arguments.minutes' },
    ],
    ['without a required argument', 'set_timer()', { type: 'invalid_arguments', param: 'arguments.minutes' }],
  ])('a call %s goes out with a report', async (_, call, error) => {
    const model = createScriptedModel(`<|tool_call_start|>[${call}]<|tool_call_end|>`);
    const [{ message, finish_reason }] = (await complete(model, { tools })).choices;
    expect(finish_reason).toBe('tool_calls');
    expect(message.tool_call_errors).toEqual([
      { ...error, id: message.tool_calls![0].id, message: expect.stringContaining(call.split('(')[0]) },
    ]);
  });

  it.each([
    ['a malformed call', '<|tool_call_start|>[set_timer(]<|tool_call_end|>', { tools }, '[set_timer(]', 'malformed'],
    ['a call without offered tools', CALL, {}, 'set_timer({"minutes":5})', 'no_tools'],
    ["a call under tool_choice 'none'", CALL, { tools, tool_choice: 'none' }, 'set_timer({"minutes":5})', 'no_tools'],
    [
      'a call of a strict tool that does not fit',
      '<|tool_call_start|>[t(a=0)]<|tool_call_end|>',
      { tools: [strict({ properties: { a: { type: 'string' } } })] },
      't({"a":0})',
      'invalid_arguments',
    ],
  ])('%s comes back as text with a report', async (_, answer, request, content, type) => {
    const model = createScriptedModel(answer);
    const [{ message, finish_reason }] = (await complete(model, request)).choices;
    expect(finish_reason).toBe('stop');
    expect(message.content).toBe(content);
    expect(message.tool_calls).toBe(undefined);
    expect(message.tool_call_errors).toMatchObject([{ type }]);
  });

  it('one call at most without parallel_tool_calls: the generation ends there', async () => {
    const model = createScriptedModel(
      '<|tool_call_start|>[now(), set_timer(minutes=5), now(), now(), now()]<|tool_call_end|>',
    );
    const [{ message, finish_reason }] = (await complete(model, { tools, parallel_tool_calls: false })).choices;
    expect(message.tool_calls!.map((call) => call.function.name)).toEqual(['now']);
    expect(finish_reason).toBe('tool_calls');
    expect(model.calls[0].aborted).toBe(true);
  });

  it('are not offered under tool_choice none', async () => {
    const model = createScriptedModel('No.');
    await complete(model, { tools, tool_choice: 'none' });
    expect(model.calls[0].options).toEqual({});
  });

  it('results come in the order of the calls', async () => {
    const model = createScriptedModel('Done.');
    const call = (id: string) => ({ id, type: 'function', function: { name: 'now', arguments: '{}' } });
    const result = (id: string) => ({ role: 'tool', tool_call_id: id, content: [{ type: 'text', text: id }] });
    await complete(model, {
      tools,
      messages: [
        ...messages,
        { role: 'assistant', content: null, tool_calls: [call('a'), call('b')] },
        result('b'),
        result('a'),
      ],
    });
    expect(model.calls[0].messages.slice(2).map(({ content }) => content)).toEqual(['a', 'b']);
  });

  it.each([
    ['required', 'required'],
    [{ type: 'function', function: { name: 'now' } }, { name: 'now' }],
  ])(
    'tool_choice %j is an error of a model that cannot be held to it, and an option of one that can',
    async (tool_choice, wanted) => {
      const model = createScriptedModel('No.');
      const error = await failure(complete(model, { tools, tool_choice }));
      expect(model.calls[0].options).toMatchObject({ toolChoice: wanted });
      expect(error).toMatchObject({ status: 400, param: 'tool_choice', code: 'unsupported_parameter' });
      const held = createScriptedModel(CALL);
      held.constrained = true;
      expect((await complete(held, { tools, tool_choice })).choices[0].finish_reason).toBe('tool_calls');
    },
  );
});

it.each([
  [{ type: 'json_object' }, { type: 'json_object' }],
  [
    { type: 'json_schema', json_schema: { name: 'answer', schema: { type: 'object' }, strict: true } },
    { type: 'json_schema', schema: { type: 'object' } },
  ],
])(
  'response_format %j is an error of a model that cannot be held to it, and an option of one that can',
  async (response_format, wanted) => {
    const model = createScriptedModel('{}');
    const error = await failure(complete(model, { response_format }));
    expect(model.calls[0].options).toMatchObject({ responseFormat: wanted });
    expect(error).toMatchObject({ status: 400, param: 'response_format', code: 'unsupported_parameter' });
    const held = createScriptedModel('{}');
    held.constrained = true;
    expect((await complete(held, { response_format })).choices[0].message.content).toBe('{}');
  },
);

it.each([
  ['The schema is not valid at /type', 'response_format'],
  ['The schema cannot be enforced at /not', 'response_format'],
  ['No value fits the schema', 'response_format'],
  ['No value fits the schema at tools[0].parameters', 'tools'],
  ['The schema cannot be enforced at tools[1].parameters/properties/a/not', 'tools'],
])('%s: the error names the field of the schema', async (what, param) => {
  const error = await failure(complete(createScriptedModel([engineError('RequestError', what)]), {}));
  expect(error).toMatchObject({ status: 400, param, code: 'invalid_value' });
});

function strict(rest: object): object {
  return { type: 'function', function: { name: 't', strict: true, parameters: { type: 'object', ...rest } } };
}

describe('a stream', () => {
  it('has the role first, one delta for a call, the reason last, and the usage if it is asked for', async () => {
    const answer = `<think>Hm.</think>Hi. ${CALL}`;
    const chunks = await chunksOf(createScriptedModel(answer), { tools, stream_options: { include_usage: true } });
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
    const deltas = chunks.flatMap(({ choices }) => choices.map(({ delta }) => delta));
    expect(deltas[0]).toEqual({ role: 'assistant', content: '' });
    expect(deltas.map(({ content }) => content ?? '').join('')).toBe('Hi.');
    expect(deltas.map(({ reasoning_content }) => reasoning_content ?? '').join('')).toBe('Hm.');
    expect(deltas.flatMap(({ tool_calls }) => tool_calls ?? [])).toEqual([
      {
        index: 0,
        id: expect.stringMatching(/^call_/),
        type: 'function',
        function: { name: 'set_timer', arguments: '{"minutes":5}' },
      },
    ]);
    expect(chunks.flatMap(({ choices }) => choices.map((choice) => choice.finish_reason)).filter(Boolean)).toEqual([
      'tool_calls',
    ]);
    expect(chunks.at(-2)!.choices[0].finish_reason).toBe('tool_calls');
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { prompt_tokens: 20 }, timings: { cache_n: 5 } });
    expect(chunks.slice(0, -1).every(({ usage }) => usage === null)).toBe(true);
  });

  it('numbers calls and choices, reports at the end', async () => {
    const answer = '<|tool_call_start|>[now(), f(), set_timer(minutes=1)]<|tool_call_end|>';
    const chunks = await chunksOf(createScriptedModel(answer), { tools, n: 2, logprobs: true });
    for (const index of [0, 1]) {
      const own = chunks.filter(({ choices }) => choices[0].index === index);
      expect(own.flatMap(({ choices }) => choices[0].delta.tool_calls ?? []).map((call) => call.index)).toEqual([
        0, 1, 2,
      ]);
      expect(own.at(-1)!.choices[0].delta.tool_call_errors).toMatchObject([{ type: 'unknown_tool' }]);
      expect(own.at(-1)!.choices[0].logprobs!.content.length).toBeGreaterThan(5);
    }
  });

  it('ends the generation when the loop is left, or the signal fires', async () => {
    const long = 'word '.repeat(200);
    const left = createScriptedModel(long);
    const stream = await createOpenAI({ m: left }).chat.completions.create({ model: 'm', messages, stream: true });
    for await (const { choices } of stream) if (choices[0].delta.content) break;
    await expect.poll(() => left.calls[0].aborted).toBe(true);

    const aborted = createScriptedModel(long);
    const controller = new AbortController();
    const other = await createOpenAI({ m: aborted }).chat.completions.create(
      { model: 'm', messages, stream: true },
      { signal: controller.signal },
    );
    const read = (async () => {
      for await (const { choices } of other) if (choices[0].delta.content) controller.abort();
    })();
    await expect(read).rejects.toMatchObject({ name: 'AbortError' });
    await expect.poll(() => aborted.calls[0].aborted).toBe(true);
  });

  it('rejects what fails before the first piece, throws what fails later', async () => {
    const early = createScriptedModel([engineError('ContextError', 'Too long')]);
    expect(await failure(chunksOf(early))).toMatchObject({
      status: 400,
      code: 'context_length_exceeded',
      message: 'Too long.',
    });
    const unloaded = createScriptedModel([new RivuletError('RequestError', { what: 'No model is loaded' })]);
    expect(await failure(chunksOf(unloaded))).toMatchObject({ status: 503, code: 'model_not_loaded' });
    const gone = createScriptedModel([engineError('RequestError', 'The model was unloaded')]);
    expect(await failure(chunksOf(gone))).toMatchObject({ status: 503, code: 'model_unloaded' });
    const late = createScriptedModel(['Hi there', engineError('DeviceError', 'Lost')]);
    const stream = await createOpenAI({ m: late }).chat.completions.create({ model: 'm', messages, stream: true });
    let text = '';
    const read = (async () => {
      for await (const { choices } of stream) text += choices[0].delta.content ?? '';
    })();
    expect(await failure(read)).toMatchObject({ status: 500, type: 'server_error', code: 'device_error' });
    expect(text).toBe('Hi there');
  });
});

const assistant = (tool_calls: unknown[]): object[] => [...messages, { role: 'assistant', tool_calls }];
const cyclic: Record<string, unknown> = { type: 'object' };
cyclic.properties = { self: cyclic };
const tool = (fields: object): object => ({ tools: [{ type: 'function', function: { name: 'f', ...fields } }] });

describe('what cannot be read or honoured has an error with its path', () => {
  it.each<[string, object | null, string, string]>([
    ['no object', null, '', 'invalid_value'],
    ['no model', { model: undefined }, 'model', 'missing_required_parameter'],
    ['an unknown model', { model: 'x' }, 'model', 'model_not_found'],
    ['no messages', { messages: [] }, 'messages', 'invalid_value'],
    [
      'an unknown role',
      { messages: [...messages, { role: 'wizard', content: '' }] },
      'messages[1].role',
      'invalid_value',
    ],
    ['no role', { messages: [{ content: '' }] }, 'messages[0].role', 'missing_required_parameter'],
    ['a message that is none', { messages: ['Hello'] }, 'messages[0]', 'invalid_value'],
    ['no content', { messages: [{ role: 'user' }] }, 'messages[0].content', 'missing_required_parameter'],
    [
      'an image',
      { messages: [...messages, { role: 'user', content: [{ type: 'image_url', image_url: { url: 'data:,' } }] }] },
      'messages[1].content[0].type',
      'unsupported_content',
    ],
    [
      'a part without text',
      { messages: [{ role: 'user', content: [{ type: 'text' }] }] },
      'messages[0].content[0].text',
      'missing_required_parameter',
    ],
    [
      'arguments that are no JSON',
      { messages: assistant([{ id: 'a', function: { name: 'f', arguments: '{' } }]) },
      'messages[1].tool_calls[0].function.arguments',
      'invalid_value',
    ],
    [
      'a call without a result',
      { messages: assistant([{ id: 'a', function: { name: 'f', arguments: '{}' } }]) },
      'messages[1].tool_calls[0]',
      'invalid_value',
    ],
    [
      'a result without a call',
      { messages: [...messages, { role: 'tool', tool_call_id: 'x', content: '' }] },
      'messages[1].tool_call_id',
      'invalid_value',
    ],
    ['max_tokens 0', { max_tokens: 0 }, 'max_tokens', 'invalid_value'],
    ['two limits', { max_tokens: 1, max_completion_tokens: 2 }, 'max_tokens', 'invalid_value'],
    ['NaN', { temperature: NaN }, 'temperature', 'invalid_value'],
    ['a text for a number', { top_p: '0.5' }, 'top_p', 'invalid_value'],
    ['a negative temperature', { temperature: -1 }, 'temperature', 'invalid_value'],
    ['n 0', { n: 0 }, 'n', 'invalid_value'],
    ['too many choices', { n: 129 }, 'n', 'invalid_value'],
    ['half a seed', { seed: 0.5 }, 'seed', 'invalid_value'],
    ['an empty stop', { stop: [''] }, 'stop', 'invalid_value'],
    ['a bias of no token', { logit_bias: { hello: 1 } }, 'logit_bias.hello', 'invalid_value'],
    ['a bias of no number', { logit_bias: { 1: 'x' } }, 'logit_bias.1', 'invalid_value'],
    ['top_logprobs alone', { top_logprobs: 2 }, 'top_logprobs', 'invalid_value'],
    ['stream_options without a stream', { stream_options: { include_usage: true } }, 'stream_options', 'invalid_value'],
    [
      'a tool without a name',
      { tools: [{ type: 'function', function: {} }] },
      'tools[0].function.name',
      'missing_required_parameter',
    ],
    ['a name that is none', tool({ name: 'f g' }), 'tools[0].function.name', 'invalid_value'],
    ['a tool of another type', { tools: [{ type: 'web_search' }] }, 'tools[0].type', 'invalid_value'],
    ['two tools of one name', { tools: [tools[1], tools[1]] }, 'tools[1]', 'invalid_value'],
    ['a schema without end', tool({ parameters: cyclic }), 'tools[0].function.parameters', 'invalid_value'],
    [
      'a strict schema that cannot be checked',
      tool({ strict: true, parameters: { type: 'object', properties: { a: { pattern: '(a+)+$' } } } }),
      'tools[0].function.parameters.properties.a.pattern',
      'unsupported_parameter',
    ],
    [
      'a choice of no tool',
      { tools, tool_choice: { type: 'function', function: { name: 'x' } } },
      'tool_choice',
      'invalid_value',
    ],
    ['a call from no tools', { tool_choice: 'required' }, 'tool_choice', 'invalid_value'],
    ['another format', { response_format: { type: 'grammar' } }, 'response_format.type', 'invalid_value'],
    [
      'a format without a schema',
      { response_format: { type: 'json_schema', json_schema: { name: 'a' } } },
      'response_format.json_schema.schema',
      'missing_required_parameter',
    ],
    ['audio', { modalities: ['text', 'audio'] }, 'modalities', 'unsupported_parameter'],
    ['effort', { reasoning_effort: 'high' }, 'reasoning_effort', 'unsupported_parameter'],
    ['storing', { store: true }, 'store', 'unsupported_parameter'],
    ['old functions', { functions: [] }, 'functions', 'unsupported_parameter'],
    ['a field of nobody', { temprature: 1 }, 'temprature', 'unknown_parameter'],
  ])('%s', async (_, fields, param, code) => {
    const model = createScriptedModel('a');
    const request = fields && { model: 'm', messages, ...fields };
    const { chat } = createOpenAI({ m: model });
    const error = await failure(chat.completions.create(request as unknown as ChatCompletionRequest));
    const status = code === 'model_not_found' ? 404 : 400;
    expect(error).toMatchObject({ name: 'OpenAIError', param, code, status, type: 'invalid_request_error' });
    expect(JSON.parse(JSON.stringify(error))).toEqual({
      error: { message: error.message, type: 'invalid_request_error', param, code },
    });
    expect(model.calls).toEqual([]);
  });

  it('reads 5,000 properties', async () => {
    const properties = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`p${i}`, { type: 'string' }]));
    const model = createScriptedModel('<|tool_call_start|>[f(p4999=1)]<|tool_call_end|>');
    const [{ message }] = (await complete(model, tool({ parameters: { type: 'object', properties } }))).choices;
    expect(message.tool_call_errors).toMatchObject([{ param: 'arguments.p4999' }]);
  });
});
