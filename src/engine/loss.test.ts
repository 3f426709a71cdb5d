import { beforeEach, describe, expect, it, vi } from 'vitest';
import { engineOf, fated, untouched, type Fate } from '../../e2e/tools/lossy_device';
import { tinyGguf } from '../../e2e/tools/tiny';
import { memorySource } from '../store/byte_source';
import type { Progress } from '../store/progress';
import { createEngine, type EngineWorkerCalls } from './engine';
import type { GenerateOptions } from './generate_options';

// the real backends have their drill, in a browser
vi.mock('../backend/wasm/backend', () => ({ openWasmBackend: vi.fn() }));
vi.mock('../backend/webgpu/backend', () => ({ openWebGpuBackend: vi.fn() }));

const KINDS: Record<string, GenerateOptions> = {
  greedy: { temperature: 0, repetitionPenalty: 1, stop: 'never said' },
  sampled: {
    temperature: 1.3,
    minP: 0,
    topP: 0.95,
    repetitionPenalty: 1.1,
    frequencyPenalty: 0.7,
    presencePenalty: 0.4,
    seed: 9,
    stop: ['zz', 'qq'],
  },
  'with logprobs': { temperature: 0.9, minP: 0, seed: 4, logprobs: 3 },
};
const prompt = Array.from({ length: 100 }, (_, i) => 8 + ((i * 37) % 256));

interface Said {
  text: string;
  pieces: string[];
  finish: string;
  logprobs: number[] | undefined;
  backend: string;
  notes: string;
  fate: Fate;
  phases: string[];
}

async function say(
  options: GenerateOptions,
  fate = untouched(),
  signal?: AbortSignal,
  onPiece: (text: string) => void = () => undefined,
): Promise<Said & { engine: EngineWorkerCalls }> {
  const engine = engineOf(fate);
  const phases: string[] = [];
  const told = ({ phase, cause }: Progress): void => void (cause && phases.at(-1) !== phase && phases.push(phase));
  await engine.load('a/b', { contextLength: 512 }, told);
  const pieces: string[] = [];
  const { text, finish, logprobs } = await engine.generate(
    prompt,
    { maxTokens: 16, ...options },
    (piece) => (pieces.push(piece), onPiece(piece)),
    signal,
  );
  const { backend } = engine.info();
  return {
    text,
    pieces,
    finish,
    logprobs: logprobs?.flatMap(({ id, logprob, top }) => [id, logprob, ...top.map((one) => one.id)]),
    backend: backend.name,
    notes: backend.notes.join(' '),
    fate,
    phases,
    engine,
  };
}

describe.each(Object.entries(KINDS))('a device lost once, %s', (_, options) => {
  it('at any call from the load to the last token: the text is the same, once, and the old device is freed', async () => {
    const { text, pieces, finish, logprobs, fate } = await say(options);
    expect(logprobs?.length).toBe(options.logprobs && 16 * 5);
    expect(pieces.length).toBeGreaterThan(2);
    for (let at = 1; at <= fate.acts; at++) {
      const disturbed = await say(options, { ...untouched(), losses: [at] });
      expect({
        at,
        text: disturbed.text,
        pieces: disturbed.pieces,
        finish: disturbed.finish,
        logprobs: disturbed.logprobs,
      }).toEqual({ at, text, pieces, finish, logprobs });
      expect(disturbed.fate).toMatchObject({ opened: 2, freed: 1 });
      expect(disturbed).toMatchObject({ backend: 'webgpu', notes: expect.stringMatching(/lost/) });
    }
  });

  it('twice: goes on with what is below, and says why', async () => {
    const { text, fate } = await say(options);
    for (const losses of [
      [3, 6],
      [fate.acts - 12, fate.acts + 1],
      [fate.acts - 12, fate.acts + 16],
    ]) {
      const disturbed = await say(options, { ...untouched(), losses });
      expect({ losses, text: disturbed.text }).toEqual({ losses, text });
      expect(disturbed).toMatchObject({
        backend: 'wasm',
        notes: expect.stringMatching(/webgpu: .*lost.*second time within a minute/),
        fate: { opened: 3, freed: 2 },
      });
    }
  });
});

describe('a lost device', () => {
  let last: Said['fate'];
  let text: string;
  beforeEach(async () => ({ fate: last, text } = await say(KINDS.sampled)));

  it('is told to the page while it is replaced', async () => {
    const { phases } = await say(KINDS.sampled, { ...untouched(), losses: [last.acts - 4] });
    expect(phases).toEqual(['read', 'load', 'compile', 'replay', 'ready']);
  });

  it('is replaced between two turns, with the state of both', async () => {
    const turn = async (fate: Fate, loss?: number) => {
      const { engine, text } = await say(KINDS.greedy, fate);
      if (loss !== undefined) fate.losses = [fate.acts + loss];
      const more = [...prompt, ...engine.tokenize(text), 40];
      return {
        ...(await engine.generate(more, { ...KINDS.greedy, reuse: true, maxTokens: 6 }, () => undefined)),
        opened: fate.opened,
      };
    };
    const { text: second, reusedTokens } = await turn(untouched());
    expect(reusedTokens).toBeGreaterThan(prompt.length - 1);
    for (const loss of [1, 2, 4])
      expect(await turn(untouched(), loss)).toMatchObject({ text: second, reusedTokens, opened: 2 });
  });

  it('does not keep an abort or an unload waiting, and the next call is answered', async () => {
    for (const end of ['abort', 'unload'] as const) {
      const fate = { ...untouched(), losses: [last.acts - 4] };
      const engine = engineOf(fate);
      const controller = new AbortController();
      let unloaded: Promise<void> | undefined;
      await engine.load('a/b', { contextLength: 512 }, ({ cause, phase }) => {
        if (!cause || phase !== 'load') return;
        if (end === 'abort') controller.abort();
        else unloaded ??= engine.unload();
      });
      const said = await engine.generate(
        prompt,
        { maxTokens: 16, ...KINDS.sampled },
        () => undefined,
        controller.signal,
      );
      expect(said.finish).toBe('abort');
      expect(text.startsWith(said.text) && said.text.length > 0).toBe(true);
      await unloaded;
      expect(fate).toMatchObject({ opened: 2, freed: 2 });
      if (end === 'unload') expect(engine.status()).toEqual({ state: 'empty', memory: 0 });
      else
        expect((await engine.generate(prompt, { maxTokens: 16, ...KINDS.sampled }, () => undefined)).text).toBe(text);
    }
  });

  it('is given up with its backend named, by name, and the model can be used again', async () => {
    const fate = { ...untouched(), losses: [last.acts - 8, last.acts + 6] };
    const engine = engineOf(fate, ['webgpu']);
    await engine.load('a/b', { contextLength: 512 });
    const speak = () => engine.generate(prompt, { maxTokens: 16, ...KINDS.sampled }, () => undefined);
    await expect(speak()).rejects.toMatchObject({
      name: 'DeviceError',
      message: expect.stringMatching(/lost.*backend 'auto' or 'wasm'/),
    });
    expect((await speak()).text).toBe(text);
    expect(fate).toMatchObject({ opened: 3, freed: 2 });
  });

  it('is not replaced by another model', async () => {
    const fate = { ...untouched(), losses: [last.acts - 4] };
    const said = say(KINDS.sampled, fate, undefined, () => (fate.source = tinyGguf({ hidden: 64, headDim: 16 })));
    await expect(said).rejects.toMatchObject({ name: 'SourceError', message: expect.stringMatching(/changed/) });
  });
});

describe('memory that is refused', () => {
  it('in the middle of a text: the next backend goes on', async () => {
    const { text, fate } = await say(KINDS.sampled);
    const disturbed = await say(KINDS.sampled, { ...untouched(), refusal: fate.acts - 5 });
    expect(disturbed).toMatchObject({
      text,
      backend: 'wasm',
      notes: expect.stringMatching(/webgpu: GPU memory was refused/),
      fate: { opened: 2, freed: 1 },
    });
  });

  it('in the middle of a text without another backend: an error that says how much went', async () => {
    const { text, fate } = await say(KINDS.sampled);
    const engine = engineOf({ ...untouched(), refusal: fate.acts - 5 }, ['wasm']);
    await engine.load('a/b', { contextLength: 512 });
    const speak = () => engine.generate(prompt, { maxTokens: 16, ...KINDS.sampled }, () => undefined);
    await expect(speak()).rejects.toMatchObject({
      name: 'MemoryError',
      message: expect.stringMatching(/no longer fits.*contextLength of 1\d\d or less/),
    });
    expect((await speak()).text).toBe(text);
  });

  it.each([
    [
      'takes the next smaller context that fits',
      1500,
      undefined,
      { contextLength: 1024, backend: { name: 'webgpu' } },
      /1024 tokens instead of 2048: GPU memory/,
    ],
    [
      'takes the next backend where none fits',
      300,
      undefined,
      { contextLength: 300, backend: { name: 'wasm' } },
      /contextLength 256\./,
    ],
    [
      'takes the next backend rather than less than was asked for',
      1500,
      2000,
      { contextLength: 2000, backend: { name: 'wasm' } },
      /context of 2000.*contextLength 1000/,
    ],
  ])('at a load: %s', async (_, room, contextLength, wanted, notes) => {
    const fate = { ...untouched(), room };
    const engine = createEngine({
      open: async () => ({
        id: 'a/b',
        files: [memorySource('a.gguf', fate.source)],
        cached: true,
        notes: [],
        finish: async () => {},
        close: async () => {},
        discard: async () => {},
      }),
      candidates: () => [fated(fate, 'webgpu'), { ...fated(untouched(), 'wasm') }],
    });
    const info = await engine.load('a/b', { contextLength });
    expect(info).toMatchObject({
      ...wanted,
      contextLength: wanted.backend.name === 'wasm' ? (contextLength ?? 4096) : wanted.contextLength,
    });
    expect(info.notes.join(' ')).toMatch(notes);
  });

  it('at a load with backend and context named: an error that names the next smaller context', async () => {
    const engine = engineOf({ ...untouched(), room: 1500 }, ['webgpu']);
    await expect(engine.load('a/b', { contextLength: 2000 })).rejects.toMatchObject({
      name: 'MemoryError',
      message: expect.stringMatching(/contextLength 1000/),
    });
    expect(engine.status()).toEqual({ state: 'empty', memory: 0 });
  });
});
