/**
 * The engine in the worker: it loads one model and answers the page's calls. Store, format, model, backend and text
 * meet here.
 */
import type { Program } from '../backend/backend';
import { abortError, fail } from '../errors';
import { createIndexedDbWorkerReader } from '../store/indexeddb_reader';
import { setValueReader } from '../store/model_cache';
import { openModel, type ModelSource } from '../store/open_model';
import type { Progress } from '../store/progress';
import type { EvictionConsent } from '../store/storage_space';
import { encodeChat, type RenderOptions } from '../text/chat_template';
import type { Message } from '../text/history';
import { thinkingBegun, type EmitPart } from '../text/thinking';
import type { DecodeOptions, EncodeOptions } from '../text/tokenizer';
import { checkPrompt, generate, prefill, restoreHistory, stateOf, type GenerationResult } from './generate';
import { EMPTY_HISTORY } from './token_history';
import {
  loadModel,
  type LoadedModelParts,
  type LoadOptions,
  type ModelInfo,
  type EngineDependencies,
} from './load_model';
import { backendCandidates } from './choose_backend';
import { resolveGenerateOptions, type GenerateOptions } from './generate_options';

setValueReader(createIndexedDbWorkerReader);

export type ChatOptions = GenerateOptions & RenderOptions;

export interface EngineStatus {
  state: 'empty' | 'busy' | 'ready';
  /** bytes the backend holds */
  memory: number;
  /** of a model that is larger than memoryBudget, since it was loaded */
  paging?: {
    /** experts of all layers, and how many of them fit into memory */
    experts: number;
    inMemory: number;
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
  ): Promise<GenerationResult>;
  /** Puts BOS before a text if the model expects it. Token ids are used unchanged. */
  generate(
    prompt: string | readonly number[],
    options: GenerateOptions,
    emit: EmitPart,
    signal?: AbortSignal,
  ): Promise<GenerationResult>;
  tokenize(text: string, options?: EncodeOptions): number[];
  detokenize(ids: readonly number[], options?: DecodeOptions): string;
  render(messages: readonly Message[], options?: RenderOptions): string;
  /** The logits after these tokens, [V], read from the start in batches of at most `prefillBatch`. For tests. */
  logits(tokens: readonly number[], prefillBatch?: number): Promise<Float32Array>;
  status(): EngineStatus;
  /**
   * Saves the conversations that no call uses, so that they go on after a reload of the page.
   * @throws RequestError without the side file `conversations`; StorageError of the first that cannot be saved, when
   * all have been tried
   */
  saveConversations(): Promise<void>;
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
    options: GenerateOptions,
    emit: EmitPart,
    signal?: AbortSignal,
  ): Promise<GenerationResult> {
    const calledAt = performance.now();
    return enqueue(
      async (combined) => {
        const { session, info } = model();
        const request = resolveGenerateOptions(options, info().sampling, session.vocabSize);
        const { ids, ...chat } = prompt();
        // over Comlink, text must not arrive after the result
        let delivered: unknown;
        const result = await generate(
          session,
          ids,
          { ...request, ...chat },
          (text, type) => (delivered = emit(text, type)),
          combined,
          calledAt,
        );
        await delivered;
        return result;
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
        return loaded.info();
      }, signal),

    chat(messages, options, emit, signal) {
      const prompt = (): Prompt => {
        const { template, session } = model();
        const ids = encodeChat(session, template(), messages, options);
        const begun = options.continueFinalMessage
          ? String(messages.at(-1)?.content).trimEnd()
          : thinkingBegun(session.tokenizer.decode(ids.slice(-MARK_TOKENS)));
        return { ids, begun, align: true };
      };
      return runGeneration(prompt, options, emit, signal);
    },

    generate(prompt, options, emit, signal) {
      const encoded = (): Prompt => {
        if (typeof prompt !== 'string') return { ids: prompt };
        const { tokenizer } = model().session;
        return { ids: tokenizer.encode(prompt, { bos: tokenizer.addBos }) };
      };
      return runGeneration(encoded, options, emit, signal);
    },

    tokenize: (text, options) => model().session.tokenizer.encode(text, options),
    detokenize: (ids, options) => model().session.tokenizer.decode(ids, options),
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
      enqueue(
        async (signal) => {
          const { recoverable, conversations, saved } = model().session;
          if (!saved) fail('RequestError', { what: 'Saving needs the side file conversations' });
          await saved.saveIdle(conversations, recoverable, signal);
        },
        undefined,
        'shared',
      ),

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
  const { experts, inMemory, uses, misses, bytesRead, tokens } = stats;
  const hitRate = uses ? 1 - misses / uses : 0;
  return { paging: { experts, inMemory, hitRate, bytesPerToken: tokens ? bytesRead / tokens : 0 } };
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
