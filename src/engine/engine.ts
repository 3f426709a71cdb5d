/**
 * The engine in the worker: it loads one model and answers the page's calls. Store, format, model, backend and text
 * meet here.
 */
import type { PagingStats, Program } from '../backend/backend';
import { abortError, fail } from '../errors';
// first, so that it comes soon after the page's copy, in which gzip finds it again
import '../store/model_cache';
import { announceModel } from '../store/model_locks';
import { openModel, type ModelSource } from '../store/open_model';
import type { Progress } from '../store/progress';
import type { EvictionConsent } from '../store/storage_space';
import { encodeChat, type ImageTokens, type RenderOptions } from '../text/chat_template';
import type { Message } from '../text/history';
import { thinkingBegun, type EmitPart } from '../text/thinking';
import type { DecodeOptions, EncodeOptions } from '../text/tokenizer';
import { generate, prefill, restoreHistory, stateOf, type GenerationResult } from './generate';
import { scoreChoices, type ScoredChoice } from './score';
import { EMPTY_HISTORY } from './token_history';
import {
  loadModel,
  type LoadedModelParts,
  type LoadOptions,
  type ModelInfo,
  type EngineDependencies,
} from './load_model';
import { backendCandidates } from './choose_backend';
import { aborted } from './event_loop';
import type { ImportedConversation, ModelOfConversations, SavedConversations, StateUse } from './conversations';
import { constraintOf, type ConstraintRequest, type ToolChoice } from './constraints';
import { checkPrompt, checkRoom, tokensRead } from './prompt_length';
import { encodeTexts, type EncodeRequest } from './retrieval_hook';
import { failWithoutVision, refusePictures, type ImageEstimate } from './vision_hook';
import { resolveGenerateOptions, type GenerateOptions } from './generate_options';

export interface ChatOptions extends GenerateOptions, RenderOptions {
  /** which calls the answer holds; the model needs `constraints` at its load. By default it calls as it likes */
  toolChoice?: ToolChoice;
  /** @internal fail with a ContextError unless a quarter of the context, or `maxTokens`, is left for the answer */
  keepRoom?: boolean;
}

export interface EngineStatus {
  state: 'empty' | 'busy' | 'ready';
  /** bytes the backend holds */
  memory: number;
  /** of a model that is larger than memoryBudget, since it was loaded */
  paging?: PagingStats & {
    /** the share of the experts that steps took which were in memory, and the bytes read for a token */
    hitRate: number;
    bytesPerToken: number;
  };
}

/**
 * The calls that the page makes through Comlink. Generations take turns on the device; the other calls that use the
 * model run alone, in the order of the calls.
 */
export interface EngineWorkerCalls {
  /**
   * Unloads the previous model, then loads. Frees everything if it fails.
   * @throws SourceError, StorageError, CheckpointError, MemoryError, DeviceError, RequestError, AbortError
   */
  load(
    source: ModelSource,
    options?: LoadOptions,
    onProgress?: (progress: Progress) => void,
    signal?: AbortSignal,
    makeRoom?: EvictionConsent,
  ): Promise<ModelInfo>;
  /** @throws ContextError, RequestError, DeviceError */
  chat(
    messages: readonly Message[],
    options: ChatOptions,
    emit: EmitPart,
    signal?: AbortSignal,
    onTiles?: (done: number, total: number) => unknown,
  ): Promise<GenerationResult>;
  /** Puts BOS before a text if the model expects it. Token ids are used unchanged. */
  generate(
    prompt: string | readonly number[],
    options: GenerateOptions,
    emit: EmitPart,
    signal?: AbortSignal,
  ): Promise<GenerationResult>;
  /**
   * How probable texts are as the beginning of an answer, or as the continuation of a text or of token ids.
   * @throws ContextError, RequestError, DeviceError, AbortError
   */
  score(
    prompt: string | readonly number[] | readonly Message[],
    choices: readonly string[],
    options: RenderOptions,
    signal?: AbortSignal,
  ): Promise<ScoredChoice[]>;
  tokenize(text: string, options?: EncodeOptions): number[];
  detokenize(ids: readonly number[], options?: DecodeOptions): string;
  render(messages: readonly Message[], options?: RenderOptions): string;
  /**
   * How many tokens a picture of so many pixels has, turned as it is seen.
   * @throws RequestError, also from a model without vision
   */
  estimateImage(width: number, height: number, tokens?: ImageTokens): ImageEstimate;
  /** The vectors of each text, [n, size]. @throws RequestError, CheckpointError, DeviceError, AbortError */
  encode(texts: readonly string[], request: EncodeRequest, signal?: AbortSignal): Promise<Float32Array[]>;
  /** The logits after these tokens, [V], read from the start in batches of at most `prefillBatch`. For tests. */
  logits(tokens: readonly number[], prefillBatch?: number): Promise<Float32Array>;
  status(): EngineStatus;
  /**
   * Saves the conversations that no call uses, so that they go on after a reload of the page.
   * @throws RequestError without the side file `conversations`; StorageError of the first that cannot be saved, when
   * all have been tried
   */
  saveConversations(): Promise<void>;
  /**
   * A file with a conversation, and with what the model has read of it.
   * @throws RequestError without the side file `conversations`, DeviceError
   */
  exportConversation(messages: readonly Message[], options: RenderOptions): Promise<Blob>;
  /** @throws SourceError, RequestError, StorageError if the state is required; DeviceError */
  importConversation(file: Blob, state?: StateUse): Promise<ImportedConversation>;
  /** Frees the conversations that no call uses, after a save that runs. */
  forgetConversations(): Promise<void>;
  /** the current state; @throws RequestError without a model */
  info(): ModelInfo;
  /** Aborts running calls and frees the memory. */
  unload(): Promise<void>;
}

/** The result of a call that was aborted while it waited. */
const ABORTED_BEFORE_START: GenerationResult = {
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

/** A mark that the tokenizer splits into bytes, and white space behind it, have at most this many tokens. */
const MARK_TOKENS = 16;

/** The tuner starts when no call has come for this long after an answer. */
const TUNE_AFTER_IDLE_MS = 1000;

/** The parameters replace the store and the backends in tests. */
export function createEngine({
  open = openModel,
  candidates = backendCandidates,
}: Partial<EngineDependencies> = {}): EngineWorkerCalls {
  let loaded: LoadedModelParts | undefined;
  /** settle when every call, and every call that wants the engine for itself, has ended */
  let allEnded: Promise<unknown> = Promise.resolve();
  let exclusiveEnded: Promise<unknown> = allEnded;
  const running = new Set<AbortController>();
  /** the last save of conversations */
  let saving: Promise<unknown> = allEnded;

  /**
   * Runs a task when no exclusive task before it runs, and an exclusive one when none runs. An unload also aborts its
   * signal. An abort while it waits rejects at once.
   */
  function enqueue<T>(
    task: (signal: AbortSignal) => Promise<T>,
    signal?: AbortSignal,
    kind: 'shared' | 'exclusive' = 'exclusive',
  ): Promise<T> {
    const controller = new AbortController();
    const abort = (): void => controller.abort();
    if (signal?.aborted) abort();
    signal?.addEventListener('abort', abort);
    running.add(controller);
    const previous = kind === 'shared' ? exclusiveEnded : allEnded;
    const run = (async () => {
      try {
        await Promise.race([previous, aborted(controller.signal)]);
        if (controller.signal.aborted) throw abortError();
        return await task(controller.signal);
      } finally {
        running.delete(controller);
        signal?.removeEventListener('abort', abort);
      }
    })();
    allEnded = Promise.allSettled([allEnded, run]);
    if (kind === 'exclusive') exclusiveEnded = allEnded;
    return run;
  }

  const model = (): LoadedModelParts =>
    loaded ?? fail('RequestError', { what: 'No model is loaded', cure: 'Call load() first.' });

  const encodeMessages = (messages: readonly Message[], options?: RenderOptions): readonly number[] => {
    const { session, template, info } = model();
    refusePictures(messages);
    return encodeChat(session, template(), messages, options, tokensRead(info().contextLength));
  };

  const encodePrompt = (
    prompt: string | readonly number[] | readonly Message[],
    options?: RenderOptions,
  ): readonly number[] => {
    const { session, info } = model();
    const { tokenizer } = session;
    if (typeof prompt === 'string')
      return tokenizer.encode(prompt, { bos: tokenizer.addBos }, tokensRead(info().contextLength));
    if (typeof prompt[0] !== 'object') return prompt as readonly number[];
    return encodeMessages(prompt as readonly Message[], options);
  };

  const withSaved = <T>(
    task: (saved: SavedConversations, parts: ModelOfConversations, signal: AbortSignal) => Promise<T>,
  ): Promise<T> =>
    enqueue(
      async (signal) => {
        const { session, info } = model();
        const saved =
          session.saved ??
          fail('RequestError', {
            what: 'The conversations of this model cannot be saved',
            cure: 'Load it with saveConversations: true.',
          });
        return task(saved, { ...session, id: info().id, encode: encodeMessages }, signal);
      },
      undefined,
      'shared',
    );

  async function release(): Promise<void> {
    const old = loaded;
    loaded = undefined;
    await old?.recoverable.dispose();
    await old?.close();
  }

  let tuneTimer: ReturnType<typeof setTimeout> | undefined;
  /** The tuner runs after an answer and only while no call waits, so it never delays a first token. */
  function tuneSoon(): void {
    const idle = (): boolean => running.size === 0;
    clearTimeout(tuneTimer);
    tuneTimer = setTimeout(() => {
      // the next call reports a lost device
      if (idle()) void loaded?.recoverable.current?.program.tune?.({ isIdle: idle }).catch(() => undefined);
    }, TUNE_AFTER_IDLE_MS);
  }

  interface Prompt {
    ids: readonly number[];
    /** of a chat */
    begun?: string;
    align?: boolean;
  }
  function runGeneration(
    prompt: () => Prompt,
    options: GenerateOptions & ConstraintRequest,
    emit: EmitPart,
    signal?: AbortSignal,
  ): Promise<GenerationResult> {
    const calledAt = performance.now();
    return enqueue(
      async (combined) => {
        const { session, info } = model();
        const request = resolveGenerateOptions(options, info().sampling, session.vocabSize);
        const { ids, ...chat } = prompt();
        const constraint = constraintOf({ ...options, ...chat }, session);
        // over Comlink, text must not arrive after the result
        let delivered: unknown;
        const result = await generate(
          session,
          ids,
          { ...request, ...chat, constraint },
          (text, type) => (delivered = emit(text, type)),
          combined,
          calledAt,
        );
        await delivered;
        return constraint?.report ? { ...result, schemaReport: constraint.report(result.text) } : result;
      },
      signal,
      'shared',
    )
      .catch((error: Error) => (error.name === 'AbortError' ? ABORTED_BEFORE_START : Promise.reject(error)))
      .finally(tuneSoon);
  }

  return {
    load: (source, options = {}, onProgress, signal, makeRoom) =>
      enqueue(async (combined) => {
        await release();
        loaded = await loadModel(
          source,
          { ...options, ...(makeRoom && { makeRoom }) },
          { open, candidates },
          onProgress,
          combined,
        );
        const info = loaded.info();
        announceModel(info.id, info.memory);
        return info;
      }, signal),

    chat(messages, given, emit, signal) {
      const { tools, ...rest } = given;
      const options: ChatOptions = given.toolChoice === 'none' ? rest : given;
      const prompt = (): Prompt => {
        const { session, info } = model();
        const ids = encodeMessages(messages, options);
        if (options.keepRoom) checkRoom(ids.length, info().contextLength, options.maxTokens);
        const begun = options.continueFinalMessage
          ? String(messages.at(-1)?.content).trimEnd()
          : thinkingBegun(session.tokenizer.decode(ids.slice(-MARK_TOKENS)));
        return { ids, begun, align: true };
      };
      return runGeneration(prompt, options, emit, signal);
    },

    generate(prompt, options, emit, signal) {
      return runGeneration(() => ({ ids: encodePrompt(prompt) }), options, emit, signal);
    },

    score: (prompt, choices, options, signal) =>
      enqueue(
        (combined) => scoreChoices(model().session, encodePrompt(prompt, options), choices, combined),
        signal,
        'shared',
      ),

    tokenize: (text, options) => model().session.tokenizer.encode(text, options),
    detokenize: (ids, options) => model().session.tokenizer.decode(ids, options),
    estimateImage: failWithoutVision,
    encode: (texts, request, signal) =>
      enqueue((combined) => encodeTexts(model(), texts, request, combined), signal, 'shared'),
    render: (messages, options) => model().template().render(messages, options),

    logits: (tokens, prefillBatch = Infinity) =>
      enqueue(async (signal) => {
        const { session } = model();
        const { conversations, recoverable } = session;
        return recoverable.run(async (onBackend, turn) => {
          checkPrompt(session, onBackend, tokens);
          const conversation = await conversations.open(conversations.find(onBackend.program, [], false));
          try {
            const state = await stateOf(conversation, onBackend);
            const batch = Math.min(prefillBatch, onBackend.batchSizes.prefillBatch);
            const batchSizes = { ...onBackend.batchSizes, prefillBatch: batch };
            const reading = { conversation, state, model: { ...onBackend, batchSizes }, turn, signal };
            await restoreHistory(reading);
            await prefill(reading, tokens);
            return await state.logits();
          } finally {
            conversation.history = EMPTY_HISTORY;
            conversation.inUse = false;
          }
        }, signal);
      }),

    saveConversations: () =>
      (saving = withSaved((saved, { conversations, recoverable }, signal) =>
        saved.saveIdle(conversations, recoverable, signal),
      )),

    exportConversation: (messages, options) =>
      withSaved((saved, parts, signal) => saved.exportFile(parts, messages, options, signal)),

    importConversation: (file, state = true) =>
      withSaved((saved, parts, signal) => saved.importFile(parts, file, state, signal)),

    async forgetConversations() {
      await saving.catch(() => undefined);
      const { conversations, recoverable } = model().session;
      if (recoverable.current) while (conversations.freeOne(recoverable.current.program));
    },

    info: () => model().info(),
    status: () => ({
      state: running.size ? 'busy' : loaded ? 'ready' : 'empty',
      memory: loaded?.recoverable.current?.backend.memory() ?? 0,
      ...pagingOf(loaded?.recoverable.current?.program),
    }),

    unload() {
      for (const controller of running) controller.abort();
      void loaded?.close(); // ends reads of experts
      return enqueue(release);
    },
  };
}

function pagingOf(program: Program | undefined): Pick<EngineStatus, 'paging'> {
  const stats = program?.paging?.();
  if (!stats) return {};
  const { uses, misses, bytesRead, tokens } = stats;
  return {
    paging: { ...stats, hitRate: uses ? 1 - misses / uses : 0, bytesPerToken: tokens ? bytesRead / tokens : 0 },
  };
}
