import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { feed, NodeWorker, open, smallPlan, smallState, tokens } from '../../../e2e/small_wasm';
import { firstState, type Backend, type State } from '../backend';
import { planCost } from '../cost';
import type { Plan } from '../plan';
import { seededRandom } from '../random_weights';
import { GREEDY_SAMPLING, type SamplingParams } from '../sampling';
import { restoreState, saveState, type SavedState } from '../saved_state';
import { openWasmBackend } from './backend';
import { WasmHeap } from './memory';

beforeAll(() => void vi.stubGlobal('Worker', NodeWorker));
afterAll(() => void vi.unstubAllGlobals());

const V = 131; // vocabulary of the small model
const options = { contextLength: 1000, prefillBatch: 64 };

type Random = () => number;

/** Reads, draws, marks and goes back as `next` says: everything that a state tells. */
async function* randomCalls(state: State, next: Random, calls: number): AsyncGenerator<unknown> {
  const pick = <T>(...choices: T[]): T => choices[next() % choices.length];
  await state.prefill(tokens(1 + (next() % 64), 'first'));
  for (let i = 0; i < calls; i++) {
    const call = next() % 8;
    if (call === 0) {
      const target = state.rewindTarget(Math.max(0, state.position - pick(1, 5, 60, 150)));
      yield [target, state.rewind(target)];
    }
    if (call <= 1) await state.prefill(tokens(1 + (next() % 64), `${i}`));
    else if (call === 2) state.mark();
    else if (call === 3) yield state.logits();
    else if (call === 4) await state.decode(0, GREEDY_SAMPLING);
    else {
      const mask = pick(
        undefined,
        undefined,
        Uint32Array.from({ length: Math.ceil(V / 32) }, () => next() | 1),
      );
      const sampling: SamplingParams = {
        ...GREEDY_SAMPLING,
        temperature: pick(0, 1),
        repetitionPenalty: pick(1, 1.2),
        presencePenalty: pick(0, 1),
        seed: next(),
        mask,
        bias: pick(
          undefined,
          new Map([
            [next() % V, 2],
            [next() % V, -3],
          ]),
        ),
      };
      const drawn = await state.decode(mask ? 1 : 1 + (next() % 6), sampling);
      yield [drawn, state.position, await state.logprobs(drawn.at(-1)!, 3)];
    }
  }
  yield state.logits();
}

async function all(values: AsyncIterable<unknown>): Promise<unknown[]> {
  const list: unknown[] = [];
  for await (const value of values) list.push(value);
  return list;
}

describe('states of one program', () => {
  it.each([1, 3])('give the bits that each gives alone, %d threads', async (threads) => {
    const backend = await open(threads);
    const first = await firstState(backend, await smallPlan(backend), options);
    const states = [first, await first.program.newState(), await first.program.newState()];
    const alone = await Promise.all(
      states.map(async (_, i) => {
        const other = await open(1);
        const told = await all(randomCalls(await smallState(other, 64), seededRandom(`state ${i}`), 30));
        await other.dispose();
        return told;
      }),
    );
    const runs = states.map((state, i) => randomCalls(state, seededRandom(`state ${i}`), 30));
    const told: unknown[][] = states.map(() => []);
    const running = new Set(states.keys());
    for (const next = seededRandom('turns'); running.size;) {
      const turn = [...running][next() % running.size];
      const { value, done } = await runs[turn].next();
      if (done) running.delete(turn);
      else told[turn].push(value);
    }
    expect(told).toEqual(alone);
    expect(told.every((list) => list.length > 15)).toBe(true);
    await backend.dispose();
  });
});

describe('a state', () => {
  let backend: Backend;
  let plan: Plan;
  let state: State;
  let before: number; // bytes without a program
  beforeEach(async () => {
    backend = await open(1);
    plan = await smallPlan(backend);
    before = backend.memory();
    state = await firstState(backend, plan, options);
  });
  afterEach(async () => {
    vi.restoreAllMocks();
    await backend.dispose();
  });

  /** The logits after these tokens, read by a state that reads nothing else. */
  async function fresh(...parts: Uint32Array[]): Promise<Float32Array> {
    const other = await state.program.newState();
    for (const part of parts) await feed(other, part, 64);
    const logits = await other.logits();
    other.dispose();
    return logits;
  }

  it('goes back to its marks from any distance, and keeps the last 32', async () => {
    const marked = [1, 40, 256, 300];
    const prompt = tokens(500);
    for (let at = 0, i = 0; i <= marked.length; at = marked[i++]) {
      await feed(state, prompt.slice(at, marked[i] ?? 500), 64);
      state.mark();
    }
    for (const mark of [...marked].reverse()) {
      expect(state.rewindTarget(mark + 3)).toBe(mark);
      expect(state.rewind(mark)).toBe(true);
      await state.prefill(tokens(20, 'other'));
      expect(await state.logits()).toEqual(await fresh(prompt.slice(0, mark), tokens(20, 'other')));
    }
    state.rewind(0);
    expect(state.rewindTarget(1)).toBe(0);
    await feed(state, prompt.slice(0, 460), 64);
    const unmarked = state.bytes;
    state.mark();
    state.mark(); // once more at the same position
    const columns = 2 * 2 * 256 * 4; // two convolutions, L − 1 columns of D floats
    expect(state.bytes).toBe(unmarked + columns);
    state.rewind(450);
    expect(state.bytes).toBe(unmarked);
    for (let i = 0; i < 40; i++) {
      await state.prefill(Uint32Array.of(1));
      state.mark();
    }
    expect(state.bytes).toBe(unmarked + 32 * columns);
    await feed(state, prompt.slice(0, 200), 64);
    expect([458, 459].map((position) => state.rewindTarget(position))).toEqual([0, 459]);
  });

  it('can be copied: both go on alone, with the same marks', async () => {
    await feed(state, tokens(30), 64);
    state.mark();
    await feed(state, tokens(270, 'more'), 64);
    await state.decode(2, GREEDY_SAMPLING);
    const copy = await state.fork();
    expect([copy.position, copy.program]).toEqual([301, state.program]);
    await expect(copy.decode(1, GREEDY_SAMPLING)).rejects.toMatchObject({ name: 'RequestError' });
    await expect(copy.logits()).rejects.toMatchObject({ name: 'RequestError' });
    expect(copy.rewind(290)).toBe(true);
    await copy.prefill(tokens(9, 'copy'));
    const drawn = await state.decode(5, GREEDY_SAMPLING);
    state.dispose();
    expect(await copy.logits()).toEqual(await fresh(tokens(30), tokens(270, 'more').slice(0, 260), tokens(9, 'copy')));
    expect(copy.rewindTarget(100)).toBe(30);
    expect(copy.rewind(30)).toBe(true);
    await feed(copy, tokens(270, 'more'), 64);
    expect((await copy.decode(7, GREEDY_SAMPLING)).slice(2)).toEqual(drawn);
  });

  const damaged = (saved: SavedState, pieces: AsyncIterable<Uint8Array>): SavedState => ({ ...saved, pieces });
  async function* pieces(bytes: Uint8Array, length = bytes.length): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < bytes.length; at += length) yield bytes.slice(at, at + length);
  }
  const bytesOf = async ({ pieces: parts }: SavedState): Promise<Uint8Array> =>
    new Uint8Array(await new Blob((await all(parts)) as BlobPart[]).arrayBuffer());

  it.each([0, 1, 256, 300])('can be saved and restored at position %d, in pieces of any length', async (at) => {
    await feed(state, tokens(at), 64);
    if (at) await state.decode(1, GREEDY_SAMPLING);
    const saved = saveState(state);
    const kept = await bytesOf(saved);
    expect(kept.length).toBe(2 * Math.min(at, 2) * 256 * 4 + at * 2 * 2 * 2 * (2 * 32 + 4));
    const other = await open(2);
    const program = (await smallState(other, 64)).program;
    const wanted = await fresh(tokens(at), tokens(40, 'more'));
    for (const length of [kept.length || 1, 1000]) {
      const restored = await restoreState(program, damaged(saved, pieces(kept, length)));
      expect([restored.position, restored.program]).toEqual([at, program]);
      await expect(restored.decode(1, GREEDY_SAMPLING)).rejects.toMatchObject({ name: 'RequestError' });
      expect(await bytesOf(saveState(restored))).toEqual(kept);
      expect(restored.rewindTarget(at - 1)).toBe(0); // nothing is before the first columns
      await feed(restored, tokens(40, 'more'), 64);
      expect(await restored.logits()).toEqual(wanted);
      restored.dispose();
    }
    await other.dispose();
  });

  it('is not restored from other data, and then holds nothing', async () => {
    await feed(state, tokens(260), 64);
    const saved = saveState(state);
    const kept = await bytesOf(saved);
    const { program } = state;
    const held = backend.memory();
    const refused = async (one: SavedState, message: RegExp, by = program): Promise<void> => {
      await expect(restoreState(by, one)).rejects.toMatchObject({ message: expect.stringMatching(message) });
      expect(backend.memory()).toBe(held);
    };
    const n = kept.length;
    await refused(damaged(saved, pieces(kept.slice(1))), new RegExp(`got ${n - 1} bytes, wanted ${n} bytes`));
    await refused(damaged(saved, pieces(new Uint8Array(n + 1), 999)), new RegExp(`got at least .* wanted ${n} bytes`));
    await refused(damaged(saved, pieces(new Uint8Array(0))), new RegExp(`got 0 bytes, wanted ${n} bytes`));
    await refused({ ...saved, layout: 'webgpu' }, /another model or device: got webgpu, wanted wasm int16/);
    await refused({ ...saved, tokens: new Uint32Array(1001) }, /1001 tokens/);
    await refused({ ...saved, tokens: Uint32Array.from([...tokens(259), V]) }, /got 131, wanted less than 131/);
    const broken = (async function* () {
      yield kept.slice(0, 5000);
      throw new Error('the disk is gone');
    })();
    await refused(damaged(saved, broken), /the disk is gone/);
    const exact = await open(1, { exact: true });
    await refused(saved, /wanted wasm f32/, (await smallState(exact, 64)).program);
    await exact.dispose();
    expect((await restoreState(program, damaged(saved, pieces(kept)))).position).toBe(260);
  });

  it('tells its bytes, and all memory comes back', async () => {
    const { program } = state;
    const empty = backend.memory();
    const grown: State[] = [];
    for (const length of [0, 1, 300]) {
      const one = await program.newState();
      await feed(one, tokens(length), 64);
      one.mark();
      if (length) await one.decode(3, GREEDY_SAMPLING);
      grown.push(one, await one.fork());
    }
    expect(backend.memory()).toBe(empty + grown.reduce((sum, { bytes }) => sum + bytes, 0));
    for (const one of grown) one.dispose();
    expect(backend.memory()).toBe(empty);
    for (const call of [() => grown[4].prefill(tokens(1)), () => grown[4].logits(), () => grown[4].fork()])
      await expect(call()).rejects.toMatchObject({ name: 'DeviceError' });
    grown[4].dispose();
    await feed(state, tokens(100), 64);
    await state.decode(1, { ...GREEDY_SAMPLING, bias: new Map([[1, 1]]) });
    await state.decode(1, {
      ...GREEDY_SAMPLING,
      bias: new Map([
        [1, 1],
        [2, 1],
        [3, -1],
      ]),
    });
    await state.fork();
    program.dispose();
    expect(backend.memory()).toBe(before);
    await expect(program.newState()).rejects.toMatchObject({ name: 'DeviceError' });
  });

  /** Lets the n-th allocation of `make` fail, for every n, until `make` succeeds. */
  async function failEachAllocation<T>(make: () => T | Promise<T>): Promise<{ failures: number; made: T }> {
    const held = backend.memory();
    const { zeros } = WasmHeap.prototype;
    for (let failures = 0; ; failures++) {
      let left = failures;
      const spy = vi.spyOn(WasmHeap.prototype, 'zeros').mockImplementation(function (this: WasmHeap, bytes, what) {
        if (left-- === 0) throw new RangeError(`no room for ${what}`);
        return zeros.call(this, bytes, what);
      });
      try {
        return { failures, made: await make() };
      } catch (error) {
        expect(String(error)).toMatch(/no room for/);
        expect(backend.memory()).toBe(held);
      } finally {
        spy.mockRestore();
      }
    }
  }

  it('leaves nothing behind when memory ends anywhere in a call', async () => {
    const { made, failures } = await failEachAllocation(() => backend.compile(plan, options));
    expect(failures).toBeGreaterThan(10);
    expect((await failEachAllocation(() => made.newState())).failures).toBe(3);
    made.dispose();

    await feed(state, tokens(300), 64);
    state.mark();
    const logits = await state.logits();
    const fork = await failEachAllocation(() => state.fork());
    expect(fork.failures).toBe(6); // history, page table, rings, two pages, a mark
    const saved = saveState(state);
    const kept = await bytesOf(saved);
    const restore = await failEachAllocation(() => restoreState(state.program, damaged(saved, pieces(kept))));
    expect(restore.failures).toBe(5);
    await fork.made.prefill(tokens(1)); // the logits of `state` now lie in memory of its own
    expect(await state.logits()).toEqual(logits);
    await state.decode(1, GREEDY_SAMPLING);
    const switching = await failEachAllocation(() => restore.made.prefill(tokens(1)));
    expect(switching.failures).toBe(0); // that memory exists already
    const first = await failEachAllocation(() => fork.made.decode(1, GREEDY_SAMPLING));
    expect(first.failures).toBe(1);
    expect(await state.logits()).toEqual(logits);
    await state.prefill(tokens(1));
    const mark = await failEachAllocation(() => state.mark());
    expect(mark.failures).toBe(1);
    expect(state.rewindTarget(301)).toBe(301);
  });
});

it('measures threads with a state that it releases', async () => {
  vi.stubGlobal('navigator', { hardwareConcurrency: 2 });
  const backend = await openWasmBackend({ variant: 'simd' });
  await backend.reserve(8 << 20);
  const plan = await smallPlan(backend);
  const { weights, scratch } = await planCost(backend, plan, options);
  const program = await backend.compile(plan, options);
  expect(backend.memory()).toBe(weights + scratch);
  const state = await program.newState();
  await state.prefill(tokens(40));
  const logits = await state.logits();
  await backend.dispose();
  const one = await open(1);
  const alone = await smallState(one, 64);
  await alone.prefill(tokens(40));
  expect(logits).toEqual(await alone.logits());
  await one.dispose();
});

it('releases the stacks of threads that do not start', async () => {
  let started = 0;
  class FailingWorker extends NodeWorker {
    constructor(url: string) {
      super(url);
      if (++started === 2) queueMicrotask(() => this.onerror?.({ message: 'not today' }));
    }
  }
  vi.stubGlobal('Worker', FailingWorker);
  const backend = await open(3);
  vi.stubGlobal('Worker', NodeWorker);
  const before = backend.memory();
  const plan = await smallPlan(backend);
  const weights = backend.memory() - before;
  const { program } = await firstState(backend, plan, options);
  expect(backend.info.notes.at(-1)).toMatch(/2 of 3 threads: not today/);
  program.dispose();
  expect(backend.memory()).toBe(before + weights - 65536);
  await backend.dispose();
});
