/** The page's side: starts the worker, and turns its calls into a model with async iterables. */
import { proxy, wrap } from 'comlink';
import type { ChatOptions, Engine, Status } from '../engine/engine';
import type { Generation } from '../engine/generate';
import type { Keeper } from '../engine/keeper';
import type { LoadOptions, ModelInfo } from '../engine/model';
import type { GenerateOptions } from '../engine/request';
import '../engine/wire';
import { abortError, fail, RivuletError } from '../errors';
import type { ModelSource } from '../store/open';
import type { Progress } from '../store/progress';
import type { Consent } from '../store/room';
import type { Message, RenderOptions } from '../text/chat';
import type { DecodeOptions, EncodeOptions } from '../text/tokenizer';
import EngineWorker from '../worker?worker&inline';
import { lendThreads } from './lend';
import { asksToPersist } from './persist';
import { absolute, absoluteHub } from './source';
import { createStream, type TextStream } from './stream';

/** A call's own signal, beside its options. */
export interface Abortable {
  signal?: AbortSignal;
}

export interface LoadCall extends LoadOptions, Abortable {
  onProgress?: (progress: Progress) => void;
}

/** A loaded model, with a worker of its own. Generations on one model run one after another: a second call waits for the first. */
export interface Model {
  /** as things are now: after a lost device the backend may be another */
  readonly info: ModelInfo;
  /** The answer of the model to a conversation, by the checkpoint's chat template. */
  chat(messages: readonly Message[], options?: ChatOptions & Abortable): TextStream;
  /** What follows a text; BOS is put in front where the model wants it. Token ids are taken as they are. */
  generate(prompt: string | readonly number[], options?: GenerateOptions & Abortable): TextStream;
  tokenize(text: string, options?: EncodeOptions): Promise<number[]>;
  detokenize(ids: readonly number[], options?: DecodeOptions): Promise<string>;
  /** The text that chat() would make of the messages. */
  render(messages: readonly Message[], options?: RenderOptions): Promise<string>;
  /** The logits after these tokens, [V], read anew in pieces of at most `chunk`: for checks. */
  logits(tokens: readonly number[], chunk?: number): Promise<Float32Array>;
  status(): Promise<Status>;
  /** Ends what is under way and frees all memory. The model cannot be used after it. */
  unload(): Promise<void>;
}

/** How long an unload may take before the worker is ended by force. */
const UNLOAD_MS = 3000;

/**
 * Loads a model into a worker of its own.
 * @param source a hub id ('LiquidAI/LFM2-350M-GGUF', ':Q4_0' or a file name behind it, '@revision'), a URL, a File or Blob, or a directory
 * @throws by name: SourceError, StorageError, CheckpointError, MemoryError, DeviceError, RequestError, AbortError (see ErrorName)
 */
export async function load(source: ModelSource, { onProgress, signal, makeRoom, ...options }: LoadCall = {}): Promise<Model> {
  if (signal?.aborted) throw abortError();
  const { engine, guard, end } = start();
  let info: ModelInfo | undefined;
  const ask = asksToPersist(options.cache);
  const report = proxy(async (progress: Progress) => {
    ask(progress);
    if (info && progress.phase === 'ready') info = await guard<ModelInfo>(engine.info()); // on another device
    return onProgress?.(progress);
  });
  try {
    info = await guard<ModelInfo>(engine.load(absolute(source), absoluteHub(options), report, signal, askable(makeRoom)));
    if (signal?.aborted) throw abortError();
    return createModel(() => info!, engine, guard, end);
  } catch (error) {
    end(error as Error);
    throw error;
  }
}

/** A function that is asked in the page, as an argument. */
export const askable = (consent: Consent | undefined): Consent | undefined => (typeof consent === 'function' ? proxy(consent) : consent);

type Guard = <T>(call: Promise<T>) => Promise<T>;

/** The worker's calls. */
export type Remote = ReturnType<typeof wrap<Engine & Keeper>>;

/** A worker whose calls settle even when it dies. */
export function start(): { engine: Remote; guard: Guard; end(reason: Error): void } {
  let worker: Worker;
  try {
    worker = new EngineWorker({ name: 'rivulet' });
  } catch (cause) {
    const cure = 'load() needs a browser, and a page that allows worker-src blob:.';
    fail('DeviceError', { what: 'The worker cannot be started', got: String(cause), cure }, cause);
  }
  const takeBack = lendThreads(worker);
  const open = new Set<(error: Error) => void>();
  let ended: Error | undefined;

  function end(reason: Error): void {
    ended ??= reason;
    worker.terminate();
    takeBack();
    for (const reject of open) reject(ended);
    open.clear();
  }
  worker.addEventListener('error', (event) => {
    const cure = "If nothing was loaded yet: the page's security policy must allow worker-src blob:.";
    end(new RivuletError('DeviceError', { what: 'The worker failed', got: event.message || 'no reason given', cure }));
  });

  const guard: Guard = (call) =>
    new Promise((resolve, reject) => {
      if (ended) return reject(ended);
      open.add(reject);
      call.then(resolve, reject).finally(() => open.delete(reject));
    });
  return { engine: wrap<Engine & Keeper>(worker), guard, end };
}

function createModel(info: () => ModelInfo, engine: Remote, guard: Guard, end: (reason: Error) => void): Model {
  const plain = <T extends Abortable>({ signal: _, ...options }: T): Omit<T, 'signal'> => options;
  return {
    get info() {
      return info();
    },
    chat: (messages, options = {}) =>
      createStream((emit, signal) => guard<Generation>(engine.chat(messages, plain(options), proxy(emit), signal)), options.signal),
    generate: (prompt, options = {}) =>
      createStream((emit, signal) => guard<Generation>(engine.generate(prompt, plain(options), proxy(emit), signal)), options.signal),
    tokenize: (text, options) => guard(engine.tokenize(text, options)),
    detokenize: (ids, options) => guard(engine.detokenize(ids, options)),
    render: (messages, options) => guard(engine.render(messages, options)),
    logits: (tokens, chunk) => guard(engine.logits(tokens, chunk)),
    status: () => guard(engine.status()),
    async unload() {
      const late = new Promise<void>((resolve) => setTimeout(resolve, UNLOAD_MS));
      await Promise.race([guard(engine.unload()), late]).catch(() => undefined); // ended already: nothing is left to free
      end(new RivuletError('RequestError', { what: 'The model was unloaded', cure: 'Load it again.' }));
    },
  };
}
