import { describe, expect, it, vi } from 'vitest';
import { createScriptedModel, engineError } from '../../e2e/scripted_model';
import { createFetch } from './create_fetch';
import { createOpenAI } from './create_openai';

const BASE = 'http://in-page/v1';
const messages = [{ role: 'user', content: 'Hello!' }];
const post = (body: unknown, signal?: AbortSignal): RequestInit => ({
  method: 'POST',
  body: typeof body === 'string' ? body : JSON.stringify(body),
  ...(signal && { signal }),
});
const LONG = 'word '.repeat(300);

describe('what is served', () => {
  it('JSON with its type, for each path, from a text or a Request, with a slash or a query behind it', async () => {
    const fetch = createFetch(createScriptedModel('Hi'));
    for (const [path, body, object] of [
      ['/chat/completions', { model: 'scripted', messages }, 'chat.completion'],
      ['/completions/', { model: 'scripted', prompt: 'Hello' }, 'text_completion'],
      ['/responses?a=b', { model: 'scripted', input: 'Hello' }, 'response'],
    ] as const) {
      for (const response of [
        await fetch(BASE + path, post(body)),
        await fetch(new Request(BASE + path, post(body))),
      ]) {
        expect(response.status).toBe(200);
        expect(response.headers.get('content-type')).toBe('application/json');
        expect(((await response.json()) as { object: string }).object).toBe(object);
      }
    }
    const list = await (await fetch(`${BASE}/models`)).json();
    expect(list).toEqual({
      object: 'list',
      data: [{ id: 'scripted', object: 'model', created: expect.any(Number), owned_by: 'rivulet' }],
    });
    expect(await (await fetch(`${BASE}/models/scripted`)).json()).toEqual(list.data[0]);
  });

  it('names with slashes, and a response that the page kept', async () => {
    const openai = createOpenAI({ 'Org/Model:Q4_0': createScriptedModel('Hi') });
    const fetch = createFetch(openai);
    for (const name of ['Org/Model:Q4_0', encodeURIComponent('Org/Model:Q4_0')])
      expect(((await (await fetch(`${BASE}/models/${name}`)).json()) as { id: string }).id).toBe('Org/Model:Q4_0');
    const { id } = await openai.responses.create({ model: 'Org/Model:Q4_0', input: 'Hello' });
    expect(await (await fetch(`${BASE}/responses/${id}`)).json()).toMatchObject({ id, output_text: 'Hi' });
    expect(await (await fetch(`${BASE}/responses/${id}`, { method: 'DELETE' })).json()).toMatchObject({
      deleted: true,
    });
    expect((await fetch(`${BASE}/responses/${id}`)).status).toBe(404);
  });

  it('loads a model for its first request, once, and again after a failure', async () => {
    const load = vi
      .fn()
      .mockRejectedValueOnce(engineError('MemoryError', 'The model does not fit'))
      .mockResolvedValue(createScriptedModel('Hi'));
    const fetch = createFetch({ lazy: load });
    const ask = (): Promise<Response> => fetch(`${BASE}/chat/completions`, post({ model: 'lazy', messages }));
    const failed = await ask();
    expect([failed.status, failed.headers.get('x-should-retry')]).toEqual([503, 'false']);
    expect((await Promise.all([ask(), ask()])).map(({ status }) => status)).toEqual([200, 200]);
    expect(load).toHaveBeenCalledTimes(2);
  });

  it('does not wait for a load after an abort, and names what is no model', async () => {
    const loads = { never: () => new Promise<never>(() => undefined), wrong: async () => ({}) as never };
    const fetch = createFetch(loads);
    for (const [path, prompt] of [
      ['chat/completions', { messages }],
      ['completions', { prompt: 'a' }],
      ['responses', { input: 'a' }],
    ] as const) {
      const controller = new AbortController();
      const asked = fetch(`${BASE}/${path}`, post({ model: 'never', ...prompt }, controller.signal));
      setTimeout(() => controller.abort());
      await expect(asked).rejects.toMatchObject({ name: 'AbortError' });
      const wrong = await fetch(`${BASE}/${path}`, post({ model: 'wrong', ...prompt }));
      expect(((await wrong.json()) as { error: object }).error).toMatchObject({
        message: 'The function for wrong gave no model: got an object, wanted what load() returns.',
      });
    }
  });

  it('is an error where the model is unloaded before the answer is complete', async () => {
    const model = createScriptedModel('Hi there');
    const cut =
      <T extends unknown[]>(run: (...given: T) => ReturnType<typeof model.chat>) =>
      (...given: T) => {
        const stream = run(...given);
        const result = stream.result.then((whole) => ({ ...whole, finish: 'abort' as const }));
        async function* end<T>(pieces: AsyncIterable<T>): AsyncGenerator<T, void> {
          yield* pieces;
          throw new DOMException('The call was aborted.', 'AbortError');
        }
        return { result, parts: end(stream.parts), [Symbol.asyncIterator]: () => end(stream) };
      };
    const fetch = createFetch({ m: { ...model, chat: cut(model.chat), generate: cut(model.generate) } });
    for (const [path, prompt] of [
      ['chat/completions', { messages }],
      ['completions', { prompt: 'a' }],
      ['responses', { input: 'a' }],
    ] as const) {
      const whole = await (await fetch(`${BASE}/${path}`, post({ model: 'm', ...prompt }))).text();
      const streamed = await (await fetch(`${BASE}/${path}`, post({ model: 'm', ...prompt, stream: true }))).text();
      for (const text of [whole, streamed])
        expect(text).toContain('The model was unloaded before its answer was complete');
    }
  });
});

describe('streams', () => {
  it('are server-sent events with [DONE]; those of responses have names', async () => {
    const fetch = createFetch(createScriptedModel('Hi there'));
    const chat = await fetch(`${BASE}/chat/completions`, post({ model: 'scripted', messages, stream: true }));
    expect(chat.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    const events = (await chat.text()).split('\n\n');
    expect(events.slice(-2)).toEqual(['data: [DONE]', '']);
    const chunks = events.slice(0, -2).map((event) => JSON.parse(event.replace(/^data: /, '')));
    expect(chunks.map(({ choices }) => choices[0].delta.content ?? '').join('')).toBe('Hi there');
    const other = await fetch(`${BASE}/responses`, post({ model: 'scripted', input: 'Hello', stream: true }));
    const text = await other.text();
    expect(text).toMatch(/^event: response\.created\ndata: \{"type":"response\.created"/);
    expect(text).not.toContain('[DONE]');
  });

  it('end the generation when they are cancelled or aborted, also while nothing comes', async () => {
    const cancelled = createScriptedModel(LONG);
    const first = await createFetch(cancelled)(
      `${BASE}/chat/completions`,
      post({ model: 'scripted', messages, stream: true }),
    );
    const reader = first.body!.getReader();
    await reader.read();
    await reader.cancel();
    await expect.poll(() => cancelled.calls[0].aborted).toBe(true);

    const aborted = createScriptedModel(LONG);
    const controller = new AbortController();
    const request = post({ model: 'scripted', messages, stream: true }, controller.signal);
    const second = await createFetch(aborted)(`${BASE}/chat/completions`, request);
    const read = second.text();
    controller.abort();
    await expect(read).rejects.toMatchObject({ name: 'AbortError' });
    await expect.poll(() => aborted.calls[0].aborted).toBe(true);

    const before = createScriptedModel(LONG);
    const early = new AbortController();
    const whole = createFetch(before)(`${BASE}/chat/completions`, post({ model: 'scripted', messages }, early.signal));
    setTimeout(() => early.abort(), 10);
    await expect(whole).rejects.toMatchObject({ name: 'AbortError' });
    await expect.poll(() => before.calls[0].aborted).toBe(true);
  });

  it('tell an error in their midst, and before they begin by a status', async () => {
    const late = createFetch(createScriptedModel(['Hi there', engineError('DeviceError', 'Lost')]));
    const stream = post({ model: 'scripted', messages, stream: true });
    const events = (await (await late(`${BASE}/chat/completions`, stream)).text()).trim().split('\n\n');
    expect(JSON.parse(events.at(-1)!.slice(6))).toEqual({
      error: { message: 'Lost.', type: 'server_error', param: null, code: 'device_error' },
    });
    const early = createFetch(createScriptedModel([engineError('ContextError', 'Too long')]));
    const response = await early(`${BASE}/chat/completions`, stream);
    expect([response.status, response.headers.get('content-type')]).toEqual([400, 'application/json']);
    expect(await response.json()).toMatchObject({ error: { code: 'context_length_exceeded' } });
  });
});

describe('what is not served', () => {
  it.each<[string, string, RequestInit, number, string]>([
    ['an unknown path', '/audio/speech', post({}), 404, 'not_found'],
    ['an unknown method', '/chat/completions', { method: 'GET' }, 405, 'method_not_allowed'],
    ['HEAD', '/models', { method: 'HEAD' }, 404, 'not_found'],
    ['no JSON', '/chat/completions', post('{'), 400, 'invalid_json'],
    ['no body', '/chat/completions', { method: 'POST' }, 400, 'invalid_json'],
    ['no object', '/chat/completions', post('[]'), 400, 'invalid_value'],
    ['an unknown model', '/models/x', {}, 404, 'model_not_found'],
    ['a broken escape', '/models/%E0%A4%A', {}, 404, 'model_not_found'],
  ])('%s', async (_, path, init, status, code) => {
    const response = await createFetch(createScriptedModel('Hi'))(BASE + path, init);
    expect(response.status).toBe(status);
    expect(response.headers.get('content-type')).toBe('application/json');
    if (init.method !== 'HEAD') expect(await response.json()).toMatchObject({ error: { code } });
  });

  it('other addresses are refused, or passed on', async () => {
    const model = createScriptedModel('Hi');
    const refused = await createFetch(model)('https://example.com/data.json');
    expect(refused.status).toBe(404);
    expect(await refused.json()).toMatchObject({
      error: { message: expect.stringContaining('example.com/data.json') },
    });
    const fallback = vi.fn(async () => new Response('real'));
    const fetch = createFetch(model, { baseURL: 'https://local/api/v1/', fallback });
    expect(await (await fetch('https://api.openai.com/v1/models')).text()).toBe('real');
    expect(await (await fetch('https://local/v1/models')).text()).toBe('real');
    expect((await fetch('https://local/api/v1/models')).status).toBe(200);
    expect(fallback).toHaveBeenCalledTimes(2);
  });
});

it('needs a model', () => {
  for (const models of [{}, null, { m: null }, { m: 'model' }])
    expect(() => createFetch(models as never)).toThrow(/wanted a loaded model, or models by name/);
});
