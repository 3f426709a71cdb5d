/** The page's side: starts the worker and offers its calls as a model. */
import { proxy } from 'comlink';
import type { EngineWorkerCalls, EngineStatus } from '../engine/engine';
import type { WorkerModelCalls } from '../engine/worker_model_calls';
import type { ModelInfo } from '../engine/load_model';
import type { ScoredChoice } from '../engine/score';
import type { EncodeRequest } from '../engine/retrieval_hook';
import type { ImageEstimate } from '../engine/vision_hook';
import type { ImportedConversation, StateUse } from '../engine/conversations';
import type { GenerateOptions } from '../engine/generate_options';
import { abortError, RivuletError } from '../errors';
import { forgetConversations } from '../store/saved_states';
import type { ModelSource } from '../store/open_model';
import type { Progress } from '../store/progress';
import type { EvictionConsent, EvictionRequest } from '../store/storage_space';
import type { ImageTokens, RenderOptions } from '../text/chat_template';
import type { Message } from '../text/history';
import type { DecodeOptions, EncodeOptions } from '../text/tokenizer';
import type { ToolCalls } from '../modules/tools';
import engineScript from '../worker?script';
import {
  OPTIONS,
  readOptions,
  readText,
  type Abortable,
  type ChatCallOptions,
  type EmbedOptions,
  type EncodeDocumentsOptions,
  type EncodeQueryOptions,
  type LoadCallOptions,
  type RulesOf,
} from './options';
import { withOverflow } from './overflow';
import { persistOnDownload } from './persist_storage';
import { encodeInParts } from './encode_documents';
import { maxSim } from './max_sim';
import { readChoices, readMessages, readPrompt, readTextList, readTokenIds } from './read_arguments';
import { absoluteHub, readFile, readSource } from './resolve_source';
import { withSideFiles, type SideFile } from './side_files';
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
  chat(messages: readonly Message[], options?: ChatCallOptions): TextStream;
  /** The continuation of a text. BOS is put before it if the model expects it. Token ids are used unchanged. */
  generate(prompt: string | readonly number[], options?: GenerateOptions & Abortable): TextStream;
  /**
   * How probable texts are as the beginning of the answer to a conversation, or as the continuation of a text: the
   * prompt is read once. In the order of the choices; the probabilities add up to 1. A choice that begins another one
   * is at least as probable.
   * @throws ContextError, RequestError, DeviceError, AbortError
   */
  score(
    prompt: string | readonly number[] | readonly Message[],
    choices: readonly string[],
    options?: RenderOptions & Abortable,
  ): Promise<ScoredChoice[]>;
  tokenize(text: string, options?: EncodeOptions): Promise<number[]>;
  detokenize(ids: readonly number[], options?: DecodeOptions): Promise<string>;
  /** The prompt text that chat() makes from the messages. */
  render(messages: readonly Message[], options?: RenderOptions): Promise<string>;
  /**
   * How many tokens of a prompt a picture of so many pixels has, as a picture of the model's own settings or of others.
   * @throws RequestError, also from a model without vision
   */
  estimateImage(width: number, height: number, imageTokens?: ImageTokens): Promise<ImageEstimate>;
  /**
   * A vector for each token of a query, of models for late interaction (ColBERT): [n, size], the rows one after the
   * other; `info.config.retrieval` has the size. A longer query is cut. Vectors have the length 1.
   * @throws RequestError, also from a model without such vectors; DeviceError, AbortError
   */
  encodeQuery(text: string, options?: EncodeQueryOptions): Promise<Float32Array>;
  /** The same of documents, in their order, as they are done. Marks of punctuation have no vector. */
  encodeDocuments(texts: readonly string[], options?: EncodeDocumentsOptions): AsyncIterable<Float32Array>;
  /**
   * One vector for each text, [size], of embedding models.
   * @throws RequestError, also from a model without such vectors; DeviceError, AbortError
   */
  embed(texts: readonly string[], options?: EmbedOptions): Promise<Float32Array[]>;
  /** MaxSim: the best product of each vector of the query with one of the document, added up. Of texts the cosine. */
  similarity(query: Float32Array, document: Float32Array): number;
  /** The logits after these tokens, [V], read from the start in batches of at most `prefillBatch`. For tests. */
  logits(tokens: readonly number[], prefillBatch?: number): Promise<Float32Array>;
  status(): Promise<EngineStatus>;
  /**
   * Saves the conversations that no call uses, at most 256 MB of all models, so that they go on after a reload of the
   * page. Needs `saveConversations` at the load.
   * @throws RequestError without it, StorageError
   */
  saveConversations(): Promise<void>;
  /**
   * A conversation as one file, with what the model has read of it, for a later visit or another device. Needs
   * `saveConversations` at the load.
   * @param options `tools` and `variables`, as `chat` got them
   * @throws RequestError, DeviceError
   */
  exportConversation(messages: readonly Message[], options?: Pick<RenderOptions, 'tools' | 'variables'>): Promise<Blob>;
  /**
   * The messages of an exported conversation. If the same model in the same version of Rivulet on such a device has
   * read them, a call with these messages goes on there; otherwise `note` says why it reads them again.
   * @param options.state false: only the messages are taken, as from a file of a stranger; 'required': fails with a
   * StorageError where they would have to be read again
   * @throws SourceError for another or a damaged file; RequestError for messages that the model cannot read, or without
   * `saveConversations` at the load; StorageError, DeviceError
   */
  importConversation(file: Blob, options?: { state?: boolean | 'required' }): Promise<ImportedConversation>;
  /**
   * Forgets the conversations that no call uses, and deletes those of this model that are saved: the next calls read
   * their prompts from the beginning. @throws StorageError
   */
  forgetConversations(): Promise<void>;
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
  const { onProgress, signal, makeRoom, confirmCopy, saveConversations, constraints, speculation, ...settings } =
    readOptions<LoadCallOptions>(OPTIONS.load, options);
  const read = readSource(source);
  const ask = persistOnDownload(settings.cache);
  const watch = watchProgress(onProgress);
  try {
    const sideFiles: SideFile[] = [];
    if (saveConversations) sideFiles.push('conversations');
    if (constraints) sideFiles.push('grammar');
    if (speculation) sideFiles.push('speculation');
    return await withSideFiles(sideFiles, async (sideFiles) => {
      if (signal?.aborted) throw abortError();
      const { remote: engine, guard, end } = startEngine(sideFiles);
      let info: ModelInfo | undefined;
      const report = proxy(async (progress: Progress) => {
        ask(progress);
        // the device may be another one now
        if (info && progress.phase === 'ready') info = await guard<ModelInfo>(engine.info());
        watch.report(progress);
        const { copies } = progress;
        if (copies && confirmCopy && !(await confirmCopy(copies))) throw abortError();
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
  const encode = async (
    vectors: EncodeRequest['vectors'],
    texts: readonly string[],
    options?: EmbedOptions & EncodeQueryOptions,
  ): Promise<Float32Array[]> => {
    const { signal, ...plain } = readOptions<EmbedOptions & EncodeQueryOptions>(OPTIONS.encode, options);
    return guard(engine.encode(readTextList(texts), { kind: 'query', ...plain, vectors }, signal));
  };
  return {
    get info() {
      return info();
    },
    chat: (messages, options) =>
      stream<ChatCallOptions>(OPTIONS.chat, options, ({ overflow = 'error', onTiles, ...plain }, emit, signal) =>
        withOverflow(
          readMessages(messages),
          overflow,
          (read, room) => engine.chat(read, { ...plain, ...room }, emit, signal, onTiles && proxy(onTiles)),
          signal,
        ),
      ),
    generate: (prompt, options) =>
      stream<GenerateOptions & Abortable>(OPTIONS.generate, options, (plain, emit, signal) =>
        engine.generate(readPrompt(prompt), plain, emit, signal),
      ),
    score: async (prompt, choices, options) => {
      const { signal, ...plain } = readOptions<RenderOptions & Abortable>(OPTIONS.score, options);
      const chat = Array.isArray(prompt) && typeof prompt[0] === 'object';
      const read = chat ? readMessages(prompt) : readPrompt(prompt as string | readonly number[]);
      return guard(engine.score(read, readChoices(choices), plain, signal));
    },
    tokenize: async (text, options) =>
      guard(engine.tokenize(readText('text', text), readOptions<EncodeOptions>(OPTIONS.tokenize, options))),
    detokenize: async (ids, options) =>
      guard(engine.detokenize(readTokenIds(ids), readOptions<DecodeOptions>(OPTIONS.detokenize, options))),
    render: async (messages, options) =>
      guard(engine.render(readMessages(messages), readOptions<RenderOptions>(OPTIONS.render, options))),
    logits: async (tokens, prefillBatch) => guard(engine.logits(readTokenIds(tokens), prefillBatch)),
    estimateImage: (...size) => guard(engine.estimateImage(...size)),
    encodeQuery: async (text, options) => (await encode('tokens', [text], options))[0],
    encodeDocuments: (texts, { onProgress, ...options } = {}) =>
      encodeInParts(texts, (part) => encode('tokens', part, { ...options, kind: 'document' }), onProgress),
    embed: (texts, options) => encode('text', texts, options),
    similarity: (query, document) => maxSim(query, document, info().config.retrieval?.size ?? query.length),
    status: () => guard(engine.status()),
    saveConversations: () => guard(engine.saveConversations()),
    exportConversation: async (messages, options) =>
      guard(engine.exportConversation(readMessages(messages), readOptions<RenderOptions>(OPTIONS.render, options))),
    importConversation: async (file, options) =>
      guard(
        engine.importConversation(
          readFile(file),
          readOptions<{ state?: StateUse }>(OPTIONS.importConversation, options).state,
        ),
      ),
    async forgetConversations() {
      await guard(engine.forgetConversations());
      await forgetConversations(info().id);
    },
    async unload() {
      const late = new Promise<void>((resolve) => setTimeout(resolve, UNLOAD_MS));
      await Promise.race([guard(engine.unload()), late]).catch(() => undefined); // it has ended already
      end(new RivuletError('RequestError', { what: 'The model was unloaded', cure: 'Load it again.' }));
    },
  };
}
