import { describe, expect, it } from 'vitest';
import { collect, createScriptedModel, engineError, type ScriptedModel } from '../../e2e/scripted_model';
import { createOpenAI } from './create_openai';
import type { ModelResponse, ResponseRequest, ResponseStreamEvent } from './responses_types';

const parameters = { type: 'object', properties: { minutes: { type: 'integer' } }, required: ['minutes'] };
const tools = [{ type: 'function', name: 'set_timer', description: 'Start a timer', parameters }] as const;
const CALL = '<|tool_call_start|>[set_timer(minutes=5)]<|tool_call_end|>';

const create = (model: ScriptedModel, request: object = {}): Promise<ModelResponse> =>
  createOpenAI({ m: model }).responses.create({ model: 'm', input: 'Hello!', ...request } as ResponseRequest & {
    stream?: false;
  });

async function eventsOf(model: ScriptedModel, request: object = {}): Promise<ResponseStreamEvent[]> {
  const { responses } = createOpenAI({ m: model });
  return collect(responses.create({ model: 'm', input: 'Hello!', stream: true, ...request }));
}

describe('a response', () => {
  it('has the form of OpenAI', async () => {
    const model = createScriptedModel(`<think>Hm.</think>I set it. ${CALL}`);
    const response = await create(model, {
      tools,
      instructions: 'Be brief.',
      max_output_tokens: 90,
      metadata: { a: 'b' },
    });
    expect(response).toMatchObject({
      id: expect.stringMatching(/^resp_\w{24}$/),
      object: 'response',
      status: 'completed',
      error: null,
      incomplete_details: null,
      instructions: 'Be brief.',
      max_output_tokens: 90,
      metadata: { a: 'b' },
      output_text: 'I set it.',
      tool_choice: 'auto',
      usage: { input_tokens: 20, input_tokens_details: { cached_tokens: 5 }, output_tokens: 30, total_tokens: 50 },
    });
    expect(response.output).toMatchObject([
      { type: 'reasoning', id: expect.stringMatching(/^rs_/), content: [{ type: 'reasoning_text', text: 'Hm.' }] },
      {
        type: 'message',
        role: 'assistant',
        status: 'completed',
        content: [{ type: 'output_text', text: 'I set it.' }],
      },
      {
        type: 'function_call',
        call_id: expect.stringMatching(/^call_/),
        name: 'set_timer',
        arguments: '{"minutes":5}',
      },
    ]);
    expect(model.calls[0].messages).toEqual([
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'Hello!' },
    ]);
    expect(model.calls[0].options).toEqual({
      maxTokens: 90,
      tools: [{ name: 'set_timer', description: 'Start a timer', parameters }],
    });
  });

  it('is incomplete when it was cut, and has a message even if the model said nothing', async () => {
    expect(await create(createScriptedModel('abcdef'), { max_output_tokens: 1 })).toMatchObject({
      status: 'incomplete',
      incomplete_details: { reason: 'max_output_tokens' },
      output: [{ type: 'message', status: 'incomplete' }],
    });
    expect((await create(createScriptedModel(''))).output).toMatchObject([
      { type: 'message', content: [{ text: '' }] },
    ]);
  });

  it('reports a call that is none', async () => {
    const response = await create(createScriptedModel('<|tool_call_start|>[oh]<|tool_call_end|>'), { tools });
    expect(response).toMatchObject({ output_text: '[oh]', tool_call_errors: [{ type: 'malformed' }] });
  });

  it('goes on with one that the page kept, with its calls', async () => {
    const model = createScriptedModel(`<think>Hm.</think>Yes. ${CALL}`, 'Done.', 'Bye.');
    const { responses } = createOpenAI({ m: model });
    const first = await responses.create({ model: 'm', input: 'Set a timer', instructions: 'Once only', tools });
    const call = first.output.find((item) => item.type === 'function_call')!;
    const more = { model: 'm', tools, previous_response_id: first.id };
    await expect(responses.create({ ...more, input: 'And?' })).rejects.toMatchObject({ param: 'previous_response_id' });
    const output = { type: 'function_call_output', call_id: call.call_id, output: 'ok' } as const;
    const second = await responses.create({ ...more, input: [output] });
    expect(second).toMatchObject({ output_text: 'Done.', previous_response_id: first.id });
    expect(model.calls[1].messages).toEqual([
      { role: 'user', content: 'Set a timer' },
      {
        role: 'assistant',
        content: 'Yes.',
        reasoning_content: 'Hm.',
        tool_calls: [
          { id: call.call_id, type: 'function', function: { name: 'set_timer', arguments: '{"minutes":5}' } },
        ],
      },
      { role: 'tool', content: 'ok', tool_call_id: call.call_id },
    ]);
    await responses.create({ model: 'm', input: 'Thanks', previous_response_id: second.id, store: false });
    expect(model.calls[2].messages.map(({ content }) => content)).toEqual([
      'Set a timer',
      'Yes.',
      'ok',
      'Done.',
      'Thanks',
    ]);
    // a conversation that a client kept itself refers to items
    const references = first.output.map(({ id }) => ({ type: 'item_reference', id }) as const);
    await responses.create({
      model: 'm',
      tools,
      input: [{ role: 'user', content: 'Set a timer' }, ...references, output],
    });
    expect(model.calls[3].messages).toEqual(model.calls[1].messages);

    expect((await responses.retrieve(first.id)).id).toBe(first.id);
    await responses.delete(first.id);
    await expect(responses.retrieve(first.id)).rejects.toMatchObject({ status: 404 });
    await expect(responses.create({ ...more, input: [output] })).rejects.toMatchObject({
      status: 404,
      param: 'previous_response_id',
    });
  });
});

describe('a stream', () => {
  it('has the events of each item in order, numbered', async () => {
    const events = await eventsOf(createScriptedModel(`<think>Hm.</think>Hi. ${CALL}`), { tools });
    expect(events.map((event) => event.sequence_number)).toEqual(events.map((_, i) => i));
    const names = events.map(({ type }) => type.replace('response.', ''));
    expect(names.filter((name, i) => name !== names[i - 1])).toEqual([
      'created',
      'in_progress',
      'output_item.added',
      'content_part.added',
      'reasoning_text.delta',
      'reasoning_text.done',
      'content_part.done',
      'output_item.done',
      'output_item.added',
      'content_part.added',
      'output_text.delta',
      'output_text.done',
      'content_part.done',
      'output_item.done',
      'output_item.added',
      'function_call_arguments.delta',
      'function_call_arguments.done',
      'output_item.done',
      'completed',
    ]);
    const last = events.at(-1) as { response: ModelResponse };
    const done = events.flatMap((event) => (event.type === 'response.output_item.done' ? [event.item] : []));
    expect(done).toEqual(last.response.output);
    expect(events[0]).toMatchObject({ response: { status: 'in_progress', output: [], id: last.response.id } });
  });

  it('ends with response.incomplete when the answer was cut, with response.failed when it failed', async () => {
    const cut = await eventsOf(createScriptedModel('abcdef'), { max_output_tokens: 1 });
    expect(cut.at(-1)).toMatchObject({ type: 'response.incomplete', response: { status: 'incomplete' } });
    const failed = await eventsOf(createScriptedModel(['abc', engineError('DeviceError', 'Lost')]));
    expect(failed.at(-1)).toMatchObject({
      type: 'response.failed',
      response: { status: 'failed', error: { code: 'device_error', message: 'Lost.' }, output_text: 'abc' },
    });
    const early = eventsOf(createScriptedModel([engineError('ContextError', 'Too long')]));
    await expect(early).rejects.toMatchObject({ code: 'context_length_exceeded' });
  });
});

it.each<[string, object, string]>([
  ['no input', { input: undefined }, 'input'],
  ['an empty input', { input: [] }, 'input'],
  ['an unknown role', { input: [{ role: 'wizard', content: '' }] }, 'input[0].role'],
  ['an unknown item', { input: [{ type: 'computer_call' }] }, 'input[0].type'],
  [
    'an image',
    { input: [{ role: 'user', content: [{ type: 'input_image', image_url: 'data:,' }] }] },
    'input[0].content[0].type',
  ],
  [
    'a result without a call',
    { input: [{ type: 'function_call_output', call_id: 'x', output: '' }] },
    'input[0].call_id',
  ],
  [
    'a call without a result',
    { input: [{ type: 'function_call', call_id: 'x', name: 'f', arguments: '{}' }] },
    'input[0].call_id',
  ],
  ['a reference to nothing', { input: [{ type: 'item_reference', id: 'x' }] }, 'input[0].id'],
  ['a response of another page', { previous_response_id: 'x' }, 'previous_response_id'],
  ['a tool of OpenAI', { tools: [{ type: 'web_search' }] }, 'tools[0].type'],
  ['effort', { reasoning: { effort: 'low' } }, 'reasoning.effort'],
  ['another truncation', { truncation: 'middle' }, 'truncation'],
  ['what is to be included', { include: ['reasoning.encrypted_content'] }, 'include'],
  ['no tokens', { max_output_tokens: 0 }, 'max_output_tokens'],
  ['another format', { text: { format: { type: 'x' } } }, 'text.format.type'],
  ['a format that the model cannot be held to', { text: { format: { type: 'json_object' } } }, 'text.format'],
  ['stop texts', { stop: ['a'] }, 'stop'],
])('%s is refused', async (_, request, param) => {
  await expect(create(createScriptedModel('a'), request)).rejects.toMatchObject({ param });
});

it('truncation is the overflow of chat', async () => {
  const model = createScriptedModel('a');
  const response = await create(model, { truncation: 'auto' });
  expect([model.calls[0].options, response.truncation]).toMatchObject([{ overflow: 'dropMiddle' }, 'auto']);
  const plain = await create(model, {});
  expect([model.calls[1].options.overflow, plain.truncation]).toEqual([undefined, 'disabled']);
});
