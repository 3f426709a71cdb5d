import { describe, expect, it, vi } from 'vitest';
import { collect, createScriptedModel, type ScriptedModel } from '../../e2e/scripted_model';
import type { ImportedConversation, Message, Model } from '../index';
import { createSession, importSession, type SessionModel } from './index';

type Scripted = ScriptedModel & SessionModel;
const modelOf = (...scripts: Parameters<typeof createScriptedModel>): Scripted =>
  Object.assign(createScriptedModel(...scripts), {
    exportConversation: vi.fn<Model['exportConversation']>(async () => new Blob(['file'])),
    importConversation: vi.fn<Model['importConversation']>(),
  });
const contents = (messages: readonly Message[]): unknown[] => messages.map(({ content }) => content);
const read = (model: ScriptedModel, call = -1): unknown[] => contents(model.calls.at(call)!.messages);

describe('a session', () => {
  it('keeps its messages with the answers, and passes its options on', async () => {
    const model = modelOf('A', 'B', '<think>hm</think>C');
    const session = createSession(model, { messages: [{ role: 'system', content: 's' }], maxTokens: 50 });
    expect((await session.send('one').result).text).toBe('A');
    for await (const text of session.send({ role: 'user', content: 'two' }, { maxTokens: 60 })) expect(text).toBe('B');
    expect(model.calls.map(({ options }) => options.maxTokens)).toEqual([50, 60]);
    await session.send('three').result;
    expect(read(model)).toEqual(['s', 'one', 'A', 'two', 'B', 'three']);
    expect(session.messages.at(-1)).toEqual({ role: 'assistant', content: 'C', reasoning_content: 'hm' });
  });

  it('has the answer when the loop over it or over its parts ends', async () => {
    const session = createSession(modelOf('A', 'B'));
    await collect(session.send('one'));
    expect(contents(session.messages)).toEqual(['one', 'A']);
    await collect(session.send('two').parts);
    expect(contents(session.messages)).toEqual(['one', 'A', 'two', 'B']);
  });

  it('goes back, and answers the last message again', async () => {
    const model = modelOf('A', 'B', 'C');
    const session = createSession(model);
    await session.send('one').result;
    session.rewind(1);
    await session.send().result;
    expect(contents(session.messages)).toEqual(['one', 'B']);
    session.rewind(0);
    await session.send('other').result;
    expect(contents(session.messages)).toEqual(['other', 'C']);
    for (const length of [-1, 3, 0.5, NaN, '1' as never])
      expect(() => session.rewind(length)).toThrow(/cannot go back there.*from 0 to 2/);
  });

  it('is cloned: what happens to one does not happen to the other', async () => {
    const session = createSession(modelOf('A', 'B', 'C'), { temperature: 0 });
    await session.send('one').result;
    const copy = session.clone();
    await copy.send('two').result;
    session.append([{ role: 'user', content: 'mine' }]);
    expect([contents(session.messages), contents(copy.messages)]).toEqual([
      ['one', 'A', 'mine'],
      ['one', 'A', 'two', 'B'],
    ]);
    session.messages.push({ role: 'user', content: 'x' });
    expect(session.messages).toHaveLength(3);
  });

  it('goes on with a message of its own', async () => {
    const session = createSession(modelOf(' there'));
    await session.send(
      [
        { role: 'user', content: 'a' },
        { role: 'assistant', content: 'Hi ' },
      ],
      {
        continueFinalMessage: true,
      },
    ).result;
    expect(contents(session.messages)).toEqual(['a', 'Hi there']);
  });

  it('stays as it was after an abort, a loop that is left, a failure', async () => {
    const model = modelOf('word '.repeat(50), 'word '.repeat(50), ['a', new Error('lost')], 'D');
    const session = createSession(model);
    const controller = new AbortController();
    const first = session.send('one', { signal: controller.signal });
    await expect(
      (async () => {
        for await (const text of first) if (text) controller.abort();
      })(),
    ).rejects.toMatchObject({ name: 'AbortError' });
    expect((await first.result).finish).toBe('abort');
    const second = session.send('two');
    for await (const text of second) if (text) break;
    await second.result;
    await expect(session.send('three').result).rejects.toThrow('lost');
    expect(session.messages).toEqual([]);
    await session.send('four').result;
    expect(contents(session.messages)).toEqual(['four', 'D']);
  });

  it('refuses by name what would mix two answers, and what is no data', async () => {
    const session = createSession(modelOf('A', 'B'));
    const first = session.send('one');
    await expect(session.send('two').result).rejects.toMatchObject({ name: 'RequestError' });
    await expect(collect(session.send('two'))).rejects.toThrow(/has not answered yet/);
    for (const call of [() => session.append('x'), () => session.rewind(0)]) expect(call).toThrow(/not answered yet/);
    expect(contents(session.clone().messages)).toEqual([]);
    await first.result;
    const circle: Message = { role: 'user' };
    circle.self = circle;
    await expect(session.send(circle).result).rejects.toMatchObject({ name: 'RequestError' });
    expect(() => createSession(modelOf('A'), { messages: 'x' as never })).toThrow(/are no data: got "x"/);
    await session.send('two').result;
    expect(contents(session.messages)).toEqual(['one', 'A', 'two', 'B']);
  });
});

describe('the file of a session', () => {
  it('has its messages, tools and variables, after the answer', async () => {
    const model = modelOf('A');
    const tools = [{ name: 'a' }];
    const session = createSession(model, { tools, variables: { b: 1 }, temperature: 0 });
    void session.send('one');
    expect(await (await session.export()).text()).toBe('file');
    expect(model.exportConversation).toHaveBeenCalledWith(session.messages, { tools, variables: { b: 1 } });
    expect(session.messages).toHaveLength(2);
  });

  it('becomes a session again', async () => {
    const model = modelOf('A');
    const imported: ImportedConversation = {
      messages: [{ role: 'user', content: 'one' }],
      options: { variables: { b: 1 } },
      tokens: 7,
    };
    vi.mocked(model.importConversation).mockResolvedValue(imported);
    const file = new Blob();
    const { session, ...rest } = await importSession(model, file, { maxTokens: 9, state: 'required' });
    expect(rest).toEqual({ tokens: 7 });
    expect(model.importConversation).toHaveBeenCalledWith(file, { state: 'required' });
    await session.send().result;
    expect(model.calls[0].options).toMatchObject({ variables: { b: 1 }, maxTokens: 9 });
    expect(contents(session.messages)).toEqual(['one', 'A']);
  });
});
