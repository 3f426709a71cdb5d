/** Whether this GPU computes rightly: the table of cases, logits and continuations against the reference, prompts whole against prompts in pieces. */
import type { Backend, CompileOptions, Runner } from '../../src/backend/backend';
import { CASES, missed, runCase, takesIntegers, type Accuracy } from '../../src/backend/conformance';
import { record, type Plan } from '../../src/backend/plan';
import { openReference } from '../../src/backend/reference/backend';
import { GREEDY } from '../../src/backend/sampling';
import { openWebGpu, type WebGpuOptions } from '../../src/backend/webgpu/backend';
import type { Checkpoint } from '../../src/engine/checkpoint';
import { loadWeights } from '../../src/engine/load';
import { forward } from '../../src/model/lfm2';
import { compare, type Difference } from '../measure';

export interface Loaded {
  backend: Backend;
  plan: Plan;
  runner: Runner;
}

export async function load(checkpoint: Checkpoint, backend: Backend, compile: CompileOptions): Promise<Loaded> {
  await backend.reserve(checkpoint.bytes);
  const weights = await loadWeights(checkpoint, backend, () => undefined);
  const plan = record((op) => forward(op, checkpoint.config, weights));
  return { backend, plan, runner: await backend.compile(plan, compile) };
}

export interface Conformance {
  cases: number;
  /** cases that time did not suffice for */
  left: number;
  missed: string[];
  /** largest difference over the rms, and error over the power, of all that is held to each; with the case */
  worst: { maxAbsOverRms: number; maxAbsOf: string; nmse: number; nmseOf: string };
}

/**
 * The conformance table against the reference.
 * @param until ends it before the next case, as performance.now()
 */
export async function conformance(options: WebGpuOptions, only = '', until = Infinity): Promise<Conformance> {
  const integers = options.tuning?.integers;
  const cases = CASES.filter((one) => one.name.includes(only) && (!integers || takesIntegers(one)));
  const accuracy: Accuracy = { cache: options.f16 === false ? undefined : 'f16', integers };
  const worst: Conformance['worst'] = { maxAbsOverRms: 0, maxAbsOf: '', nmse: 0, nmseOf: '' };
  const misses: string[] = [];
  let left = cases.length;
  let backend: Backend | undefined;
  for (const one of cases) {
    if (performance.now() > until) break;
    left--;
    let wrong: string[];
    try {
      const wanted = await runCase(one, openReference());
      // what the self test would test is compared here
      backend ??= await openWebGpu({ ...options, selfTest: 'never' });
      const got = await runCase(one, backend);
      const differences = wanted.map((w, i) => compare(one.name, w, got[i]));
      for (const difference of differences) note(worst, difference);
      wrong = differences.map((difference) => missed(one, accuracy, difference)).filter((m) => m !== undefined);
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

/** A prompt that is the same everywhere. */
export const promptOf = (length: number, vocabSize: number): Uint32Array => Uint32Array.from({ length }, (_, i) => (i * 7919 + 257) % vocabSize);

async function feed(runner: Runner, tokens: Uint32Array, piece: number): Promise<Float32Array> {
  runner.rewind(0);
  for (let at = 0; at < tokens.length; at += piece) await runner.prefill(tokens.slice(at, at + piece));
  return runner.logits();
}

export interface Check {
  missed: string[];
  /** largest difference over the rms, where that is above 1, and error over the power; the worst of all prompts */
  maxAbs: number;
  nmse: number;
  /** greedy tokens that are the reference's own first choice, up to the first that is not */
  greedy: string;
}

/** Logits after prompts of several lengths, read whole and token by token, and a greedy continuation, against the reference. */
export async function check(checkpoint: Checkpoint, { runner, backend }: Pick<Loaded, 'runner' | 'backend'>): Promise<Check> {
  const { vocabSize } = checkpoint.config;
  const reference = await load(checkpoint, openReference(), { contextLength: 128, chunk: 64 });
  // int8 activations are held to power, not to the largest difference
  const bound = /\bf16\b/.test(backend.info.variant) ? 5e-2 : 2e-2;
  const integers = runner.describe().includes('.int8');
  const result: Check = { missed: [], maxAbs: 0, nmse: 0, greedy: '' };
  for (const [length, piece] of [[1, 1], [7, 7], [7, 1], [40, 40], [40, 16]]) {
    const tokens = promptOf(length, vocabSize);
    const wanted = await feed(reference.runner, tokens, 64);
    const { maxAbs, rms, nmse } = compare('logits', { run: `T ${length}`, values: wanted }, { run: '', values: await feed(runner, tokens, piece) });
    // the bounds of `npm run verify` are for logits of about unit size, which made-up weights need not give
    const error = maxAbs / Math.max(1, rms);
    console.error(`logits after ${length} tokens, ${piece} at a time: largest difference ${error.toExponential(2)}, nmse ${nmse.toExponential(2)}`);
    if (!(integers ? nmse <= 8e-3 : error <= bound)) result.missed.push(`logits after ${length} tokens, ${piece} at a time: off by ${error}, ${nmse} of the power`);
    if (!(error <= result.maxAbs)) result.maxAbs = error;
    if (!(nmse <= result.nmse)) result.nmse = nmse;
  }
  // greedy: wherever the two part, the reference must have had the two tokens close together
  const tokens = promptOf(7, vocabSize);
  await feed(runner, tokens, 7);
  const got = await runner.decode(24, GREEDY);
  await feed(reference.runner, tokens, 7);
  let same = 0;
  for (const [i, token] of got.entries()) {
    const logits = await reference.runner.logits();
    const best = logits.indexOf(Math.max(...logits));
    const margin = logits[best] - logits[token];
    if (margin > 0.1 && !integers) result.missed.push(`greedy token ${i}: ${token}, the reference has ${best} ahead by ${margin}`);
    if (token !== best) break;
    same++;
    await reference.runner.prefill(Uint32Array.of(token));
  }
  result.greedy = `${same} of ${got.length}`;
  console.error(`greedy continuation: ${[...got].join(' ')}`);
  return result;
}

/** The logits after a prompt read whole and token by token, by kernels that have little in common: at real sizes, where the reference takes minutes. */
export async function pieces({ runner }: Pick<Loaded, 'runner'>, vocabSize: number, length: number): Promise<{ maxAbsOverRms: number; nmse: number }> {
  const tokens = promptOf(length, vocabSize);
  const whole = await feed(runner, tokens, length);
  const { maxAbs, rms, nmse } = compare('pieces', { run: '', values: whole }, { run: '', values: await feed(runner, tokens, 1) });
  return { maxAbsOverRms: maxAbs / rms, nmse };
}
