/**
 * What states of one program must do on every backend: take turns, fork, go back to marks, be saved and restored, and
 * refuse wrong calls. A case runs on a small random model and returns what is wrong.
 */
import type { Backend, Program, State } from '../src/backend/backend';
import { seededRandom } from '../src/backend/random_weights';
import { ALL_FILTERS_SAMPLING, GREEDY_SAMPLING, type SamplingParams } from '../src/backend/sampling';
import { restoreState, saveState, type SavedState } from '../src/backend/saved_state';
import type { Config } from '../src/model/config';
import { randomModel } from './models';

const config: Config = {
  vocabSize: 131,
  hiddenSize: 64,
  ffnSize: 96,
  layers: ['conv', 'attention', 'conv', 'attention'],
  heads: 4,
  kvHeads: 2,
  headDim: 16,
  convLength: 3,
  normEps: 1e-5,
  ropeTheta: 10000,
  contextLength: 700,
};

export const STATE_OPTIONS = { contextLength: config.contextLength, prefillBatch: 64 };

export const stateProgram = async (backend: Backend): Promise<Program> =>
  backend.compile(await randomModel(backend, config, () => 'Q8_0'), STATE_OPTIONS);

type Random = (below: number) => number;
const randomOf = (name: string): Random => {
  const next = seededRandom(name);
  return (below) => next() % below;
};
const someTokens = (random: Random, n: number): Uint32Array =>
  Uint32Array.from({ length: n }, () => random(config.vocabSize));

/** A call of a state, as data: it can be made again on another state. It resolves to what the caller sees. */
interface Step {
  name: string;
  call(state: State): Promise<unknown>;
}

const bits = (values: Float32Array): string =>
  [...new Uint32Array(values.buffer, values.byteOffset, values.length)].join(' ');

const prefill = (tokens: Uint32Array): Step => ({
  name: `prefill ${tokens.length}`,
  call: (state) => state.prefill(tokens),
});
const decode = (steps: number, sampling: SamplingParams): Step => ({
  name: `decode ${steps}`,
  call: async (state) => [...(await state.decode(steps, sampling))].join(),
});
const logits: Step = { name: 'logits', call: async (state) => bits(await state.logits()) };
const logprobs: Step = {
  name: 'logprobs',
  call: async (state) => {
    const [id] = await state.decode(1, GREEDY_SAMPLING);
    return JSON.stringify(await state.logprobs(id, 5));
  },
};
const mark: Step = { name: 'mark', call: async (state) => state.mark() };

/** Penalties show whether a state counts its own tokens. */
function someSampling(random: Random): SamplingParams {
  const seed = random(1000);
  if (random(3) === 0) return GREEDY_SAMPLING;
  const penalties = { repetitionPenalty: 1.3, frequencyPenalty: 0.2, presencePenalty: 0.4 };
  return random(2) ? { ...ALL_FILTERS_SAMPLING, seed } : { ...GREEDY_SAMPLING, ...penalties, seed };
}

/** A conversation of random calls, which goes on from `position` and ends with the logits. */
function randomScript(random: Random, length: number, position = 0): Step[] {
  const steps: Step[] = [];
  let marked = 0;
  const read = (n: number): Step => ((position += n), prefill(someTokens(random, n)));
  const begin = (): void => void steps.push(read(1 + random(64)));
  begin();
  while (steps.length < length && position < STATE_OPTIONS.contextLength - 200) {
    const kind = random(10);
    if (kind < 4) {
      const n = 1 + random(12);
      // the first token of a row of draws reads nothing: how many are read depends on what came before, at most n
      steps.push(decode(n, someSampling(random)), logits);
      position += n;
      begin();
    } else if (kind < 6) begin();
    else if (kind === 6) steps.push(logits);
    else if (kind === 7) {
      steps.push(logprobs);
      position += 1;
    } else if (kind === 8) {
      steps.push({ name: 'mark, and go back to it later', call: async (state) => state.mark() });
      marked = -1;
    } else if (marked === -1) {
      steps.push({
        name: 'rewind to the mark',
        call: async (state) =>
          [state.rewindTarget(state.position - 60), state.rewind(state.rewindTarget(state.position - 60))].join(),
      });
      begin();
    }
  }
  return [...steps, decode(5, GREEDY_SAMPLING), logits];
}

/** What a state shows: each call with its result. */
async function runAll(state: State, steps: Step[]): Promise<string[]> {
  const seen: string[] = [];
  for (const { name, call } of steps) seen.push(`${name} at ${state.position}: ${String(await call(state))}`);
  return seen;
}

/** The first difference. */
function differs(what: string, got: string[], wanted: string[]): string | undefined {
  const at = wanted.findIndex((one, i) => one !== got[i]);
  if (at < 0 && got.length === wanted.length) return undefined;
  return `${what}, call ${at}: ${got[at]?.slice(0, 120)} instead of ${wanted[at]?.slice(0, 120)}`;
}

/** Two or three conversations by turns, cut at random, against the same conversations alone. */
async function interleaved(program: Program, seed: number): Promise<string | undefined> {
  const random = randomOf(`turns ${seed}`);
  const scripts = Array.from({ length: 2 + random(2) }, () => randomScript(random, 6 + random(10)));
  const alone: string[][] = [];
  for (const script of scripts) {
    const state = await program.newState();
    alone.push(await runAll(state, script));
    state.dispose();
  }
  const states = await Promise.all(scripts.map(() => program.newState()));
  const seen: string[][] = scripts.map(() => []);
  const left = scripts.map((script) => [...script]);
  while (left.some((steps) => steps.length)) {
    const one = random(scripts.length);
    const turn = left[one].splice(0, 1 + random(3));
    seen[one].push(...(await runAll(states[one], turn)));
  }
  states.forEach((state) => state.dispose());
  return scripts.map((_, i) => differs(`conversation ${i}`, seen[i], alone[i])).find((wrong) => wrong);
}

/** A copy goes on like the original would, and neither disturbs the other. */
async function forked(program: Program, seed: number): Promise<string | undefined> {
  const random = randomOf(`fork ${seed}`);
  const before = randomScript(random, 4 + random(8));
  const [one, other] = [randomScript(random, 4), randomScript(random, 4)];
  const alone = async (after: Step[]): Promise<string[]> => {
    const state = await program.newState();
    await runAll(state, before);
    const seen = await runAll(state, after);
    state.dispose();
    return seen;
  };
  const wanted = [await alone(one), await alone(other)];
  const original = await program.newState();
  await runAll(original, before);
  const copy = await original.fork();
  if (copy.position !== original.position) return `the copy stands at ${copy.position}, not ${original.position}`;
  const got = await runAll(copy, other);
  const wrong = differs('the copy', got, wanted[1]) ?? differs('the original', await runAll(original, one), wanted[0]);
  original.dispose();
  const again = await copy.fork(); // a copy lives without its original
  copy.dispose();
  again.dispose();
  return wrong;
}

/** Back to a mark from any distance; without one, not. */
async function marked(program: Program): Promise<string | undefined> {
  const random = randomOf('marks');
  const [first, second, third] = [40, 64, 50].map((n) => someTokens(random, n));
  const long = Array.from({ length: 6 }, () => prefill(someTokens(random, 64)));
  const rest = [prefill(third), decode(6, GREEDY_SAMPLING), logits];
  const straight = await program.newState();
  await runAll(straight, [prefill(first), prefill(second)]);
  const wanted = await runAll(straight, rest);
  straight.dispose();

  const state = await program.newState();
  await runAll(state, [prefill(first), mark, prefill(second), mark, ...long, mark, decode(3, GREEDY_SAMPLING)]);
  const targets = [103, 104, 105, 300, 400, 39, 40, 41].map((at) => state.rewindTarget(at)).join();
  // the ring holds 128 positions: all between the marks at 104 and the last hundred or so is gone
  if (targets !== '40,104,104,104,400,0,40,40') return `the targets are ${targets}`;
  if (state.rewind(300) || state.rewind(103)) return 'it went back to where it cannot';
  if (!state.rewind(104)) return 'it did not go back to its mark';
  const wrong = differs('after the mark', await runAll(state, rest), wanted);
  if (state.rewindTarget(488) !== state.position) return 'a mark behind the rewind is still there';
  const fork = await state.fork();
  const copied = fork.rewindTarget(104) === 104 && fork.rewind(104);
  state.dispose();
  if (!copied) return 'the copy has no marks';
  const copyWrong = differs('the copy after the mark', await runAll(fork, rest), wanted);
  fork.dispose();
  return wrong ?? copyWrong;
}

/** A prefill and a decoded token give the same bits when they run again. */
async function twice(program: Program): Promise<string | undefined> {
  const random = randomOf('twice');
  const state = await program.newState();
  const tokens = someTokens(random, 50);
  const runs: string[][] = [];
  for (let i = 0; i < 2; i++) {
    if (i) state.rewind(10);
    else await runAll(state, [prefill(tokens.slice(0, 10))]);
    runs.push(await runAll(state, [prefill(tokens.slice(10)), logits, decode(4, GREEDY_SAMPLING), logits]));
  }
  state.dispose();
  return differs('the second run', runs[1], runs[0]);
}

async function piecesOf({ pieces }: SavedState): Promise<Uint8Array[]> {
  const all: Uint8Array[] = [];
  for await (const piece of pieces) all.push(piece);
  return all;
}
const savedFrom = (saved: SavedState, pieces: Uint8Array[]): SavedState => ({
  ...saved,
  pieces: (async function* () {
    yield* pieces;
  })(),
});

/** A restored state goes on with the same bits. */
async function saved(program: Program, seed: number): Promise<string | undefined> {
  const random = randomOf(`saved ${seed}`);
  const state = await program.newState();
  await runAll(state, randomScript(random, 3 + random(10)));
  const record = saveState(state);
  const pieces = await piecesOf(record);
  if (record.tokens.length !== state.position) return `${record.tokens.length} tokens of ${state.position}`;
  const rest = randomScript(random, 5, state.position);
  const restored = await restoreState(program, savedFrom(record, pieces));
  if (restored.position !== state.position) return `restored at ${restored.position}, not ${state.position}`;
  const got = await runAll(restored, rest);
  const wrong = differs('the restored state', got, await runAll(state, rest));
  state.dispose();
  restored.dispose();
  return wrong;
}

const rejection = async (call: () => Promise<unknown>): Promise<string> => {
  try {
    await call();
    return 'no error';
  } catch (error) {
    return (error as Error).name;
  }
};

/** Saved states that are damaged, too long or of another program; nothing of them stays in memory. */
async function refused(program: Program, backend: Backend): Promise<string | undefined> {
  const state = await program.newState();
  await runAll(state, [prefill(someTokens(randomOf('refused'), 64)), decode(4, GREEDY_SAMPLING)]);
  const record = saveState(state);
  const pieces = await piecesOf(record);
  const before = backend.memory();
  const last = pieces.at(-1)!;
  const wrong: [string, SavedState][] = [
    ['of another layout', { ...savedFrom(record, pieces), layout: `${record.layout} and more` }],
    ['without its end', savedFrom(record, [...pieces.slice(0, -1), last.slice(0, -4)])],
    ['without a piece', savedFrom(record, pieces.slice(1))],
    ['empty', savedFrom(record, [])],
    ['too long', { ...savedFrom(record, pieces), tokens: new Uint32Array(STATE_OPTIONS.contextLength + 1) }],
  ];
  for (const [name, one] of wrong) {
    const got = await rejection(() => restoreState(program, one));
    if (got !== 'StorageError') return `a saved state ${name}: ${got}`;
    if (backend.memory() !== before) return `a saved state ${name} leaves ${backend.memory() - before} bytes`;
  }
  state.dispose();
  return undefined;
}

/** Calls that are wrong change nothing. */
async function wrongCalls(program: Program): Promise<string | undefined> {
  const state = await program.newState();
  const mask = new Uint32Array(Math.ceil(config.vocabSize / 32)).fill(~0);
  const expected: [name: string, error: string, call: () => Promise<unknown>][] = [
    ['decode before a prefill', 'RequestError', () => state.decode(1, GREEDY_SAMPLING)],
    ['logits before a prefill', 'RequestError', () => state.logits()],
    ['no tokens', 'RequestError', () => state.prefill(new Uint32Array())],
    ['too many tokens', 'RequestError', () => state.prefill(new Uint32Array(65))],
    ['an unknown token', 'RequestError', () => state.prefill(Uint32Array.of(131))],
    ['a prefill', 'no error', () => state.prefill(Uint32Array.of(1, 2, 3))],
    ['a mask for two steps', 'RequestError', () => state.decode(2, { ...GREEDY_SAMPLING, mask })],
    ['a mask for one step', 'no error', () => state.decode(1, { ...GREEDY_SAMPLING, mask })],
    ['more steps than the context has', 'ContextError', () => state.decode(800, GREEDY_SAMPLING)],
    ['one more step', 'no error', () => state.decode(1, GREEDY_SAMPLING)],
  ];
  for (const [name, error, call] of expected) {
    const got = await rejection(call);
    if (got !== error) return `${name}: ${got} instead of ${error}`;
  }
  const { position } = state;
  const seen = [state.rewind(position + 1), state.rewind(-1), state.position === position, state.rewind(2)].join();
  state.dispose();
  return seen === 'false,false,true,true' ? undefined : `rewinds: ${seen}`;
}

/** Ten states take little more than what they say, and give it back. */
async function memory(program: Program, backend: Backend): Promise<string | undefined> {
  const random = randomOf('memory');
  const before = backend.memory();
  const states: State[] = [];
  for (let i = 0; i < 10; i++) states.push(await program.newState());
  for (const state of states) await runAll(state, [prefill(someTokens(random, 64)), decode(3, GREEDY_SAMPLING)]);
  const told = states.reduce((sum, { bytes }) => sum + bytes, 0);
  const taken = backend.memory() - before;
  states.forEach((state) => state.dispose());
  if (taken > 1.6 * told || told > taken) return `ten states take ${taken} bytes and tell ${told}`;
  return backend.memory() === before ? undefined : `${backend.memory() - before} bytes are left`;
}

type StateCase = (program: Program, backend: Backend) => Promise<string | undefined>;
const seeds =
  (n: number, run: (program: Program, seed: number) => Promise<string | undefined>): StateCase =>
  async (program) => {
    for (let seed = 0; seed < n; seed++) {
      const wrong = await run(program, seed);
      if (wrong) return `seed ${seed}: ${wrong}`;
    }
    return undefined;
  };

/**
 * Each returns what is wrong; undefined if all is right.
 * @param n seeds of the cases with random conversations
 */
export const stateCases = (n: number): Record<string, StateCase> => ({
  'conversations by turns, cut at random, have the bits of conversations alone': seeds(n, interleaved),
  'a copy goes on as its original would have': seeds(Math.ceil(n / 4), forked),
  'it goes back to marks from any distance': marked,
  'a step that runs again gives the same bits': twice,
  'a restored state goes on with the same bits': seeds(Math.ceil(n / 4), saved),
  'saved states that are damaged or foreign are refused, and leave nothing': refused,
  'wrong calls are refused and change nothing': wrongCalls,
  'ten states take what they tell, and give it back': memory,
});
