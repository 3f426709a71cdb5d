/** Many calls on one model: they take turns, can be cancelled at any time, and their conversations never mix. */
import { describe, expect, it, vi } from 'vitest';
import { engineOf, untouched, type Fate } from '../../e2e/tools/lossy_device';
import { generator } from '../../e2e/tools/tiny';
import type { EngineWorkerCalls } from './engine';
import type { GenerationResult } from './generate';

// the real backends have their own tests, in browsers
vi.mock('../backend/wasm/backend', () => ({ openWasmBackend: vi.fn() }));
vi.mock('../backend/webgpu/backend', () => ({ openWebGpuBackend: vi.fn() }));

const tokensOf = (length: number, seed: number): number[] =>
  Array.from({ length }, (_, i) => 8 + ((i * 37 + seed * 101 + ((i * seed) % 7)) % 256));
const greedy = { maxTokens: 10, temperature: 0, logprobs: 0, reuse: true };
const nothing = (): void => undefined;
const idsOf = ({ logprobs }: GenerationResult): number[] => logprobs!.map(({ id }) => id);

async function loaded(fate: Fate = untouched()): Promise<EngineWorkerCalls> {
  const engine = engineOf(fate, ['webgpu']);
  await engine.load('a/b', { contextLength: 512 });
  return engine;
}

/** A fate that calls `at` before the act with this number, counted from now. */
function watched(): Fate & { watch(act: number, at: () => void): void } {
  let acts = 0;
  let wanted = Infinity;
  let then = nothing;
  return Object.defineProperty(
    {
      ...untouched(),
      watch: (act: number, at: () => void) => void ([wanted, then] = [acts + act, at]),
    },
    'acts',
    {
      get: () => acts,
      set(to: number) {
        acts = to;
        if (acts >= wanted) {
          wanted = Infinity;
          then();
        }
      },
    },
  );
}

describe('a fair queue', () => {
  it('lets a short call through while long ones read their prompts and write', async () => {
    const engine = await loaded();
    const ends: string[] = [];
    const say = (name: string, prompt: number[], maxTokens: number, onText = nothing) =>
      engine.generate(prompt, { ...greedy, maxTokens }, onText).then((result) => (ends.push(name), result));
    let late: Promise<GenerationResult> | undefined;
    const long = [
      say('long', tokensOf(60, 1), 120, () => (late ??= say('late', tokensOf(20, 2), 3))),
      say('reads', tokensOf(380, 3), 60),
      say('short', tokensOf(20, 4), 3),
    ];
    await Promise.all(long);
    await late;
    expect(ends.slice(0, 2).sort()).toEqual(['late', 'short']);
    expect(engine.status().state).toBe('ready');
  });

  it('gives each of five calls its turn between two of any other', async () => {
    const engine = await loaded();
    const order: number[] = [];
    const calls = [0, 1, 2, 3, 4].map((n) =>
      engine.generate(tokensOf(30, n), { ...greedy, maxTokens: 40 }, () => order.push(n)),
    );
    const texts = (await Promise.all(calls)).map(idsOf);
    expect(texts.map((ids) => ids.length)).toEqual([40, 40, 40, 40, 40]);
    // where all write, nobody writes twice while another waits; the first is alone until the others have read
    const together = order.slice(order.indexOf(4), Math.min(...[0, 1, 2, 3, 4].map((n) => order.lastIndexOf(n))));
    expect(together.length).toBeGreaterThan(20);
    together.forEach((n, i) => i && expect(n, `piece ${i}`).not.toBe(together[i - 1]));
  });
});

describe('a call that is cancelled', () => {
  const [ours, theirs] = [tokensOf(40, 5), tokensOf(70, 6)];
  const few = { ...greedy, maxTokens: 5 };

  it('at any act of the device ends, disturbs nobody, and its conversation goes on', async () => {
    const alone = await loaded();
    const wanted = await alone.generate(ours, few, nothing);
    const whole = await alone.generate(theirs, few, nothing);
    const next = [...theirs, ...idsOf(whole), 33, 34];
    const later = await (await loaded()).generate(next, few, nothing);
    const fate = watched();
    const finishes: string[] = [];
    for (let act = 1; finishes.at(-1) !== 'length'; act++) {
      const engine = await loaded(fate);
      const controller = new AbortController();
      fate.watch(act, () => controller.abort());
      const cancelled = engine.generate(theirs, few, nothing, controller.signal);
      expect(idsOf(await engine.generate(ours, few, nothing)), `at ${act}`).toEqual(idsOf(wanted));
      const got = await cancelled;
      finishes.push(got.finish);
      expect(idsOf(whole).slice(0, got.tokens), `at ${act}`).toEqual(got.logprobs ? idsOf(got) : []);
      expect(idsOf(await engine.generate(next, few, nothing)), `after ${act}`).toEqual(idsOf(later));
      expect(engine.status().state).toBe('ready');
      await engine.unload();
    }
    expect(finishes.length).toBeGreaterThan(8);
  });

  it('before it begins does nothing: aborted from the start, behind a load, behind another turn', async () => {
    const fate = untouched();
    const engine = engineOf(fate, ['webgpu']);
    const loading = engine.load('a/b', { contextLength: 512 });
    const controller = new AbortController();
    const behind = engine.generate(ours, greedy, nothing, controller.signal);
    const scoring = engine.score(ours, ['a', 'b'], {}, controller.signal);
    controller.abort();
    expect(await behind).toMatchObject({ finish: 'abort', tokens: 0 });
    await expect(scoring).rejects.toMatchObject({ name: 'AbortError' });
    await loading;
    const { acts } = fate;
    expect(await engine.generate(ours, greedy, nothing, AbortSignal.abort())).toMatchObject({ finish: 'abort' });
    await expect(engine.score(ours, ['a', 'b'], {}, AbortSignal.abort())).rejects.toMatchObject({ name: 'AbortError' });
    expect(fate.acts).toBe(acts);
    const other = new AbortController();
    const first = engine.generate(theirs, greedy, () => other.abort());
    const second = await engine.generate(ours, { ...greedy, maxTokens: 300 }, nothing, other.signal);
    expect(second.finish).toBe('abort');
    expect((await first).finish).toBe('length');
  });
});

it('conversations that are taken at once, with cancellations, never mix', async () => {
  const random = generator(7);
  const engine = await loaded();
  const alone = await loaded();
  const talks = Array.from({ length: 6 }, (_, n) => tokensOf(30 + 9 * n, 20 + n));
  let cancelled = 0;
  for (let round = 0; round < 8; round++) {
    const chosen = talks.map((_, n) => n).filter(() => random() < 0.6);
    const said = await Promise.all(
      chosen.map(async (n) => {
        const controller = new AbortController();
        let left = random() < 0.3 ? Math.floor(random() * 8) : Infinity;
        const prompt = [...talks[n], 40 + n, 50 + round];
        const result = await engine.generate(
          prompt,
          { ...greedy, seed: round, temperature: n % 2 },
          () => void (left-- === 0 && controller.abort()),
          controller.signal,
        );
        return { n, prompt, result };
      }),
    );
    for (const { n, prompt, result } of said) {
      const options = { ...greedy, seed: round, temperature: n % 2, reuse: false };
      const ids = idsOf(await alone.generate(prompt, options, nothing));
      expect(idsOf(result), `conversation ${n} in round ${round}`).toEqual(ids.slice(0, result.tokens));
      if (result.finish === 'abort') cancelled++;
      talks[n] = [...prompt, ...idsOf(result)];
    }
  }
  expect(cancelled).toBeGreaterThan(3);
  expect(engine.status().state).toBe('ready');
});
