import { beforeAll, describe, expect, it, vi } from 'vitest';
import { collect, createScriptedModel, type ScriptedModel } from '../../e2e/scripted_model';
import type { Message, ModelInfo } from '../index';
import { installLanguageModel } from './index';
import { createLanguageModel, type LanguageModelSource, type LanguageModelStatic } from './language_model';

/** Each character of the messages is a token, and each message has two more. */
type PromptModel = ScriptedModel & Awaited<ReturnType<LanguageModelSource['load']>>;
const withTokens = (model: ScriptedModel, contextLength = 1000): PromptModel =>
  Object.assign(model, {
    info: { ...model.info, contextLength } as ModelInfo,
    render: async (messages: readonly Message[]) => messages.map(({ content }) => `<${String(content)}>`).join(''),
    tokenize: async (text: string) => Array.from(text, (_, i) => i),
  });

const over = (model: PromptModel): LanguageModelStatic => createLanguageModel({ load: async () => model });
const contents = (model: PromptModel, call = -1): unknown[] =>
  model.calls.at(call)!.messages.map(({ content }) => content);

beforeAll(() => {
  vi.stubGlobal(
    'ProgressEvent',
    class extends Event {
      constructor(type: string, init: object) {
        super(type);
        Object.assign(this, init);
      }
    },
  );
});

describe('a session', () => {
  it.each([{ temperature: -1 }, { temperature: NaN }, { topK: 0 }])('is not made with %o', async (options) => {
    await expect(over(withTokens(createScriptedModel())).create(options)).rejects.toThrow(RangeError);
  });

  it('keeps its conversation, with initial prompts and parts', async () => {
    const model = withTokens(createScriptedModel('Hi.', 'Yes.'));
    const session = await over(model).create({
      initialPrompts: [{ role: 'system', content: 'Be brief.' }],
      temperature: 0.5,
      topK: 3,
    });
    expect([session.contextUsage, session.contextWindow]).toEqual([11, 1000]);
    expect(await session.prompt('Hello')).toBe('Hi.');
    expect(
      await session.prompt([
        {
          role: 'user',
          content: [
            { type: 'text', value: 'Re' },
            { type: 'text', value: 'ally?' },
          ],
        },
      ]),
    ).toBe('Yes.');
    expect(contents(model)).toEqual(['Be brief.', 'Hello', 'Hi.', 'Really?']);
    expect(model.calls[0].options).toMatchObject({ temperature: 0.5, topK: 3 });
    expect(session.contextUsage).toBe(23); // 20 of the prompt, 2 of the answer and its end
  });

  it('streams pieces, goes on with a prefix, appends, measures', async () => {
    const model = withTokens(createScriptedModel('Hi there', 'b c', 'End'));
    const session = await over(model).create();
    expect(await collect(session.promptStreaming('Hello'))).toEqual(['Hi ', 'the', 're']);
    const prefix = { role: 'assistant', content: 'a ', prefix: true } as const;
    expect(await session.prompt([{ role: 'user', content: 'Go' }, prefix])).toBe('b c');
    expect(model.calls[1].options).toMatchObject({ continueFinalMessage: true });
    expect(await session.measureContextUsage('12345')).toBe(7);
    await session.append([
      { role: 'user', content: 'one' },
      { role: 'assistant', content: 'two' },
    ]);
    expect(session.contextUsage).toBe(7 + 10 + 4 + 7 + 5 + 5);
    await session.prompt('three');
    expect(contents(model)).toEqual(['Hello', 'Hi there', 'Go', 'a b c', 'one', 'two', 'three']);
  });

  it('is cloned with its conversation', async () => {
    const model = withTokens(createScriptedModel('A'));
    const first = await over(model).create();
    await first.prompt('one');
    const second = await first.clone();
    await first.prompt('two');
    await second.prompt('three');
    expect(contents(model)).toEqual(['one', 'A', 'three']);
    expect(second.contextUsage).toBe(first.contextUsage);
  });

  it('drops the oldest turns when the context is full, and says so; the first prompts stay', async () => {
    const model = withTokens(createScriptedModel('A'), 80);
    const session = await over(model).create({ initialPrompts: [{ role: 'system', content: 'S' }] });
    const heard = vi.fn();
    session.oncontextoverflow = heard;
    for (const word of ['one', 'two', 'three']) await session.prompt(word.repeat(6));
    expect(heard).toHaveBeenCalledTimes(1);
    expect(contents(model)).toEqual(['S', 'two'.repeat(6), 'A', 'three'.repeat(6)]);
    const error = await session.prompt('x'.repeat(90)).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ name: 'QuotaExceededError', requested: expect.any(Number), quota: 70 });
    await expect(
      over(model).create({ initialPrompts: [{ role: 'user', content: 'x'.repeat(90) }] }),
    ).rejects.toMatchObject({
      name: 'QuotaExceededError',
    });
  });

  it("says the room of a prompt with the platform's own error, which refuses a quota above the request", async () => {
    class QuotaExceededError extends DOMException {
      constructor(message: string, options: { requested: number; quota: number }) {
        super(message, 'QuotaExceededError');
        if (options.requested < options.quota) throw new RangeError('requested is less than quota');
        Object.assign(this, options);
      }
    }
    vi.stubGlobal('QuotaExceededError', QuotaExceededError);
    try {
      const session = await over(withTokens(createScriptedModel('A'), 80)).create();
      const error = await session.prompt('x'.repeat(73)).catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ name: 'QuotaExceededError', requested: expect.any(Number), quota: 70 });
    } finally {
      vi.stubGlobal('QuotaExceededError', undefined);
    }
  });

  it('takes no answer that ended with the model', async () => {
    const model = withTokens(createScriptedModel('Hi there', 'B'));
    const session = await over(model).create();
    const { chat } = model;
    model.chat = (...given) => {
      const stream = chat(...given);
      const result = stream.result.then((whole) => ({ ...whole, finish: 'abort' as const }));
      return { result, parts: stream.parts, [Symbol.asyncIterator]: () => stream[Symbol.asyncIterator]() };
    };
    await expect(session.prompt('one')).rejects.toMatchObject({ name: 'InvalidStateError' });
    model.chat = chat;
    await session.prompt('two');
    expect(contents(model)).toEqual(['two']);
  });

  it('answers one prompt after the other; an aborted one leaves nothing behind', async () => {
    const model = withTokens(createScriptedModel('word '.repeat(100), 'B', 'C'));
    const session = await over(model).create();
    const controller = new AbortController();
    const first = session.prompt('one', { signal: controller.signal });
    const second = session.prompt('two');
    setTimeout(() => controller.abort(new Error('enough')), 10);
    await expect(first).rejects.toThrow('enough');
    expect(await second).toBe('B');
    expect(contents(model)).toEqual(['two']);
    const reader = session.promptStreaming('three').getReader();
    await reader.read();
    await reader.cancel();
  });

  it('ends with destroy', async () => {
    const model = withTokens(createScriptedModel('word '.repeat(100)));
    const session = await over(model).create();
    const answer = session.prompt('one');
    setTimeout(() => session.destroy(), 10);
    await expect(answer).rejects.toMatchObject({ name: 'AbortError' });
    await expect.poll(() => model.calls[0].aborted).toBe(true);
    for (const call of [
      session.prompt('two'),
      session.append('two'),
      session.clone(),
      session.measureContextUsage('two'),
    ])
      await expect(call).rejects.toMatchObject({ name: 'AbortError' });
  });
});

it('streams can be iterated where the platform cannot iterate its own', async () => {
  const prototype = ReadableStream.prototype as unknown as Record<symbol, unknown>;
  const own = Object.getOwnPropertyDescriptor(prototype, Symbol.asyncIterator)!;
  delete prototype[Symbol.asyncIterator];
  try {
    const model = withTokens(createScriptedModel('Hi there', 'word '.repeat(100)));
    const session = await over(model).create();
    expect(await collect(session.promptStreaming('Hello'))).toEqual(['Hi ', 'the', 're']);
    for await (const piece of session.promptStreaming('Go')) if (piece) break;
    await expect.poll(() => model.calls[1].aborted).toBe(true);
  } finally {
    Object.defineProperty(prototype, Symbol.asyncIterator, own);
  }
});

describe('what cannot be served', () => {
  it.each<[string, unknown, string]>([
    ['an image', [{ role: 'user', content: [{ type: 'image', value: null }] }], 'NotSupportedError'],
    ['a system prompt later', [{ role: 'system', content: '' }], 'NotSupportedError'],
    ['a prefix of the user', [{ role: 'user', content: '', prefix: true }], 'SyntaxError'],
    ['an unknown role', [{ role: 'wizard', content: '' }], 'TypeError'],
    ['no content', [{ role: 'user' }], 'TypeError'],
    ['nothing', [], 'TypeError'],
    ['a number', 7, 'TypeError'],
  ])('%s', async (_, input, name) => {
    const session = await over(withTokens(createScriptedModel('A'))).create();
    await expect(session.prompt(input as string)).rejects.toMatchObject({ name });
    await expect(
      session
        .promptStreaming(input as string)
        .getReader()
        .read(),
    ).rejects.toMatchObject({ name });
    expect(await session.prompt('Hello')).toBe('A');
  });

  it.each([
    [{ type: 'object' }, { type: 'json_schema', schema: { type: 'object' } }],
    [/yes|no/, { type: 'regex', pattern: 'yes|no' }],
  ])('a constraint reaches the model, which cannot be held to it: %s', async (responseConstraint, wanted) => {
    const model = withTokens(createScriptedModel('A'));
    const session = await over(model).create();
    await expect(session.prompt('Hello', { responseConstraint })).rejects.toMatchObject({ name: 'NotSupportedError' });
    expect(model.calls[0].options).toMatchObject({ responseFormat: wanted });
  });

  it('other kinds, tools, a call of the constructor', async () => {
    const LanguageModel = over(withTokens(createScriptedModel('A')));
    for (const options of [{ expectedInputs: [{ type: 'image' }] }, { tools: [{ name: 'f' }] }]) {
      expect(await LanguageModel.availability(options)).toBe('unavailable');
      await expect(LanguageModel.create(options)).rejects.toMatchObject({ name: 'NotSupportedError' });
    }
    expect(() => new LanguageModel()).toThrow(TypeError);
  });
});

it('loads once, with progress, and again after a failure', async () => {
  const model = withTokens(createScriptedModel('A'));
  const load = vi
    .fn<LanguageModelSource['load']>()
    .mockRejectedValueOnce(new Error('offline'))
    .mockImplementation(async ({ onProgress }) => {
      onProgress({ phase: 'download', bytes: 5, total: 10, rate: 1 });
      return model;
    });
  const stored = vi.fn().mockResolvedValueOnce(true).mockResolvedValue(false);
  const LanguageModel = createLanguageModel({ load, stored });
  expect(await LanguageModel.availability()).toBe('available');
  expect(await LanguageModel.availability()).toBe('downloadable');
  await expect(LanguageModel.create()).rejects.toThrow('offline');
  const shares: number[] = [];
  const monitor = (target: EventTarget): void =>
    target.addEventListener('downloadprogress', (event) => shares.push((event as ProgressEvent).loaded));
  const both = [LanguageModel.create({ monitor }), LanguageModel.create()];
  expect(await LanguageModel.availability()).toBe('downloading');
  expect((await Promise.all(both)).every((session) => session instanceof LanguageModel)).toBe(true);
  expect(shares).toEqual([0, 0.5, 1]);
  expect(load).toHaveBeenCalledTimes(2);
  expect(await LanguageModel.availability()).toBe('available');
  await expect(LanguageModel.create({ signal: AbortSignal.abort() })).rejects.toMatchObject({ name: 'AbortError' });
});

it('is installed unless the browser has a model of its own', async () => {
  const source = { load: async () => withTokens(createScriptedModel('A')) };
  const own = { availability: vi.fn().mockResolvedValue('downloadable') };
  vi.stubGlobal('LanguageModel', own);
  expect(await installLanguageModel(source)).toBe(false);
  own.availability.mockResolvedValue('unavailable');
  expect(await installLanguageModel(source)).toBe(true);
  const { LanguageModel } = globalThis as unknown as { LanguageModel: LanguageModelStatic };
  expect(await (await LanguageModel.create()).prompt('Hello')).toBe('A');
  vi.unstubAllGlobals();
});
