import { describe, expect, it, vi } from 'vitest';
import { engineOf, untouched, type Fate } from '../../e2e/tools/lossy_device';
import type { Program, State } from '../backend/backend';
import { fail } from '../errors';
import { Conversations, stateBudget, type Conversation } from './conversations';
import type { EngineWorkerCalls } from './engine';
import type { GenerateOptions } from './generate_options';
import type { GenerationResult } from './generate';
import { historyCall, historyLength, historyTokens } from './token_history';

// the real backends have their own tests, in browsers
vi.mock('../backend/wasm/backend', () => ({ openWasmBackend: vi.fn() }));
vi.mock('../backend/webgpu/backend', () => ({ openWebGpuBackend: vi.fn() }));

const tokensOf = (length: number, seed: number): number[] =>
  Array.from({ length }, (_, i) => 8 + ((i * 37 + seed * 101 + ((i * seed) % 7)) % 256));

const PROGRAM = {} as Program;
const MB = 1 << 20;

/** A state of one MB for each token. */
function stateAt(position: number, log: string[], name: string, copies = true): State {
  return {
    program: PROGRAM,
    position,
    bytes: position * MB,
    rewindTarget: (to: number) => Math.min(to, position),
    fork: async () =>
      copies ? stateAt(position, log, `${name}'`) : fail('MemoryError', { what: 'GPU memory was refused' }),
    dispose: () => void log.push(`free ${name}`),
  } as State;
}

async function kept(
  all: Conversations,
  log: string[],
  name: string,
  tokens: number[],
  copies = true,
): Promise<Conversation> {
  const conversation = await all.open({ prompt: [], kept: 0, extends: true });
  conversation.history = { calls: [historyCall(tokens)] };
  conversation.state = stateAt(tokens.length, log, name, copies);
  conversation.inUse = false;
  return conversation;
}

describe('the conversation for a prompt', () => {
  const [a, b] = [tokensOf(40, 1), tokensOf(60, 2)];

  it('is the one that it continues; a copy where it parts from it; a new one where nothing is shared', async () => {
    const log: string[] = [];
    const all = new Conversations(1000 * MB);
    const first = await kept(all, log, 'a', a);
    const second = await kept(all, log, 'b', b);
    const open = async (prompt: number[], reuse = true) => all.open(all.find(PROGRAM, prompt, reuse));

    const on = await open([...a, 1, 2]);
    expect(on).toBe(first);
    expect(historyTokens(on.history)).toEqual(a);
    const meanwhile = await open([...a, 1, 2, 3]);
    expect(meanwhile, 'a call uses the first').not.toBe(first);
    expect(historyLength(meanwhile.history)).toBe(0);
    on.inUse = false;

    const part = await open([...b.slice(0, 30), 1, 2]);
    expect(part).not.toBe(second);
    expect([part.state!.position, historyLength(part.history), historyLength(second.history)]).toEqual([60, 30, 60]);
    const retried = await open([...b.slice(0, 58), 1]);
    expect(retried, 'two tokens are not worth a copy').toBe(second);
    expect(await open([...a.slice(0, 15), 1, 2]), 'nor are 15 that are shared').not.toBe(first);
    const anew = await open([...a, 1], false);
    expect(anew, 'it takes the place of what it continues').toBe(first);
    expect(historyLength(anew.history)).toBe(0);
    expect(log).toEqual([]);
  });

  it('is the most recently used of two that are alike, and the one without a copy', async () => {
    const all = new Conversations(1000 * MB);
    await kept(all, [], 'a', a);
    const later = await kept(all, [], 'a again', a);
    await kept(all, [], 'longer', [...a, ...b]);
    expect(all.find(PROGRAM, [...a, 1], true).conversation).toBe(later);
  });

  it('may be one whose program is gone, if the prompt continues it', async () => {
    const all = new Conversations(1000 * MB);
    const first = await kept(all, [], 'a', a);
    const other = {} as Program;
    expect(all.find(other, [...a, 1], true)).toMatchObject({ conversation: first, kept: 40 });
    expect(all.find(other, [...a.slice(0, 20), 1], true).conversation).toBeUndefined();
    expect(all.freeOne(other)).toBe(false);
  });

  it('is not copied while a call uses it', async () => {
    const all = new Conversations(1000 * MB);
    const used = await kept(all, [], 'a', a);
    used.inUse = true;
    await expect(all.fork(used)).rejects.toMatchObject({ name: 'RequestError' });
  });

  it('goes back itself if there is no room for two', async () => {
    for (const [budget, copies] of [
      [119, true],
      [1000, false],
    ] as const) {
      const log: string[] = [];
      const all = new Conversations(budget * MB);
      await kept(all, log, 'a', a);
      const second = await kept(all, log, 'b', b, copies);
      const part = await all.open(all.find(PROGRAM, [...b.slice(0, 30), 1], true));
      expect(part).toBe(second);
      expect(historyLength(part.history)).toBe(30);
      expect(log, 'idle ones go first').toEqual(copies ? [] : ['free a']);
    }
  });
});

it('the least recently used goes first, as far as the budget asks, and never one in use', async () => {
  const log: string[] = [];
  const all = new Conversations(100 * MB);
  await kept(all, log, 'a', tokensOf(40, 1));
  await kept(all, log, 'b', tokensOf(30, 2));
  await kept(all, log, 'c', tokensOf(30, 3));
  all.trim(PROGRAM);
  expect(log).toEqual([]);
  (await all.open(all.find(PROGRAM, [...tokensOf(40, 1), 1], true))).inUse = false;
  const used = await kept(all, log, 'd', tokensOf(150, 4));
  used.inUse = true;
  all.trim(PROGRAM);
  expect(log).toEqual(['free b', 'free c', 'free a']);
  expect(all.freeOne(PROGRAM)).toBe(false);
  expect([1, 1000, 10_000].map((size) => stateBudget(size * MB) / MB)).toEqual([64, 250, 512]);
});

const LENGTH = 10;
const options = (seed: number): GenerateOptions =>
  seed % 2
    ? { maxTokens: LENGTH, seed, temperature: 1.2, minP: 0, frequencyPenalty: 0.5, repetitionPenalty: 1.1 }
    : { maxTokens: LENGTH, temperature: 0, ...(seed % 4 && { logprobs: 2 }) };

async function loaded(fate: Fate = untouched()): Promise<EngineWorkerCalls> {
  const engine = engineOf(fate, ['webgpu']);
  await engine.load('a/b', { contextLength: 512 });
  return engine;
}

const say = (
  engine: EngineWorkerCalls,
  prompt: readonly number[],
  how: GenerateOptions,
  onText: () => void = () => undefined,
  signal?: AbortSignal,
): Promise<GenerationResult> => engine.generate(prompt, how, onText, signal);

describe('two calls at the same time', () => {
  it('give the texts of two alone, by turns', async () => {
    const alone = await loaded();
    const together = await loaded();
    for (let seed = 1; seed <= 12; seed++) {
      const prompts = [tokensOf(70 + seed, 2 * seed), tokensOf(30, 2 * seed + 1)];
      const wanted = [];
      for (const [i, prompt] of prompts.entries()) wanted.push(await say(alone, prompt, options(seed + i)));
      const order: number[] = [];
      const got = await Promise.all(
        prompts.map((prompt, i) => say(together, prompt, options(seed + i), () => order.push(i))),
      );
      expect(got.map(({ text, logprobs }) => [text, logprobs])).toEqual(
        wanted.map(({ text, logprobs }) => [text, logprobs]),
      );
      if (order.length > 12) expect(order.indexOf(1)).toBeLessThan(order.lastIndexOf(0));
    }
  });

  it('on one conversation do not share it', async () => {
    const engine = await loaded();
    const prompt = tokensOf(50, 3);
    let second: Promise<GenerationResult> | undefined;
    const first = await say(engine, prompt, options(2), () => (second ??= say(engine, [...prompt, 9], options(2))));
    const alone = await loaded();
    expect(first.text).toBe((await say(alone, prompt, options(2))).text);
    expect(await second).toMatchObject({
      reusedTokens: 0,
      text: (await say(await loaded(), [...prompt, 9], options(2))).text,
    });
  });

  it('go on after a loss at any time, each with its text, after one reload', async () => {
    const prompts = [tokensOf(70, 5), tokensOf(30, 6)];
    const both = async (fate: Fate, loss = -1) => {
      const engine = await loaded(fate);
      const before = fate.acts;
      fate.losses = [before + loss];
      const said = await Promise.all(prompts.map((prompt, i) => say(engine, prompt, options(7 + i))));
      return { texts: said.map(({ text }) => text), opened: fate.opened, acts: fate.acts - before };
    };
    const { texts, acts } = await both(untouched());
    expect(acts).toBeGreaterThan(20);
    for (let loss = 1; loss <= acts; loss++)
      expect(await both(untouched(), loss), `at ${loss}`).toMatchObject({ texts, opened: 2 });
  });

  it('end at once at an abort while one waits, and the other goes on', async () => {
    const engine = await loaded();
    const prompts = [tokensOf(70, 8), tokensOf(30, 9)];
    const wanted = await say(await loaded(), prompts[0], options(1));
    for (const turns of [0, 1, 3]) {
      const controller = new AbortController();
      let heard = 0;
      let ended: Promise<string> | undefined;
      const other = say(engine, prompts[1], { ...options(2), maxTokens: 200 }, () => undefined, controller.signal);
      const first = await say(engine, prompts[0], options(1), () => {
        if (heard++ !== turns) return;
        controller.abort();
        ended = Promise.race([
          other.then(() => 'ended'),
          new Promise<string>((resolve) => setTimeout(resolve, 1000, 'waited')),
        ]);
      });
      expect(first.text).toBe(wanted.text);
      expect(await ended).toBe('ended');
      expect(await other).toMatchObject({ finish: 'abort' });
    }
    expect(engine.status().state).toBe('ready');
  });
});

describe('conversations in turn', () => {
  const greedy = { maxTokens: LENGTH, temperature: 0 };

  it('keep what they have read: another one, an edit, the first again', async () => {
    const engine = await loaded();
    const [a, b] = [tokensOf(80, 11), tokensOf(60, 12)];
    const first = await say(engine, a, greedy);
    expect((await say(engine, b, greedy)).reusedTokens).toBe(0);
    const more = [...a, ...engine.tokenize(first.text), 33, 34, 35];
    expect((await say(engine, more, greedy)).reusedTokens).toBeGreaterThanOrEqual(80);
    expect((await say(engine, [...a.slice(0, 50), 3, 4], greedy)).reusedTokens, 'an edit').toBe(50);
    expect((await say(engine, [...more, 36], greedy)).reusedTokens, 'what was edited').toBeGreaterThanOrEqual(83);
    expect((await say(engine, [...b, 36], greedy)).reusedTokens).toBeGreaterThanOrEqual(60);
    expect((await say(engine, a, greedy)).text, 'once more').toBe(first.text);
  });

  it('make room for others where memory is refused', async () => {
    const [a, b] = [tokensOf(80, 13), tokensOf(60, 14)];
    const both = async (fate: Fate, refusal = -1) => {
      const engine = await loaded(fate);
      await say(engine, a, greedy);
      const before = fate.acts;
      fate.refusal = before + refusal;
      const { text } = await say(engine, b, greedy);
      const acts = fate.acts - before;
      return { text, acts, reused: (await say(engine, [...a, 5], greedy)).reusedTokens, opened: fate.opened };
    };
    const { text, acts, reused } = await both(untouched());
    expect(reused).toBe(80);
    for (let refusal = 1; refusal <= acts; refusal++)
      expect(await both(untouched(), refusal), `at ${refusal}`).toMatchObject({ text, reused: 0, opened: 1 });
  });

  it('do not end because another one cannot grow', async () => {
    const fate = untouched();
    const engine = await loaded(fate);
    const prompts = [tokensOf(70, 15), tokensOf(30, 16)];
    const wanted = await Promise.all(prompts.map((prompt) => say(engine, prompt, greedy)));
    const other = await loaded(fate);
    fate.refusal = fate.acts + 9;
    const said = await Promise.allSettled(prompts.map((prompt) => say(other, prompt, greedy)));
    const failed = said.findIndex(({ status }) => status === 'rejected');
    expect(said[failed]).toMatchObject({ reason: { name: 'MemoryError' } });
    expect(said[1 - failed]).toMatchObject({ value: { text: wanted[1 - failed].text } });
  });
});
