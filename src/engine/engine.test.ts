import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it, vi } from 'vitest';
import { GOLDEN_DIRECTORY as golden } from '../../e2e/tools/golden';
import { ggufBytes, tinyModel } from '../../e2e/tools/tiny';
import type { Backend } from '../backend/backend';
import { openReferenceBackend } from '../backend/reference/backend';
import { LFM2 } from '../model/architecture';
import { RivuletError } from '../errors';
import { memorySource, type ByteSource } from '../store/byte_source';
import { createTokenizer } from '../text/tokenizer';
import { openCheckpoint } from './checkpoint';
import { createEngine, type EngineWorkerCalls } from './engine';
import type { BackendCandidate } from './choose_backend';

// the real backends have their own tests, in browsers
vi.mock('../backend/wasm/backend', () => ({ openWasmBackend: vi.fn() }));
vi.mock('../backend/webgpu/backend', () => ({ openWebGpuBackend: vi.fn() }));

const fileOf = (path: string, name: string): ByteSource => memorySource(name, new Uint8Array(readFileSync(path)));
const gguf = (): ByteSource[] => [fileOf(`${golden}/dense/gguf/tiny-Q8_0.gguf`, 'tiny-Q8_0.gguf')];
const directory = (): ByteSource[] =>
  readdirSync(`${golden}/dense/model`).map((name) => fileOf(`${golden}/dense/model/${name}`, name));

interface Counted {
  engine: EngineWorkerCalls;
  opened: number;
  closed: number;
  discarded: number;
  disposed: number;
}

/** An engine on the reference backend, with counts of what it opens and frees. */
function counted(files: () => ByteSource[], change: (backend: Backend) => Backend = (backend) => backend): Counted {
  const counts: Counted = {
    opened: 0,
    closed: 0,
    discarded: 0,
    disposed: 0,
    engine: undefined as unknown as EngineWorkerCalls,
  };
  const rung: BackendCandidate = {
    name: 'reference',
    label: 'Reference',
    open: () => {
      const backend = change(openReferenceBackend());
      return { ...backend, dispose: () => void counts.disposed++ };
    },
  };
  counts.engine = createEngine({
    open: async () => {
      counts.opened++;
      return {
        id: 'test/tiny',
        files: files(),
        cached: false,
        notes: ['a note of the store'],
        finish: async () => undefined,
        close: async () => void counts.closed++,
        discard: async () => void counts.discarded++,
      };
    },
    candidates: () => [rung],
  });
  return counts;
}

const greedy = { temperature: 0, repetitionPenalty: 1, maxTokens: 8 };
const hello = [{ role: 'user', content: 'Hello' }];

describe('tokenizer vectors from a GGUF file', () => {
  it('encodes and decodes all', async () => {
    const { tokenizer } = await openCheckpoint(gguf());
    const { encode, decode } = createTokenizer(tokenizer.json, tokenizer.config);
    const { vectors } = JSON.parse(readFileSync(`${golden}/tokenizer/vectors.json`, 'utf8')) as {
      vectors: { text: string; ids: number[]; decoded: string; decoded_skip_special: string }[];
    };
    expect(vectors.length).toBe(161);
    for (const { text, ids, decoded, decoded_skip_special } of vectors) {
      expect(encode(text)).toEqual(ids);
      expect(decode(ids)).toBe(decoded);
      expect(decode(ids, { skipSpecial: true })).toBe(decoded_skip_special);
    }
  });
});

describe('engine on the reference backend', () => {
  it.each([
    ['a GGUF file', gguf, 'Q8_0'],
    ['a directory', directory, 'BF16'],
  ])('loads %s, chats, and frees it', async (_, files, quantization) => {
    const counts = counted(files);
    const { engine } = counts;
    const phases: string[] = [];
    const info = await engine.load(
      'test/tiny',
      { contextLength: 128 },
      ({ phase, bytes, total }) => (expect(bytes).toBeLessThanOrEqual(total), phases.push(phase)),
    );
    expect(info).toMatchObject({
      id: 'test/tiny',
      name: 'tiny',
      quantization,
      contextLength: 128,
      chat: true,
      vision: false,
      backend: { name: 'reference' },
    });
    expect([...new Set(phases)]).toEqual(['load', 'compile', 'ready']);
    expect(engine.status().state).toBe('ready');

    const pieces: string[] = [];
    const result = await engine.chat(hello, greedy, (text) => pieces.push(text));
    expect(pieces.join('')).toBe(result.text);
    expect(result).toMatchObject({
      finish: 'length',
      tokens: 8,
      promptTokens: engine.tokenize(engine.render(hello)).length,
    });
    expect(engine.tokenize('a', { bos: true })[0]).toBe(1);
    expect(engine.detokenize(engine.tokenize('née 🦀'))).toBe('née 🦀');

    await engine.unload();
    expect(counts).toMatchObject({ opened: 1, closed: 1, disposed: 1 });
    expect(engine.status()).toEqual({ state: 'empty', memory: 0 });
    await expect(engine.chat(hello, {}, () => undefined)).rejects.toMatchObject({ name: 'RequestError' });
  });

  it('takes from the family what the file leaves open: the sampling, and the markers of a call that stay tokens', async () => {
    const { engine } = counted(gguf);
    expect((await engine.load('x', { contextLength: 128 })).sampling).toMatchObject(LFM2.text.sampling);
    const messages = [...hello, { role: 'assistant', content: '<|tool_call_start|>[f()]<|tool_call_end|>' }, ...hello];
    const { promptTokens } = await engine.chat(messages, greedy, () => undefined);
    expect(promptTokens).toBe(engine.tokenize(engine.render(messages)).length);
  });

  it('gives the golden logits in one piece and in small ones, and the golden continuation', async () => {
    const { engine } = counted(gguf);
    await engine.load('x', { contextLength: 128 });
    const expected = JSON.parse(readFileSync(`${golden}/dense/expected.json`, 'utf8')) as {
      prompts: Record<string, number[]>;
      files: Record<string, { logits_file: string; greedy_from_T7: number[]; greedy_margins: number[] }>;
    };
    const { logits_file, greedy_from_T7, greedy_margins } = expected.files['tiny-Q8_0.gguf'];
    const bytes = readFileSync(`${golden}/dense/${logits_file}`);
    const rows = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
    const row = Object.keys(expected.prompts).indexOf('T7');
    for (const prefillBatch of [undefined, 3, 1]) {
      const logits = await engine.logits(expected.prompts.T7, prefillBatch);
      expect(Math.max(...logits.map((v, i) => Math.abs(v - rows[row * logits.length + i])))).toBeLessThan(1e-3);
    }
    const sure = greedy_margins.findIndex((margin) => margin < 0.1);
    const steps = sure < 0 ? greedy_from_T7.length : sure;
    const { text } = await engine.generate(expected.prompts.T7, { ...greedy, maxTokens: steps }, () => undefined);
    expect(text).toBe(
      engine.detokenize(greedy_from_T7.slice(0, steps), { skipSpecial: true, keep: ['<think>', '</think>'] }),
    );
  });

  it('repeats itself with a seed, also after other prompts', async () => {
    const { engine } = counted(gguf);
    await engine.load('x', { contextLength: 128 });
    const say = async (seed?: number) =>
      engine.chat(hello, { temperature: 2, minP: 0, maxTokens: 12, seed }, () => undefined);
    const first = await say(7);
    await engine.generate('something else', greedy, () => undefined);
    expect((await say(7)).text).toBe(first.text);
    const others = [await say(8), await say(), await say()];
    expect(new Set(others.map(({ text }) => text)).size).toBeGreaterThan(1);
    expect((await say(others[1].seed)).text).toBe(others[1].text);
  });

  it('continues a conversation from its state', async () => {
    const { engine } = counted(gguf);
    await engine.load('x', { contextLength: 256 });
    const first = await engine.chat(hello, greedy, () => undefined);
    const turns = [...hello, { role: 'assistant', content: first.text }, { role: 'user', content: 'More' }];
    const { reusedTokens } = await engine.chat(turns, greedy, () => undefined);
    expect(reusedTokens).toBeGreaterThanOrEqual(first.promptTokens);
  });

  it('runs calls by turns, and ends an aborted one', async () => {
    const { engine } = counted(gguf);
    await engine.load('x', { contextLength: 128 });
    const order: string[] = [];
    const controller = new AbortController();
    const calls = [
      engine.chat(hello, greedy, () => order.push('a')),
      engine.chat(hello, greedy, () => order.push('b'), controller.signal),
      engine.chat(hello, greedy, () => order.push('c')),
    ];
    controller.abort();
    const [a, b, c] = await Promise.all(calls);
    expect([a.finish, b.finish, c.finish]).toEqual(['length', 'abort', 'length']);
    expect(order).not.toContain('b');
    expect(order.indexOf('c')).toBeLessThan(order.lastIndexOf('a'));
    expect(a.text).toBe(c.text);
  });

  it('refuses a prompt longer than the context, naming both numbers', async () => {
    const { engine } = counted(gguf);
    await engine.load('x', { contextLength: 16 });
    await expect(engine.generate('word '.repeat(50), {}, () => undefined)).rejects.toMatchObject({
      name: 'ContextError',
      message: expect.stringMatching(/\d+ tokens.*fewer than 16/),
    });
  });

  it('reads little of a text that is far too long', async () => {
    const { engine } = counted(gguf);
    await engine.load('x', { contextLength: 16 });
    const text = 'Some words of a long text. '.repeat(300_000);
    const start = performance.now();
    const refused = { name: 'ContextError', message: expect.stringMatching(/got at least \d{2,5} tokens/) };
    await expect(engine.generate(text, {}, () => undefined)).rejects.toMatchObject(refused);
    await expect(engine.chat([{ role: 'user', content: text }], {}, () => undefined)).rejects.toMatchObject(refused);
    expect(performance.now() - start, 'all of it takes minutes').toBeLessThan(20_000);
  });

  it('refuses a conversation that leaves no room for an answer, if it is asked to', async () => {
    const { engine } = counted(gguf);
    await engine.load('x', { contextLength: 128 });
    const long = [{ role: 'user', content: 'word '.repeat(28) }];
    const prompt = engine.tokenize(engine.render(long)).length;
    expect(prompt).toBeGreaterThan(96);
    const say = (options: object) => engine.chat(long, { ...greedy, ...options }, () => undefined);
    expect((await say({})).promptTokens).toBe(prompt);
    await expect(say({ keepRoom: true, maxTokens: 100 })).rejects.toMatchObject({
      name: 'ContextError',
      message: expect.stringMatching(/too little of the context for an answer: got \d+ tokens, wanted at most 96/),
    });
    expect((await say({ keepRoom: true, maxTokens: 4 })).promptTokens).toBe(prompt);
  });

  it('loads anew over a model that is there, and unloads in the middle of a text', async () => {
    const counts = counted(gguf);
    const { engine } = counts;
    await engine.load('x', { contextLength: 128 });
    await engine.load('x', { contextLength: 128 });
    expect(counts).toMatchObject({ opened: 2, closed: 2, disposed: 1 });
    let unloaded: Promise<void> | undefined;
    const result = await engine.chat(hello, { ...greedy, maxTokens: 100 }, () => void (unloaded ??= engine.unload()));
    expect(result.finish).toBe('abort');
    await unloaded;
    expect(counts.disposed).toBe(2);
  });

  it.each<[string, (backend: Backend) => Backend, string]>([
    [
      'memory is refused',
      (b) => ({ ...b, reserve: () => Promise.reject(new RivuletError('MemoryError', { what: 'too large' })) }),
      'MemoryError',
    ],
    [
      'a kernel does not compile',
      (b) => ({ ...b, compile: () => Promise.reject(new RivuletError('DeviceError', { what: 'no' })) }),
      'DeviceError',
    ],
    [
      'the device computes nonsense',
      (b) => ({
        ...b,
        compile: async (...a) => {
          const program = await b.compile(...a);
          const newState = async () => ({
            ...(await program.newState()),
            program,
            logits: async () => new Float32Array(4).fill(NaN),
          });
          return { ...program, newState };
        },
      }),
      'DeviceError',
    ],
  ])('frees everything when %s', async (_, change, name) => {
    const counts = counted(gguf, change);
    await expect(counts.engine.load('x', { contextLength: 128 })).rejects.toMatchObject({ name });
    expect(counts).toMatchObject({ opened: 1, closed: 1, disposed: 1 });
    expect(counts.engine.status().state).toBe('empty');
  });

  it('frees everything when a load is aborted', async () => {
    const counts = counted(gguf);
    const controller = new AbortController();
    const loading = counts.engine.load(
      'x',
      {},
      ({ phase }) => phase === 'load' && controller.abort(),
      controller.signal,
    );
    await expect(loading).rejects.toMatchObject({ name: 'AbortError' });
    expect(counts).toMatchObject({ opened: 1, closed: 1, disposed: 1 });
  });

  it('a model with a given hash must be stored: only stored files are compared as a whole', async () => {
    const asked: unknown[] = [];
    const engine = createEngine({
      open: async (_, options) => {
        asked.push(options?.cache);
        throw new Error('enough');
      },
      candidates: () => [],
    });
    await expect(engine.load('Org/Repo', { sha256: 'ab', cache: false })).rejects.toThrow('enough');
    await expect(engine.load('Org/Repo', { cache: false })).rejects.toThrow('enough');
    expect(asked).toEqual(['required', false]);
  });

  it('leaves nothing in the cache of what is no model', async () => {
    const counts = counted(() => [memorySource('x.gguf', new Uint8Array(64))]);
    await expect(counts.engine.load('x')).rejects.toMatchObject({ name: 'CheckpointError' });
    expect(counts).toMatchObject({ discarded: 1, closed: 1 });
  });

  it('tells what the files leave open', async () => {
    const model = tinyModel({ dtype: 'Q8_0' });
    delete model.metadata['lfm2.rope.freq_base'];
    const { notes } = await counted(() => [memorySource('a.gguf', ggufBytes(model))]).engine.load('x');
    expect(notes.join(' ')).toMatch(/a note of the store.*no rope_theta: 1000000 is used/);
  });

  it('says so when the model was made for less context than asked', async () => {
    const { engine } = counted(gguf);
    const { contextLength, notes, config } = await engine.load('x', { contextLength: 1_000_000 });
    expect(contextLength).toBe(config.contextLength);
    expect(notes.join(' ')).toMatch(/a note of the store.*1000000/);
    await expect(engine.load('x', { contextLength: 1.5 })).rejects.toMatchObject({ name: 'RequestError' });
  });
});
