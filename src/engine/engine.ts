/** The composition root, which lives in the worker: one model from its source to its words. */
import type { Backend, BackendInfo, Runner } from '../backend/backend';
import { record } from '../backend/plan';
import { GREEDY } from '../backend/sampling';
import { abortError, fail } from '../errors';
import type { Config } from '../model/config';
import { forward } from '../model/lfm2';
import { openModel, type ModelSource, type OpenedModel, type OpenOptions } from '../store/open';
import { Meter, type Progress } from '../store/progress';
import { compileChatTemplate, encodeChat, type ChatTemplate, type Message, type RenderOptions } from '../text/chat';
import { createTokenizer, type DecodeOptions, type EncodeOptions, type Tokenizer } from '../text/tokenizer';
import { openCheckpoint, type Checkpoint } from './checkpoint';
import { check, generate, prefill, type Generation, type Pace, type Session } from './generate';
import { loadWeights } from './load';
import { pause } from './pause';
import { descend, ladder, type BackendOptions, type Rung } from './pick';
import { samplingDefaults, settle, type GenerateOptions, type SamplingDefaults } from './request';
import { align } from './reuse';

export interface LoadOptions extends BackendOptions, Omit<OpenOptions, 'signal' | 'onProgress' | 'peek'> {
  /** tokens of prompt and answer together; default 4096, or what the model was made for if that is less */
  contextLength?: number;
}

export interface ModelInfo {
  /** as listModels() gives it */
  id: string;
  /** for people */
  name: string;
  config: Config;
  /** of most of the bytes: 'Q4_0' */
  quantization: string;
  /** of all weights as stored */
  bytes: number;
  contextLength: number;
  /** the source was in the browser's storage before */
  cached: boolean;
  backend: BackendInfo;
  /** what the user may want to know: of storage, of the context, why no better backend */
  notes: string[];
  /** bytes the backend holds for weights, state and scratch */
  memory: number;
  /** sampling where a call does not say otherwise */
  sampling: SamplingDefaults;
  /** the checkpoint has a chat template */
  chat: boolean;
  loadMs: number;
}

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
  load(source: ModelSource, options?: LoadOptions, onProgress?: (progress: Progress) => void, signal?: AbortSignal): Promise<ModelInfo>;
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
  /** Ends what is under way and frees the memory. */
  unload(): Promise<void>;
}

interface Loaded {
  info: ModelInfo;
  backend: Backend;
  session: Session;
  tokenizer: Tokenizer;
  /** compiled at its first use: a broken one must not bar the model */
  template(): ChatTemplate;
}

const PACE: Record<BackendInfo['name'], Pace> = {
  webgpu: { chunk: 256, windows: 2, longest: 64 },
  wasm: { chunk: 64, windows: 1, longest: 1 },
  reference: { chunk: 64, windows: 1, longest: 1 },
};

const CONTEXT = 4096;
const SHORTEST_CONTEXT = 16;

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

/** @param parts replace the store and the backends, for tests */
export function createEngine(parts: { open?: typeof openModel; rungs?: (options: BackendOptions) => Rung[] } = {}): Engine {
  const { open = openModel, rungs = ladder } = parts;
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
    gone?.session.runner.dispose();
    await gone?.backend.dispose();
  }

  type Emit = (text: string) => unknown;
  function speak(prompt: () => readonly number[], options: GenerateOptions, emit: Emit, signal?: AbortSignal): Promise<Generation> {
    const called = performance.now();
    return inTurn(async (either) => {
      const { session, info } = model();
      const request = settle(options, info.sampling, info.config.vocabSize);
      // the last answer is awaited, so that over Comlink no text comes after the result
      let delivered: unknown;
      const result = await generate(session, prompt(), request, (text) => (delivered = emit(text)), either, called);
      await delivered;
      return result;
    }, signal).catch((error: Error) => (error.name === 'AbortError' ? UNSPOKEN : Promise.reject(error)));
  }

  return {
    load: (source, options = {}, onProgress, signal) =>
      inTurn(async (either) => {
        await release();
        loaded = await loadModel(source, options, { open, rungs }, onProgress, either);
        return loaded.info;
      }, signal),

    chat(messages, options, emit, signal) {
      const prompt = (): readonly number[] => {
        const { tokenizer, template, session } = model();
        const ids = encodeChat(tokenizer, template(), messages, options);
        return align(ids, session.read, tokenizer);
      };
      return speak(prompt, options, emit, signal);
    },

    generate(prompt, options, emit, signal) {
      const ids = (): readonly number[] => {
        if (typeof prompt !== 'string') return prompt;
        const { tokenizer } = model();
        return tokenizer.encode(prompt, { bos: tokenizer.addBos });
      };
      return speak(ids, options, emit, signal);
    },

    tokenize: (text, options) => model().tokenizer.encode(text, options),
    detokenize: (ids, options) => model().tokenizer.decode(ids, options),
    render: (messages, options) => model().template().render(messages, options),

    logits: (tokens, chunk) =>
      inTurn(async (signal) => {
        const { session } = model();
        check(session, tokens);
        session.read = [];
        session.runner.rewind(0);
        await prefill({ ...session, pace: { ...session.pace, chunk: Math.min(chunk ?? Infinity, session.pace.chunk) } }, tokens, 0, signal);
        if (signal.aborted) throw abortError();
        return session.runner.logits();
      }),

    status: () => ({ state: underWay.size ? 'busy' : loaded ? 'ready' : 'empty', memory: loaded?.backend.memory() ?? 0 }),

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

async function loadModel(
  source: ModelSource,
  options: LoadOptions,
  { open, rungs }: { open: typeof openModel; rungs: (options: BackendOptions) => Rung[] },
  onProgress?: (progress: Progress) => void,
  signal?: AbortSignal,
): Promise<Loaded> {
  const start = performance.now();
  const backends = rungs(options);
  const opened = await open(source, { ...options, signal, onProgress });
  try {
    const checkpoint = await openCheckpoint(opened.files, signal);
    const { config, bytes, quantization } = checkpoint;
    const tokenizer = createTokenizer(checkpoint.tokenizer.json, checkpoint.tokenizer.config);
    const notes: string[] = [];
    const contextLength = chooseContext(options.contextLength, config.contextLength, notes);

    const reasons: string[] = [];
    return await descend(backends, reasons, async (backend) => {
      const pace = PACE[backend.info.name];
      const runner = await prepare(checkpoint, backend, { contextLength, chunk: pace.chunk }, onProgress, signal);
      await keep(opened, options, notes);
      const eosIds = [...new Set([...checkpoint.generation.eosIds, ...(tokenizer.eosId === undefined ? [] : [tokenizer.eosId])])];
      let template: ChatTemplate | undefined;
      const info: ModelInfo = {
        id: opened.id,
        name: opened.id.slice(opened.id.lastIndexOf('/') + 1),
        config,
        quantization,
        bytes,
        contextLength,
        cached: opened.cached,
        backend: { ...backend.info, notes: [...reasons, ...backend.info.notes] },
        notes: [...opened.notes, ...notes, ...reasons, ...backend.info.notes],
        memory: backend.memory(),
        sampling: samplingDefaults(checkpoint.generation),
        chat: Boolean((checkpoint.tokenizer.config as { chat_template?: unknown }).chat_template),
        loadMs: performance.now() - start,
      };
      await onProgress?.({ phase: 'ready', bytes, total: bytes, rate: 0 }); // over Comlink: all of them have arrived
      return {
        info,
        backend,
        session: { runner, tokenizer, contextLength, vocabSize: config.vocabSize, eosIds, pace, read: [] },
        tokenizer,
        template: () =>
          (template ??=
            compileChatTemplate(checkpoint.tokenizer.config) ??
            fail('RequestError', { what: 'The model has no chat template', cure: 'Write the prompt yourself and use generate().' })),
      };
    });
  } catch (error) {
    // what is no model must not stay in the cache
    if ((error as Error).name === 'CheckpointError') await opened.discard().catch(() => undefined);
    throw error;
  } finally {
    opened.close();
  }
}

/** Waits for the rest of the files to be stored; a model that could be loaded is not given up because it cannot be kept. */
async function keep(opened: OpenedModel, { cache }: LoadOptions, notes: string[]): Promise<void> {
  try {
    await opened.finish();
  } catch (error) {
    const { name, message } = error as Error;
    if (name === 'AbortError' || cache === 'required') throw error;
    notes.push(`The model could not be stored whole: ${message}`);
  }
}

function chooseContext(asked: number | undefined, made: number, notes: string[]): number {
  if (asked === undefined) return Math.min(CONTEXT, made);
  if (!Number.isInteger(asked) || asked < SHORTEST_CONTEXT)
    fail('RequestError', { what: 'contextLength cannot be honoured', got: String(asked), wanted: `a whole number of at least ${SHORTEST_CONTEXT}` });
  if (asked > made) notes.push(`The context is ${made} tokens and not ${asked}: the model was made for no more.`);
  return Math.min(asked, made);
}

/** Weights into the backend, the plan compiled and run once. */
async function prepare(
  checkpoint: Checkpoint,
  backend: Backend,
  compile: { contextLength: number; chunk: number },
  onProgress?: (progress: Progress) => void,
  signal?: AbortSignal,
): Promise<Runner> {
  const { bytes, config } = checkpoint;
  await backend.reserve(bytes);
  const meter = new Meter('load', bytes, onProgress);
  let done = 0;
  const weights = await loadWeights(checkpoint, backend, (n) => meter.at((done += n)), signal);
  onProgress?.({ phase: 'compile', bytes, total: bytes, rate: 0 });
  await heed(signal);
  const runner = await backend.compile(record((op) => forward(op, config, weights)), compile);
  await heed(signal);
  await warm(runner);
  await heed(signal);
  return runner;
}

/** Lets an abort arrive, and obeys it. */
async function heed(signal?: AbortSignal): Promise<void> {
  await pause();
  if (signal?.aborted) throw abortError();
}

/** The first run compiles what compiles lazily, and shows whether the device computes at all. */
async function warm(runner: Runner): Promise<void> {
  await runner.prefill(Uint32Array.of(0, 0));
  const logits = await runner.logits();
  if (!logits.every(Number.isFinite) || logits.every((v) => v === logits[0]))
    fail('DeviceError', {
      what: 'The device computes wrongly',
      got: `logits ${logits.slice(0, 4).join(', ')} …`,
      wanted: 'finite, distinct numbers',
      cure: 'Try another backend, or update the browser and the graphics driver.',
    });
  await runner.decode(2, GREEDY);
  runner.rewind(0);
}
