/** What a run does when something goes wrong, over a model that answers at once. */
import { describe, expect, test } from 'vitest';
import type { GenerationResult, LoadCallOptions, Model } from '../../src/index';
import type { TabWatch } from './conditions';
import { measureRun, type RunHooks, type RunRequest } from './measure';
import { sustainedDrop } from './describe';
import type { PartialRun } from './result';

const V = 320;

interface Faults {
  /** called with each generation's number */
  onGenerate?(n: number, options: LoadCallOptions): void;
  /** most tokens of context */
  largest?: number;
  /** of a generation's number */
  msPerToken?(n: number): number;
}

interface Loaded {
  load: RunHooks['load'];
  generated: { prompt: number; maxTokens: number; reuse: boolean }[];
  unloaded: number;
}

function fakeLoad({ onGenerate, largest = Infinity, msPerToken = () => 2 }: Faults = {}): Loaded {
  const state: Loaded = { load: undefined as never, generated: [], unloaded: 0 };
  const load = async (_: unknown, options: LoadCallOptions): Promise<Model> => {
    const contextLength = options.contextLength ?? 0;
    if (contextLength > largest)
      throw Object.assign(new Error(`A context of ${contextLength} tokens does not fit.`), { name: 'MemoryError' });
    const info = {
      config: { vocabSize: V },
      quantization: 'Q4_0',
      bytes: 1e6,
      memory: 2e6,
      contextLength,
      notes: ['a note'],
      backend: { name: 'wasm', device: 'SIMD × 1', variant: 'simd', notes: [], threads: 1 },
    };
    return {
      info,
      logits: async () => Float32Array.from({ length: V }, (__, i) => i),
      tokenize: async () => [1, 2],
      unload: async () => void state.unloaded++,
      generate(prompt: number[], { maxTokens, reuse }: { maxTokens: number; reuse: boolean }) {
        const n = state.generated.push({ prompt: prompt.length, maxTokens, reuse });
        onGenerate?.(n, options);
        const result: Partial<GenerationResult> = {
          prefillMs: 10,
          decodeMs: msPerToken(n) * (maxTokens - 1),
          firstTokenMs: 10,
          tokens: maxTokens,
        };
        return {
          result: Promise.resolve(result),
          async *[Symbol.asyncIterator]() {
            for (let i = 0; i < maxTokens; i++) yield ' x';
          },
        };
      },
    } as unknown as Model;
  };
  state.load = load as never;
  return state;
}

const REQUEST: RunRequest = {
  source: './model.gguf',
  name: 'A model',
  madeUp: true,
  quantization: 'Q4_0',
  backend: 'wasm',
  cases: [{ prompt: 128, generate: 1, cached: false }, { prompt: 1024, generate: 64, cached: true }],
  sustainedSeconds: 0,
  kernels: false,
  repetitions: 3,
  load: {},
}; // prettier-ignore

function measure(
  loaded: Loaded,
  change: Partial<RunRequest> = {},
  hooks: Partial<RunHooks> = {},
  already: PartialRun = { measurements: [] },
): ReturnType<typeof measureRun> {
  const tab = { count: 0, visible: async () => undefined } as unknown as TabWatch;
  return measureRun({ ...REQUEST, cases: [...REQUEST.cases], ...change }, already, {
    signal: new AbortController().signal,
    tab,
    onStep: () => undefined,
    onDone: () => undefined,
    onWait: () => undefined,
    checked: new Map([['Q4_0 wasm', 0.001]]),
    load: loaded.load,
    ...hooks,
  });
}

test('prompts are read from the start, positions are gone on from, and the first run does not count', async () => {
  const loaded = fakeLoad();
  const run = await measure(loaded);
  expect(run).toMatchObject({
    status: 'done',
    model: { quantization: 'Q4_0', bytes: 1e6 },
    memoryBytes: 2e6,
    threads: 1,
    notes: ['a note'],
  });
  expect(run.check).toEqual({ golden: 0.001, pieces: 0 });
  expect(run.measurements).toMatchObject([
    { prompt: 128, prefill: { median: 12800 }, repetitions: 3 },
    { prompt: 1024, decode: { median: 500 }, repetitions: 3 },
  ]);
  expect(run.measurements[1].prefill).toBeUndefined();
  expect(loaded.generated.slice(1)).toEqual([
    ...Array(4).fill({ prompt: 128, maxTokens: 1, reuse: false }),
    ...Array(4).fill({ prompt: 1024, maxTokens: 65, reuse: true }),
  ]);
  expect(loaded.unloaded).toBe(1);
});

test('measurements of before a reload are not made again', async () => {
  const first = {
    prompt: 128,
    generate: 1,
    cached: false,
    prefill: { median: 7, min: 7, max: 7 },
    firstTokenMs: { median: 1, min: 1, max: 1 },
    repetitions: 3,
  };
  const loaded = fakeLoad();
  const run = await measure(loaded, {}, {}, { measurements: [first] });
  expect(run.measurements[0]).toBe(first);
  expect(loaded.generated.some(({ prompt }) => prompt === 128)).toBe(false);
});

describe('a repetition is made again', () => {
  test('if the tab was hidden in it', async () => {
    const tab = { count: 0, visible: async () => undefined };
    const run = await measure(
      fakeLoad({ onGenerate: (n) => void (n === 4 && tab.count++) }),
      {},
      { tab: tab as unknown as TabWatch },
    );
    expect(run.notes).toContain('A repetition of prefill of 128 was made again, because the tab was hidden.');
    expect(run.measurements.map(({ repetitions }) => repetitions)).toEqual([3, 3]);
  });

  test('if the GPU was lost in it', async () => {
    const run = await measure(
      fakeLoad({
        onGenerate: (n, { onProgress }) =>
          void (n === 8 && onProgress?.({ phase: 'load', bytes: 0, total: 1, rate: 0 })),
      }),
    );
    expect(run.notes).toContain(
      'A repetition of decode at 1,024 was made again, because the GPU was lost and the model was loaded again.',
    );
    expect(run.measurements.map(({ repetitions }) => repetitions)).toEqual([3, 3]);
  });

  test('but not for ever', async () => {
    const tab = { count: 0, visible: async () => undefined };
    const run = await measure(
      fakeLoad({ onGenerate: () => void tab.count++ }),
      {},
      { tab: tab as unknown as TabWatch },
    );
    expect(run).toMatchObject({
      status: 'failed',
      problem: expect.stringContaining('was disturbed 6 times: the tab was hidden. Keep the tab in front'),
    });
  });
});

test('a failure keeps the measurements before it', async () => {
  const fail = (n: number): void => {
    if (n === 7) throw new Error('The GPU device was lost.');
  };
  const loaded = fakeLoad({ onGenerate: fail });
  expect(await measure(loaded)).toMatchObject({
    status: 'failed',
    problem: 'The GPU device was lost.',
    measurements: [{ prompt: 128 }],
  });
  expect(loaded.unloaded).toBe(1);
});

test('a context that does not fit leaves out the longest case, and the rest is measured', async () => {
  const run = await measure(fakeLoad({ largest: 1050 }));
  expect(run).toMatchObject({ status: 'done', measurements: [{ prompt: 128 }] });
  expect(run.notes[0]).toBe('decode at 1,024 was left out: a context of 1,096 tokens does not fit into memory.');
});

describe('a run without a pause', () => {
  test('shows how much slower the device gets, in no more points than a plot can show', async () => {
    const began = performance.now();
    const loaded = fakeLoad({ msPerToken: () => (performance.now() - began < 150 ? 2 : 3) });
    const { sustained } = await measure(loaded, { cases: [], sustainedSeconds: 0.3 });
    const { seconds, points } = sustained!;
    expect(seconds).toBe(0.3);
    expect(points.length).toBeGreaterThan(10);
    expect(points.length).toBeLessThanOrEqual(300);
    expect(points.map(([at]) => at)).toEqual(points.map(([at]) => at).sort((a, b) => a - b));
    expect(points.at(-1)![0]).toBeCloseTo(0.3, 1);
    expect([points[0][1], points.at(-1)![1]]).toEqual([500, 333.3]);
    expect(sustainedDrop(points)).toBeCloseTo(1 / 3, 3);
    // always the same positions: the prompt, and as many tokens after it
    expect(
      new Set(loaded.generated.slice(2).map(({ prompt, maxTokens, reuse }) => `${prompt} ${maxTokens} ${reuse}`)),
    ).toEqual(new Set(['128 97 true']));
  });

  test('is not made again after a reload', async () => {
    const sustained = { seconds: 60, points: [[1, 80], [60, 70]] as [number, number][] }; // prettier-ignore
    const loaded = fakeLoad();
    expect(
      (await measure(loaded, { cases: [], sustainedSeconds: 60 }, {}, { measurements: [], sustained })).sustained,
    ).toBe(sustained);
    expect(loaded.generated).toHaveLength(1); // the warm-up
  });

  test('that was hidden says so', async () => {
    const tab = { count: 0, visible: async () => undefined };
    const run = await measure(
      fakeLoad({ onGenerate: (n) => void (n === 3 && tab.count++) }),
      { cases: [], sustainedSeconds: 0.05 },
      { tab: tab as unknown as TabWatch },
    );
    expect(run.notes).toContain('The tab was hidden during the run without a pause: its curve shows that, too.');
  });
});

test('wrong numbers are not timed', async () => {
  // its check model does not give the stored results
  const loaded = fakeLoad();
  const run = await measure(loaded, {}, { checked: new Map() });
  expect(run).toMatchObject({
    status: 'wrong',
    measurements: [],
    problem: expect.stringMatching(/^The kernels compute wrong numbers: they differ from the known results by \d/),
  });
  expect(loaded.generated).toEqual([]);
});

test('a stop is not a failure', async () => {
  const controller = new AbortController();
  const stop = (): void => {
    controller.abort();
    throw new DOMException('stopped', 'AbortError');
  };
  await expect(measure(fakeLoad({ onGenerate: stop }), {}, { signal: controller.signal })).rejects.toMatchObject({
    name: 'AbortError',
  });
});
