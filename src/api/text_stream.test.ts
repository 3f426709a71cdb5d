import { describe, expect, it } from 'vitest';
import type { GenerationResult } from '../engine/generate';
import type { EmitPart } from '../text/thinking';
import { createTextStream } from './text_stream';

const generation = (finish: GenerationResult['finish'], text = ''): GenerationResult => ({
  text,
  finish,
  promptTokens: 0,
  reusedTokens: 0,
  tokens: 0,
  seed: 0,
  prefillMs: 0,
  decodeMs: 0,
  firstTokenMs: 0,
  tokensPerSecond: 0,
});
const tick = (): Promise<void> => new Promise((resolve) => setTimeout(resolve));

/** Says 0, 1, 2 … until aborted. */
async function count(emit: EmitPart, signal: AbortSignal): Promise<GenerationResult> {
  let text = '';
  for (let i = 0; !signal.aborted; i++) {
    emit(`${i}`, 'text');
    text += i;
    await tick();
  }
  return generation('abort', text);
}

describe('stream', () => {
  it('loses nothing when the reader is slow or late', async () => {
    const stream = createTextStream(async (emit) => {
      for (const text of ['a', 'b', 'c']) emit(text, 'text');
      return generation('stop', 'abc');
    });
    await stream.result;
    const got: string[] = [];
    for await (const text of stream) {
      await tick();
      got.push(text);
    }
    expect(got).toEqual(['a', 'b', 'c']);
  });

  it('leaves thinking out, unless the parts are read', async () => {
    const think: Parameters<typeof createTextStream>[0] = async (emit) => {
      emit('hm', 'reasoning');
      emit('a', 'text');
      return { ...generation('stop', 'a'), reasoning: 'hm' };
    };
    const got: unknown[] = [];
    for await (const text of createTextStream(think)) got.push(text);
    for await (const part of createTextStream(think).parts) got.push(part);
    expect(got).toEqual(['a', { type: 'reasoning', text: 'hm' }, { type: 'text', text: 'a' }]);
  });

  it('aborts when the loop over the parts is left', async () => {
    const stream = createTextStream(count);
    for await (const { text } of stream.parts) if (text === '2') break;
    expect(await stream.result).toMatchObject({ finish: 'abort' });
  });

  it('aborts when the loop is left', async () => {
    const stream = createTextStream(count);
    for await (const text of stream) if (text === '2') break;
    expect(await stream.result).toMatchObject({ finish: 'abort', text: expect.stringMatching(/^012/) });
  });

  it("ends the loop with AbortError at the caller's abort, the result with the text so far", async () => {
    const controller = new AbortController();
    const stream = createTextStream(count, controller.signal);
    const got: string[] = [];
    await expect(
      (async () => {
        for await (const text of stream) if (got.push(text) === 3) controller.abort();
      })(),
    ).rejects.toMatchObject({ name: 'AbortError' });
    expect((await stream.result).text).toBe(got.join(''));
  });

  it('ends the loop with AbortError where the model is unloaded', async () => {
    const stream = createTextStream(async (emit) => (emit('a', 'text'), generation('abort', 'a')));
    const got: string[] = [];
    const read = async (): Promise<void> => {
      for await (const text of stream) got.push(text);
    };
    await expect(read()).rejects.toMatchObject({ name: 'AbortError' });
    expect([got, (await stream.result).text]).toEqual([['a'], 'a']);
  });

  it('never ends quietly, whatever a failure throws', async () => {
    const stream = createTextStream(() => Promise.reject(null));
    const read = async (): Promise<void> => {
      for await (const text of stream) expect(text).toBe('');
    };
    await expect(read()).rejects.toBe(null);
    await expect(stream.result).rejects.toBe(null);
  });

  it('gives what was said before a failure, then the failure', async () => {
    const stream = createTextStream(async (emit) => {
      emit('a', 'text');
      throw new Error('lost');
    });
    const got: string[] = [];
    await expect(
      (async () => {
        for await (const text of stream) got.push(text);
      })(),
    ).rejects.toThrow('lost');
    expect(got).toEqual(['a']);
    await expect(stream.result).rejects.toThrow('lost');
  });
});
