import { expect, test } from 'vitest';
import type { AnswerPart, GenerationResult, Model, TextStream } from '../../../src/index';
import { createReplyMeter } from './reply_meter';

const result = (finish: GenerationResult['finish']): GenerationResult => ({
  text: 'secret',
  finish,
  promptTokens: 5,
  reusedTokens: 2,
  tokens: 40,
  seed: 1,
  prefillMs: 10,
  decodeMs: 100,
  firstTokenMs: 12,
  tokensPerSecond: 400,
});

/** A clock that a test turns, and a model whose pieces take 50 ms each. */
function parts(pieces: number, fails = false) {
  let time = 0;
  const shown: string[] = [];
  let id = 'a';
  const stream = (): TextStream => {
    const outcome = fails ? Promise.reject(new Error('lost')) : Promise.resolve(result('stop'));
    outcome.catch(() => undefined);
    async function* written(): AsyncGenerator<AnswerPart> {
      for (let i = 0; i < pieces; i++) {
        time += 50;
        yield { type: 'text', text: `${i} ` };
      }
      await outcome;
    }
    return {
      result: outcome,
      parts: written(),
      [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(new Error('the thinking is not counted')) }),
    };
  };
  const model = {
    get info() {
      return { id, bytes: 1, backend: { name: 'wasm', device: 'relaxed' } };
    },
    chat: () => stream(),
  } as unknown as Model;
  const meter = createReplyMeter({ show: (text) => shown.push(text), now: () => time });
  return { model: meter.watch(model), meter, shown, rename: (name: string) => void (id = name) };
}

test('the text passes unchanged, and the figures come at most four times a second', async () => {
  const { model, shown } = parts(20);
  let text = '';
  for await (const piece of model.chat([])) text += piece;
  expect(text).toBe(Array.from({ length: 20 }, (_, i) => `${i} `).join(''));
  // pieces come every 50 ms for one second
  const figures = shown.filter((line) => line.includes('tok/s'));
  expect(figures.length).toBeGreaterThanOrEqual(3);
  expect(figures.length).toBeLessThanOrEqual(5);
  expect(figures.at(-1)).toBe('20\u00a0tok/s · 50\u00a0ms to first token');
  expect([shown[0], shown.at(-1)]).toEqual(['Reading the conversation…', '']);
});

test('the figures of the last ten replies are kept, without their text', async () => {
  const { model, meter, rename } = parts(1);
  for (let i = 0; i < 12; i++) {
    rename(`m${i}`);
    await model.chat([]).result;
  }
  expect(meter.last().map(({ model: name }) => name)).toEqual(Array.from({ length: 10 }, (_, i) => `m${i + 2}`));
  expect(meter.last()[0]).toMatchObject({
    backend: 'wasm relaxed',
    finish: 'stop',
    tokens: 40,
    tokensPerSecond: 400,
    firstTokenMs: 12,
  });
  expect(JSON.stringify(meter.last())).not.toContain('secret');
  expect(model.info.id).toBe('m11');
});

test('a reply that fails, and one that is left', async () => {
  const { model, meter, shown } = parts(3, true);
  const read = async (stream: TextStream, most = Infinity): Promise<void> => {
    let pieces = 0;
    for await (const piece of stream) if ((pieces += piece.length > 0 ? 1 : 0) >= most) break;
  };
  await expect(read(model.chat([]))).rejects.toThrow('lost');
  expect(meter.last()).toEqual([{ model: 'a', backend: 'wasm relaxed', finish: 'failed' }]);
  expect(shown.at(-1)).toBe('');
  const left = parts(3);
  await read(left.model.chat([]), 1);
  expect(left.shown).toEqual(['Reading the conversation…', '']);
});
