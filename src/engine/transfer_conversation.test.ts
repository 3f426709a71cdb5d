import { createHash } from 'node:crypto';
import 'fake-indexeddb/auto';
import { beforeAll, describe, expect, it } from 'vitest';
import { open } from '../../e2e/small_wasm';
import { engineOn, MODEL } from '../../e2e/tools/lossy_device';
import { generator, tinyGguf } from '../../e2e/tools/tiny';
import { createTextStream } from '../api/text_stream';
import { createSession, importSession, type Session, type SessionModel } from '../session';
import type { Message } from '../text/history';
import type { EngineWorkerCalls } from './engine';

const greedy = { maxTokens: 8, temperature: 0, logprobs: 0, reuse: true };
const user = (content: string): Message => ({ role: 'user', content });
const opening = [user('3.14159 '.repeat(15))];

async function loaded(source = MODEL): Promise<EngineWorkerCalls> {
  await import('../modules/conversations');
  const engine = engineOn({ source }, [{ name: 'wasm', label: 'WASM', open: () => open(1) }]);
  await engine.load('a/b', { contextLength: 512 });
  return engine;
}

async function say(engine: EngineWorkerCalls, messages: readonly Message[]) {
  const { text, reusedTokens, promptTokens, logprobs } = await engine.chat(messages, greedy, () => undefined);
  return { text, reusedTokens, promptTokens, ids: logprobs!.map(({ id }) => id) };
}

let engine: EngineWorkerCalls;
let talk: Message[];
let next: Message[];
let file: Blob;
let bytes: Uint8Array<ArrayBuffer>;
let wanted: Awaited<ReturnType<typeof say>>;

beforeAll(async () => {
  engine = await loaded();
  const { text } = await say(engine, opening);
  talk = [...opening, { role: 'assistant', content: text }];
  file = await engine.exportConversation(talk, {});
  bytes = new Uint8Array(await file.arrayBuffer());
  next = [...talk, user('and then?')];
  wanted = await say(engine, next);
});

const headLength = (): number => new DataView(bytes.buffer).getUint32(12, true);

/** The file with other contents and a checksum that fits. */
function forged(change: { head?: (head: Head) => unknown; rest?: (rest: Uint8Array) => Uint8Array }): Blob {
  const text = new TextDecoder().decode(bytes.subarray(16, 16 + headLength()));
  const json = Buffer.from(change.head ? JSON.stringify(change.head(JSON.parse(text) as Head)) : text);
  const prefix = bytes.slice(0, 16);
  new DataView(prefix.buffer).setUint32(12, json.length, true);
  const rest = bytes.slice(16 + headLength(), -32);
  const all = Buffer.concat([prefix, json, change.rest?.(rest) ?? rest]);
  return new Blob([all, createHash('sha256').update(all).digest()]);
}
interface Head {
  messages: Message[];
  options: object;
  state: { identity: string; layout: string; calls: [number, number][] };
}

describe('an exported conversation', () => {
  it('goes on in another engine without being read, with the same ids', async () => {
    const other = await loaded();
    const { messages, tokens, note, options } = await other.importConversation(file);
    expect({ messages, note, options }).toEqual({ messages: talk, note: undefined, options: {} });
    expect(tokens).toBeGreaterThan(120);
    expect(wanted.reusedTokens).toBe(tokens);
    expect(await say(other, next)).toEqual(wanted);
    const again = await other.exportConversation(talk, {});
    expect((await (await loaded()).importConversation(again)).tokens).toBeGreaterThanOrEqual(tokens);
  });

  it('is what was read of its messages: what goes on behind them stays', async () => {
    const more = [...next, { role: 'assistant', content: wanted.text }, user('more')];
    await say(engine, more);
    const other = await loaded();
    const { tokens } = await other.importConversation(await engine.exportConversation(talk, {}));
    expect(tokens).toBeGreaterThan(120);
    expect(tokens).toBeLessThan(160);
    expect((await say(other, next)).ids).toEqual(wanted.ids);
    const { reusedTokens, promptTokens } = await say(engine, [...more, user('x')]);
    expect(promptTokens - reusedTokens).toBeLessThan(40);
  });

  it('keeps tools and variables, with which it was rendered', async () => {
    const options = { tools: [{ name: 'a' }], variables: { b: 1 } };
    const other = await engine.exportConversation(talk, { ...options, addGenerationPrompt: true });
    expect((await engine.importConversation(other)).options).toEqual(options);
  });

  it('has no state where none is there, and is read again', async () => {
    const short = await engine.exportConversation([user('Hi')], {});
    expect(short.size).toBeLessThan(300);
    expect(await engine.importConversation(short)).toMatchObject({
      tokens: 0,
      note: expect.stringMatching(/no state/),
    });
    const fresh = await loaded();
    expect((await fresh.exportConversation(talk, {})).size).toBeLessThan(600);
    await expect(engine.exportConversation([], {})).rejects.toMatchObject({ name: 'RequestError' });
  });
});

it('a session reads only what is new after a clone, a rewind, an import', async () => {
  // bytes that are no whole character would be read again
  const bias = Object.fromEntries(Array.from({ length: 128 }, (_, i) => [136 + i, -100]));
  const modelOf = (on: EngineWorkerCalls): SessionModel => ({
    chat: (messages, options) =>
      createTextStream((emit, signal) => on.chat([...messages], { ...greedy, bias, ...options }, emit, signal)),
    exportConversation: (messages, options) => on.exportConversation(messages, options ?? {}),
    importConversation: (from, options) => on.importConversation(from, options?.state),
  });
  const on = await loaded();
  const session = createSession(modelOf(on), { messages: opening });
  const first = await session.send().result;
  /** tokens that a call read beyond those of its own message and the marks around it */
  const beyond = async (of: Session, text: string): Promise<number> => {
    const { promptTokens, reusedTokens } = await of.send(text).result;
    return promptTokens - reusedTokens - (on.tokenize(text).length + MARKS);
  };
  const MARKS = on.tokenize('<|im_end|>\n<|im_start|>user\n<|im_end|>\n<|im_start|>assistant\n').length;
  const other = session.clone();
  expect(await beyond(session, 'one way')).toBeLessThanOrEqual(3);
  expect(await beyond(other, 'another way'), 'the clone').toBeLessThanOrEqual(3);
  expect(await beyond(session, 'and on')).toBeLessThanOrEqual(3);
  session.rewind(4);
  expect(await beyond(session, 'but no'), 'after a rewind').toBeLessThanOrEqual(3);
  const imported = await importSession(modelOf(await loaded()), await session.export(), { state: 'required' });
  expect(await beyond(imported.session, 'still here'), 'in another engine').toBeLessThanOrEqual(3);
  expect(first.reusedTokens).toBe(0);
  expect(other.messages).toHaveLength(4);
});

describe('a state that cannot be used', () => {
  it('of another model is refused by name, or its text is read', async () => {
    const other = await loaded(
      tinyGguf({ hidden: 32, ffn: 32, heads: 2, kvHeads: 1, headDim: 16, vocab: 280, seed: 5, contextLength: 8192 }),
    );
    await expect(other.importConversation(file, 'required')).rejects.toMatchObject({
      name: 'StorageError',
      message: expect.stringMatching(/cannot be used: got The exported conversation is of another model or build/),
    });
    const { messages, tokens, note } = await other.importConversation(file);
    expect([tokens, note]).toEqual([0, 'The exported conversation is of another model or build: got a/b.']);
    expect((await say(other, [...messages, user('and then?')])).reusedTokens).toBe(0);
  });

  it('stays unused where that is asked for', async () => {
    const other = await loaded();
    expect(await other.importConversation(file, false)).toEqual({ messages: talk, options: {}, tokens: 0 });
    expect((await say(other, next)).reusedTokens).toBe(0);
  });

  it.each<[string, Parameters<typeof forged>[0], RegExp]>([
    ['another build', { head: (h) => ({ ...h, state: { ...h.state, identity: 'x' } }) }, /another model or build/],
    ['another layout', { head: (h) => ({ ...h, state: { ...h.state, layout: 'x' } }) }, /another model or device/],
    ['other messages', { head: (h) => ({ ...h, messages: [user('2.71828')] }) }, /of other messages/],
    ['fewer bytes', { rest: (rest) => rest.subarray(0, -5) }, /damaged/],
    ['more bytes', { rest: (rest) => Buffer.concat([rest, new Uint8Array(5)]) }, /damaged/],
    ['an unknown token', { rest: (rest) => rest.fill(255, 0, 4) }, /of other messages/],
  ])('is not used: %s', async (_, change, message) => {
    const other = await loaded();
    expect(await other.importConversation(forged(change))).toMatchObject({
      tokens: 0,
      note: expect.stringMatching(message),
    });
    expect((await say(other, next)).ids).toEqual(wanted.ids);
  });

  it('with numbers that make no sense does no harm to other conversations', async () => {
    const other = await loaded();
    for (const value of [255, 127]) {
      const { tokens } = await other.importConversation(forged({ rest: (rest) => rest.fill(value, 1000) }));
      expect(tokens).toBeGreaterThan(120);
      await say(other, next).catch((error: Error) => expect(error.name).toBe('DeviceError'));
      expect((await say(other, [user('2.71828')])).ids).toEqual((await say(await loaded(), [user('2.71828')])).ids);
    }
  });
});

describe('another file', () => {
  it('is refused by name wherever a byte is changed or the file is cut', async () => {
    const random = generator(3);
    for (let i = 0; i < 150; i++) {
      const changed = bytes.slice();
      const at = i < 40 ? i : Math.floor(random() * bytes.length);
      changed[at] ^= 1 + Math.floor(random() * 255);
      await expect(engine.importConversation(new Blob([changed])), `byte ${at}`).rejects.toMatchObject({
        name: 'SourceError',
      });
      const cut = Math.floor(random() * bytes.length);
      await expect(engine.importConversation(file.slice(0, cut)), `cut at ${cut}`).rejects.toMatchObject({
        name: 'SourceError',
      });
    }
    await expect(engine.importConversation(new Blob([MODEL as Uint8Array<ArrayBuffer>]))).rejects.toThrow(
      /no exported conversation/,
    );
  });

  it.each<[string, (head: Head) => unknown]>([
    ['null', () => null],
    ['no messages', ({ messages: _, ...rest }) => rest],
    ['messages as text', (h) => ({ ...h, messages: 'x' })],
    ['tools that are none', (h) => ({ ...h, options: { tools: [1] } })],
    ['variables that are none', (h) => ({ ...h, options: { variables: [] } })],
    ['a state without calls', (h) => ({ ...h, state: { ...h.state, calls: undefined } })],
    ['more tokens than bytes', (h) => ({ ...h, state: { ...h.state, calls: [[2 ** 50, 1]] } })],
    ['tokens beyond a call', (h) => ({ ...h, state: { ...h.state, calls: [[1, 2]] } })],
    ['half a token', (h) => ({ ...h, state: { ...h.state, calls: [[1.5, 1]] } })],
  ])('is refused by name: %s', async (_, head) => {
    await expect(engine.importConversation(forged({ head }))).rejects.toMatchObject({ name: 'SourceError' });
  });

  it('with messages that the template cannot read is refused by name', async () => {
    for (const messages of [[], [1], [{ content: 'x' }]])
      await expect(engine.importConversation(forged({ head: (h) => ({ ...h, messages }) }))).rejects.toMatchObject({
        name: 'RequestError',
      });
  });
});
