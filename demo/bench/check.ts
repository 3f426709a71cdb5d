/**
 * Kernels are checked before they are timed: a small made-up model must give the logits that the reference gave, and
 * the model itself the same logits for a prompt read whole and token by token.
 */
import { seededRandom } from '../../src/backend/random_weights';
import type { LoadCallOptions, load as loadModel, Model } from '../../src/index';
import { CHECK_GOLDEN } from './check_golden';
import { promptTokens } from './prompt';
import { randomGguf } from './random_gguf';
import { SHAPES } from './shapes';

type Load = typeof loadModel;

/** Lengths of the prompts: one token, one batch, and more than a batch of the CPU backend. */
export const CHECK_PROMPTS = [1, 11, 70];
const PROJECTIONS = 16;
/** Largest share of the power that may differ. Rounding to int8 and f16 stays far below, wrong kernels come near 1. */
export const CHECK_BOUND = 1e-2;
const PIECES_PROMPT = 16;

/** Random projections of the logits, divided by their norm: a few numbers that stand for all. */
export function project(logits: Float32Array, prompt: number): number[] {
  const norm = Math.sqrt(logits.reduce((sum, v) => sum + v * v, 0));
  const sign = seededRandom(`projection ${prompt}`);
  return Array.from(
    { length: PROJECTIONS },
    () => logits.reduce((sum, v) => sum + (v * (sign() - 2 ** 31)) / 2 ** 31, 0) / norm,
  );
}

/** Share of the power of `wanted` that `got` differs by; infinite if anything is not a number. */
export function relativeError(wanted: ArrayLike<number>, got: ArrayLike<number>): number {
  let [error, power] = [0, 0];
  for (let i = 0; i < wanted.length; i++) {
    error += (got[i] - wanted[i]) ** 2;
    power += wanted[i] ** 2;
  }
  return Number.isFinite(error) ? error / power : Infinity;
}

/**
 * Runs the check model of a quantisation on a backend. @returns the largest difference from the stored results. @throws
 * what load() throws
 */
export async function goldenError(load: Load, quantization: string, options: LoadCallOptions): Promise<number> {
  const model = await load(randomGguf('check', quantization), { ...options, contextLength: 128 });
  try {
    const golden = CHECK_GOLDEN[quantization] ?? [];
    const errors: number[] = [];
    for (const [i, length] of CHECK_PROMPTS.entries())
      errors.push(
        relativeError(
          golden[i] ?? [NaN],
          project(await model.logits(promptTokens(length, SHAPES.check.vocabSize)), length),
        ),
      );
    return Math.max(...errors);
  } finally {
    await model.unload();
  }
}

/** Compares a prompt read whole with the same prompt token by token, which takes other kernels. */
export async function piecesError(model: Model): Promise<number> {
  const tokens = promptTokens(PIECES_PROMPT, model.info.config.vocabSize);
  const whole = await model.logits(tokens);
  return relativeError(whole, await model.logits(tokens, 1));
}
