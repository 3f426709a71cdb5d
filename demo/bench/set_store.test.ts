/** What is stored goes on after a reload, and what is damaged costs no result. */
import 'fake-indexeddb/auto';
import { createStore, set as put } from 'idb-keyval';
import { beforeEach, expect, test } from 'vitest';
import { planRuns, PRESETS, type Selection } from './plan';
import type { BenchmarkResult } from './result';
import { partialOf, SetStore, type StoredSet } from './set_store';

const selection: Selection = {
  ...PRESETS.full,
  stored: ['Org/Repo:Q4_0'],
  file: 'mine.gguf',
  backends: ['wasm', 'webgpu'],
};
const result: BenchmarkResult = {
  format: 'rivulet-benchmark',
  version: 1,
  created: '2026-11-28T18:00:00.000Z',
  build: { version: '0.1.0' },
  method: { repetitions: 3 },
  device: {
    browser: 'A browser',
    platform: 'A platform',
    mobile: false,
    cores: 6,
    isolated: true,
    clockMs: 1,
    simd: 'simd',
  },
  runs: [
    {
      model: { name: 'A model', quantization: 'Q4_0', bytes: 6e6, madeUp: true },
      backend: 'wasm',
      status: 'done',
      measurements: [],
      notes: [],
    },
  ],
};
const first = { median: 9, min: 8, max: 10 };
const SET: StoredSet = {
  selection,
  plan: planRuns(selection),
  result,
  partial: partialOf({
    measurements: [{ prompt: 128, generate: 1, cached: false, firstTokenMs: first, repetitions: 3 }],
    sustained: { seconds: 60, points: [[1, 80]] },
  }),
  attempts: 1,
  state: 'running',
};

let store: SetStore;
beforeEach(() => void (store = new SetStore()));
const stored = (value: unknown): Promise<void> => put('set', value, createStore('rivulet-bench', 'results'));

test('a set comes back as it was', async () => {
  await store.saveSet(SET);
  expect(await new SetStore().set()).toEqual(SET);
  expect(store.fleeting).toBe(false);
});

test.each([
  ['no plan', { ...SET, plan: undefined }],
  ['an unknown shape', { ...SET, plan: [{ ...SET.plan[0], source: { shape: '<b>' } }] }],
  ['an unknown backend', { ...SET, plan: [{ ...SET.plan[0], backend: 'cuda' }] }],
  ['measurements of another form', { ...SET, partial: [{ prompt: 128 }] }],
  ['a wrong measurement', { ...SET, partial: { measurements: [{ ...SET.partial.measurements[0], prompt: '<b>' }] } }],
  ['choices of another form', { ...SET, selection: 'everything' }],
])('a set that cannot go on still has its result: %s', async (_, damaged) => {
  await stored(damaged);
  expect(await store.set()).toMatchObject({ result, plan: [], state: 'done', partial: { measurements: [] } });
});

test.each([undefined, 'x', 7, [], {}, { ...SET, result: { ...result, runs: 'none' } }])(
  'what has no result is no set: %#',
  async (damaged) => {
    await stored(damaged);
    expect(await store.set()).toBeUndefined();
  },
);
