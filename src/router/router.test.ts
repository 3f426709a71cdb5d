import { afterEach, describe, expect, it } from 'vitest';
import { createCloud, type Act, type CloudServer } from '../../e2e/cloud_server';
import { collect, createScriptedModel, engineError } from '../../e2e/scripted_model';
import type { ChatCompletionRequest } from '../openai/types';
import { createRouter, type RouteError, type Router, type RouterOptions } from './index';

const clouds: CloudServer[] = [];
const routers: Router[] = [];
afterEach(async () => {
  for (const router of routers.splice(0)) router.close();
  await Promise.all(clouds.splice(0).map((cloud) => cloud.close()));
});

const cloudOf = async (...acts: Act[]): Promise<CloudServer> => {
  const cloud = await createCloud(...acts);
  clouds.push(cloud);
  return cloud;
};
const routerOf = (options: RouterOptions): Router => {
  const router = createRouter(options);
  routers.push(router);
  return router;
};
const KEY = 'sk-test-0123456789abcdefghij';
const ask = (content: string, more: object = {}): ChatCompletionRequest & { stream?: false } => ({
  model: 'auto',
  messages: [{ role: 'user', content }],
  ...more,
});
const failure = async (call: Promise<unknown>): Promise<RouteError> =>
  call.then(
    () => expect.unreachable('the call succeeded'),
    (error: RouteError) => error,
  );
const SAYS = { say: ['From ', 'the ', 'cloud.'] };
const endpoint = (cloud: CloudServer, more: object = {}) => ({ baseURL: cloud.baseURL, model: 'm', key: KEY, ...more });

describe('the presets', () => {
  it.each([
    ['PREFER_ON_DEVICE', 'local', 0],
    ['ONLY_ON_DEVICE', 'local', 0],
    ['PREFER_IN_CLOUD', 'cloud', 1],
    ['ONLY_IN_CLOUD', 'cloud', 1],
  ] as const)('%s answers from the %s', async (policy, source, requests) => {
    const cloud = await cloudOf(SAYS);
    const router = routerOf({ local: createScriptedModel('From here.'), cloud: endpoint(cloud), policy });
    const { route, choices } = await router.chat.completions.create(ask('Hi'));
    expect(route).toMatchObject({ source, reason: 'otherwise', policy });
    expect(choices[0].message.content).toBe(source === 'local' ? 'From here.' : 'From the cloud.');
    expect(cloud.requests).toHaveLength(requests);
    expect(route.explanation).toMatch(/^[A-Z][^.]*\.$/);
  });

  it('only on device fails closed: no request leaves when the device fails', async () => {
    const cloud = await cloudOf(SAYS);
    const local = createScriptedModel([engineError('DeviceError', 'The GPU is gone')]);
    const router = routerOf({ local, cloud: endpoint(cloud), policy: 'ONLY_ON_DEVICE' });
    const error = await failure(router.chat.completions.create(ask('Hi')));
    expect(error).toMatchObject({ name: 'OpenAIError', code: 'device_error' });
    const alone = routerOf({ cloud: endpoint(cloud), policy: 'ONLY_ON_DEVICE' });
    expect(await failure(alone.chat.completions.create(ask('Hi')))).toMatchObject({ code: 'no_route', status: 503 });
    expect(cloud.requests).toHaveLength(0);
  });

  it('what is marked as private stays, whatever the policy says', async () => {
    const cloud = await cloudOf(SAYS);
    const router = routerOf({
      local: createScriptedModel('Here.', [new Error('x')]),
      cloud: endpoint(cloud),
      policy: 'PREFER_IN_CLOUD',
    });
    const { route } = await router.chat.completions.create(ask('Hi'), { private: true });
    expect(route).toMatchObject({ source: 'local', reason: 'marked_private' });
    await failure(router.chat.completions.create(ask('Hi'), { private: true }));
    const { route: noted } = await routerOf({
      local: createScriptedModel('Here.'),
      cloud: endpoint(cloud),
      policy: 'PREFER_IN_CLOUD',
    }).chat.completions.create(ask('Hi', { metadata: { route_private: 'true' } }));
    expect(noted.source).toBe('local');
    expect(cloud.requests).toHaveLength(0);
  });
});

describe('a route', () => {
  it('streams, with the route in the first and in the last chunk', async () => {
    const cloud = await cloudOf({ ...SAYS, usage: { prompt_tokens: 9, completion_tokens: 3 } });
    const router = routerOf({ cloud: endpoint(cloud, { name: 'one', price: { input: 2, output: 10 } }) });
    const chunks = await collect(
      router.chat.completions.create({ ...ask('Hi'), stream: true, stream_options: { include_usage: true } }),
    );
    expect(chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('')).toBe('From the cloud.');
    expect(chunks[0]).toMatchObject({ model: 'm', route: { source: 'cloud', endpoint: 'one' } });
    expect(chunks.at(-2)).toMatchObject({
      choices: [{ finish_reason: 'stop' }],
      route: { steps: [{ source: 'cloud', endpoint: 'one', result: 'answered' }], cost: (9 * 2 + 3 * 10) / 1e6 },
    });
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { prompt_tokens: 9, completion_tokens: 3 } });
    expect(cloud.requests[0].headers.authorization).toBe(`Bearer ${KEY}`);
  });

  it('goes from a small model to a larger one, then to the cloud', async () => {
    const cloud = await cloudOf(SAYS);
    const broken = [engineError('MemoryError', 'No memory')];
    const local = { small: createScriptedModel(broken), large: createScriptedModel('Large.', broken) };
    const router = routerOf({ local, cloud: endpoint(cloud), policy: 'PREFER_ON_DEVICE' });
    const first = await router.chat.completions.create(ask('Hi'));
    expect(first.route).toMatchObject({ source: 'local', model: 'large', reason: 'local_failed' });
    expect((await router.chat.completions.create(ask('Hi'))).route).toMatchObject({
      source: 'cloud',
      steps: [{ model: 'small', result: 'insufficient_memory' }, { model: 'large' }, { result: 'answered' }],
    });
  });

  it('gives an answer that the device began to the cloud, without a word twice', async () => {
    const cloud = await cloudOf(
      { say: [' three ', 'four.'] },
      { say: ({ messages }) => [`${messages.at(-2)!.content} three `, 'four.'] },
    );
    const script = (): string[] => ['One two ', engineError('DeviceError', 'lost') as never];
    const local = createScriptedModel(script());
    const exact = routerOf({ local, cloud: endpoint(cloud, { continues: true }) });
    const { choices, route } = await exact.chat.completions.create(ask('Count'));
    expect(choices[0].message.content).toBe('One two three four.');
    expect(route).toMatchObject({ source: 'cloud', reason: 'local_failed' });
    expect(cloud.requests[0].body).toMatchObject({ continue_final_message: true, add_generation_prompt: false });
    expect(cloud.requests[0].body.messages.at(-1)).toEqual({ role: 'assistant', content: 'One two' });
    const asked = routerOf({ local: createScriptedModel(script()), cloud: endpoint(cloud) });
    expect((await asked.chat.completions.create(ask('Count'))).choices[0].message.content).toBe('One two three four.');
  });

  it('escalates by the margin of the first tokens, by JSON that is none, and by time', async () => {
    const cloud = await cloudOf({ say: ['{"a":', '1}'] });
    const policy = (during: object) => ({ name: 'p', rules: [], otherwise: 'local-then-cloud' as const, during });
    const reasonOf = async (during: object, request: object, local = createScriptedModel('Not JSON at all')) => {
      local.constrained = true;
      const router = routerOf({ local, cloud: endpoint(cloud), policy: policy(during) });
      return (await router.chat.completions.create(ask('Hi', request))).route.reason;
    };
    // the scripted model's tokens have log probabilities of -100 and below: all margins are 0
    expect(await reasonOf({ marginUnder: 0.2, tokens: 2 }, {})).toBe('low_confidence');
    expect(await reasonOf({ marginUnder: 0 }, {})).toBe('otherwise');
    expect(await reasonOf({ schema: true }, { response_format: { type: 'json_object' } })).toBe('schema_failed');
    const late = createScriptedModel('a'.repeat(600));
    expect(await reasonOf({ answerMs: 30 }, {}, late)).toBe('late');
  });

  it('drafts, and goes on where the draft ended', async () => {
    const local = createScriptedModel('One', 'two three');
    const policy = {
      name: 'p',
      rules: [],
      otherwise: 'local-then-cloud' as const,
      during: { marginUnder: 0, tokens: 1 },
    };
    const router = routerOf({ local, cloud: endpoint(await cloudOf(SAYS)), policy });
    const local2 = createScriptedModel('One two', ' three');
    const { choices } = await routerOf({
      local: local2,
      cloud: endpoint(await cloudOf(SAYS)),
      policy,
    }).chat.completions.create(ask('Count'));
    expect(choices[0].message.content).toBe('One three');
    expect(local2.calls[1]).toMatchObject({ options: { continueFinalMessage: true } });
    expect((await router.chat.completions.create(ask('Count'))).choices[0].message.content).toBe('One');
  });

  it('has tools, also with calls from the cloud, and runs them', async () => {
    const cloud = await cloudOf({ calls: [{ name: 'now', arguments: '{"zone":"UTC"}' }] }, { say: ['It is noon.'] });
    const router = routerOf({ cloud: endpoint(cloud) });
    const { completion } = await router.chat.completions.runTools({
      model: 'auto',
      messages: [{ role: 'user', content: 'What time is it?' }],
      tools: [
        {
          type: 'function',
          function: {
            name: 'now',
            description: 'Time',
            parameters: { type: 'object', properties: { zone: { type: 'string' } } },
            function: ({ zone }) => `12:00 ${zone as string}`,
          },
        },
      ],
    });
    expect(completion.choices[0].message.content).toBe('It is noon.');
    expect(cloud.requests[1].body.messages.at(-1)).toMatchObject({ role: 'tool', content: '12:00 UTC' });
  });

  it('is a fetch', async () => {
    const router = routerOf({ local: createScriptedModel('Hello.') });
    const post = (path: string, body: object): Promise<Response> =>
      router.fetch(`http://x/v1${path}`, { method: 'POST', body: JSON.stringify(body) });
    expect(await (await post('/chat/completions', ask('Hi'))).json()).toMatchObject({
      choices: [{ message: { content: 'Hello.' } }],
      route: { source: 'local' },
    });
    expect(await (await post('/chat/completions', { ...ask('Hi'), stream: true })).text()).toMatch(
      /data: \[DONE\]\n\n$/,
    );
    expect((await post('/completions', { model: 'auto', prompt: 'a' })).status).toBe(400);
    expect((await post('/responses', {})).status).toBe(400);
    expect((await post('/chat/completions', { ...ask('Hi'), model: 'other' })).status).toBe(404);
    expect(await (await router.fetch('http://x/v1/models')).json()).toMatchObject({ data: [{ id: 'auto' }] });
  });

  it('is the Responses API and a model, with tools', async () => {
    const calls = [{ name: 'now', arguments: '{"zone":"UTC, \\"x\\""}' }];
    const cloud = await cloudOf(
      { calls },
      { say: ['It is ', 'noon.'] },
      { say: ['Bye'], usage: { prompt_tokens: 5, completion_tokens: 1 } },
    );
    const router = routerOf({ cloud: endpoint(cloud) });
    const parameters = { type: 'object', properties: { zone: { type: 'string' } } };
    const tools = [{ type: 'function' as const, name: 'now', parameters }];
    const first = await router.responses.create({ model: 'auto', input: 'What time?', tools });
    const [call] = first.output;
    expect(call).toMatchObject({ type: 'function_call', name: 'now', arguments: '{"zone":"UTC, \\"x\\""}' });
    const output = [
      { type: 'function_call_output' as const, call_id: (call as { call_id: string }).call_id, output: '12:00' },
    ];
    const second = await router.responses.create({
      model: 'auto',
      input: output,
      previous_response_id: first.id,
      tools,
    });
    expect(second.output_text).toBe('It is noon.');
    expect(cloud.requests[1].body.messages.slice(-2)).toMatchObject([
      { role: 'assistant', tool_calls: [{ function: { name: 'now', arguments: '{"zone":"UTC, \\"x\\""}' } }] },
      { role: 'tool', content: '12:00' },
    ]);
    const sources: unknown[] = [];
    const model = router.model({ onRoute: ({ source }) => sources.push(source) });
    const result = await model.chat([{ role: 'user', content: 'Hi' }], { maxTokens: 9, topP: 0.5 }).result;
    expect(result).toMatchObject({ text: 'Bye', finish: 'stop', promptTokens: 5, tokens: 1 });
    expect(cloud.requests[2].body).toMatchObject({ max_tokens: 9, top_p: 0.5 });
    expect(sources.at(-1)).toBe('cloud');
    await expect(model.generate('a').result).rejects.toMatchObject({ name: 'RequestError' });
  });

  it('asks the user, and takes no for an answer', async () => {
    const cloud = await cloudOf(SAYS);
    const policy = { name: 'p', rules: [], otherwise: 'ask' as const };
    const answer = async (ask?: RouterOptions['ask']) =>
      routerOf({ local: createScriptedModel('Here.'), cloud: endpoint(cloud), policy, ...(ask && { ask }) });
    const yes = await (await answer(() => 'cloud')).chat.completions.create(ask('Hi'));
    expect(yes.route).toMatchObject({ source: 'cloud', reason: 'asked' });
    for (const router of [await answer(), await answer(() => 'refuse')])
      expect(await failure(router.chat.completions.create(ask('Hi')))).toMatchObject({ code: 'asked_no', status: 403 });
    expect(cloud.requests).toHaveLength(1);
  });

  it('keeps attachments that nobody named', async () => {
    const cloud = await cloudOf(SAYS);
    const router = routerOf({ cloud: endpoint(cloud) });
    const image = { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } } as const;
    const request = { ...ask(''), messages: [{ role: 'user' as const, content: [image] }] };
    expect(await failure(router.chat.completions.create(request))).toMatchObject({ code: 'attachment_stays' });
    expect(cloud.requests).toHaveLength(0);
    await router.chat.completions.create(request, { share: ['messages[0].content[0]'] });
    expect(cloud.requests[0].text).toContain('base64,AAAA');
  });
});

describe('a policy', () => {
  it('is data, code or wrong, and gives the same route for the same facts', async () => {
    const options = { local: createScriptedModel('a'), cloud: { baseURL: 'https://api.test/v1', model: 'm' } };
    const policy = {
      name: 'mine',
      rules: [
        { id: 'long', when: { promptTokens: { over: 50 } }, route: 'cloud' as const },
        {
          id: 'code',
          when: { tags: { has: ['code', 'maths'] }, tools: { under: 1 } },
          route: 'cloud-then-local' as const,
        },
        { id: 'japanese', when: { script: 'kana' }, route: 'local' as const },
      ],
      otherwise: 'local-then-cloud' as const,
    };
    const router = routerOf({ ...options, policy });
    const sentences = (): string[] => [
      router.explain(ask('x'.repeat(400))),
      router.explain(ask('Hi'), { tags: ['code'] }),
      router.explain(ask('こんにちは')),
      router.explain(ask('Hi')),
    ];
    expect(sentences()).toEqual(sentences());
    expect(sentences()).toEqual([
      "The cloud alone answers (mine): rule 'long' holds, since promptTokens is 104.",
      "The cloud answers, then the device if it cannot (mine): rule 'code' holds, since tags is code and tools is 0.",
      "The device alone answers (mine): rule 'japanese' holds, since script is kana.",
      'The device answers, then the cloud if it cannot (mine): no rule holds.',
    ]);
    const code = routerOf({ ...options, policy: ({ messages }) => (messages > 1 ? 'cloud' : 'local') });
    expect(code.explain(ask('Hi'))).toBe("The device alone answers (policy): 'code' says so.");
    for (const wrong of [
      'NO_SUCH',
      { ...policy, otherwise: 'here' },
      { ...policy, rules: [{ id: 'a', when: { nothing: 1 }, route: 'local' }] },
    ])
      expect(() => createRouter({ ...options, policy: wrong as never })).toThrow(/The policy is not valid/);
  });

  it('stops at a budget', async () => {
    const cloud = await cloudOf({ ...SAYS, usage: { prompt_tokens: 1000, completion_tokens: 1000 } });
    const priced = endpoint(cloud, { price: { input: 100, output: 100 } });
    let wall = 1e12;
    const router = routerOf({
      cloud: priced,
      policy: { name: 'p', rules: [], otherwise: 'cloud', budgets: { costPerDay: 0.3 } },
      environment: { wall: () => wall },
    });
    await router.chat.completions.create(ask('Hi'));
    await router.chat.completions.create(ask('Hi'));
    const spent = await failure(router.chat.completions.create(ask('Hi')));
    expect(spent).toMatchObject({ code: 'no_route' });
    expect(spent.message).toContain('a budget for the cloud is spent');
    wall -= 1e9; // a clock that is set back gives nothing back
    await failure(router.chat.completions.create(ask('Hi')));
    wall += 1e9 + 86_400_001;
    await router.chat.completions.create(ask('Hi'));
    expect(cloud.requests).toHaveLength(3);
  });

  it('refuses options that are not safe', () => {
    for (const cloud of [
      { baseURL: 'http://api.test/v1', model: 'm' },
      { baseURL: 'https://user:pass@api.test/v1', model: 'm' },
      { baseURL: 'https://api.test/v1?key=a', model: 'm' },
      { baseURL: 'nothing', model: 'm' },
      { baseURL: 'https://api.test/v1' } as never,
    ])
      expect(() => createRouter({ cloud })).toThrow(/An endpoint in the cloud is not valid/);
    expect(() => createRouter({})).toThrow(/no path/);
  });
});

it('refuses requests that are none by their path, and asks nobody', async () => {
  const cloud = await cloudOf(SAYS);
  const local = createScriptedModel('a');
  const circle: Record<string, unknown> = {};
  circle.self = circle;
  const wrong: object[] = [
    { messages: [] },
    { messages: 'Hi' },
    { messages: [null] },
    { messages: [{ role: 'user', content: 1n }] },
    { tools: [circle] },
    { n: 2 },
    { logprobs: true },
    { model: 'gpt' },
    { model: undefined },
  ];
  for (const policy of ['PREFER_ON_DEVICE', 'PREFER_IN_CLOUD'] as const) {
    const router = routerOf({ local, cloud: endpoint(cloud), policy });
    for (const more of wrong)
      expect(await failure(router.chat.completions.create({ ...ask('Hi'), ...more } as never))).toMatchObject({
        name: 'OpenAIError',
        status: expect.toSatisfy((status) => status === 400 || status === 404),
      });
    expect(await failure(router.chat.completions.create(null as never))).toMatchObject({ status: 400 });
  }
  expect([cloud.requests.length, local.calls.length]).toEqual([0, 0]);

  // strange parts that are data are answered or refused by whoever is asked, with a named error
  const strange: object[] = [
    { messages: [{ role: 'user', content: { a: 1 } }] },
    { messages: [{ role: 'user', content: [null, 'x', { type: 'text', text: 5 }] }] },
    {
      messages: [
        { role: 'user', content: 'Hi', tool_calls: [null, { function: 3 }, { function: { arguments: '{' } }] },
      ],
    },
    {
      messages: [{ role: 'user', content: 'Hi', name: 7 }],
      stop: [1],
      tools: 'x',
      response_format: 'json',
      metadata: 3,
    },
  ];
  const router = routerOf({ local, cloud: endpoint(cloud), policy: 'PREFER_ON_DEVICE' });
  for (const more of strange) {
    const told = await router.chat.completions.create({ ...ask('Hi'), ...more } as ReturnType<typeof ask>).then(
      ({ route }) => route.source,
      ({ name }: Error) => name,
    );
    expect(told).toMatch(/^(local|cloud|OpenAIError)$/);
  }
});
