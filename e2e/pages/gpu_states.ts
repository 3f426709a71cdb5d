/** Several states of one program on the GPU: turns, copies, growth, saved states. */
import { firstState, type State } from '../../src/backend/backend';
import { describeProgram } from '../../src/backend/describe_program';
import { seededRandom } from '../../src/backend/random_weights';
import { ALL_FILTERS_SAMPLING, GREEDY_SAMPLING, type SamplingParams } from '../../src/backend/sampling';
import { restoreState, saveState } from '../../src/backend/saved_state';
import type { WebGpuOptions } from '../../src/backend/webgpu/backend';
import { count, difference, open, randomModel, shared, smallModel, someTokens } from './gpu_models';

const PENALISED: SamplingParams = {
  ...ALL_FILTERS_SAMPLING,
  temperature: 1,
  presencePenalty: 0.5,
  frequencyPenalty: 0.2,
};

type Act = (state: State) => Promise<unknown>;

/** A conversation of random calls: the same for the same seed. */
function randomActs(seed: string, V: number, length: number): Act[] {
  const next = seededRandom(seed);
  const below = (n: number): number => next() % n;
  const tokens = (T: number): Uint32Array => Uint32Array.from({ length: T }, () => below(V));
  const read = (T: number): Act => {
    const ids = tokens(T);
    return (state) => state.prefill(ids);
  };
  const act = (): Act => {
    const kind = below(8);
    const sampling = [GREEDY_SAMPLING, PENALISED][below(2)];
    if (kind === 0) return read(1);
    if (kind === 1) return read(1 + below(64));
    if (kind === 2) return async (state) => [...(await state.logits())];
    if (kind === 3) return (state) => state.logprobs(below(V), 5);
    if (kind === 4) {
      const ids = tokens(9);
      return async (state) => {
        state.mark();
        for (let i = 0; i < 3; i++) await state.prefill(new Uint32Array(60).fill(ids[i]));
        const to = state.rewindTarget(state.position - 150);
        const went = state.rewind(to);
        await state.prefill(ids);
        return [to, went, ...(await state.logits())];
      };
    }
    const steps = [1 + below(3), 1 + below(5)];
    return async (state) => {
      const windows = await Promise.all(steps.map((n) => state.decode(n, sampling)));
      return windows.flatMap((window) => [...window]);
    };
  };
  return [read(1 + below(20)), ...Array.from({ length }, act)];
}

async function* piecesOf(bytes: Uint8Array, length: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.slice(at, at + length);
}

async function join(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const piece of pieces) parts.push(piece);
  return new Uint8Array(await new Blob(parts as BlobPart[]).arrayBuffer());
}

const messageOf = (error: Error): string => `${error.name}: ${error.message}`;

export const states = {
  /** Calls of two states whose results differ when they take turns at random from when each is alone. */
  async interleaved(
    seed: string,
    acts: number,
    options: WebGpuOptions,
  ): Promise<{ compared: number; wrong: string[] }> {
    const backend = await shared(options);
    const { plan, V } = await smallModel(backend);
    const first = await firstState(backend, plan, { contextLength: 2048, prefillBatch: 64 });
    const { program } = first;
    const scripts = [0, 1].map((i) => randomActs(`${seed} ${i}`, V, acts));
    const wanted: string[][] = [];
    for (const script of scripts) {
      const state = await program.newState();
      const results = [];
      for (const act of script) results.push(JSON.stringify(await act(state)) ?? '');
      wanted.push(results);
      state.dispose();
    }
    const next = seededRandom(`${seed} turns`);
    const wrong: string[] = [];
    const pair = [first, await program.newState()];
    const again = [0, 1].map((i) => randomActs(`${seed} ${i}`, V, acts)); // acts draw from their seed
    for (const at = [0, 0]; at[0] + at[1] < 2 * (acts + 1);) {
      const i = at[0] > acts ? 1 : at[1] > acts ? 0 : next() % 2;
      const got = JSON.stringify(await again[i][at[i]](pair[i])) ?? '';
      if (got !== wanted[i][at[i]])
        wrong.push(`state ${i}, call ${at[i]}: ${got.slice(0, 80)}, wanted ${wanted[i][at[i]].slice(0, 80)}`);
      at[i]++;
    }
    program.dispose();
    return { compared: wanted.flat().length, wrong };
  },

  /**
   * What the browser is asked for by windows of `steps` tokens: of the state that computed last, of one that takes its
   * turn with a pending token, and of one without.
   */
  async turns(steps: number, options: WebGpuOptions) {
    const backend = await shared(options);
    const { plan, V } = await smallModel(backend);
    const a = await firstState(backend, plan, { contextLength: 256, prefillBatch: 64 });
    const b = await a.program.newState();
    const window = async (state: State, sampling: SamplingParams = GREEDY_SAMPLING) => {
      const counter = count();
      await state.decode(sampling.mask ? 1 : steps, sampling);
      return counter.stop();
    };
    for (const state of [a, b, a, b]) {
      await state.prefill(someTokens(V, 20));
      await state.decode(2, GREEDY_SAMPLING);
    }
    const same = await window(b);
    const turned = await window(a);
    const after = await window(a);
    await b.prefill(someTokens(V, 3));
    await a.prefill(someTokens(V, 3));
    await b.logits();
    await a.logits();
    const undrawn = await window(b);
    const masked = await window(b, { ...GREEDY_SAMPLING, mask: new Uint32Array(Math.ceil(V / 32)).fill(0xff) });
    const each = Number.parseInt(describeProgram(a.program), 10);
    a.program.dispose();
    return { same, turned, after, undrawn, masked, each };
  },

  /** A second state begins short and grows: its bytes, and its logits against those of the first. */
  async grownState(options: WebGpuOptions) {
    const backend = await open(options);
    const { plan, V } = await smallModel(backend);
    const first = await firstState(backend, plan, { contextLength: 4096, prefillBatch: 256 });
    const empty = backend.memory();
    const second = await first.program.newState();
    const [bytes, bytesOfFirst] = [second.bytes, first.bytes];
    const told = backend.memory() - empty;
    const read = async (state: State) => {
      for (let at = 0; at < 1536; at += 256) await state.prefill(someTokens(V, 256));
      return { logits: await state.logits(), drawn: [...(await state.decode(9, PENALISED))] };
    };
    const wanted = await read(first);
    const got = await read(second);
    const grown = second.bytes;
    second.dispose();
    const kept = first.bytes - bytesOfFirst; // the logits, while the second one computed
    const left = backend.memory() - empty - kept;
    await backend.dispose();
    return {
      bytes, bytesOfFirst, told, grown, left, kept,
      error: difference(got.logits, wanted.logits),
      equal: got.drawn.join() === wanted.drawn.join(),
    }; // prettier-ignore
  },

  /** A copy goes on as its original, beyond the ring too; without memory for it nothing has changed. */
  async forked(options: WebGpuOptions) {
    const backend = await open(options);
    const { plan, V } = await smallModel(backend);
    const state = await firstState(backend, plan, { contextLength: 1024, prefillBatch: 256 });
    await state.prefill(someTokens(V, 90));
    state.mark();
    await state.prefill(someTokens(V, 250));
    await state.decode(3, GREEDY_SAMPLING);
    const before = backend.memory();
    const { createBuffer } = GPUDevice.prototype;
    GPUDevice.prototype.createBuffer = function (descriptor) {
      const refused = descriptor.label?.startsWith('mark');
      return createBuffer.call(this, refused ? { ...descriptor, size: 2 ** 52 } : descriptor);
    };
    const error = await state
      .fork()
      .then(() => '', messageOf)
      .finally(() => (GPUDevice.prototype.createBuffer = createBuffer));
    const after = backend.memory();
    const copy = await state.fork();
    const goOn = async (one: State): Promise<number[]> => {
      await one.prefill(someTokens(V, 7));
      const ids = [...(await one.decode(6, PENALISED))];
      const back = one.rewind(one.rewindTarget(100));
      await one.prefill(someTokens(V, 5));
      return [one.position, Number(back), ...ids, ...(await one.logits())];
    };
    const got = await goOn(copy);
    const wanted = await goOn(state);
    await backend.dispose();
    return { error, leaked: after - before, position: got[0], equal: got.join() === wanted.join() };
  },

  /** A state that is saved and restored in pieces of other lengths, and data that is no saved state. */
  async savedStates(length: number, piece: number, options: WebGpuOptions) {
    const backend = await open(options);
    const { plan, V } = await smallModel(backend);
    const state = await firstState(backend, plan, { contextLength: 2048, prefillBatch: 256 });
    const { program } = state;
    for (let at = 0; at < length; at += 256) await state.prefill(someTokens(V, Math.min(256, length - at)));
    if (length) await state.decode(4, GREEDY_SAMPLING);
    const saved = saveState(state);
    const bytes = await join(saved.pieces);
    const held = backend.memory();
    const restore = (given: Uint8Array, layout = saved.layout) =>
      restoreState(program, { ...saved, layout, pieces: piecesOf(given, piece) });
    const errors: string[] = [];
    for (const given of [bytes.slice(0, -4), bytes.slice(0, 1), new Uint8Array([...bytes, 1]), new Uint8Array(0)])
      errors.push(await restore(given).then(() => 'restored', messageOf));
    errors.push(await restore(bytes, 'webgpu f64').then(() => 'restored', messageOf));
    const leaked = backend.memory() - held;
    const other = await restore(bytes);
    const goOn = async (one: State): Promise<number[]> => {
      await one.prefill(someTokens(V, 5));
      const logits = await one.logits();
      return [one.position, ...logits, ...(await one.decode(8, PENALISED))];
    };
    const got = await goOn(other);
    const wanted = await goOn(state);
    await backend.dispose();
    return { bytes: bytes.length, tokens: saved.tokens.length, errors, leaked, equal: got.join() === wanted.join() };
  },

  /** Tunes while two states have texts: both go on with the new kernels, as two that read the same afterwards. */
  async tunedStates(options: WebGpuOptions) {
    const backend = await open(options);
    const { plan, V } = await randomModel(backend, ['conv', 'attention'], 256, 256, 'Q4_0');
    const first = await firstState(backend, plan, { contextLength: 256, prefillBatch: 8 });
    const { program } = first;
    const pair = [first, await program.newState()];
    const prompt = async (state: State, length: number): Promise<void> => {
      for (let at = 0; at < length; at += 8) await state.prefill(someTokens(V, 8));
    };
    for (const [i, state] of pair.entries()) await prompt(state, 16 + 8 * i);
    const before = describeProgram(program);
    const measure = (_: string, tuning: object): Promise<number> =>
      Promise.resolve('rows' in tuning || 'span' in tuning ? 50 : 100);
    await program.tune!({ measure, budgetMs: 1e6, allowSoftware: true });
    const changed = describeProgram(program) !== before;
    const goOn = async (state: State): Promise<number[]> => [
      ...(await state.decode(6, GREEDY_SAMPLING)),
      ...(await state.logits()),
    ];
    const got = [await goOn(pair[0]), await goOn(pair[1])];
    const wanted: number[][] = [];
    for (const i of [0, 1]) {
      const fresh = await program.newState();
      await prompt(fresh, 16 + 8 * i);
      wanted.push(await goOn(fresh));
    }
    await backend.dispose();
    const ids = (all: number[][]): string => all.map((one) => one.slice(0, 6).join(' ')).join();
    return {
      changed,
      equal: ids(got) === ids(wanted),
      error: Math.max(...got.map((one, i) => difference(Float32Array.from(one), Float32Array.from(wanted[i])))),
    };
  },
};
