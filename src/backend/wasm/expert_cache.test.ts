import '../../modules/experts';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { NodeWorker } from '../../../e2e/small_wasm';
import { tinyGguf, type TinyOptions } from '../../../e2e/tools/tiny';
import { openCheckpoint, type Checkpoint } from '../../engine/checkpoint';
import { loadWeights } from '../../engine/load_weights';
import { paging } from '../../engine/paging';
import type { Matrix } from '../../model/ops';
import type { MatrixSource } from '../../model/weights';
import { memorySource } from '../../store/byte_source';
import { firstState, type PackedExperts, type SegmentReader, type State } from '../backend';
import { recordModel } from '../model_plan';
import { GREEDY_SAMPLING } from '../sampling';
import { RivuletError } from '../../errors';
import { openWasmBackend } from './backend';
import { WasmHeap } from './memory';
import type { WasmProgram } from './program';

const MODEL: TinyOptions = {
  dtype: 'Q4_0',
  layers: ['conv', 'attention', 'conv', 'conv'],
  hidden: 256,
  experts: { count: 8, top: 2, ffnSize: 256, denseLayers: 1, normalise: true, scale: 1 },
};
/** of an expert: three matrices of 256 × 256 in Q4_0, as the heap has them */
const EXPERT_BYTES = 3 * 256 * 256 * (18 / 32);
const prompt = Uint32Array.from({ length: 20 }, (_, i) => (i * 37) % 300);

interface Opened {
  state: State;
  /** bytes of everything but experts, with a full context */
  memory: number;
  fail(message?: string): void;
  /** of the file; `failAt`: the read with this number fails at once */
  reads: { started: number; done: number; failAt: number };
}

beforeAll(() => void vi.stubGlobal('Worker', NodeWorker));
afterAll(() => void vi.unstubAllGlobals());

/** Copies of experts by their number, as a swap file keeps them. */
const copies = new Map<string, Uint8Array>();
const keep = (read: SegmentReader, name: string): SegmentReader =>
  Object.assign(read, {
    packed: async (): Promise<PackedExperts> => ({
      read(expert, bytes) {
        const copy = copies.get(`${name} ${expert}`);
        if (copy) bytes.set(copy);
        return copy !== undefined;
      },
      write: (expert, bytes) => void copies.set(`${name} ${expert}`, bytes.slice()),
    }),
  });

async function open(
  memoryBudget?: number,
  exact = false,
  threads = 1,
  model = MODEL,
  copying = false,
): Promise<Opened> {
  const backend = await openWasmBackend({ threads, variant: 'simd', exact });
  const { pagedMatrix } = backend;
  if (copying) backend.pagedMatrix = (spec, read) => pagedMatrix!(spec, keep(read, spec.name));
  let failure: string | undefined;
  const file = memorySource('tiny.gguf', tinyGguf(model));
  const reads = { started: 0, done: 0, failAt: -1 };
  const read: typeof file.read = async (...range) => {
    reads.started++;
    try {
      if (failure) throw new Error(failure);
      if (reads.failAt-- === 0) throw new Error('no such bytes');
      await new Promise((go) => setTimeout(go, 1 + (reads.started % 3)));
      return await file.read(...range);
    } finally {
      reads.done++;
    }
  };
  const checkpoint: Checkpoint = await openCheckpoint([{ ...file, read }]);
  await backend.reserve(1 << 20);
  const paged = (source: MatrixSource): Matrix => paging.matrix(source, backend, checkpoint.files);
  const weights = await loadWeights(checkpoint, backend, () => undefined, undefined, memoryBudget ? paged : undefined);
  const options = { contextLength: 256, prefillBatch: 32, memoryBudget };
  const state = await firstState(backend, recordModel(checkpoint, weights), options);
  const page = (state.program as WasmProgram).internals().lowered.pageBytes;
  return {
    state,
    memory: backend.memory() + page - (memoryBudget === undefined ? 0 : model.experts!.count * EXPERT_BYTES),
    fail: (message) => (failure = message),
    reads,
  };
}

/** Logits of the prompt, 12 greedy tokens, and the logits after them. */
async function answer(state: State): Promise<Float32Array[]> {
  await state.prefill(prompt);
  const first = await state.logits();
  const tokens = await state.decode(12, GREEDY_SAMPLING);
  return [first, Float32Array.from(tokens), await state.logits()];
}

const { memory } = await open(1e9);

describe('a program with a memory budget', () => {
  test.each([
    [8, false],
    [12, false],
    [23, true],
    [100, false],
  ])('that holds %d experts gives the same bits; exact: %s', async (inMemory, exact) => {
    const wanted = await answer((await open(undefined, exact)).state);
    const { memory } = await open(1e9, exact);
    const { state } = await open(memory + (inMemory + 0.5) * EXPERT_BYTES, exact);
    expect(await answer(state)).toEqual(wanted);
    const { misses, uses, bytesRead, ...stats } = state.program.paging!()!;
    expect(stats).toEqual({ swapped: 0, experts: 24, inMemory: Math.min(inMemory, 24), tokens: 31 });
    expect(bytesRead).toBe(misses * EXPERT_BYTES);
    // a prompt needs most experts of a layer, a token two of each of three
    expect(uses).toBeGreaterThan(12 * 6);
    expect(misses).toBeGreaterThan(inMemory < 12 ? 23 : 12);
    expect(misses).toBeLessThanOrEqual(inMemory < 24 ? uses : 24);
  });

  test('keeps a part of the experts for the next batch that takes most of them', async () => {
    const model = {
      ...MODEL,
      layers: Array<'conv'>(17).fill('conv'),
      experts: { ...MODEL.experts!, count: 16, top: 8 },
    };
    const { memory } = await open(1e9, false, 1, model);
    const { state } = await open(memory + 100.5 * EXPERT_BYTES, false, 1, model);
    const scan = async (): Promise<number> => {
      state.rewind(0);
      const before = state.program.paging!()!;
      await state.prefill(prompt);
      const { uses, misses } = state.program.paging!()!;
      await state.decode(24, { ...GREEDY_SAMPLING, temperature: 1e3 });
      return 1 - (misses - before.misses) / (uses - before.uses);
    };
    await scan();
    // by their last use it would be 0.07: after an answer those of the first layers are there, and go first
    for (let i = 0; i < 2; i++) expect(await scan()).toBeGreaterThan(0.35);
  });

  test.each([1, 3])(
    'takes copies of what was read before in place of reading it again; threads: %d',
    async (threads) => {
      copies.clear();
      const wanted = await answer((await open()).state);
      const { memory } = await open(1e9, false, threads);
      const budget = memory + 8.5 * EXPERT_BYTES;
      for (const again of [false, true]) {
        const { state, reads } = await open(budget, false, threads, MODEL, true);
        const before = reads.done;
        expect(await answer(state)).toEqual(wanted);
        const { misses, swapped, bytesRead } = state.program.paging!()!;
        expect(misses).toBeGreaterThan(24);
        expect(misses - swapped).toBe(again ? 0 : copies.size);
        expect(reads.done - before).toBe(again ? 0 : 3 * copies.size);
        expect(bytesRead).toBe(misses * EXPERT_BYTES);
        state.program.dispose();
      }
      expect(copies.size).toBeLessThanOrEqual(24);
    },
  );

  test('gives the same bits on three threads, which all stop at an op that lacks experts', async () => {
    const wanted = await answer((await open()).state);
    const { memory } = await open(1e9, false, 3);
    const { state } = await open(memory + 8.5 * EXPERT_BYTES, false, 3);
    expect(await answer(state)).toEqual(wanted);
    expect(state.program.paging!()!.misses).toBeGreaterThan(24);
    state.program.dispose();
  });

  test('keeps what it was asked for: two states by turns, rewinds and forks', async () => {
    const [all, few] = [await open(), await open(memory + 8.5 * EXPERT_BYTES)];
    const run = async ({ state }: Opened): Promise<Float32Array[]> => {
      await state.prefill(prompt);
      const other = await state.program.newState();
      await other.prefill(prompt.slice(3, 9));
      await state.decode(3, GREEDY_SAMPLING);
      const copy = await state.fork();
      state.rewind(20);
      await state.prefill(prompt.slice(0, 5));
      const rest = await copy.decode(1, GREEDY_SAMPLING).catch(() => copy.prefill(prompt.slice(7, 8)));
      expect(rest).toBeUndefined();
      return [await state.logits(), await other.logits(), await copy.logits()];
    };
    expect(await run(few)).toEqual(await run(all));
  });

  test('takes what the browser gives, if that holds the experts of a layer', async () => {
    const wanted = await answer((await open()).state);
    for (const given of [8, 7]) {
      const { alloc } = WasmHeap.prototype;
      let left = given;
      const refusing = vi.spyOn(WasmHeap.prototype, 'alloc').mockImplementation(function (this: WasmHeap, bytes, what) {
        if (what === 'experts' && --left < 0) throw new RivuletError('MemoryError', { what: 'No memory' });
        return alloc.call(this, bytes, what);
      });
      if (given === 8) {
        const { state } = await open(1e9);
        expect(await answer(state)).toEqual(wanted);
        expect(state.program.paging!()!.inMemory).toBe(8);
      } else await expect(open(1e9)).rejects.toMatchObject({ name: 'MemoryError' });
      refusing.mockRestore();
    }
  });

  test('waits for all reads of an expert before it tells of one that failed, and can be stopped', async () => {
    const wanted = await answer((await open()).state);
    const { state, reads } = await open(memory + 8.5 * EXPERT_BYTES);
    // W1 of some expert fails at once; W3 and W2 come later
    reads.failAt = 7;
    const before = reads.done;
    await expect(state.prefill(prompt)).rejects.toThrow('no such bytes');
    expect(reads.started - before).toBe(reads.done - before);
    await new Promise((go) => setTimeout(go, 20));
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 3);
    await expect(state.prefill(prompt, { signal: controller.signal })).rejects.toMatchObject({ name: 'AbortError' });
    expect(reads.started).toBe(reads.done);
    expect(await answer(state)).toEqual(wanted);
  });

  test('that has no room for one layer is refused with the least that would do', async () => {
    await expect(open(memory + 7.5 * EXPERT_BYTES)).rejects.toMatchObject({
      name: 'RequestError',
      message: expect.stringMatching(/budget is too small for the model: got 3 MB, wanted at least 3 MB, .* one layer/),
    });
  });

  test('ends a call with the error of a read, and goes on when reads work again', async () => {
    const wanted = await answer((await open()).state);
    const { state, fail } = await open(memory + 8.5 * EXPERT_BYTES);
    fail('the storage is gone');
    await expect(state.prefill(prompt)).rejects.toThrow('the storage is gone');
    expect(state.position).toBe(0);
    fail();
    await state.prefill(prompt);
    const first = await state.logits();
    fail('gone again');
    await expect(state.decode(12, GREEDY_SAMPLING)).rejects.toThrow('gone again');
    expect(state.position).toBe(20);
    fail();
    const tokens = await state.decode(12, GREEDY_SAMPLING);
    expect([first, Float32Array.from(tokens), await state.logits()]).toEqual(wanted);
  });
});
