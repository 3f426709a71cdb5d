import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { GOLDEN_DIRECTORY } from '../../e2e/tools/golden';
import { openReferenceBackend } from '../backend/reference/backend';
import { memorySource } from '../store/byte_source';
import { createEngine, type EngineWorkerCalls } from './engine';

const file = memorySource('tiny.gguf', new Uint8Array(readFileSync(`${GOLDEN_DIRECTORY}/dense/gguf/tiny-Q8_0.gguf`)));

async function opened(contextLength = 128): Promise<EngineWorkerCalls> {
  const nothing = async (): Promise<void> => undefined;
  const engine = createEngine({
    open: async () => ({
      id: 'test/tiny', files: [file], cached: false, notes: [], finish: nothing, close: nothing, discard: nothing,
    }), // prettier-ignore
    candidates: () => [{ name: 'reference', label: 'Reference', open: () => openReferenceBackend() }],
  });
  await engine.load('test/tiny', { contextLength });
  return engine;
}

const ids = [1, 40, 50, 60, 33, 21, 90, 14, 7, 102, 55, 56, 57, 58, 59, 61, 62, 63];

/** From logits of the whole text, read from its beginning. */
async function logprobOf(engine: EngineWorkerCalls, prompt: number[], choice: string): Promise<number> {
  let sum = 0;
  const read = [...prompt];
  for (const id of engine.tokenize(choice, { special: false })) {
    const logits = Float64Array.from(await engine.logits(read));
    sum += logits[id] - Math.log(logits.reduce((total, l) => total + Math.exp(l), 0));
    read.push(id);
  }
  return sum;
}

describe('the probabilities of choices', () => {
  const choices = ['yes', ' no', 'perhaps tomorrow', '<|im_end|>'];

  it('are those of their tokens, also beside a conversation and twice', async () => {
    const engine = await opened();
    const wanted: number[] = [];
    for (const choice of choices) wanted.push(await logprobOf(engine, ids, choice));
    expect(engine.tokenize('perhaps tomorrow').length).toBeGreaterThan(2);
    const said = async () => engine.generate(ids, { temperature: 0, maxTokens: 4 }, () => undefined);
    const before = await said();
    for (let round = 0; round < 2; round++) {
      const got = await engine.score(ids, choices, {});
      expect(got.map(({ text }) => text)).toEqual(choices);
      got.forEach(({ logprob }, i) => expect(logprob).toBeCloseTo(wanted[i], 3));
      expect(got.reduce((sum, { probability }) => sum + probability, 0)).toBeCloseTo(1, 6);
      expect(Math.log(got[0].probability / got[1].probability)).toBeCloseTo(wanted[0] - wanted[1], 3);
    }
    const after = await said();
    expect([after.text, after.reusedTokens]).toEqual([before.text, ids.length - 1]);
  });

  it('follow a chat as its answer', async () => {
    const engine = await opened(256);
    const messages = [{ role: 'user', content: 'Is water wet?' }];
    const prompt = engine.tokenize(engine.render(messages));
    const [chat, text] = [await engine.score(messages, choices, {}), await engine.score(prompt, choices, {})];
    expect(chat).toEqual(text);
  });

  it('are refused where the longest choice does not fit, and can be stopped', async () => {
    const engine = await opened(64);
    const long = Array.from({ length: 60 }, (_, i) => ids[i % ids.length]);
    await expect(engine.score(long, ['yes', 'perhaps tomorrow, or the day after'], {})).rejects.toMatchObject({
      name: 'ContextError',
      message: expect.stringContaining('The prompt with its longest choice is too long'),
    });
    await expect(engine.score(ids, choices, {}, AbortSignal.abort())).rejects.toMatchObject({ name: 'AbortError' });
    expect((await engine.score(ids, choices, {})).length).toBe(4);
  });

  it('let another call have its turn within a choice, and end where they are stopped', async () => {
    const engine = await opened(256);
    const long = 'perhaps tomorrow, or the day after '.repeat(4);
    for (const many of [[long], Array.from({ length: 60 }, (_, i) => `${i}`)]) {
      const stop = new AbortController();
      const scored = engine.score(ids, many, {}, stop.signal);
      const ended = scored.then(
        () => 'complete',
        ({ name }: Error) => name,
      );
      expect((await engine.generate(ids, { temperature: 0, maxTokens: 1 }, () => undefined)).tokens).toBe(1);
      stop.abort(); // it is far from its end
      expect(await ended).toBe('AbortError');
    }
    expect((await engine.score(ids, choices, {})).length).toBe(4);
  });
});
