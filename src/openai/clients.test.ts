/** The clients that pages use, over a model whose answers are written down. In a page: e2e/openai_clients.spec.ts. */
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { HumanMessage, SystemMessage } from '@langchain/core/messages';
import { tool as langchainTool } from '@langchain/core/tools';
import { ChatOpenAI } from '@langchain/openai';
import { generateText, jsonSchema, Output, stepCountIs, streamText, tool } from 'ai';
import OpenAIClient, { APIError, APIUserAbortError, BadRequestError, NotFoundError } from 'openai';
import { describe, expect, it, vi } from 'vitest';
import { collect, createScriptedModel, engineError, type ScriptedModel } from '../../e2e/scripted_model';
import { createFetch } from './create_fetch';
import { createOpenAI } from './create_openai';

const baseURL = 'http://in-page/v1';
const CALL = '<|tool_call_start|>[set_timer(minutes=5)]<|tool_call_end|>';
const TWO = '<|tool_call_start|>[set_timer(minutes=5), set_timer(minutes=6)]<|tool_call_end|>';
const LONG = 'word '.repeat(300);
const parameters = {
  type: 'object' as const,
  properties: { minutes: { type: 'integer' as const } },
  required: ['minutes'],
};
const messages = [{ role: 'user', content: 'Set a timer' }] as const;
const ask = { model: 'm', messages: [...messages] };

describe('openai', () => {
  const tools = [{ type: 'function', function: { name: 'set_timer', parameters } }] as const;
  const client = (model: ScriptedModel): OpenAIClient =>
    new OpenAIClient({ baseURL, apiKey: 'none', dangerouslyAllowBrowser: true, fetch: createFetch({ m: model }) });

  it('answers and streams', async () => {
    const openai = client(createScriptedModel('Hi there'));
    const whole: OpenAIClient.ChatCompletion = await openai.chat.completions.create(ask);
    expect(whole.choices[0].message.content).toBe('Hi there');
    const stream = openai.chat.completions.stream({ ...ask, stream_options: { include_usage: true } });
    expect((await stream.finalMessage()).content).toBe('Hi there');
    expect((await stream.totalUsage()).prompt_tokens).toBe(20);
    expect((await openai.completions.create({ model: 'm', prompt: 'Once' })).choices[0].text).toBe('Hi there');
    expect((await openai.models.list()).data.map(({ id }) => id)).toEqual(['m']);
  });

  it("answers in types that are the client's own", async () => {
    const own = createOpenAI({ m: createScriptedModel('Hi there') });
    const whole: OpenAIClient.ChatCompletion = await own.chat.completions.create({ ...ask, stream: false });
    const stream: AsyncIterable<OpenAIClient.ChatCompletionChunk> = await own.chat.completions.create({
      ...ask,
      stream: true,
    });
    const completion: OpenAIClient.Completion = await own.completions.create({
      model: 'm',
      prompt: 'Once',
      stream: false,
    });
    for await (const chunk of stream) expect(chunk.object).toBe('chat.completion.chunk');
    expect([whole.object, completion.object]).toEqual(['chat.completion', 'text_completion']);
  });

  it('gets calls from its stream, also several', async () => {
    const stream = client(createScriptedModel(`On it. ${TWO}`)).chat.completions.stream({ ...ask, tools: [...tools] });
    const { content, tool_calls } = await stream.finalMessage();
    expect(content).toBe('On it.');
    expect(tool_calls!.map((call) => call.type === 'function' && call.function.arguments)).toEqual([
      '{"minutes":5}',
      '{"minutes":6}',
    ]);
  });

  it('runs tools', async () => {
    const model = createScriptedModel(TWO, 'Done.');
    const handler = vi.fn((given: { minutes: number }) => `set ${given.minutes}`);
    const runner = client(model).chat.completions.runTools({
      ...ask,
      tools: [
        {
          type: 'function',
          function: {
            name: 'set_timer',
            description: 'Start a timer',
            parse: JSON.parse,
            parameters,
            function: handler,
          },
        },
      ],
    });
    expect(await runner.finalContent()).toBe('Done.');
    expect(handler.mock.calls.map(([given]) => given)).toEqual([{ minutes: 5 }, { minutes: 6 }]);
    expect(model.calls[1].messages.slice(-2).map(({ content }) => content)).toEqual(['set 5', 'set 6']);
  });

  it('ends the generation when the loop is left or it aborts', async () => {
    const left = createScriptedModel(LONG);
    for await (const chunk of await client(left).chat.completions.create({ ...ask, stream: true }))
      if (chunk.choices[0].delta.content) break;
    await expect.poll(() => left.calls[0].aborted).toBe(true);
    const aborted = createScriptedModel(LONG);
    const stream = await client(aborted).chat.completions.create({ ...ask, stream: true });
    let chunks = 0;
    for await (const { choices } of stream) if (choices.length && ++chunks === 3) stream.controller.abort();
    await expect.poll(() => aborted.calls[0].aborted).toBe(true);
    expect(chunks).toBeLessThan(10);
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 10);
    const whole = client(createScriptedModel(LONG)).chat.completions.create(ask, { signal: controller.signal });
    await expect(whole).rejects.toBeInstanceOf(APIUserAbortError);
  });

  it('reads errors, without trying again where that cannot help', async () => {
    const model = createScriptedModel([engineError('MemoryError', 'Full')]);
    const openai = client(model);
    const wrong = await openai.chat.completions.create({ ...ask, temperature: -1 }).catch((error: unknown) => error);
    expect(wrong).toBeInstanceOf(BadRequestError);
    expect(wrong).toMatchObject({ param: 'temperature', code: 'invalid_value', type: 'invalid_request_error' });
    await expect(openai.chat.completions.create({ ...ask, model: 'x' })).rejects.toBeInstanceOf(NotFoundError);
    await expect(openai.chat.completions.create(ask)).rejects.toMatchObject({
      status: 503,
      code: 'insufficient_memory',
    });
    expect(model.calls.length).toBe(1);
    const late = client(createScriptedModel(['Hi', engineError('DeviceError', 'Lost')]));
    const stream = await late.chat.completions.create({ ...ask, stream: true });
    await expect(collect(stream)).rejects.toBeInstanceOf(APIError);
  });

  it('uses responses: whole, streamed, with a call and its result', async () => {
    const model = createScriptedModel(`<think>Hm.</think>On it. ${CALL}`, 'Done.');
    const openai = client(model);
    const flat = [{ type: 'function', name: 'set_timer', parameters, strict: true }] as const;
    const first = openai.responses.stream({ model: 'm', input: 'Set a timer', tools: [...flat] });
    const deltas: string[] = [];
    first.on('response.output_text.delta', ({ delta }) => deltas.push(delta));
    const response = await first.finalResponse();
    expect(deltas.join('')).toBe('On it.');
    expect(response.output_text).toBe('On it.');
    const call = response.output.find((item) => item.type === 'function_call')!;
    expect(call.arguments).toBe('{"minutes":5}');
    const second = await openai.responses.create({
      model: 'm',
      previous_response_id: response.id,
      input: [{ type: 'function_call_output', call_id: call.call_id, output: 'ok' }],
    });
    expect(second.output_text).toBe('Done.');
  });
});

describe('ai with @ai-sdk/openai-compatible', () => {
  const provider = (model: ScriptedModel) =>
    createOpenAICompatible({ name: 'rivulet', baseURL, fetch: createFetch({ m: model }), includeUsage: true })('m');
  const setTimer = (execute: (given: { minutes: number }) => unknown) =>
    tool({ description: 'Start a timer', inputSchema: jsonSchema<{ minutes: number }>(parameters), execute });

  it('answers and streams, with thinking and usage', async () => {
    const model = createScriptedModel('<think>Hm.</think>Hi there');
    const whole = await generateText({ model: provider(model), prompt: 'Hello' });
    expect([whole.text, whole.reasoningText, whole.finishReason]).toEqual(['Hi there', 'Hm.', 'stop']);
    const stream = streamText({ model: provider(model), instructions: 'Be brief.', prompt: 'Hello' });
    let text = '';
    for await (const piece of stream.textStream) text += piece;
    expect(text).toBe('Hi there');
    expect(await stream.usage).toMatchObject({ inputTokens: 20, inputTokenDetails: { cacheReadTokens: 5 } });
    expect(model.calls[1].messages[0]).toEqual({ role: 'system', content: 'Be brief.' });
  });

  it.each(['whole', 'streamed'])('runs tools: %s', async (way) => {
    const model = createScriptedModel(`On it. ${TWO}`, 'Done.');
    const execute = vi.fn(({ minutes }: { minutes: number }) => `set ${minutes}`);
    const request = {
      model: provider(model),
      prompt: 'Set a timer',
      tools: { set_timer: setTimer(execute) },
      stopWhen: stepCountIs(4),
    };
    const text = way === 'whole' ? (await generateText(request)).text : await streamText(request).text;
    expect(text).toBe('Done.');
    expect(execute.mock.calls.map(([given]) => given)).toEqual([{ minutes: 5 }, { minutes: 6 }]);
    expect(model.calls[1].messages.filter(({ role }) => role === 'tool').map(({ content }) => content)).toEqual([
      'set 5',
      'set 6',
    ]);
  });

  it('aborts, and reads errors', async () => {
    const model = createScriptedModel(LONG);
    const controller = new AbortController();
    const stream = streamText({ model: provider(model), prompt: 'Hello', abortSignal: controller.signal });
    const types: string[] = [];
    for await (const { type } of stream.fullStream) {
      if (type === 'text-delta') controller.abort();
      types.push(type);
    }
    expect(types).toContain('abort');
    await expect.poll(() => model.calls[0].aborted).toBe(true);
    const wrong = generateText({ model: provider(model), prompt: 'Hello', temperature: -1 });
    await expect(wrong).rejects.toMatchObject({
      message: expect.stringContaining('temperature is not valid'),
      statusCode: 400,
    });
  });
});

describe('@langchain/openai', () => {
  const chat = (model: ScriptedModel, more: object = {}): ChatOpenAI =>
    new ChatOpenAI({
      model: 'm',
      apiKey: 'none',
      configuration: { baseURL, fetch: createFetch({ m: model }) },
      ...more,
    });
  const setTimer = langchainTool(async (given) => `set ${(given as { minutes: number }).minutes}`, {
    name: 'set_timer',
    description: 'Start a timer',
    schema: parameters,
  });

  it('answers and streams', async () => {
    const model = createScriptedModel('Hi there');
    const answer = await chat(model).invoke([new SystemMessage('Be brief.'), new HumanMessage('Hello')]);
    expect(answer.content).toBe('Hi there');
    expect(answer.usage_metadata).toMatchObject({ input_tokens: 20, input_token_details: { cache_read: 5 } });
    let text = '';
    for await (const { content } of await chat(model).stream('Hello')) text += content as string;
    expect(text).toBe('Hi there');
  });

  it('gets calls whole and streamed, and sends their results', async () => {
    const model = createScriptedModel(TWO, TWO, 'Done.');
    const bound = chat(model).bindTools([setTimer]);
    const question = new HumanMessage('Set a timer');
    const answer = await bound.invoke([question]);
    expect(answer.tool_calls!.map(({ args }) => args)).toEqual([{ minutes: 5 }, { minutes: 6 }]);
    let merged: Awaited<ReturnType<typeof bound.invoke>> | undefined;
    for await (const chunk of await bound.stream([question])) merged = merged ? merged.concat(chunk) : chunk;
    expect(merged!.tool_calls!.map(({ args }) => args)).toEqual([{ minutes: 5 }, { minutes: 6 }]);
    const results = await Promise.all(
      merged!.tool_calls!.map((call) => setTimer.invoke({ ...call, type: 'tool_call' })),
    );
    expect((await bound.invoke([question, merged!, ...results])).content).toBe('Done.');
    expect(model.calls[2].messages.filter(({ role }) => role === 'tool').map(({ content }) => content)).toEqual([
      'set 5',
      'set 6',
    ]);
  });

  it('takes names with codex, which go to responses', async () => {
    const fetch = createFetch({ 'tiny-codex': createScriptedModel('Hi there', CALL) });
    const codex = new ChatOpenAI({ model: 'tiny-codex', apiKey: 'none', configuration: { baseURL, fetch } });
    expect((await codex.invoke('Hello')).text).toBe('Hi there');
    expect((await codex.bindTools([setTimer]).invoke('Set a timer')).tool_calls).toMatchObject([
      { args: { minutes: 5 } },
    ]);
  });

  it('aborts, and reads errors', async () => {
    const model = createScriptedModel(LONG);
    const controller = new AbortController();
    const read = (async () => {
      const stream = await chat(model).stream('Hello', { signal: controller.signal });
      for await (const { content } of stream) if (content) controller.abort();
    })();
    await expect(read).rejects.toThrow(/abort/i);
    await expect.poll(() => model.calls[0].aborted).toBe(true);
    await expect(chat(model, { temperature: -1 }).invoke('Hello')).rejects.toMatchObject({
      status: 400,
      param: 'temperature',
    });
  });
});

describe('JSON by a schema: what each client sends, over a model that can be held to it', () => {
  const schema = { type: 'object' as const, properties: { a: { type: 'number' as const } }, required: ['a'] };
  const closed = { ...schema, additionalProperties: false };
  const json_schema = { name: 'answer', schema: closed, strict: true };
  const constrained = (): ScriptedModel => Object.assign(createScriptedModel('{"a": 1}'), { constrained: true });
  const formatOf = ({ calls }: ScriptedModel): unknown =>
    (calls[0].options as { responseFormat?: unknown }).responseFormat;

  it('openai: chat completions and responses', async () => {
    for (const way of ['chat', 'responses']) {
      const model = constrained();
      const fetch = createFetch({ m: model });
      const openai = new OpenAIClient({ baseURL, apiKey: 'none', dangerouslyAllowBrowser: true, fetch });
      const format = { type: 'json_schema' as const, ...json_schema };
      const response_format = { type: 'json_schema' as const, json_schema };
      const text =
        way === 'chat'
          ? (await openai.chat.completions.parse({ ...ask, response_format })).choices[0].message.content
          : (await openai.responses.create({ model: 'm', input: 'Go', text: { format } })).output_text;
      expect(text).toBe('{"a": 1}');
      expect(formatOf(model)).toEqual({ type: 'json_schema', schema: closed });
    }
  });

  it('ai: Output.object, with supportsStructuredOutputs', async () => {
    const model = constrained();
    const options = { name: 'rivulet', baseURL, fetch: createFetch({ m: model }), supportsStructuredOutputs: true };
    const { output } = await generateText({
      model: createOpenAICompatible(options)('m'),
      prompt: 'Go',
      output: Output.object({ schema: jsonSchema<{ a: number }>(schema) }),
    });
    expect(output).toEqual({ a: 1 });
    expect(formatOf(model)).toMatchObject({ type: 'json_schema', schema });
  });

  it('LangChain: withStructuredOutput', async () => {
    const model = constrained();
    const configuration = { baseURL, fetch: createFetch({ m: model }) };
    const chat = new ChatOpenAI({ model: 'm', apiKey: 'none', configuration });
    expect(await chat.withStructuredOutput({ title: 'answer', ...schema }).invoke('Go')).toEqual({ a: 1 });
    expect(formatOf(model)).toMatchObject({ type: 'json_schema', schema });
  });
});
