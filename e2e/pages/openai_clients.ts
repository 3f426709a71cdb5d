/** What e2e/openai_clients.spec.ts runs in a page: the clients that pages use, over the demo model. */
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { HumanMessage } from '@langchain/core/messages';
import { tool as langchainTool } from '@langchain/core/tools';
import { ChatOpenAI } from '@langchain/openai';
import { generateText, jsonSchema, Output, stepCountIs, streamText, tool } from 'ai';
import OpenAIClient from 'openai';
import { load } from '../../src/index';
import { createFetch, createOpenAI, serveToServiceWorker } from '../../src/openai/index';

const parameters = {
  type: 'object' as const,
  properties: { minutes: { type: 'integer' as const } },
  required: ['minutes'],
};
const description = 'Start a countdown timer';
const REQUEST = 'Set a timer for 10 minutes';
const baseURL = 'http://in-page/v1';
const ask = { model: 'tiny', messages: [{ role: 'user' as const, content: 'Hello!' }] };
/** counts as far as the context goes */
const ENDLESS = { ...ask, temperature: 2, logit_bias: { 7: -100 } };

let start: Promise<Awaited<ReturnType<typeof load>>> | undefined;
const model = (): NonNullable<typeof start> =>
  (start ??= load('./models/rivulet-tiny.gguf', { backend: 'wasm', constraints: true }));
const fetchInPage = createFetch({ tiny: model });
const client = new OpenAIClient({ baseURL, apiKey: 'none', dangerouslyAllowBrowser: true, fetch: fetchInPage });

/** What JSON is held to. */
const ball = {
  type: 'object' as const,
  properties: { colour: { enum: ['red', 'blue'] }, count: { type: 'integer' as const, minimum: 1, maximum: 9 } },
  required: ['colour', 'count'],
  additionalProperties: false,
};

/** Waits until the engine has nothing to do. */
async function idle(): Promise<string> {
  const end = performance.now() + 20_000;
  for (;;) {
    const { state } = await (await model()).status();
    if (state !== 'busy' || performance.now() > end) return state;
    await new Promise((go) => setTimeout(go, 20));
  }
}

const failure = async (call: PromiseLike<unknown>): Promise<Record<string, unknown>> => {
  const error = (await call.then(
    () => ({ name: 'none' }),
    (thrown: unknown) => thrown,
  )) as Record<string, unknown>;
  const { status, statusCode, param, code, message } = error;
  return { name: (error.constructor as { name: string }).name, status: status ?? statusCode, param, code, message };
};

const openai = {
  async chat() {
    const whole = await client.chat.completions.create({ ...ask, temperature: 0 });
    const pieces: string[] = [];
    const stream = client.chat.completions.stream({ ...ask, temperature: 0, stream_options: { include_usage: true } });
    stream.on('content', (piece) => pieces.push(piece));
    const final = await stream.finalChatCompletion();
    const models = await client.models.list();
    const completion = await client.completions.create({ model: 'tiny', prompt: 'The timer runs for', max_tokens: 4 });
    return {
      text: whole.choices[0].message.content,
      usage: whole.usage,
      pieces,
      streamed: final.choices[0].message.content,
      streamedUsage: final.usage,
      models: models.data.map(({ id }) => id),
      completion: completion.choices[0].text,
    };
  },
  async tools() {
    const given: unknown[] = [];
    const runner = client.chat.completions.runTools({
      model: 'tiny',
      messages: [{ role: 'user', content: REQUEST }],
      tools: [
        {
          type: 'function',
          function: {
            name: 'set_timer',
            description,
            parameters,
            parse: (text: string) => JSON.parse(text) as object,
            function: (args: object) => (given.push(args), 'ok'),
          },
        },
      ],
    });
    return { text: await runner.finalContent(), given };
  },
  async streamedTools() {
    const tools = [{ type: 'function' as const, function: { name: 'set_timer', description, parameters } }];
    const stream = client.chat.completions.stream({
      model: 'tiny',
      messages: [{ role: 'user', content: REQUEST }],
      tools,
    });
    const contents: string[] = [];
    stream.on('content', (piece) => contents.push(piece));
    const { tool_calls } = await stream.finalMessage();
    return { contents, calls: tool_calls };
  },
  async abort() {
    let chunks = 0;
    const stream = await client.chat.completions.create({ ...ENDLESS, stream: true });
    for await (const { choices } of stream) if (choices.length && ++chunks === 4) break;
    const afterBreak = await idle();
    const controller = new AbortController();
    const whole = client.chat.completions.create(ENDLESS, { signal: controller.signal });
    setTimeout(() => controller.abort(), 100);
    const { message } = await failure(whole);
    return { chunks, afterBreak, message, afterAbort: await idle() };
  },
  async errors() {
    const long = 'hello '.repeat(5000);
    return {
      unknown: await failure(client.chat.completions.create({ ...ask, model: 'gpt-4o' })),
      long: await failure(
        client.chat.completions.create({ model: 'tiny', messages: [{ role: 'user', content: long }] }),
      ),
      longStream: await failure(
        client.chat.completions.create({ model: 'tiny', messages: [{ role: 'user', content: long }], stream: true }),
      ),
      image: await failure(
        client.chat.completions.create({
          model: 'tiny',
          messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'data:,' } }] }],
        }),
      ),
    };
  },
  async responses() {
    const tools = [{ type: 'function' as const, name: 'set_timer', description, parameters, strict: true }];
    const stream = client.responses.stream({ model: 'tiny', input: REQUEST, tools });
    const types: string[] = [];
    for await (const { type } of stream) types.push(type);
    const first = await stream.finalResponse();
    const call = first.output.find((item) => item.type === 'function_call');
    const second = await client.responses.create({
      model: 'tiny',
      tools,
      previous_response_id: first.id,
      input: [{ type: 'function_call_output', call_id: call!.call_id, output: 'ok' }],
    });
    return {
      first: types[0],
      last: types.at(-1),
      arguments: call!.arguments,
      text: second.output_text,
      read: second.usage!.input_tokens - second.usage!.input_tokens_details.cached_tokens,
    };
  },
};

const provider = createOpenAICompatible({ name: 'rivulet', baseURL, fetch: fetchInPage, includeUsage: true })('tiny');
const ai = {
  async chat() {
    const whole = await generateText({ model: provider, prompt: 'Hello!', temperature: 0 });
    const stream = streamText({ model: provider, prompt: 'Hello!', temperature: 0 });
    const pieces: string[] = [];
    for await (const piece of stream.textStream) pieces.push(piece);
    return { text: whole.text, finish: whole.finishReason, pieces, usage: await stream.usage };
  },
  async tools() {
    const given: unknown[] = [];
    const execute = (args: { minutes: number }): string => (given.push(args), 'ok');
    const tools = {
      set_timer: tool({ description, inputSchema: jsonSchema<{ minutes: number }>(parameters), execute }),
    };
    const request = { model: provider, prompt: REQUEST, tools, stopWhen: stepCountIs(3) };
    const whole = await generateText(request);
    return { text: whole.text, streamed: await streamText(request).text, given };
  },
  async abort() {
    const controller = new AbortController();
    const stream = streamText({
      model: createOpenAICompatible({
        name: 'rivulet',
        baseURL,
        fetch: fetchInPage,
        transformRequestBody: (body) => ({ ...body, ...ENDLESS }),
      })('tiny'),
      prompt: 'Hello!',
      abortSignal: controller.signal,
    });
    const types = new Set<string>();
    let deltas = 0;
    for await (const { type } of stream.fullStream) {
      types.add(type);
      if (type === 'text-delta' && ++deltas === 3) controller.abort();
    }
    return { types: [...types], state: await idle() };
  },
  errors: () => failure(generateText({ model: provider, prompt: 'Hello!', temperature: -1 })),
  async json() {
    const options = { name: 'rivulet', baseURL, fetch: fetchInPage, supportsStructuredOutputs: true };
    const schema = jsonSchema<{ colour: string; count: number }>(ball);
    const held = {
      model: createOpenAICompatible(options)('tiny'),
      prompt: 'A ball',
      output: Output.object({ schema }),
    };
    const whole = await generateText(held);
    return [whole.output, await streamText(held).output];
  },
};

const chat = (more: object = {}): ChatOpenAI =>
  new ChatOpenAI({ model: 'tiny', apiKey: 'none', configuration: { baseURL, fetch: fetchInPage }, ...more });
const setTimer = langchainTool(async () => 'ok', { name: 'set_timer', description, schema: parameters });
const langchain = {
  async chat() {
    const answer = await chat({ temperature: 0 }).invoke('Hello!');
    const pieces: string[] = [];
    for await (const { content } of await chat({ temperature: 0 }).stream('Hello!')) pieces.push(content as string);
    return { text: answer.content, usage: answer.usage_metadata, pieces };
  },
  async tools() {
    const bound = chat().bindTools([setTimer]);
    const question = new HumanMessage(REQUEST);
    let answer: Awaited<ReturnType<typeof bound.invoke>> | undefined;
    for await (const chunk of await bound.stream([question])) answer = answer ? answer.concat(chunk) : chunk;
    const calls = answer!.tool_calls!;
    const results = await Promise.all(calls.map((call) => setTimer.invoke({ ...call, type: 'tool_call' })));
    const end = await bound.invoke([question, answer!, ...results]);
    return { calls: calls.map(({ name, args }) => ({ name, args })), text: end.content };
  },
  async abort() {
    const controller = new AbortController();
    const stream = await chat({ modelKwargs: ENDLESS }).stream('Hello!', { signal: controller.signal });
    const read = (async () => {
      for await (const { content } of stream) if (content) controller.abort();
    })();
    const { message } = await failure(read);
    return { message, state: await idle() };
  },
  errors: () => failure(chat({ temperature: -1 }).invoke('Hello!')),
  async json() {
    const held = chat().withStructuredOutput(ball, { name: 'ball', method: 'jsonSchema', strict: true });
    return [await held.invoke('A ball')];
  },
};

const own = {
  async runTools() {
    const { chat } = createOpenAI({ tiny: await model() });
    const given: unknown[] = [];
    const { messages, completion, rounds } = await chat.completions.runTools({
      model: 'tiny',
      messages: [{ role: 'user', content: REQUEST }],
      tools: [
        {
          type: 'function',
          function: { name: 'set_timer', description, parameters, function: (args) => (given.push(args), 'ok') },
        },
      ],
    });
    const last = completion.usage;
    return {
      given,
      rounds,
      roles: messages.map(({ role }) => role),
      text: completion.choices[0].message.content,
      read: last.prompt_tokens - last.prompt_tokens_details.cached_tokens,
    };
  },
  async logprobs() {
    const { chat } = createOpenAI({ tiny: await model() });
    const answer = await chat.completions.create({
      ...ask,
      stream: false,
      temperature: 0,
      logprobs: true,
      top_logprobs: 2,
    });
    const [{ logprobs, message }] = answer.choices;
    return { text: message.content, tokens: logprobs!.content };
  },
};

const worker = {
  async register() {
    await model();
    await navigator.serviceWorker.register('./sw.js', { type: 'module' });
    await navigator.serviceWorker.ready;
    if (!navigator.serviceWorker.controller)
      await new Promise((controlled) => navigator.serviceWorker.addEventListener('controllerchange', controlled));
  },
  serve: () => void serveToServiceWorker({ tiny: model }),
  async ask() {
    const local = new OpenAIClient({
      baseURL: new URL('./v1', location.href).href,
      apiKey: 'none',
      dangerouslyAllowBrowser: true,
    });
    const pieces: string[] = [];
    const stream = await local.chat.completions.create({ ...ask, temperature: 0, stream: true });
    for await (const { choices } of stream) pieces.push(choices[0].delta.content ?? '');
    const whole = await local.chat.completions.create({ ...ask, temperature: 0 });
    return { pieces, text: whole.choices[0].message.content, wrong: await failure(local.models.retrieve('x')) };
  },
  async raw() {
    const body = JSON.stringify({ ...ENDLESS, stream: true });
    const response = await fetch('./v1/chat/completions', { method: 'POST', body });
    const reader = response.body!.getReader();
    const type = response.headers.get('content-type');
    await reader.read();
    await reader.cancel();
    const other = await fetch('./other.txt');
    return { type, status: response.status, other: other.status, state: start && (await idle()) };
  },
  async status() {
    const response = await fetch('./v1/models');
    return { status: response.status, body: await response.json() };
  },
  idle,
};

Object.assign(globalThis, { clients: { openai, ai, langchain, own, worker } });
