import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { BatchSizes, Program, State } from '../backend/backend';
import { LFM2 } from '../model/architecture';
import { createTokenizer } from '../text/tokenizer';
import { Conversations } from './conversations';
import { yieldToEventLoop } from './event_loop';
import { generate, registerSpeculation, type GenerationSession } from './generate';
import { historyTokens } from './token_history';
import type { RecoverableModel, ModelOnBackend } from './recovery';
import { samplingDefaults, resolveGenerateOptions, type GenerateOptions } from './generate_options';

/** Bytes as tokens, and two special ones. */
const BOS = 256;
const END = 257;
const V = 258;
const printable = (b: number): boolean => (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
let next = 0x100;
const tokenizer = createTokenizer(
  {
    added_tokens: [
      { id: BOS, content: '<|bos|>', special: true },
      { id: END, content: '<|end|>', special: true },
    ],
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, use_regex: false },
    post_processor: null,
    decoder: { type: 'ByteLevel' },
    model: {
      type: 'BPE',
      vocab: Object.fromEntries([...Array(256).keys()].map((b) => [String.fromCharCode(printable(b) ? b : next++), b])),
      merges: [],
      ignore_merges: true,
    },
  },
  { bos_token: '<|bos|>' },
);
const utf8 = (text: string): number[] => [...new TextEncoder().encode(text)];

/** no state can be made on it: a session begins with its one state */
const PROGRAM = {} as Program;

interface Scripted {
  state: State;
  /** 'prefill 0+3', 'decode 2', 'rewind 1' in order */
  calls: string[];
  read: number[];
}

/** A state that says what a script says, by the number of tokens read; `ring` is how far it can go back. */
function scripted(
  script: (position: number, read: readonly number[]) => number,
  { ring = Infinity, ms = 0 } = {},
): Scripted {
  const calls: string[] = [];
  const read: number[] = [];
  let pending: number | undefined;
  let turn: Promise<unknown> = Promise.resolve();
  const later = <T>(value: T): Promise<T> =>
    (turn = turn.then(() => new Promise((resolve) => setTimeout(resolve, ms)))).then(() => value) as Promise<T>;
  const state: State = {
    get position() {
      return read.length;
    },
    prefill(tokens) {
      calls.push(`prefill ${read.length}+${tokens.length}`);
      pending = undefined;
      read.push(...tokens);
      return later(undefined);
    },
    decode(steps) {
      calls.push(`decode ${steps}`);
      const out = Uint32Array.from({ length: steps }, () => {
        if (pending !== undefined) read.push(pending);
        return (pending = script(read.length, read));
      });
      return later(out);
    },
    rewind(position) {
      calls.push(`rewind ${position}`);
      if (position > 0 && read.length - position > ring) return false;
      read.length = position;
      pending = undefined;
      return true;
    },
    program: PROGRAM,
    get bytes() {
      return read.length;
    },
    mark: () => undefined,
    rewindTarget: (position) => (read.length - position > ring ? 0 : Math.min(position, read.length)),
    fork: () => Promise.reject(new Error('not in this script')),
    logits: () => Promise.reject(new Error('generation never wants all logits')),
    async logprobs(chosen, n) {
      calls.push(`logprobs ${chosen} ${n}`);
      return { id: chosen, logprob: -chosen, top: [] };
    },
    dispose: () => undefined,
  };
  return { state, calls, read };
}

const backend: ModelOnBackend['backend'] = {
  info: { name: 'reference', device: '', variant: '', notes: [] },
  memory: () => 0,
  dispose: () => undefined,
};
const steady = (seat: ModelOnBackend): Pick<RecoverableModel, 'run' | 'reloadReason' | 'current'> => ({
  current: undefined,
  run: (task) => task(seat, { wanted: false, pass: async () => (await yieldToEventLoop(), false) }),
  reloadReason: undefined,
});
const session = (state: State, pace: Partial<BatchSizes> = {}, contextLength = 64): GenerationSession => ({
  recoverable: steady({
    program: state.program,
    identity: '',
    unusedState: state,
    contextLength,
    batchSizes: { prefillBatch: 4, decodesInFlight: 1, decodeSteps: 1, ...pace },
    backend,
  }),
  tokenizer,
  vocabSize: V,
  eosIds: [END],
  answerMarkers: LFM2.text.answerMarkers,
  conversations: new Conversations(Infinity),
  onProgress: () => undefined,
});

async function run(
  s: GenerationSession,
  prompt: number[],
  options: GenerateOptions = {},
  signal?: AbortSignal,
  onText?: (text: string) => void,
) {
  const pieces: string[] = [];
  const request = resolveGenerateOptions({ temperature: 0, ...options }, samplingDefaults({}, LFM2.text.sampling), V);
  const result = await generate(s, prompt, request, (text) => (pieces.push(text), onText?.(text)), signal);
  return { pieces, result };
}

const sayFrom = (prompt: number[], text: string) => (position: number) =>
  [...utf8(text), END][position - prompt.length] ?? 0x2e;
const prompt = [BOS, ...utf8('hello')];

describe.each<[string, Partial<BatchSizes>, guessed?: number]>([
  ['one token at a time', {}],
  ['two windows under way', { decodesInFlight: 2, decodeSteps: 8 }],
  ['guesses of two tokens', {}, 2],
])('generate, %s', (_, pace, guessed) => {
  beforeAll(() =>
    registerSpeculation(
      guessed ? (state) => ({ decode: (steps, sampling) => state.decode(steps + guessed, sampling) }) : undefined,
    ),
  );
  afterAll(() => registerSpeculation(undefined));

  it('ends an answer that repeats itself, if it is asked to', async () => {
    const { state } = scripted(sayFrom(prompt, 'so')); // then full stops without end, with the end token left out
    const endless: State = {
      ...state,
      decode: async (steps, sampling) => (await state.decode(steps, sampling)).map((id) => (id === END ? 0x2e : id)),
    };
    const on = await run(session(endless, pace, 2000), prompt, { stopRepetition: true });
    expect(on.result).toMatchObject({ finish: 'repetition', tokens: 130, text: `so${'.'.repeat(128)}` });
    const off = await run(session(endless, pace, 2000), prompt, { maxTokens: 500, reuse: false });
    expect(off.result).toMatchObject({ finish: 'length', tokens: 500 });
  });

  it('streams whole characters until the end token', async () => {
    const { state, calls } = scripted(sayFrom(prompt, 'a🦀b'));
    const { pieces, result } = await run(session(state, pace), prompt);
    expect(pieces).toEqual(['a', '🦀', 'b']);
    expect(result).toMatchObject({ text: 'a🦀b', finish: 'stop', promptTokens: 6, reusedTokens: 0, tokens: 7 });
    expect(calls.filter((call) => call.startsWith('prefill'))).toEqual(['prefill 0+4', 'prefill 4+2']);
  });

  it('asks for log probabilities after every token, and for no logits', async () => {
    const { state, calls } = scripted(sayFrom(prompt, 'ab'));
    const { result } = await run(session(state, pace), prompt, { logprobs: 3 });
    expect(result.logprobs?.map(({ id, logprob }) => [id, logprob])).toEqual(
      [...utf8('ab'), END].map((id) => [id, -id]),
    );
    expect(calls.slice(2)).toEqual([...utf8('ab'), END].flatMap((id) => ['decode 1', `logprobs ${id} 3`]));
  });

  it('stops at a stop string across tokens, and shows nothing of it', async () => {
    const { state } = scripted(sayFrom(prompt, 'one END two'));
    const { pieces, result } = await run(session(state, pace), prompt, { stop: 'END' });
    expect(result).toMatchObject({ text: 'one ', finish: 'stop', tokens: 7 });
    expect(pieces.join('')).toBe('one ');
  });

  it('ends at maxTokens, with what was held back', async () => {
    const { state, read } = scripted(sayFrom(prompt, 'one END'));
    const { result } = await run(session(state, pace), prompt, { stop: 'END', maxTokens: 5 });
    expect(result).toMatchObject({ text: 'one E', finish: 'length', tokens: 5 });
    expect(read.length).toBeLessThanOrEqual(prompt.length + (guessed ? 5 : 4)); // a guess may read the last one, too
  });

  it('ends at the end of the context, and a cut character becomes U+FFFD', async () => {
    const { state, read } = scripted((at) => utf8('🦀')[(at - prompt.length) % 4]);
    const { result } = await run(session(state, pace, 12), prompt);
    expect(result).toMatchObject({ text: '🦀\ufffd', finish: 'length', tokens: 6 });
    expect(read.length).toBeLessThan(12);
  });

  // by the clock of a machine that does other things too: the quietest of three
  it('ends within 50 ms of an abort, with the text so far', { retry: 2 }, async () => {
    const controller = new AbortController();
    const { state } = scripted(() => 0x61, { ms: 1 });
    let aborted = 0;
    let seen = 0;
    const { result, pieces } = await run(session(state, pace, 10_000), prompt, {}, controller.signal, () => {
      if (seen++ !== 40) return;
      aborted = performance.now();
      controller.abort();
    });
    expect(performance.now() - aborted).toBeLessThan(50 * 3); // timers of a busy machine
    expect(result.finish).toBe('abort');
    expect(result.text).toBe(pieces.join(''));
    expect(result.text.length).toBeGreaterThan(40);
  });

  it('leaves a state from which the next turn continues', async () => {
    const { state, read } = scripted((at) => [...utf8('abc'), END][at - prompt.length] ?? 0x78);
    const s = session(state, pace);
    await run(s, prompt);
    const turn = [...prompt, ...utf8('abc'), END, ...utf8('more')];
    const { result } = await run(s, turn, { maxTokens: 1 });
    expect(result.reusedTokens).toBeGreaterThanOrEqual(prompt.length + 3);
    const known = [...turn, ...(guessed ? [0x78] : [])]; // a guess has read the answer, too
    expect(read).toEqual(known);
    expect(historyTokens(s.conversations.find(PROGRAM, [...turn, END], true).conversation!.history)).toEqual(known);
  });

  it('fails with the state, and begins anew after that', async () => {
    const good = scripted(sayFrom(prompt, 'ab'));
    let broken = true;
    const state: State = {
      ...good.state,
      get position() {
        return good.state.position;
      },
      decode: (n, how) => (broken ? Promise.reject(new Error('lost')) : good.state.decode(n, how)),
    };
    const s = session(state, pace);
    await expect(run(s, prompt)).rejects.toThrow('lost');
    broken = false;
    expect((await run(s, prompt)).result).toMatchObject({ text: 'ab', reusedTokens: 0 });
  });
});

describe('generate', () => {
  it('refuses a prompt that leaves no room, before any work', async () => {
    const { state, calls } = scripted(() => END);
    await expect(run(session(state, {}, 6), prompt)).rejects.toMatchObject({
      name: 'ContextError',
      message: expect.stringMatching(/6 tokens.*fewer than 6/),
    });
    await expect(run(session(state), [])).rejects.toMatchObject({ name: 'RequestError' });
    await expect(run(session(state), [V])).rejects.toMatchObject({ name: 'RequestError' });
    expect(calls).toEqual([]);
  });

  it('ends an abort between two batches of the prompt, which the next call then continues', async () => {
    const controller = new AbortController();
    const { state, calls } = scripted(sayFrom([], ''));
    const long = Array.from({ length: 20 }, (_, i) => i);
    const s = session({
      ...state,
      get position() {
        return state.position;
      },
      prefill: (tokens) => (state.position >= 4 && controller.abort(), state.prefill(tokens)),
    });
    const { result } = await run(s, long, {}, controller.signal);
    expect(result).toMatchObject({ text: '', finish: 'abort', tokens: 0 });
    expect(calls).toEqual(['prefill 0+4', 'prefill 4+4']);
    expect((await run(s, long, { maxTokens: 1 })).result.reusedTokens).toBe(8);
  });

  it('doubles its windows where tokens take no time', async () => {
    const clock = vi.spyOn(performance, 'now').mockReturnValue(1);
    try {
      const { state, calls } = scripted(() => 0x61);
      let [underWay, most] = [0, 0];
      const counted: State = {
        ...state,
        get position() {
          return state.position;
        },
        decode(steps, sampling) {
          most = Math.max(most, ++underWay);
          return state.decode(steps, sampling).finally(() => underWay--);
        },
      };
      await run(session(counted, { decodesInFlight: 2, decodeSteps: 16 }, 400), prompt, { maxTokens: 200 });
      expect(most, 'windows under way').toBe(2);
      expect([...new Set(calls.filter((call) => call.startsWith('decode')))].slice(0, 5)).toEqual(
        [1, 2, 4, 8, 16].map((steps) => `decode ${steps}`),
      );
    } finally {
      clock.mockRestore();
    }
  });

  it.each([1, 4, 11, 20, 30, 200])('has no more than 50 ms of work under way at a stop: %i ms a token', async (ms) => {
    let time = 1;
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => time);
    try {
      const { state, calls } = scripted(() => 0x61);
      let turn = Promise.resolve();
      let asked = 0;
      const timed: State = {
        ...state,
        get position() {
          return state.position;
        },
        decode(steps, sampling) {
          asked += steps;
          const ids = state.decode(steps, sampling);
          turn = turn.then(() => void (time += steps * ms));
          return turn.then(() => ids);
        },
      };
      for (const stopAt of [1, 2, 7, 40, 90]) {
        const controller = new AbortController();
        asked = calls.length = 0;
        let heard = 0;
        let pending = 0;
        const onText = (): void => {
          if (++heard !== stopAt) return;
          pending = asked - heard;
          controller.abort();
        };
        const { result } = await run(
          session(timed, { decodesInFlight: 2, decodeSteps: 64 }, 1000),
          prompt,
          { reuse: false },
          controller.signal,
          onText,
        );
        expect(result.finish).toBe('abort');
        expect(pending * ms, `stopped at token ${stopAt}`).toBeLessThanOrEqual(50);
        expect(asked - stopAt, 'nothing more is asked for after the stop').toBe(pending);
        const lengths = calls.filter((call) => call.startsWith('decode')).map((call) => Number(call.slice(7)));
        expect(lengths[0]).toBe(1);
        lengths
          .slice(1)
          .forEach((length, i) => expect(length).toBeLessThanOrEqual(2 * Math.max(...lengths.slice(0, i + 1))));
      }
    } finally {
      clock.mockRestore();
    }
  });

  it.each([
    ['goes back to the common part', Infinity, [BOS, ...utf8('help')], 4, ['rewind 4', 'prefill 4+1']],
    [
      'reads all again when the ring does not reach',
      0,
      [BOS, ...utf8('help')],
      0,
      ['rewind 0', 'prefill 0+4', 'prefill 4+1'],
    ],
    ['reads the last token again for the same prompt', Infinity, prompt, 5, ['rewind 5', 'prefill 5+1']],
  ])('%s', async (_, ring, second, reused, expected) => {
    const { state, calls } = scripted((at) => (at < 7 ? 0x61 : END), { ring });
    const s = session(state);
    await run(s, prompt);
    calls.length = 0;
    expect((await run(s, second as number[], { maxTokens: 1 })).result.reusedTokens).toBe(reused);
    expect(calls.filter((call) => !call.startsWith('decode'))).toEqual(expected);
  });

  it('reads the whole prompt anew with a seed', async () => {
    const { state, calls } = scripted(() => END);
    const s = session(state);
    await run(s, prompt);
    calls.length = 0;
    expect((await run(s, prompt, { seed: 7 })).result).toMatchObject({ seed: 7, reusedTokens: 0 });
    expect(calls[0]).toBe('rewind 0');
    expect((await run(s, prompt, { seed: 7, reuse: true })).result.reusedTokens).toBe(5);
  });
});
