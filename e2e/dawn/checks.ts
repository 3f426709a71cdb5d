/**
 * Checks that the GPU computes right: conformance cases, logits and continuations against the reference, and whole
 * prompts against prompts in pieces.
 */
import '../../src/modules/experts';
import { promptTokens } from '../../demo/bench/prompt';
import { firstState, type Backend, type CompileOptions, type State } from '../../src/backend/backend';
import {
  CONFORMANCE_CASES,
  exceededErrorBound,
  runConformanceCase,
  canUseInt8Activations,
  type ReducedPrecision,
} from '../../src/backend/conformance';
import { describeProgram } from '../../src/backend/describe_program';
import { recordModel } from '../../src/backend/model_plan';
import type { Plan } from '../../src/backend/plan';
import { openReferenceBackend } from '../../src/backend/reference/backend';
import { GREEDY_SAMPLING } from '../../src/backend/sampling';
import { openWebGpuBackend, type WebGpuOptions } from '../../src/backend/webgpu/backend';
import type { Checkpoint } from '../../src/engine/checkpoint';
import { loadWeights } from '../../src/engine/load_weights';
import { compare, type Difference } from '../measure';

export interface Loaded {
  backend: Backend;
  plan: Plan;
  state: State;
}

export async function load(checkpoint: Checkpoint, backend: Backend, compile: CompileOptions): Promise<Loaded> {
  await backend.reserve(checkpoint.bytes);
  const weights = await loadWeights(checkpoint, backend, () => undefined);
  const plan = recordModel(checkpoint, weights);
  return { backend, plan, state: await firstState(backend, plan, compile) };
}

export interface Conformance {
  cases: number;
  /** cases that did not fit into the time */
  left: number;
  missed: string[];
  /** the largest difference over the rms and the largest error over the power, each with its case */
  worst: { maxAbsOverRms: number; maxAbsOf: string; nmse: number; nmseOf: string };
}

/**
 * Runs the conformance cases against the reference.
 * @param until time (performance.now()) after which no further case starts
 */
export async function conformance(options: WebGpuOptions, only = '', until = Infinity): Promise<Conformance> {
  const int8 = options.tuning?.int8Activations;
  const cases = CONFORMANCE_CASES.filter((one) => one.name.includes(only) && (!int8 || canUseInt8Activations(one)));
  const accuracy: ReducedPrecision = { cache: options.f16 === false ? undefined : 'f16', int8Activations: int8 };
  const worst: Conformance['worst'] = { maxAbsOverRms: 0, maxAbsOf: '', nmse: 0, nmseOf: '' };
  const misses: string[] = [];
  let left = cases.length;
  let backend: Backend | undefined;
  for (const one of cases) {
    if (performance.now() > until) break;
    left--;
    let wrong: string[];
    try {
      const wanted = await runConformanceCase(one, openReferenceBackend());
      // no self test: the cases compare more
      backend ??= await openWebGpuBackend({ ...options, selfTest: 'never' });
      const got = await runConformanceCase(one, backend);
      const differences = wanted.map((w, i) => compare(one.name, w, got[i]));
      for (const difference of differences) note(worst, difference);
      wrong = differences
        .map((difference) => exceededErrorBound(one, accuracy, difference))
        .filter((m) => m !== undefined);
    } catch (error) {
      wrong = [(error as Error).message];
      await Promise.resolve(backend?.dispose()).catch(() => undefined);
      backend = undefined;
    }
    if (wrong.length) console.error(`missed ${one.name}: ${wrong.join('; ')}`);
    misses.push(...wrong.map((what) => `${one.name}: ${what}`));
  }
  await backend?.dispose();
  return { cases: cases.length - left, left, missed: misses, worst };
}

function note(worst: Conformance['worst'], { name, run, maxAbs, rms, nmse }: Difference): void {
  if (!(maxAbs / rms <= worst.maxAbsOverRms)) [worst.maxAbsOverRms, worst.maxAbsOf] = [maxAbs / rms, `${name}, ${run}`];
  if (!(nmse <= worst.nmse)) [worst.nmse, worst.nmseOf] = [nmse, `${name}, ${run}`];
}

/** A prompt that is the same on every machine. */
export const promptOf = (length: number, vocabSize: number): Uint32Array =>
  Uint32Array.from(promptTokens(length, vocabSize));

async function feed(state: State, tokens: Uint32Array, piece: number): Promise<Float32Array> {
  state.rewind(0);
  for (let at = 0; at < tokens.length; at += piece) await state.prefill(tokens.slice(at, at + piece));
  return state.logits();
}

export interface Check {
  missed: string[];
  /** the largest difference, over the rms if that exceeds 1, and the largest error over the power, of all prompts */
  maxAbs: number;
  nmse: number;
  /** number of greedy tokens before the first one that differs from the reference's choice */
  greedy: string;
}

/**
 * Compares logits after prompts of several lengths, read whole and token by token, and a greedy continuation with the
 * reference.
 */
export async function check(
  checkpoint: Checkpoint,
  { state, backend }: Pick<Loaded, 'state' | 'backend'>,
): Promise<Check> {
  const { vocabSize } = checkpoint.config;
  const reference = await load(checkpoint, openReferenceBackend(), { contextLength: 128, prefillBatch: 64 });
  // with int8 activations the bound is on the power, not on the largest difference
  const bound = /\bf16\b/.test(backend.info.variant) ? 5e-2 : 2e-2;
  const int8 = describeProgram(state.program).includes('.int8');
  const result: Check = { missed: [], maxAbs: 0, nmse: 0, greedy: '' };
  for (const [length, piece] of [
    [1, 1],
    [7, 7],
    [7, 1],
    [40, 40],
    [40, 16],
  ]) {
    const tokens = promptOf(length, vocabSize);
    const wanted = await feed(reference.state, tokens, 64);
    const { maxAbs, rms, nmse } = compare(
      'logits',
      { run: `T ${length}`, values: wanted },
      { run: '', values: await feed(state, tokens, piece) },
    );
    // the bounds of `npm run verify` assume logits of about unit size, which random weights need not give
    const error = maxAbs / Math.max(1, rms);
    console.error(
      `logits after ${length} tokens, ${piece} at a time: largest difference ${error.toExponential(2)}, nmse ${nmse.toExponential(2)}`,
    );
    if (!(int8 ? nmse <= 8e-3 : error <= bound))
      result.missed.push(`logits after ${length} tokens, ${piece} at a time: off by ${error}, ${nmse} of the power`);
    if (!(error <= result.maxAbs)) result.maxAbs = error;
    if (!(nmse <= result.nmse)) result.nmse = nmse;
  }
  // where the greedy tokens differ, the reference's logits of the two must be close
  const tokens = promptOf(7, vocabSize);
  await feed(state, tokens, 7);
  const got = await state.decode(24, GREEDY_SAMPLING);
  await feed(reference.state, tokens, 7);
  let same = 0;
  for (const [i, token] of got.entries()) {
    const logits = await reference.state.logits();
    const best = logits.indexOf(Math.max(...logits));
    const margin = logits[best] - logits[token];
    if (margin > 0.1 && !int8)
      result.missed.push(`greedy token ${i}: ${token}, the reference prefers ${best} by ${margin}`);
    if (token !== best) break;
    same++;
    await reference.state.prefill(Uint32Array.of(token));
  }
  result.greedy = `${same} of ${got.length}`;
  console.error(`greedy continuation: ${[...got].join(' ')}`);
  return result;
}

/**
 * Compares a prompt read whole with the same prompt token by token, which takes other kernels: for real sizes, where
 * the reference takes minutes.
 */
export async function comparePieces(
  { state }: Pick<Loaded, 'state'>,
  vocabSize: number,
  length: number,
): Promise<{ maxAbsOverRms: number; nmse: number }> {
  const tokens = promptOf(length, vocabSize);
  const whole = await feed(state, tokens, length);
  const { maxAbs, rms, nmse } = compare(
    'pieces',
    { run: '', values: whole },
    { run: '', values: await feed(state, tokens, 1) },
  );
  return { maxAbsOverRms: maxAbs / rms, nmse };
}
