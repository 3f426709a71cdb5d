/** A mixture of experts that is larger than its memory budget, from the engine's calls. */
import '../modules/experts';
import { describe, expect, test } from 'vitest';
import { tinyGguf, type TinyOptions } from '../../e2e/tools/tiny';
import { openWasmBackend } from '../backend/wasm/backend';
import { memorySource } from '../store/byte_source';
import type { BackendCandidate } from './choose_backend';
import { createEngine, type EngineWorkerCalls } from './engine';

const MODEL: TinyOptions = {
  dtype: 'Q4_0',
  layers: ['conv', 'attention', 'conv', 'conv'],
  hidden: 256,
  experts: { count: 16, top: 2, ffnSize: 512, denseLayers: 1, normalise: true, scale: 1 },
};
const greedy = { temperature: 0, repetitionPenalty: 1, maxTokens: 12 };
const ignore = (): undefined => undefined;

const WASM: BackendCandidate = {
  name: 'wasm',
  label: 'WASM',
  open: () => openWasmBackend({ threads: 1, variant: 'simd' }),
};

interface Opened {
  engine: EngineWorkerCalls;
  /** sources that are open */
  open: Set<object>;
  /** the storage fails after so many more reads */
  readsLeft: number;
  stored: boolean;
}

function opened(candidates: BackendCandidate[] = [WASM], options: TinyOptions = MODEL): Opened {
  const state: Opened = { engine: undefined as never, open: new Set(), readsLeft: Infinity, stored: true };
  const bytes = tinyGguf(options);
  state.engine = createEngine({
    open: async () => {
      const file = memorySource('tiny.gguf', bytes);
      const source = {
        id: 'test/tiny',
        cached: true,
        notes: [],
        files: [
          {
            ...file,
            read: async (offset: number, length: number) => {
              expect(state.open.has(source)).toBe(true);
              if (--state.readsLeft < 0) throw new Error('The storage was removed');
              return file.read(offset, length);
            },
          },
        ],
        finish: async () => undefined,
        stored: () => state.stored,
        close: async () => void state.open.delete(source),
        discard: async () => undefined,
      };
      state.open.add(source);
      return source;
    },
    candidates: () => candidates.slice(),
  });
  return state;
}

const error = (name: string, message: RegExp) =>
  expect.objectContaining({ name, message: expect.stringMatching(message) });

describe('a mixture of experts beyond the memory budget', () => {
  test('answers like one in memory; its source is open until it is unloaded', async () => {
    const [all, few] = [opened(), opened()];
    await all.engine.load('test/tiny', { contextLength: 256 });
    expect([all.open.size, all.engine.status().paging]).toEqual([0, undefined]);
    const info = await few.engine.load('test/tiny', { contextLength: 256, memoryBudget: 7e6 });
    expect(few.open.size).toBe(1);
    expect(info.memory).toBeLessThan(7e6);
    const [wanted, got] = await Promise.all(
      [all, few].map(({ engine }) => engine.generate('Hello there, what is a tide pool?', greedy, ignore)),
    );
    expect(got.text).toBe(wanted.text);
    const { memory, paging } = few.engine.status();
    expect(memory).toBeLessThanOrEqual(7e6);
    expect(memory).toBeLessThan(all.engine.status().memory);
    expect(paging).toMatchObject({ experts: 48 });
    expect(paging!.inMemory).toBeGreaterThanOrEqual(16);
    expect(paging!.inMemory).toBeLessThan(48);
    expect(paging!.hitRate).toBeGreaterThan(0);
    expect(paging!.hitRate).toBeLessThan(1);
    expect(paging!.bytesPerToken).toBeGreaterThan(1e4);
    await few.engine.unload();
    expect(few.open.size).toBe(0);
  });

  test('ends an answer with what it has when the storage is gone, and answers again when it is back', async () => {
    const made = opened();
    const { engine } = made;
    await engine.load('test/tiny', { contextLength: 256, memoryBudget: 7e6 });
    const wanted = await engine.generate('Hello there', { ...greedy, reuse: false }, ignore);
    let text = '';
    made.readsLeft = 100; // enough for the prompt and some tokens
    const options = { temperature: 50, minP: 0, seed: 1, maxTokens: 200, bias: { 2: -1e6, 7: -1e6 } };
    const answer = engine.generate('What is a tide pool?', options, (part) => {
      text += part;
    });
    await expect(answer).rejects.toThrow('The storage was removed');
    expect(text.length).toBeGreaterThan(0);
    made.readsLeft = Infinity;
    expect((await engine.generate('Hello there', { ...greedy, reuse: false }, ignore)).text).toBe(wanted.text);
  });

  test('is refused without storage, and where the budget has no room for a layer', async () => {
    const options = { contextLength: 256, memoryBudget: 7e6 };
    const unstored = opened();
    unstored.stored = false;
    await expect(unstored.engine.load('test/tiny', options)).rejects.toEqual(
      error('StorageError', /larger than memoryBudget needs storage: got nothing is stored/),
    );
    expect(unstored.open.size).toBe(0);
    const { engine, open } = opened();
    await expect(engine.load('test/tiny', { ...options, memoryBudget: 3e6 })).rejects.toEqual(
      error('RequestError', /The memory budget is too small for the model: got 3 MB, wanted at least \d MB/),
    );
    expect(open.size).toBe(0);
  });
});
