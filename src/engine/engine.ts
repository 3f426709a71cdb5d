/** The composition root, which lives in the worker: one model from its source to its words. */
import { abortError, fail } from '../errors';
import { openModel, type ModelSource } from '../store/open';
import type { Progress } from '../store/progress';
import type { Consent } from '../store/room';
import { encodeChat, type Message, type RenderOptions } from '../text/chat';
import type { DecodeOptions, EncodeOptions } from '../text/tokenizer';
import { check, generate, prefill, type Generation } from './generate';
import { EMPTY, tokensOf } from './journal';
import { loadModel, type Loaded, type LoadOptions, type ModelInfo, type Parts } from './model';
import { ladder } from './pick';
import { settle, type GenerateOptions } from './request';
import { align } from './reuse';

export type ChatOptions = GenerateOptions & RenderOptions;

export interface Status {
  state: 'empty' | 'busy' | 'ready';
  /** bytes the backend holds */
  memory: number;
}

/** What the page reaches through Comlink. Calls that need the model run one after another, in the order they came. */
export interface Engine {
  /**
   * Unloads a model that is there, then loads; frees everything when it fails.
   * @throws SourceError, StorageError, CheckpointError, MemoryError, DeviceError, RequestError, AbortError
   */
  load(source: ModelSource, options?: LoadOptions, onProgress?: (progress: Progress) => void, signal?: AbortSignal, makeRoom?: Consent): Promise<ModelInfo>;
  /** @throws ContextError, RequestError, DeviceError */
  chat(messages: readonly Message[], options: ChatOptions, emit: (text: string) => unknown, signal?: AbortSignal): Promise<Generation>;
  /** A text gets BOS in front where the model wants it; token ids are taken as they are. */
  generate(prompt: string | readonly number[], options: GenerateOptions, emit: (text: string) => unknown, signal?: AbortSignal): Promise<Generation>;
  tokenize(text: string, options?: EncodeOptions): number[];
  detokenize(ids: readonly number[], options?: DecodeOptions): string;
  render(messages: readonly Message[], options?: RenderOptions): string;
  /** The logits after these tokens, [V], read anew in chunks of `chunk`: for checks. */
  logits(tokens: readonly number[], chunk?: number): Promise<Float32Array>;
  status(): Status;
  /** as things are now; @throws RequestError without a model */
  info(): ModelInfo;
  /** Ends what is under way and frees the memory. */
  unload(): Promise<void>;
}

/** Of a call that was aborted while it waited for its turn. */
const UNSPOKEN: Generation = {
  text: '',
  finish: 'abort',
  promptTokens: 0,
  reusedTokens: 0,
  tokens: 0,
  seed: 0,
  prefillMs: 0,
  decodeMs: 0,
  firstTokenMs: 0,
  tokensPerSecond: 0,
};

/** Silence after an answer before kernels are tried out. */
const IDLE_MS = 1000;

/** @param parts replace the store and the backends, for tests */
export function createEngine({ open = openModel, rungs = ladder }: Partial<Parts> = {}): Engine {
  let loaded: Loaded | undefined;
  let tail: Promise<unknown> = Promise.resolve();
  const underWay = new Set<AbortController>();

  /** Runs a task after those before it; its signal also falls when the engine is unloaded. While it waits, an abort rejects at once. */
  function inTurn<T>(task: (signal: AbortSignal) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const controller = new AbortController();
    const abort = (): void => controller.abort();
    if (signal?.aborted) abort();
    signal?.addEventListener('abort', abort);
    underWay.add(controller);
    const before = tail;
    const run = (async () => {
      try {
        await Promise.race([before, aborted(controller.signal)]);
        if (controller.signal.aborted) throw abortError();
        return await task(controller.signal);
      } finally {
        underWay.delete(controller);
        signal?.removeEventListener('abort', abort);
      }
    })();
    tail = Promise.allSettled([before, run]);
    return run;
  }

  const model = (): Loaded => loaded ?? fail('RequestError', { what: 'No model is loaded', cure: 'Call load() first.' });

  async function release(): Promise<void> {
    const gone = loaded;
    loaded = undefined;
    await gone?.place.dispose();
  }

  let waiting: ReturnType<typeof setTimeout> | undefined;
  /** Kernels are tried out when an answer is out and nobody waits: never before a first token. */
  function tuneSoon(): void {
    const idle = (): boolean => underWay.size === 0;
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      if (idle()) void loaded?.place.seat?.runner.tune?.({ isIdle: idle }).catch(() => undefined); // a lost device is the next call's to tell
    }, IDLE_MS);
  }

  type Emit = (text: string) => unknown;
  function speak(prompt: () => readonly number[], options: GenerateOptions, emit: Emit, signal?: AbortSignal): Promise<Generation> {
    const called = performance.now();
    return inTurn(async (either) => {
      const { session, info } = model();
      const request = settle(options, info().sampling, session.vocabSize);
      // the last answer is awaited, so that over Comlink no text comes after the result
      let delivered: unknown;
      const result = await generate(session, prompt(), request, (text) => (delivered = emit(text)), either, called);
      await delivered;
      return result;
    }, signal)
      .catch((error: Error) => (error.name === 'AbortError' ? UNSPOKEN : Promise.reject(error)))
      .finally(tuneSoon);
  }

  return {
    load: (source, options = {}, onProgress, signal, makeRoom) =>
      inTurn(async (either) => {
        await release();
        loaded = await loadModel(source, { ...options, ...(makeRoom && { makeRoom }) }, { open, rungs }, onProgress, either);
        return loaded.info();
      }, signal),

    chat(messages, options, emit, signal) {
      const prompt = (): readonly number[] => {
        const { template, session } = model();
        const ids = encodeChat(session.tokenizer, template(), messages, options);
        return align(ids, tokensOf(session.journal), session.tokenizer);
      };
      return speak(prompt, options, emit, signal);
    },

    generate(prompt, options, emit, signal) {
      const ids = (): readonly number[] => {
        if (typeof prompt !== 'string') return prompt;
        const { tokenizer } = model().session;
        return tokenizer.encode(prompt, { bos: tokenizer.addBos });
      };
      return speak(ids, options, emit, signal);
    },

    tokenize: (text, options) => model().session.tokenizer.encode(text, options),
    detokenize: (ids, options) => model().session.tokenizer.decode(ids, options),
    render: (messages, options) => model().template().render(messages, options),

    logits: (tokens, chunk = Infinity) =>
      inTurn(async (signal) => {
        const { session } = model();
        return session.place.run(async (seat) => {
          check(session, seat, tokens);
          session.journal = EMPTY;
          seat.runner.rewind(0);
          await prefill(session, { ...seat, pace: { ...seat.pace, chunk: Math.min(chunk, seat.pace.chunk) } }, tokens, signal);
          return seat.runner.logits();
        }, signal);
      }),

    info: () => model().info(),
    status: () => ({ state: underWay.size ? 'busy' : loaded ? 'ready' : 'empty', memory: loaded?.place.seat?.backend.memory() ?? 0 }),

    unload() {
      for (const controller of underWay) controller.abort();
      return inTurn(release);
    },
  };
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
