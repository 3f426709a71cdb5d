import { afterEach, describe, expect, it } from 'vitest';
import { createCloud, type Act, type CloudServer } from '../../e2e/cloud_server';
import { collect, createScriptedModel } from '../../e2e/scripted_model';
import type { ChatCompletionRequest } from '../openai/types';
import { createBreaker } from './breaker';
import { createJoin } from './continuing';
import { createRouter, type RouteError, type Router, type RouterOptions } from './index';
import { readEvents } from './sse';

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
const KEY = 'sk-test-0123456789abcdefghij';
const endpoint = (cloud: CloudServer, more: object = {}) => ({ baseURL: cloud.baseURL, model: 'm', key: KEY, ...more });
const DEADLINES = { connectMs: 10_000, firstTokenMs: 10_000, stallMs: 10_000, totalMs: 30_000 };
/** of the tests that wait for one; this machine may have much else to do */
const SHORT = { connectMs: 600, firstTokenMs: 600, stallMs: 600 };
const routerOf = (options: RouterOptions): Router => {
  const router = createRouter({ deadlines: DEADLINES, retries: { most: 0 }, policy: 'ONLY_IN_CLOUD', ...options });
  routers.push(router);
  return router;
};
const request: ChatCompletionRequest & { stream?: false } = {
  model: 'auto',
  messages: [{ role: 'user', content: 'Hi' }],
};
const failure = async (call: Promise<unknown>): Promise<RouteError> =>
  call.then(
    () => expect.unreachable('the call succeeded'),
    (error: RouteError) => error,
  );
const SAYS: Act = { say: ['From ', 'the ', 'cloud.'] };

const WRONG: [string, Act, string][] = [
  [
    'HTML with 200',
    { status: 200, headers: { 'content-type': 'text/html' }, body: '<html>Hello</html>' },
    'not_openai',
  ],
  ['no type', { status: 200, headers: { 'content-type': 'application/x' }, body: 'x' }, 'not_openai'],
  ['half a JSON', { status: 200, body: '{"choices": [{"mess' }, 'bad_json'],
  ['a JSON that is no answer', { status: 200, body: '{"hello": 1}' }, 'bad_stream'],
  ['half a JSON in its stream', { say: ['a', 'b'], wrongAfter: 1 }, 'bad_json'],
  ['events of something else', { say: ['a'], wrongAfter: 0, wrong: 'data: [1]\n\ndata: "x"\n\n' }, 'bad_stream'],
  ['an error in its stream', { say: ['a'], wrongAfter: 0, wrong: 'data: {"error":{"code":429}}\n\n' }, 'rate_limited'],
  [
    'text that is none',
    { say: ['a'], wrongAfter: 0, wrong: 'data: {"choices":[{"delta":{"content":{}}}]}\n\n' },
    'bad_stream',
  ],
  ['an empty stream', { wrongAfter: 0, say: ['a'], wrong: ': nothing\n\n' }, 'stream_cut'],
  ['a stream without an end', { say: ['a'], endless: true }, 'stream_cut'],
  ['another model', { ...SAYS, model: 'other' }, 'wrong_model'],
  ['401', { status: 401, body: `{"error":{"message":"bad key ${KEY}"}}` }, 'unauthorized'],
  ['402', { status: 402 }, 'payment_required'],
  ['403', { status: 403 }, 'forbidden'],
  ['404', { status: 404 }, 'model_missing'],
  ['422', { status: 422 }, 'request_rejected'],
  ['429', { status: 429 }, 'rate_limited'],
  ['429 with a pause', { status: 429, headers: { 'retry-after': '120' } }, 'rate_limited'],
  ['500', { status: 500, body: KEY }, 'server_failed'],
  ['30 MB in one event', { hugeMb: 30 }, 'too_large'],
  [
    '30 MB of JSON',
    { status: 200, body: `{"choices":[{"message":{"content":"${'x'.repeat(30 << 20)}"}}]}` },
    'too_large',
  ],
  ['no headers', { silent: true }, 'connect_timeout'],
  ['no first token', { ...SAYS, delays: { first: 5000 } }, 'first_token_timeout'],
  ['a stall', { ...SAYS, stallAfter: 1 }, 'stalled'],
  ['a cut', { ...SAYS, cutAfter: 1 }, 'stream_cut'],
  ['a reset', { reset: true }, 'network'],
  ['a call that is cut', { calls: [{ name: 'f', arguments: '{"a":' }] }, 'bad_stream'],
];

describe('an endpoint that answers with', () => {
  it.each(WRONG)('%s', async (_, act, code) => {
    const cloud = await cloudOf(act);
    const deadlines = { ...DEADLINES, ...(/timeout|stalled/.test(code) && SHORT) };
    const router = routerOf({ cloud: endpoint(cloud), deadlines });
    const error = await failure(router.chat.completions.create(request));
    expect(error).toMatchObject({ name: 'OpenAIError', code });
    expect(error.route!.steps).toMatchObject([{ source: 'cloud', result: code }]);
    const told = [error.message, error.stack, JSON.stringify(error), JSON.stringify(error.route), String(error.cause)];
    const ledger = await (await router.ledger.export('jsonl')).text();
    expect([...told, ledger, JSON.stringify(router.endpoints())].join('\n')).not.toContain(KEY);
    expect(ledger).toContain(`"result":"${code}"`);

    // the next route answers
    const other = await cloudOf(SAYS);
    const both = routerOf({
      deadlines,
      cloud: [endpoint(await cloudOf(act)), endpoint(other, { order: 1, continues: true })],
    });
    const { choices, route } = await both.chat.completions.create(request);
    expect(choices[0].message.content).toMatch(/From the cloud\.$/);
    expect(route).toMatchObject({ reason: 'cloud_failed', steps: [{ result: code }, { result: 'answered' }] });
  });

  it('a redirect: the key and the request do not follow', async () => {
    const other = await cloudOf(SAYS);
    const cloud = await cloudOf({ status: 307, headers: { location: `${other.baseURL}/chat/completions` } });
    const router = routerOf({ cloud: endpoint(cloud) });
    expect(await failure(router.chat.completions.create(request))).toMatchObject({ code: 'redirected' });
    expect(other.requests).toHaveLength(0);
  });

  it('one JSON in place of a stream, and names of models with a version', async () => {
    const cloud = await cloudOf({ ...SAYS, json: true, model: 'm-2026-01-31' });
    const { choices } = await routerOf({ cloud: endpoint(cloud) }).chat.completions.create(request);
    expect(choices[0].message.content).toBe('From the cloud.');
  });

  it('a failing function for the key', async () => {
    const cloud = await cloudOf(SAYS);
    const key = (): string => {
      throw new Error(KEY);
    };
    const error = await failure(routerOf({ cloud: endpoint(cloud, { key }) }).chat.completions.create(request));
    expect(error).toMatchObject({ code: 'no_key' });
    expect(`${error.message} ${String(error.cause)}`).not.toContain(KEY);
  });
});

describe('an answer that breaks off', () => {
  it('goes on at another endpoint, and on the device, without a letter twice', async () => {
    const first = await cloudOf({ say: ['One ', 'two ', 'three '], cutAfter: 2 });
    const second = await cloudOf({ say: ['three ', 'four.'], stallAfter: 1 });
    const local = createScriptedModel('four on the device.');
    const router = routerOf({
      local,
      cloud: [endpoint(first), endpoint(second, { order: 1, continues: true })],
      policy: 'PREFER_IN_CLOUD',
      deadlines: { ...DEADLINES, ...SHORT },
    });
    const chunks = await collect(router.chat.completions.create({ ...request, stream: true }));
    const text = chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('');
    expect(text).toBe('One two three four on the device.');
    expect(second.requests[0].body.messages.at(-1)!.content).toBe('One two ');
    expect(local.calls[0].messages.at(-1)).toMatchObject({ role: 'assistant', content: 'One two three ' });
    expect(chunks.flatMap(({ route }) => route?.source ?? [])).toEqual(['cloud', 'cloud', 'local', 'local']);
  });

  it('is not given twice as calls or as JSON', async () => {
    const calls = [{ name: 'f', arguments: '{"a":1}' }];
    const first = await cloudOf({ say: ['{"a"', ':1'], calls, cutAfter: 1 }, { say: [], calls, wrongAfter: 0 });
    const second = await cloudOf({ say: ['{"a":', '2}'] }, { calls });
    const router = routerOf({ cloud: [endpoint(first), endpoint(second, { order: 1 })] });
    const json = { ...request, response_format: { type: 'json_object' } } as typeof request;
    expect((await router.chat.completions.create(json)).choices[0].message.content).toBe('{"a":2}');
    const local = createScriptedModel('{"b":1}');
    local.constrained = true;
    const both = routerOf({
      local,
      cloud: endpoint(await cloudOf({ say: ['{"a"', 'x'], cutAfter: 1 })),
      policy: 'PREFER_IN_CLOUD',
    });
    expect((await both.chat.completions.create(json)).choices[0].message.content).toBe('{"b":1}');
    expect((await router.chat.completions.create(request)).choices[0].message.tool_calls).toHaveLength(1);
  });

  it('ends on the wire when the caller stops, before the headers and in the stream', async () => {
    const cloud = await cloudOf({ silent: true }, { say: Array(100).fill('a '), delays: { pieces: 5 } });
    const router = routerOf({ cloud: endpoint(cloud), deadlines: {} });
    const stop = new AbortController();
    const call = router.chat.completions.create(request, { signal: stop.signal });
    await expect.poll(() => cloud.requests.length).toBe(1);
    stop.abort();
    await expect(call).rejects.toMatchObject({ name: 'AbortError' });
    await expect.poll(() => cloud.requests[0].cancelled).toBe(true);
    for await (const { choices } of await router.chat.completions.create({ ...request, stream: true })) {
      if (choices.length && cloud.requests[1].said.length > 10) break;
    }
    await expect.poll(() => cloud.requests[1].cancelled).toBe(true);
    expect(cloud.requests[1].said.length).toBeLessThan(150);
    expect(router.endpoints()[0]).toMatchObject({ breaker: 'closed', running: 0 });
  });
});

describe('retries and breakers', () => {
  it('tries again after a pause that the seed decides, and not more often than it may', async () => {
    const cloud = await cloudOf({ status: 503 }, { status: 503 }, SAYS);
    const retries = { most: 2, baseMs: 40, capMs: 200 };
    const environment = { random: () => 0.5 };
    const router = routerOf({ cloud: endpoint(cloud), retries, environment });
    expect((await router.chat.completions.create(request)).route.steps).toHaveLength(3);
    const [a, b, c] = cloud.requests.map(({ time }) => time);
    expect(b - a).toBeGreaterThanOrEqual(19);
    expect(c - b).toBeGreaterThanOrEqual(39);
    const down = await cloudOf({ status: 503 });
    await failure(routerOf({ cloud: endpoint(down), retries, environment }).chat.completions.create(request));
    expect(down.requests).toHaveLength(3);
  });

  it('waits as long as Retry-After says, if the request has the time', async () => {
    const short = await cloudOf({ status: 429, headers: { 'retry-after': '0.2' } }, SAYS);
    const retries = { most: 1, baseMs: 1, capMs: 1000 };
    await routerOf({ cloud: endpoint(short), retries }).chat.completions.create(request);
    expect(short.requests[1].time - short.requests[0].time).toBeGreaterThanOrEqual(199);
    const long = await cloudOf({
      status: 429,
      headers: { 'retry-after': new Date(Date.now() + 60_000).toUTCString() },
    });
    const router = routerOf({ cloud: endpoint(long), retries });
    await failure(router.chat.completions.create(request));
    expect(router.endpoints()[0]).toMatchObject({ breaker: 'open', waitMs: expect.closeTo(60_000, -4) });
    await failure(router.chat.completions.create(request));
    expect(long.requests).toHaveLength(1);
  });

  it('opens after failures in a row, lets one request try, and closes', () => {
    let now = 0;
    const breaker = createBreaker({ failures: 2, openMs: 100, maxOpenMs: 300 }, () => now);
    const fails = (): void => (expect(breaker.enter()).toBe(true), breaker.failure());
    fails();
    expect(breaker.state()).toBe('closed');
    fails();
    expect([breaker.state(), breaker.waitMs(), breaker.enter()]).toEqual(['open', 100, false]);
    now = 100;
    expect([breaker.state(), breaker.enter(), breaker.enter()]).toEqual(['probing', true, false]);
    breaker.failure();
    expect(breaker.waitMs()).toBe(200);
    now = 300;
    fails();
    expect(breaker.waitMs()).toBe(300);
    breaker.wake();
    expect(breaker.enter()).toBe(true);
    breaker.success();
    expect([breaker.state(), breaker.waitMs()]).toEqual(['closed', 0]);
    breaker.failure(50);
    breaker.wake(); // the server asked for the pause
    expect(breaker.waitMs()).toBe(50);
  });

  it('shares the load over endpoints of one model; a conversation stays at one', async () => {
    const servers = await Promise.all([cloudOf(SAYS), cloudOf(SAYS), cloudOf(SAYS)]);
    const router = routerOf({ cloud: servers.map((cloud, i) => endpoint(cloud, { name: `s${i}` })) });
    const used = new Map<string, Set<string>>();
    for (let i = 0; i < 30; i++) {
      const content = `Conversation ${i % 10}`;
      const { route } = await router.chat.completions.create({ model: 'auto', messages: [{ role: 'user', content }] });
      used.set(content, (used.get(content) ?? new Set()).add(route.endpoint!));
    }
    expect([...used.values()].every(({ size }) => size === 1)).toBe(true);
    expect(servers.every(({ requests }) => requests.length > 0)).toBe(true);
  });

  it('notices at once that the network is gone, and that it is back', async () => {
    const cloud = await cloudOf({ say: ['One ', 'two'], stallAfter: 1 }, SAYS);
    const listeners = new Set<(online: boolean) => void>();
    let online = true;
    const environment = {
      online: () => online,
      onOnline: (listener: (online: boolean) => void) => {
        listeners.add(listener);
        return () => void listeners.delete(listener);
      },
    };
    const local = createScriptedModel('two on the device.', 'All here.');
    const options = { local, cloud: endpoint(cloud), policy: 'PREFER_IN_CLOUD', environment, deadlines: {} } as const;
    const router = routerOf(options);
    const start = performance.now();
    const call = router.chat.completions.create(request);
    await expect.poll(() => cloud.requests[0]?.said).toBe('One ');
    online = false;
    for (const listener of listeners) listener(false);
    expect((await call).choices[0].message.content).toBe('One two on the device.');
    expect(performance.now() - start).toBeLessThan(10_000); // the stall deadline is 15 s
    expect((await router.chat.completions.create(request)).route).toMatchObject({ source: 'local', reason: 'offline' });
    online = true;
    for (const listener of listeners) listener(true);
    expect((await router.chat.completions.create(request)).route.source).toBe('cloud');
    expect(listeners.size).toBe(1); // the router's own
  });

  it('hedges: the second path answers when the first is late, within its share', async () => {
    const cloud = await cloudOf({ ...SAYS, delays: { first: 3000 } }, { ...SAYS, delays: { first: 60 } });
    const policy = {
      name: 'p',
      rules: [],
      otherwise: 'cloud-then-local' as const,
      hedge: { afterMs: 20, share: 0.04 },
    };
    const router = routerOf({ local: createScriptedModel('Here.'), cloud: endpoint(cloud), policy });
    const sources: unknown[] = [];
    for (let i = 0; i < 4; i++) {
      const { route } = await router.chat.completions.create(request);
      sources.push([route.source, route.reason]);
    }
    expect(sources[0]).toEqual(['local', 'hedged']);
    expect(sources.slice(1)).toEqual(Array(3).fill(['cloud', 'otherwise']));
    await expect.poll(() => cloud.requests[0].cancelled).toBe(true);
  });

  it('takes deadlines without an end', async () => {
    const deadlines = { connectMs: Infinity, firstTokenMs: Infinity, stallMs: Infinity, totalMs: Infinity };
    const cloud = await cloudOf({ ...SAYS, delays: { headers: 20, first: 20, pieces: 5 } });
    const policy = { name: 'p', rules: [], otherwise: 'cloud' as const, hedge: { afterMs: Infinity } };
    const { route } = await routerOf({ cloud: endpoint(cloud), deadlines, policy }).chat.completions.create(request);
    expect(route.steps).toMatchObject([{ result: 'answered' }]);
  });

  it('keeps its deadlines when the clock of the device is set', async () => {
    let wall = 1e12;
    const cloud = await cloudOf({ ...SAYS, delays: { pieces: 20 } });
    const router = routerOf({
      cloud: endpoint(cloud),
      environment: { wall: () => (wall += Math.random() < 0.5 ? 1e9 : -1e9) },
    });
    expect((await router.chat.completions.create(request)).route.ms).toBeLessThan(10_000);
    expect(await router.ledger.verify()).toMatchObject({ valid: true });
  });
});

describe('pieces', () => {
  it('reads events that are cut anywhere', async () => {
    const text = ': note\r\n\r\ndata: {"a":"ü€😀"}\r\n\r\nevent: x\ndata: one\ndata: two\n\ndata:[DONE]\r\r';
    const bytes = new TextEncoder().encode(text);
    for (let size = 1; size < 20; size++) {
      async function* pieces(): AsyncGenerator<Uint8Array> {
        for (let i = 0; i < bytes.length; i += size) yield bytes.subarray(i, i + size);
      }
      expect(await collect(readEvents(pieces()))).toEqual(['{"a":"ü€😀"}', 'one\ntwo', '[DONE]']);
    }
  });

  it('takes away what is said again, and nothing else', () => {
    const joined = (before: string, ...pieces: string[]): string => {
      const join = createJoin(before);
      return before + pieces.map((piece) => join.push(piece)).join('') + join.flush();
    };
    const before = 'The quick brown fox jumps over';
    for (const pieces of [
      [' the lazy dog.'],
      [before, ' the lazy dog.'],
      ['fox jumps over the ', 'lazy dog.'],
      ['The quick brown fox', ' jumps over the lazy dog.'],
    ])
      for (const cut of [pieces, [...pieces.join('')]]) expect(joined(before, ...cut)).toBe(`${before} the lazy dog.`);
    expect(joined('ha ha ', 'ha ha')).toBe('ha ha ha ha');
    expect(joined('', 'abc')).toBe('abc');
  });
});
