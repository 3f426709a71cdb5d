/** The page's side: starts the worker and offers its calls as a model. */
import { proxy } from 'comlink';
import type { ChatOptions, EngineWorkerCalls, EngineStatus } from '../engine/engine';
import type { WorkerModelCalls } from '../engine/worker_model_calls';
import type { ModelInfo } from '../engine/load_model';
import type { GenerateOptions } from '../engine/generate_options';
import { abortError, RivuletError } from '../errors';
import type { ModelSource } from '../store/open_model';
import type { Progress } from '../store/progress';
import type { EvictionConsent, EvictionRequest } from '../store/storage_space';
import type { RenderOptions } from '../text/chat_template';
import type { Message } from '../text/history';
import type { DecodeOptions, EncodeOptions } from '../text/tokenizer';
import type { ToolCalls } from '../modules/tools';
import engineScript from '../worker?script';
import { OPTIONS, readOptions, readText, type Abortable, type LoadCallOptions, type RulesOf } from './options';
import { persistOnDownload } from './persist_storage';
import { readMessages, readPrompt, readTokenIds } from './read_arguments';
import { absoluteHub, readSource } from './resolve_source';
import { withSideFiles } from './side_files';
import { startWorker, type CallGuard, type StartedWorker } from './start_worker';
import { createTextStream, type TextStream } from './text_stream';
import { watchProgress } from './watch_progress';

/**
 * A loaded model, with a worker of its own. Generations on one model take turns: a second call begins after at most one
 * batch of a prompt or some 50 ms of an answer of the first, and each is slower for it.
 */
export interface Model {
  /** the current state: the backend can change after a lost device */
  readonly info: ModelInfo;
  /** The model's answer to a conversation, by the checkpoint's chat template. */
  chat(messages: readonly Message[], options?: ChatOptions & Abortable): TextStream;
  /** The continuation of a text. BOS is put before it if the model expects it. Token ids are used unchanged. */
  generate(prompt: string | readonly number[], options?: GenerateOptions & Abortable): TextStream;
  tokenize(text: string, options?: EncodeOptions): Promise<number[]>;
  detokenize(ids: readonly number[], options?: DecodeOptions): Promise<string>;
  /** The prompt text that chat() makes from the messages. */
  render(messages: readonly Message[], options?: RenderOptions): Promise<string>;
  /** The logits after these tokens, [V], read from the start in batches of at most `prefillBatch`. For tests. */
  logits(tokens: readonly number[], prefillBatch?: number): Promise<Float32Array>;
  status(): Promise<EngineStatus>;
  /** Aborts running calls and frees all memory. The model cannot be used afterwards. */
  unload(): Promise<void>;
}

type RunGeneration = Parameters<typeof createTextStream>[0];

/** How long an unload may take before the worker is terminated. */
const UNLOAD_MS = 3000;

/**
 * Loads a model into a worker of its own.
 * @param source a hub id ('LiquidAI/LFM2-350M-GGUF', with ':Q4_0', '/file.gguf' or '@revision' after it), a URL, a File
 * or Blob, or a directory
 * @throws by name: SourceError, StorageError, CheckpointError, MemoryError, DeviceError, RequestError, AbortError (see
 * ErrorName)
 */
export async function load(source: ModelSource, options?: LoadCallOptions): Promise<Model> {
  const { onProgress, signal, makeRoom, ...settings } = readOptions<LoadCallOptions>(OPTIONS.load, options);
  const read = readSource(source);
  const ask = persistOnDownload(settings.cache);
  const watch = watchProgress(onProgress);
  try {
    return await withSideFiles([], async (sideFiles) => {
      if (signal?.aborted) throw abortError();
      const { remote: engine, guard, end } = startEngine(sideFiles);
      let info: ModelInfo | undefined;
      const report = proxy(async (progress: Progress) => {
        ask(progress);
        // the device may be another one now
        if (info && progress.phase === 'ready') info = await guard<ModelInfo>(engine.info());
        watch.report(progress);
      });
      try {
        info = await guard<ModelInfo>(engine.load(read, absoluteHub(settings), report, signal, proxyConsent(makeRoom)));
        if (signal?.aborted) throw abortError();
        return createModel(() => info!, engine, guard, end);
      } catch (error) {
        end(error as Error);
        throw error;
      }
    });
  } finally {
    watch.stop();
  }
}

/**
 * A consent function runs in the page; the worker gets a proxy of it. Only `true` is consent; what it throws is
 * reported as an unhandled rejection.
 */
export const proxyConsent = (consent: EvictionConsent | undefined): EvictionConsent | undefined =>
  typeof consent === 'function'
    ? proxy((request: EvictionRequest) =>
        Promise.resolve(request)
          .then(consent)
          .then(
            (answer) => answer === true,
            (error) => (void Promise.reject(error), false),
          ),
      )
    : consent;

/** The engine's worker and its calls; those of a side file are there if its text is among `sideFiles`. */
export const startEngine = (
  sideFiles: string[] = [],
): StartedWorker<EngineWorkerCalls & WorkerModelCalls & ToolCalls> =>
  startWorker('rivulet', [engineScript, ...sideFiles]);

/** The worker's calls, as promises. */
export type RemoteEngine = ReturnType<typeof startEngine>['remote'];

function createModel(
  info: () => ModelInfo,
  engine: RemoteEngine,
  guard: CallGuard,
  end: (reason: Error) => void,
): Model {
  /** Options that are not valid reject the result, not the call. */
  const stream = <T extends Abortable>(
    rules: RulesOf<Required<T>>,
    given: T | undefined,
    run: (options: Omit<T, 'signal'>, ...rest: Parameters<RunGeneration>) => ReturnType<RunGeneration>,
  ): TextStream => {
    let options: T | undefined;
    let failure: unknown;
    try {
      options = readOptions<T>(rules, given);
    } catch (error) {
      failure = error;
    }
    return createTextStream(async (emit, signal) => {
      if (!options) throw failure;
      const { signal: _, ...plain } = options;
      return guard(run(plain, proxy(emit), signal));
    }, options?.signal);
  };
  return {
    get info() {
      return info();
    },
    chat: (messages, options) =>
      stream<ChatOptions & Abortable>(OPTIONS.chat, options, (plain, emit, signal) =>
        engine.chat(readMessages(messages), plain, emit, signal),
      ),
    generate: (prompt, options) =>
      stream<GenerateOptions & Abortable>(OPTIONS.generate, options, (plain, emit, signal) =>
        engine.generate(readPrompt(prompt), plain, emit, signal),
      ),
    tokenize: async (text, options) =>
      guard(engine.tokenize(readText('text', text), readOptions<EncodeOptions>(OPTIONS.tokenize, options))),
    detokenize: async (ids, options) =>
      guard(engine.detokenize(readTokenIds(ids), readOptions<DecodeOptions>(OPTIONS.detokenize, options))),
    render: async (messages, options) =>
      guard(engine.render(readMessages(messages), readOptions<RenderOptions>(OPTIONS.render, options))),
    logits: async (tokens, prefillBatch) => guard(engine.logits(readTokenIds(tokens), prefillBatch)),
    status: () => guard(engine.status()),
    async unload() {
      const late = new Promise<void>((resolve) => setTimeout(resolve, UNLOAD_MS));
      await Promise.race([guard(engine.unload()), late]).catch(() => undefined); // it has ended already
      end(new RivuletError('RequestError', { what: 'The model was unloaded', cure: 'Load it again.' }));
    },
  };
}
