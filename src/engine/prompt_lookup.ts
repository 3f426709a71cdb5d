/**
 * Speculation by prompt lookup: what followed the last tokens where they stood before is a guess of what comes next.
 * A guess is read in one batch (src/backend/wasm/verify.ts), where that takes less time than it saves.
 */
import type { Program, State } from '../backend/backend';
import { createVerifier, type Verifier } from '../backend/wasm/verify';
import type { Drawing } from './generate';

/** Fewer equal tokens say too little. */
export const MIN_MATCH = 3;
/** More equal tokens are not counted. */
export const MAX_MATCH = 16;

/**
 * The longest match of the last tokens further back; among equals the nearest. What follows it is the guess, and is
 * repeated where the match reaches up to the end.
 * @returns the equal tokens, up to MAX_MATCH, and where the guess begins; undefined below MIN_MATCH
 */
export function findMatch(tokens: Uint32Array): { equal: number; next: number } | undefined {
  const end = tokens.length - 1;
  const last = tokens[end];
  let best = { equal: MIN_MATCH - 1, next: 0 };
  for (let at = tokens.lastIndexOf(last, end - 1); at >= best.equal; at = tokens.lastIndexOf(last, at - 1)) {
    let equal = 1;
    while (equal < MAX_MATCH && equal <= at && tokens[at - equal] === tokens[end - equal]) equal++;
    if (equal > best.equal) best = { equal, next: at + 1 };
    if (equal === MAX_MATCH) break;
  }
  return best.next ? best : undefined;
}

/** `n` tokens from `next` on; behind the last one the guess goes on with its own. */
export function guessOf(tokens: Uint32Array, next: number, n: number): Uint32Array {
  const guess = new Uint32Array(n);
  for (let i = 0; i < n; i++) guess[i] = next + i < tokens.length ? tokens[next + i] : guess[next + i - tokens.length];
  return guess;
}

/** Tokens of a step: the kernels take four at a time. */
const STEPS = [1, 4, 8, 12, 16];
/** The time of a step over that of one token, until it is measured. */
const SUPPOSED = [1, 1.7, 2.8, 3.9, 5];
/** A gain below this is not worth a step. */
const MIN_GAIN = 1.1;
/** Guesses that are left out before one is tried again; twice as many after each that gains nothing. */
const FIRST_PAUSE = 32;
const MAX_PAUSE = 512;

/** Matches of these lengths and more have statistics of their own. */
const CLASSES = [MIN_MATCH, 4, 6, MAX_MATCH];
/** The share of right tokens, with the weight of two, until it is measured. */
const SUPPOSED_RIGHT = [0.4, 0.55, 0.75, 0.9];

const classOf = (equal: number): number => CLASSES.findLastIndex((least) => equal >= least);

/** Whether to read a guess, and of how many tokens, by what was measured so far. */
export class GuessPolicy {
  /** ms by size of the step; 0 until it is measured */
  private readonly times = STEPS.map(() => 0);
  /** by class: guessed tokens that were reached, and those that were right; the old ones count less and less */
  private readonly reached = CLASSES.map(() => 2);
  private readonly right = SUPPOSED_RIGHT.map((share) => 2 * share);
  private pause = FIRST_PAUSE;
  private left = 0;

  /** Tokens to guess: 0 for a step of one token. @param room most of them */
  size(equal: number, room: number): number {
    const kind = classOf(equal);
    const p = this.right[kind] / this.reached[kind];
    const [single] = this.times;
    if (!single || room < STEPS[1] - 1) return 0;
    let best = 0;
    let most = MIN_GAIN;
    for (let step = 1, chance = 1, drawn = 1; step <= room && step < STEPS.at(-1)!;) {
      drawn += chance *= p;
      const at = STEPS.indexOf(++step);
      const gain = drawn / (this.times[at] / single || SUPPOSED[at]); // NaN for a step of another size
      if (gain > most) [most, best] = [gain, step - 1];
    }
    if (best || ++this.left < this.pause) return best;
    this.left = 0;
    this.pause = Math.min(2 * this.pause, MAX_PAUSE);
    return STEPS[1] - 1;
  }

  /** A step took so long: a guess, of which the first `right` tokens were right, or one token alone. */
  took(ms: number, equal = 0, guess = 0, right = 0): void {
    const { times } = this;
    const at = STEPS.indexOf(guess + 1);
    // other work of the device only adds time
    times[at] += (ms - times[at]) * (!times[at] ? 1 : ms < times[at] ? 0.5 : 0.1);
    if (!guess) return;
    const kind = classOf(equal);
    this.reached[kind] = 0.95 * this.reached[kind] + Math.min(guess, right + 1);
    this.right[kind] = 0.95 * this.right[kind] + right;
    if ((right + 1) * times[0] > ms) this.pause = FIRST_PAUSE;
  }
}

/** What is known of a program; undefined: it cannot verify. */
const known = new WeakMap<Program, { verifier: Verifier; policy: GuessPolicy } | undefined>();

/**
 * Draws the same tokens as the state does alone, one call at a time.
 * @returns undefined where the backend cannot verify a guess
 */
export function lookUp(state: State, policy = new GuessPolicy()): Drawing | undefined {
  const { program } = state;
  if (!known.has(program)) {
    const verifier = createVerifier(program);
    known.set(program, verifier && { verifier, policy });
  }
  return known.get(program) && { decode: (steps, sampling) => draw(state, steps, sampling) };
}

const draw: (state: State, ...rest: Parameters<State['decode']>) => Promise<Uint32Array> = async (
  state,
  steps,
  sampling,
) => {
  const { verifier, policy } = known.get(state.program) ?? {};
  const room = verifier?.room(state) ?? 0;
  const tokens = room ? verifier!.tokens(state) : undefined;
  const match = tokens && findMatch(tokens);
  const size = match ? policy!.size(match.equal, room) : 0;
  const since = performance.now();
  if (size) {
    try {
      const ids = await verifier!.verify(state, guessOf(tokens!, match!.next, size), sampling);
      policy!.took(performance.now() - since, match!.equal, size, ids.length - 1);
      return ids;
    } catch (error) {
      if ((error as Error).name !== 'MemoryError') throw error;
      known.set(state.program, undefined); // no room for the logits of several tokens
    }
  }
  const ids = await state.decode(steps, sampling);
  if (room) policy?.took(performance.now() - since);
  return ids;
};
