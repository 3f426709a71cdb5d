/** Loads a model from its source into a backend, and loads it again if the device is lost. */
import { build } from 'virtual:rivulet-shaders';
import { firstState, type Backend, type BackendLimits, type BackendInfo } from '../backend/backend';
import type { BatchSizes, CompileOptions, State } from '../backend/backend';
import { recordModel } from '../backend/model_plan';
import type { Plan } from '../backend/plan';
import { GREEDY_SAMPLING } from '../backend/sampling';
import { abortError, fail } from '../errors';
import type { Config } from '../model/config';
import type { ModelSource, OpenedModel, openModel, OpenOptions } from '../store/open_model';
import { copiesOf } from '../store/model_locks';
import { ProgressMeter, type Progress } from '../store/progress';
import { compileChatTemplate, type ChatTemplate } from '../text/chat_template';
import { createTokenizer, type Tokenizer } from '../text/tokenizer';
import { openCheckpoint, type Checkpoint, type CheckpointOutline } from './checkpoint';
import { Conversations, savedConversationsOf, stateBudget } from './conversations';
import type { GenerationSession } from './generate';
import { loadWeights } from './load_weights';
// behind checkpoint.ts, which imports it beside the other files of the model
import { shapesOf, type MatrixSource } from '../model/weights';
import type { Matrix } from '../model/ops';
import { yieldToEventLoop } from './event_loop';
import { createFallbackState, type BackendOptions, type BackendCandidate } from './choose_backend';
import { createRecoverableModel, MIN_CONTEXT_LENGTH, type RecoverableModel, type ModelOnBackend } from './recovery';
import { prepareVision } from './vision_hook';
import { samplingDefaults, type SamplingDefaults } from './generate_options';

export interface LoadOptions extends BackendOptions, Omit<OpenOptions, 'signal' | 'onProgress' | 'peek'> {
  /**
   * tokens of prompt and answer together. If it is set, it is used or the call fails. The default is 4096, or less if
   * the model was trained for less or memory is short
   */
  contextLength?: number;
  /**
   * of a mixture of experts whose weights have more bytes: most bytes for it and one conversation. The experts stay in
   * storage, and those that a token needs are read: the same answer, slower
   */
  memoryBudget?: number;
}

export interface ModelInfo {
  /** as listModels() gives it */
  id: string;
  /** a short name to show */
  name: string;
  config: Config;
  /** the type of most weights: 'Q4_0' */
  quantization: string;
  /** size of all weights as stored */
  bytes: number;
  contextLength: number;
  /** the model was in the browser's storage before this load */
  cached: boolean;
  /** the backend in use; it can change after a device was lost */
  backend: BackendInfo;
  /** for the user: about storage, about the context, why no better backend is used, which devices were lost */
  notes: string[];
  /** bytes that the backend holds for weights, state and scratch */
  memory: number;
  /** sampling that a call uses unless it sets its own */
  sampling: SamplingDefaults;
  /** the checkpoint has a chat template */
  chat: boolean;
  /** it reads pictures: its encoder is there */
  vision: boolean;
  loadMs: number;
}

export interface LoadedModelParts {
  /** the current state */
  info(): ModelInfo;
  recoverable: RecoverableModel;
  session: GenerationSession;
  /** compiled at its first use, so that a broken template does not stop the load */
  template(): ChatTemplate;
  /** Closes the source, if experts are read from it. */
  close(): Promise<void>;
}

/** What the engine is built from; tests replace it. */
export interface EngineDependencies {
  open: typeof openModel;
  candidates: (options: BackendOptions) => BackendCandidate[];
}

const DEFAULT_CONTEXT = 4096;
/** If memory is short, the context shrinks by itself down to this. */
const MIN_AUTOMATIC_CONTEXT = 512;

type OnProgress = (progress: Progress) => unknown;

/**
 * Opens the source, loads the model into the first backend that can run it, and waits until its files are stored.
 * @throws SourceError, StorageError, CheckpointError, MemoryError, DeviceError, RequestError, AbortError; then
 * everything is freed
 */
export async function loadModel(
  source: ModelSource,
  options: LoadOptions,
  { open, candidates }: EngineDependencies,
  onProgress?: OnProgress,
  signal?: AbortSignal,
): Promise<LoadedModelParts> {
  const startedAt = performance.now();
  if (options.sha256) options = { ...options, cache: 'required' };
  const fallback = createFallbackState(candidates(options));
  let recoverable: RecoverableModel | undefined;
  const report: OnProgress = (progress) => {
    const cause = recoverable?.reloadReason;
    return onProgress?.(cause === undefined ? progress : { ...progress, cause });
  };
  const openSource = (signal?: AbortSignal): Promise<OpenedModel> =>
    open(source, { ...options, signal, onProgress: report });

  const opened = await openSource(signal);
  /** the source from which experts are read, which stays open */
  let reading: OpenedModel | undefined;
  /** set while the source is open for the first load */
  let firstCheckpoint: Checkpoint | undefined;
  try {
    const copies = await copiesOf(opened.id);
    if (copies.count) await report({ phase: 'resolve', bytes: 0, total: 0, rate: 0, copies });
    firstCheckpoint = await openCheckpoint(opened.files, signal);
    const identity = identityOf(firstCheckpoint);
    const {
      architecture: { text },
      config,
      bytes,
      quantization,
      generationConfig,
      tokenizer: { json, config: tokenizerConfig },
    } = firstCheckpoint;
    const tokenizer = createTokenizer(json, tokenizerConfig);
    const notes = [...firstCheckpoint.notes];
    const wanted = resolveContextLength(options.contextLength, config.contextLength, notes);
    const context = { wanted, least: options.contextLength === undefined ? MIN_AUTOMATIC_CONTEXT : wanted };
    const budget = pagesExperts(firstCheckpoint, options.memoryBudget) ? options.memoryBudget : undefined;
    if (budget) paging!.stored(opened);

    async function loadAgain(backend: Backend, signal?: AbortSignal): Promise<ModelOnBackend> {
      // a source that stays open does not end with the call that opened it
      const own = new AbortController();
      const abort = (): void => own.abort();
      signal?.addEventListener('abort', abort);
      const reopened = await openSource(own.signal);
      try {
        if (budget) paging!.stored(reopened);
        const checkpoint = await openCheckpoint(reopened.files, signal);
        // another model would continue in the middle of a sentence
        if (identityOf(checkpoint) !== identity)
          fail('SourceError', {
            what: 'The model has changed at its source since it was loaded',
            cure: 'Load it again.',
          });
        const loaded = await loadInto(backend, checkpoint, context, report, { signal, budget, tokenizer });
        if (!budget) return loaded;
        await reading?.close();
        reading = reopened;
        return loaded;
      } finally {
        signal?.removeEventListener('abort', abort);
        if (reading !== reopened) reopened.close();
      }
    }
    const conversations = new Conversations(stateBudget(bytes));
    let latest: ModelOnBackend;
    const model = createRecoverableModel(
      fallback,
      async (backend, signal) =>
        (latest = firstCheckpoint
          ? await loadInto(backend, firstCheckpoint, context, report, { signal, budget, tokenizer })
          : await loadAgain(backend, signal)),
      (program) => conversations.freeOne(program),
    );
    recoverable = model;
    await model.run(() => finishStoring(opened, options, notes), signal);
    // awaited, so that over Comlink all earlier reports have arrived too
    await report({ phase: 'ready', bytes, total: bytes, rate: 0 });
    const loadMs = performance.now() - startedAt;
    if (budget) reading ??= paging!.stored(opened);
    let template: ChatTemplate | undefined;
    return {
      info() {
        const { backend, contextLength } = latest;
        const reasons = [...fallback.reasons, ...backend.info.notes];
        return {
          id: opened.id,
          name: opened.id.slice(opened.id.lastIndexOf('/') + 1),
          config,
          quantization,
          bytes,
          contextLength,
          cached: opened.cached,
          backend: { ...backend.info, notes: reasons },
          notes: [...opened.notes, ...notes, ...reasons],
          memory: model.current?.backend.memory() ?? 0,
          sampling: samplingDefaults(generationConfig, text.sampling),
          chat: Boolean((tokenizerConfig as { chat_template?: unknown }).chat_template),
          vision: Boolean(config.vision),
          loadMs,
        };
      },
      recoverable: model,
      session: {
        recoverable: model,
        tokenizer,
        vocabSize: config.vocabSize,
        eosIds: [...new Set([...generationConfig.eosIds, ...(tokenizer.eosId === undefined ? [] : [tokenizer.eosId])])],
        answerMarkers: text.answerMarkers,
        conversations,
        saved: savedConversationsOf(opened.id),
        onProgress: report,
      },
      template: () =>
        (template ??=
          compileChatTemplate(tokenizerConfig) ??
          fail('RequestError', {
            what: 'The model has no chat template',
            cure: 'Write the prompt yourself and use generate().',
          })),
      close: async () => reading?.close(),
    };
  } catch (error) {
    await recoverable?.dispose();
    // files that are not a model must not stay in the cache
    if ((error as Error).name === 'CheckpointError') await opened.discard().catch(() => undefined);
    throw error;
  } finally {
    firstCheckpoint = undefined;
    if (reading !== opened) opened.close();
  }
}

/** Loads the weights into a backend, compiles the plan and runs it once. */
async function loadInto(
  backend: Backend,
  checkpoint: Checkpoint,
  context: ContextRange,
  report: OnProgress,
  { signal, budget: memoryBudget, tokenizer }: { signal?: AbortSignal; budget?: number; tokenizer: Tokenizer },
): Promise<ModelOnBackend> {
  const { bytes, memoryBytes } = checkpoint;
  let { limits }: { limits: BatchSizes } = backend;
  if (memoryBudget) {
    await paging!.reserve(backend, memoryBudget);
    limits = paging!.batches(backend.limits, memoryBudget);
  } else await backend.reserve(memoryBytes);
  const { retrieval } = checkpoint.config; // its texts are read in one call each
  if (retrieval) limits = { ...limits, prefillBatch: context.wanted };
  const compile = { prefillBatch: limits.prefillBatch, memoryBudget };
  // with a budget the kernels read frames
  if (!memoryBudget)
    backend.precompile?.(recordModel(checkpoint, shapesOf(checkpoint.weights)), {
      ...compile,
      contextLength: context.wanted,
    });
  const meter = new ProgressMeter('load', bytes, report);
  let done = 0;
  const paged = memoryBudget
    ? (source: MatrixSource): Matrix => paging!.matrix(source, backend, checkpoint.files)
    : undefined;
  const weights = await loadWeights(checkpoint, backend, (n) => meter.update((done += n)), signal, paged);
  await prepareVision({ checkpoint, weights, backend, tokenizer }, signal);
  report({ phase: 'compile', bytes, total: bytes, rate: 0 });
  await yieldUnlessAborted(signal);
  const plan = recordModel(checkpoint, weights);
  const { state, contextLength } = await compileWithFittingContext(backend, plan, context, compile);
  await yieldUnlessAborted(signal);
  const identity = `${build} ${checksum(await warmUp(state, !retrieval))}`;
  await yieldUnlessAborted(signal);
  return { backend, program: state.program, identity, unusedState: state, batchSizes: limits, contextLength };
}

/** Waits until all files are stored. A model that is loaded can be used even if storing fails. */
async function finishStoring(opened: OpenedModel, { cache }: LoadOptions, notes: string[]): Promise<void> {
  try {
    await opened.finish();
  } catch (error) {
    const { name, message } = error as Error;
    if (name === 'AbortError' || cache === 'required') throw error;
    notes.push(`The model could not be stored completely: ${message}`);
  }
}

/** What the side file `experts` does for a model that exceeds memoryBudget. */
export interface Paging {
  /** The same; also to be called before its weights are loaded. @throws StorageError if experts cannot be read again */
  stored(opened: OpenedModel): OpenedModel;
  /** @throws MemoryError, SourceError */
  reserve(backend: Backend, bytes: number): Promise<void>;
  /** How much one call takes where experts are paged. */
  batches(limits: BackendLimits, budget: number): BatchSizes;
  /** A matrix whose segments are read when a token needs them: the files must stay open. */
  matrix(source: MatrixSource, backend: Backend, files: Checkpoint['files']): Matrix;
}

let paging: Paging | undefined;
export const registerPaging = (parts: Paging): void => void (paging = parts);

/** Whether experts stay in storage. @throws MemoryError for a dense model that exceeds the budget */
export const pagesExperts = ({ config, memoryBytes }: CheckpointOutline, memoryBudget = Infinity): boolean =>
  memoryBytes > memoryBudget && (!!config.experts || failBudget(memoryBytes, memoryBudget));

function failBudget(got: number, wanted: number): never {
  fail('MemoryError', {
    what: 'The model exceeds memoryBudget',
    got,
    wanted,
    cure: 'Only mixtures of experts may be larger.',
  });
}

/** What must be equal when the source is read again. */
const identityOf = ({ config, bytes, files }: Checkpoint): string =>
  JSON.stringify([config, bytes, files.map(({ name, size }) => [name, size])]);

export function resolveContextLength(wanted: number | undefined, trained: number, notes: string[]): number {
  if (wanted === undefined) return Math.min(DEFAULT_CONTEXT, trained);
  if (!Number.isInteger(wanted) || wanted < MIN_CONTEXT_LENGTH)
    fail('RequestError', {
      what: 'contextLength is not valid',
      got: String(wanted),
      wanted: `a whole number of at least ${MIN_CONTEXT_LENGTH}`,
    });
  if (wanted > trained)
    notes.push(`The context is ${trained} tokens instead of ${wanted}: the model was not trained for more.`);
  return Math.min(wanted, trained);
}

interface ContextRange {
  /** tokens of context, and the fewest that are accepted if memory is short */
  wanted: number;
  least: number;
}

/**
 * Halves the context until it fits into memory.
 * @throws MemoryError that names the next smaller context, if that is below `least`
 */
export async function compileWithFittingContext(
  backend: Backend,
  plan: Plan,
  { wanted, least }: ContextRange,
  options: Omit<CompileOptions, 'contextLength'>,
): Promise<{ state: State; contextLength: number }> {
  for (let contextLength = wanted; ; contextLength >>= 1) {
    try {
      return { state: await firstState(backend, plan, { ...options, contextLength }), contextLength };
    } catch (error) {
      const { name, message } = error as Error;
      if (name !== 'MemoryError' || backend.lost?.()) throw error;
      const next = contextLength >> 1;
      if (next >= least)
        backend.info.notes.push(`The context is ${next} tokens instead of ${contextLength}: ${message}`);
      else if (next < MIN_CONTEXT_LENGTH) throw error;
      else
        fail(
          'MemoryError',
          {
            what: `A context of ${contextLength} tokens does not fit`,
            got: message,
            cure: `Load the model with contextLength ${next}.`,
          },
          error,
        );
    }
  }
}

/** Lets an abort message arrive. @throws AbortError */
async function yieldUnlessAborted(signal?: AbortSignal): Promise<void> {
  await yieldToEventLoop();
  if (signal?.aborted) throw abortError();
}

/**
 * The first run triggers lazy compilation, and shows whether the device computes at all.
 * @returns the logits, which differ for other weights and other kernels
 */
async function warmUp(state: State, draws: boolean): Promise<Float32Array> {
  await state.prefill(Uint32Array.of(0, 0));
  const logits = await state.logits();
  if (!logits.every(Number.isFinite) || logits.every((v) => v === logits[0]))
    fail('DeviceError', {
      what: 'The device computes wrong results',
      got: `logits ${logits.slice(0, 4).join(', ')} …`,
      wanted: 'finite, distinct numbers',
      cure: 'Try another backend, or update the browser and the graphics driver.',
    });
  if (draws) await state.decode(2, GREEDY_SAMPLING);
  state.rewind(0);
  return logits;
}

/** FNV-1a over the bits of the numbers. */
const checksum = (values: Float32Array): number =>
  new Uint32Array(values.buffer, values.byteOffset, values.length).reduce(
    (hash, bits) => Math.imul(hash ^ bits, 0x01000193),
    0x811c9dc5,
  );
