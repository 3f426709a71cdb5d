import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { randomModel } from '../../e2e/models';
import { open } from '../../e2e/small_wasm';
import { firstState, type Backend, type State } from '../backend/backend';
import { seededRandom } from '../backend/random_weights';
import { ALL_FILTERS_SAMPLING, GREEDY_SAMPLING, type SamplingParams } from '../backend/sampling';
import { findMatch, guessOf, GuessPolicy, lookUp, MAX_MATCH } from './prompt_lookup';

const of = (...ids: number[]): Uint32Array => Uint32Array.from(ids);

describe('findMatch', () => {
  it('takes the longest match, and of these the nearest', () => {
    expect(findMatch(of(1, 2, 3, 7, 1, 2, 3))).toEqual({ equal: 3, next: 3 });
    expect(findMatch(of(9, 1, 2, 3, 7, 1, 2, 3, 8, 9, 1, 2, 3))).toEqual({ equal: 4, next: 4 });
    expect(findMatch(of(1, 2, 3, 7, 1, 2, 3, 8, 1, 2, 3))).toEqual({ equal: 3, next: 7 });
    expect(findMatch(of(5, 5, 5, 5))).toEqual({ equal: 3, next: 3 });
    expect(findMatch(new Uint32Array(100).fill(5))).toEqual({ equal: MAX_MATCH, next: 99 });
  });

  it('finds nothing in few or in other tokens', () => {
    for (const some of [of(), of(1), of(1, 1, 1), of(1, 2, 9, 1, 2), of(1, 2, 3, 4, 5, 6)])
      expect(findMatch(some), some.join()).toBeUndefined();
  });
});

it('guesses what followed, and repeats it at the end', () => {
  expect(guessOf(of(1, 2, 3, 7, 1, 2, 3), 3, 3)).toEqual(of(7, 1, 2));
  expect(guessOf(of(1, 2, 3, 4, 2, 3, 4), 4, 7)).toEqual(of(2, 3, 4, 2, 3, 4, 2));
});

describe('GuessPolicy', () => {
  /** What a text costs in ms: a token 10, a step of several more by `cost`; `right` tokens of a guess are right. */
  function run(policy: GuessPolicy, tokens: number, cost: (step: number) => number, right: () => number): number {
    let ms = 0;
    for (let n = 0; n < tokens;) {
      const guess = policy.size(MAX_MATCH, 15);
      const time = 10 * (guess ? cost(guess + 1) : 1);
      if (guess) policy.took(time, MAX_MATCH, guess, Math.min(guess, right()));
      else policy.took(time);
      ms += time;
      n += guess ? Math.min(guess, right()) + 1 : 1;
    }
    return ms;
  }
  const cheap = (step: number): number => 1 + step / 10;

  it('guesses nothing before the time of a token is known', () => {
    expect(new GuessPolicy().size(MAX_MATCH, 15)).toBe(0);
  });

  it('reads long guesses where they are right', () => {
    expect(run(new GuessPolicy(), 1000, cheap, () => 15)).toBeLessThan(10_000 / 4);
  });

  it('loses little where they are wrong, or where a batch costs as much as its tokens', () => {
    expect(run(new GuessPolicy(), 1000, cheap, () => 0)).toBeLessThan(10_000 * 1.02);
    expect(run(new GuessPolicy(), 1000, (step) => step, () => 15)).toBeLessThan(10_000 * 1.02); // prettier-ignore
  });

  it('begins again when guesses are right again', () => {
    const policy = new GuessPolicy();
    run(policy, 2000, cheap, () => 0);
    expect(run(policy, 2000, cheap, () => 15)).toBeLessThan(20_000 / 2);
  });

  it('guesses no more than there is room for', () => {
    const policy = new GuessPolicy();
    policy.took(10);
    for (const room of [0, 1, 2, 3, 6, 15]) expect(policy.size(MAX_MATCH, room)).toBeLessThanOrEqual(room);
  });
});

/** Always guesses, now more and now fewer tokens. */
class Bold extends GuessPolicy {
  readonly outcomes: number[] = [];
  private n = 0;
  override size(_: number, room: number): number {
    return Math.min(room, [3, 7, 1, 15, 4][this.n++ % 5]);
  }
  override took(_ms: number, _equal?: number, guess?: number, right = 0): void {
    if (guess) this.outcomes.push(right);
  }
}

describe('on WASM', () => {
  const BATCH = 24;
  let backend: Backend;
  let alone: State;
  let guessing: State;
  beforeAll(async () => {
    backend = await open(1);
    const plan = await randomModel(
      backend,
      {
        vocabSize: 131, hiddenSize: 64, ffnSize: 96, layers: ['conv', 'attention'], heads: 2, kvHeads: 1, headDim: 32,
        convLength: 3, normEps: 1e-5, ropeTheta: 10000, contextLength: 200,
      },
      (gguf) => (/token_embd|attn_v/.test(gguf) ? 'Q8_0' : 'Q4_0'),
    ); // prettier-ignore
    const options = { contextLength: 200, prefillBatch: BATCH };
    [alone, guessing] = [await firstState(backend, plan, options), await firstState(backend, plan, options)];
  });
  afterAll(() => backend.dispose());

  const readPrompt = async (state: State, prompt: Uint32Array): Promise<void> => {
    state.rewind(0);
    for (let at = 0; at < prompt.length; at += BATCH) await state.prefill(prompt.slice(at, at + BATCH));
  };

  it('gives the same tokens and logits on 100 seeded prompts', async () => {
    const bold = new Bold();
    const drawing = lookUp(guessing, bold)!;
    const next = seededRandom('speculation');
    for (let seed = 0; seed < 100; seed++) {
      const some = [3, 60, 99].slice(seed % 2);
      const prompt = Uint32Array.from({ length: 20 + (next() % 12) }, () => some[next() % some.length]);
      const few = new Map(some.map((id) => [id, 1000]));
      const sampling: SamplingParams = [
        GREEDY_SAMPLING,
        { ...GREEDY_SAMPLING, temperature: 30, bias: few, seed },
        { ...ALL_FILTERS_SAMPLING, temperature: 20, topK: 3, seed },
        { ...GREEDY_SAMPLING, repetitionPenalty: 1.1, frequencyPenalty: 3, presencePenalty: 1, bias: few },
      ][seed % 4];
      const n = 12 + (next() % 8);
      await readPrompt(alone, prompt);
      const wanted: number[] = [];
      for (let i = 0; i < n; i++) wanted.push(...(await alone.decode(1, sampling)));
      await readPrompt(guessing, prompt);
      const got: number[] = [];
      while (got.length < n) {
        got.push(...(await drawing.decode(1, sampling)));
        expect(guessing.position).toBe(prompt.length + got.length - 1);
      }
      while (wanted.length < got.length) wanted.push(...(await alone.decode(1, sampling)));
      expect(got, `seed ${seed}`).toEqual(wanted);
      expect(await guessing.logits(), `seed ${seed}`).toEqual(await alone.logits());
    }
    // guesses were wrong, right in part, and right
    expect(bold.outcomes.filter((n) => n === 0).length).toBeGreaterThan(40);
    expect(bold.outcomes.filter((n) => n === 1 || n === 2).length).toBeGreaterThan(40);
    expect(bold.outcomes.filter((n) => n > 2).length).toBeGreaterThan(40);
  });

  it('fills the context to its end, and not further', async () => {
    const prompt = new Uint32Array(190).fill(7);
    const options = { ...GREEDY_SAMPLING, bias: new Map([[7, 1e6]]) };
    const drawing = lookUp(guessing)!;
    for (const [state, draw] of [
      [alone, alone],
      [guessing, drawing],
    ] as const) {
      await readPrompt(state, prompt);
      let drawn = 0;
      const fill = async (): Promise<void> => {
        for (;;) drawn += (await draw.decode(1, options)).length;
      };
      await expect(fill()).rejects.toMatchObject({ name: 'ContextError' });
      expect([state.position, drawn]).toEqual([200, 11]);
    }
  });
});
