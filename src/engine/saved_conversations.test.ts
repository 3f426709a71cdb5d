import 'fake-indexeddb/auto';
import { IDBFactory } from 'fake-indexeddb';
import { createStore, entries, set } from 'idb-keyval';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { open } from '../../e2e/small_wasm';
import { engineOf, engineOn, MODEL, untouched } from '../../e2e/tools/lossy_device';
import { tinyGguf } from '../../e2e/tools/tiny';
import type { Backend } from '../backend/backend';
import { WasmState } from '../backend/wasm/state';
import { fail } from '../errors';
import { deleteModel } from '../store/cached_models';
import {
  forgetConversations,
  listSavedStates,
  SAVED_STATE_BYTES,
  storeState,
  type SavedStateRecord,
} from '../store/saved_states';
import type { Message } from '../text/history';
import type { EngineWorkerCalls } from './engine';

const prompt = Array.from({ length: 100 }, (_, i) => 8 + ((i * 37) % 256));
const greedy = { maxTokens: 8, temperature: 0, logprobs: 0, reuse: true };

const opened = vi.fn((): Promise<Backend> => open(1));

/** An engine on the WASM backend, as a worker has it with the side file. */
async function loaded(source = MODEL, contextLength = 512): Promise<EngineWorkerCalls> {
  await import('../modules/conversations');
  const engine = engineOn({ source }, [{ name: 'wasm', label: 'WASM', open: opened }]);
  await engine.load('a/b', { contextLength });
  return engine;
}
async function say(engine: EngineWorkerCalls, tokens: readonly number[]) {
  const { text, reusedTokens, logprobs } = await engine.generate(tokens, greedy, () => undefined);
  return { text, reusedTokens, ids: logprobs!.map(({ id }) => id) };
}

/** What a page does before it is closed; then the prompt of its next visit, and what that gives without a reload. */
async function visit() {
  const engine = await loaded();
  const { ids } = await say(engine, prompt);
  await engine.saveConversations();
  const next = [...prompt, ...ids, 33, 34];
  return { next, wanted: await say(engine, next) };
}

beforeEach(() => void (globalThis.indexedDB = new IDBFactory()));

// before the other tests import it
it('without the side file saving is refused by its name, and texts go on', async () => {
  const engine = engineOf(untouched(), ['wasm']);
  await engine.load('a/b', { contextLength: 512 });
  const { ids } = await say(engine, prompt);
  await expect(engine.saveConversations()).rejects.toMatchObject({
    name: 'RequestError',
    message: expect.stringMatching(/Load it with saveConversations: true/),
  });
  const messages = [{ role: 'user', content: 'Hello' }];
  for (const call of [engine.exportConversation(messages, {}), engine.importConversation(new Blob(['x']))])
    await expect(call).rejects.toThrow(/Load it with saveConversations: true/);
  expect((await say(engine, [...prompt, ...ids, 33])).reusedTokens).toBe(107);
});

describe('a saved conversation', () => {
  it('goes on after a reload, with the same text, also after a loss', async () => {
    const { next, wanted } = await visit();
    expect(wanted.reusedTokens).toBeGreaterThanOrEqual(107);
    const { text, reusedTokens } = await say(await loaded(), next);
    expect({ text, reusedTokens }).toEqual({ text: wanted.text, reusedTokens: wanted.reusedTokens });
    const other = await loaded();
    opened.mockClear();
    const lost = vi
      .spyOn(WasmState.prototype, 'decode')
      .mockImplementationOnce(async () => fail('DeviceError', { what: 'The device is gone' }));
    expect((await say(other, next)).text).toBe(wanted.text);
    lost.mockRestore();
    expect(opened).toHaveBeenCalledOnce();
  });

  it('gives its state, which reads the rest of the prompt only', async () => {
    const { next, wanted } = await visit();
    const engine = await loaded();
    const read = vi.spyOn(WasmState.prototype, 'prefill');
    await say(engine, next);
    expect(read.mock.calls.map(([tokens]) => tokens.length)).toEqual([next.length - wanted.reusedTokens]);
    read.mockRestore();
  });

  it('is not read for a prompt that does not continue it, nor for the little that it adds', async () => {
    const { next } = await visit();
    const engine = await loaded();
    expect((await say(engine, [...next.slice(0, 90), 5, 6])).reusedTokens).toBe(0);
    expect((await say(engine, next)).reusedTokens, 'from memory').toBe(90);
  });

  it('is saved once, in place of what it continues', async () => {
    const engine = await loaded();
    await engine.saveConversations();
    expect(await listSavedStates()).toEqual([]);
    const { ids } = await say(engine, prompt);
    await engine.saveConversations();
    const [first] = await listSavedStates();
    await engine.saveConversations();
    expect(await listSavedStates()).toEqual([first]);
    await say(engine, [...prompt, ...ids, 33]);
    await engine.saveConversations();
    const [second, ...others] = await listSavedStates('a/b');
    expect([second.id === first.id, others]).toEqual([false, []]);
  });

  it('is not offered to other weights or another build', async () => {
    const { next } = await visit();
    const other = tinyGguf({ hidden: 32, ffn: 32, heads: 2, kvHeads: 1, headDim: 16, vocab: 280, seed: 5 });
    expect((await say(await loaded(other), next)).reusedTokens).toBe(0);
    const store = createStore('rivulet', 'weights');
    const [record] = await listSavedStates();
    await set(['state', record.model, record.id], { ...record, identity: `other ${record.identity}` }, store);
    expect((await say(await loaded(), next)).reusedTokens).toBe(0);
    expect(await listSavedStates()).toHaveLength(1);
  });

  it.each<[string, 'state' | 'pieces', (value: SavedStateRecord & Blob[]) => unknown]>([
    ['a piece is cut', 'pieces', ([blob]) => [blob.slice(1)]],
    ['a piece is missing', 'pieces', () => []],
    ['there are other values', 'pieces', () => ({ length: 3 })],
    ['bytes that say nothing', 'pieces', ([blob]) => [new Blob([new Uint8Array(blob.size)])]],
    ['the layout is another', 'state', (record) => ({ ...record, layout: 'other' })],
  ])('is deleted, and its text is read again: %s', async (_, kind, change) => {
    const { next, wanted } = await visit();
    const store = createStore('rivulet', 'weights');
    const [[key, value]] = (await entries(store)).filter(([name]) => (name as string[])[0] === kind);
    await set(key, change(value as SavedStateRecord & Blob[]), store);
    expect(await say(await loaded(), next)).toMatchObject({ reusedTokens: 0, text: wanted.text });
    expect(await listSavedStates()).toEqual([]);
  });

  it('with a record that makes no sense is not offered', async () => {
    const { next } = await visit();
    const store = createStore('rivulet', 'weights');
    const [record] = await listSavedStates();
    for (const change of [{ calls: 5 }, { calls: [[[1], 1]] }, { calls: [[Uint32Array.of(1), 2]] }, { bytes: -1 }]) {
      await set(['state', record.model, record.id], { ...record, ...change }, store);
      expect(await listSavedStates()).toEqual([]);
      expect((await say(await loaded(), next)).reusedTokens).toBe(0);
    }
  });

  it('goes with its model', async () => {
    await visit();
    expect(await listSavedStates()).toHaveLength(1);
    await deleteModel('a/b');
    expect(await entries(createStore('rivulet', 'weights'))).toEqual([]);
  });
});

describe('what is forgotten during a save stays forgotten', () => {
  const prompts = [0, 1, 2].map((n) => prompt.map((token) => 8 + ((token + n) % 256)));

  it('at any moment of the save', async () => {
    const engine = await loaded();
    let during = 0;
    for (let wait = 0; wait < 12; wait++) {
      for (const tokens of prompts) await say(engine, tokens);
      let saved = false;
      const saving = engine.saveConversations().then(() => (saved = true));
      for (let i = 0; i < wait; i++) await new Promise((resolve) => setTimeout(resolve));
      if (!saved) during++;
      // as the model of the page does
      await engine.forgetConversations();
      await forgetConversations('a/b');
      await saving;
      expect(await listSavedStates(), `after ${wait} ticks`).toEqual([]);
      expect((await say(engine, prompts[0])).reusedTokens, `after ${wait} ticks`).toBe(0);
      await engine.saveConversations();
      expect(await listSavedStates(), 'the next save saves').toHaveLength(1);
      await engine.forgetConversations();
      await forgetConversations();
    }
    expect(during, 'a tick takes longer on a busy machine').toBeGreaterThan(1);
  });

  it('also where another tab forgets', async () => {
    const engine = await loaded();
    for (const tokens of prompts) await say(engine, tokens);
    let forgotten: Promise<void> | undefined;
    const { rewind } = WasmState.prototype;
    const saved = vi.spyOn(WasmState.prototype, 'rewind').mockImplementation(function (this: WasmState, to) {
      forgotten ??= forgetConversations();
      return rewind.call(this, to);
    });
    await engine.saveConversations();
    saved.mockRestore();
    await forgotten;
    expect(await listSavedStates()).toEqual([]);
    await engine.saveConversations();
    expect(await listSavedStates()).toHaveLength(3);
  });
});

describe('ten conversations of 1,000 tokens, taken alternately', () => {
  const user = (content: string): Message => ({ role: 'user', content });

  it('read no more than what is new, also after a reload, and say what is said after reading all', async () => {
    const read = vi.spyOn(WasmState.prototype, 'prefill');
    const fresh = await loaded(MODEL, 2048);
    const talks = Array.from({ length: 10 }, (_, n) => ({
      messages: [user(`${n} ${'3.14159 '.repeat(125)}`)],
      ids: [] as number[],
    }));
    /** A turn of each. @returns the most tokens that one of them read beyond what is new */
    async function turn(engine: EngineWorkerCalls): Promise<number> {
      let most = 0;
      for (const talk of talks) {
        read.mockClear();
        const got = await engine.chat(talk.messages, greedy, () => undefined);
        const fed = read.mock.calls.flatMap(([tokens]) => [...tokens]);
        expect(got.promptTokens).toBe(got.reusedTokens + fed.length);
        most = Math.max(most, fed.length - (got.promptTokens - talk.ids.length));
        const chosen = got.logprobs!.map(({ id }) => id);
        const whole = [...talk.ids.slice(0, got.reusedTokens), ...fed];
        const again = await fresh.generate(whole, { ...greedy, reuse: false }, () => undefined);
        expect(again.reusedTokens).toBe(0);
        expect(again.logprobs).toEqual(got.logprobs);
        talk.ids = [...whole, ...chosen];
        talk.messages.push({ role: 'assistant', content: got.text }, user(`and ${talk.messages.length}?`));
      }
      return most;
    }
    const engine = await loaded(MODEL, 2048);
    await turn(engine);
    expect(Math.min(...talks.map(({ ids }) => ids.length))).toBeGreaterThanOrEqual(1000);
    expect(await turn(engine), 'second turns').toBeLessThanOrEqual(3);
    await engine.saveConversations();
    expect(await turn(await loaded(MODEL, 2048)), 'after a reload').toBeLessThanOrEqual(3);
    read.mockRestore();
  });
});

describe('the budget of saved states', () => {
  const KB = 1 << 10;
  const save = (id: string, bytes: number, replaced: SavedStateRecord[] = []) =>
    storeState(
      { model: 'm', id, identity: '', backend: 'wasm', calls: [] },
      bytes,
      {
        read: () => ({
          layout: '',
          pieces: (async function* () {
            yield new Uint8Array(bytes);
          })(),
        }),
      },
      replaced,
      256 * KB,
    );
  const ids = async (): Promise<string[]> => (await listSavedStates()).map(({ id }) => id).sort();

  it('holds for all: the least recently used goes first', async () => {
    for (const id of ['a', 'b', 'c', 'd']) {
      await save(id, 80 * KB);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    expect(await ids()).toEqual(['b', 'c', 'd']);
    const [b] = (await listSavedStates()).filter(({ id }) => id === 'b');
    await save('e', 80 * KB, [b]);
    expect(await ids()).toEqual(['c', 'd', 'e']);
  });

  it('refuses a larger one by name before any work', async () => {
    const read = vi.fn();
    const record = { model: 'm', id: 'a', identity: '', backend: 'wasm', calls: [] };
    const wanted = storeState(record, SAVED_STATE_BYTES + 1, { read }, []);
    await expect(wanted).rejects.toMatchObject({ name: 'StorageError', message: expect.stringMatching(/too large/) });
    expect(read).not.toHaveBeenCalled();
  });

  it('takes no more than is free', async () => {
    vi.stubGlobal('navigator', { storage: { estimate: async () => ({ quota: 20 * KB, usage: 15 * KB }) } });
    try {
      await expect(save('a', 6 * KB)).rejects.toMatchObject({ name: 'StorageError' });
      await save('b', 4 * KB);
    } finally {
      vi.unstubAllGlobals();
    }
    expect(await ids()).toEqual(['b']);
  });

  it('says that there is no storage', async () => {
    vi.stubGlobal('indexedDB', undefined);
    try {
      await expect(save('a', 1)).rejects.toMatchObject({ name: 'StorageError' });
      expect(await listSavedStates()).toEqual([]);
    } finally {
      vi.unstubAllGlobals();
    }
  });
});
