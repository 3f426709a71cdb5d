/** One model from its source to a backend, once more where that is lost. */
import type { Backend, BackendInfo, Runner } from '../backend/backend';
import { recordPlan, type Plan } from '../backend/plan';
import { GREEDY_SAMPLING } from '../backend/sampling';
import { abortError, fail } from '../errors';
import type { Config } from '../model/config';
import { forward, type Lfm2 } from '../model/lfm2';
import { mapWeights } from '../model/weights';
import type { ModelSource, OpenedModel, openModel, OpenOptions } from '../store/open';
import { Meter, type Progress } from '../store/progress';
import { compileChatTemplate, type ChatTemplate } from '../text/chat';
import { createTokenizer } from '../text/tokenizer';
import { openCheckpoint, type Checkpoint } from './checkpoint';
import type { Session } from './generate';
import { EMPTY } from './journal';
import { loadWeights } from './load';
import { pause } from './pause';
import { descentOf, type BackendOptions, type Rung } from './pick';
import { createPlace, SHORTEST_CONTEXT, type Pace, type Place, type Seat } from './place';
import { samplingDefaults, type SamplingDefaults } from './request';

export interface LoadOptions extends BackendOptions, Omit<OpenOptions, 'signal' | 'onProgress' | 'peek'> {
  /**
   * tokens of prompt and answer together; one that is named is honoured, or the call fails. Default 4096, what the model was made for if that
   * is less, and less still where memory refuses
   */
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
  /** the one in use: another one after its device was lost again and again */
  backend: BackendInfo;
  /** what the user may want to know: of storage, of the context, why no better backend, which devices were lost */
  notes: string[];
  /** bytes the backend holds for weights, state and scratch */
  memory: number;
  /** sampling where a call does not say otherwise */
  sampling: SamplingDefaults;
  /** the checkpoint has a chat template */
  chat: boolean;
  loadMs: number;
}

export interface Loaded {
  /** as things are now */
  info(): ModelInfo;
  place: Place;
  session: Session;
  /** compiled at its first use: a broken one must not bar the model */
  template(): ChatTemplate;
}

export interface Parts {
  open: typeof openModel;
  rungs: (options: BackendOptions) => Rung[];
}

export const PACE: Record<BackendInfo['name'], Pace> = {
  webgpu: { chunk: 256, windows: 2, longest: 64 },
  wasm: { chunk: 64, windows: 1, longest: 1 },
  reference: { chunk: 64, windows: 1, longest: 1 },
};

const CONTEXT = 4096;
/** no shorter one is taken of one's own accord */
const LEAST_CONTEXT = 512;

type Tell = (progress: Progress) => unknown;

/** @throws SourceError, StorageError, CheckpointError, MemoryError, DeviceError, RequestError, AbortError; then everything is freed */
export async function loadModel(source: ModelSource, options: LoadOptions, { open, rungs }: Parts, onProgress?: Tell, signal?: AbortSignal): Promise<Loaded> {
  const start = performance.now();
  const descent = descentOf(rungs(options));
  const tell: Tell = (progress) => onProgress?.(place.cause === undefined ? progress : { ...progress, cause: place.cause });
  const reach = (signal?: AbortSignal): Promise<OpenedModel> => open(source, { ...options, signal, onProgress: tell });
  /** while the source is open: the first time */
  let present: Checkpoint | undefined;
  /** what it must be when it is read once more */
  let face: string;
  let wished: number;
  let latest: Seat;

  async function settle(backend: Backend, checkpoint: Checkpoint, signal?: AbortSignal): Promise<Seat> {
    const pace = PACE[backend.info.name];
    const least = options.contextLength === undefined ? LEAST_CONTEXT : wished;
    const prepared = await prepare(checkpoint, backend, { wished, least, chunk: pace.chunk }, tell, signal);
    return (latest = { backend, pace, ...prepared });
  }
  const place = createPlace(descent, async (backend, signal) => {
    if (present) return settle(backend, present, signal);
    const reopened = await reach(signal);
    try {
      return await settle(backend, same(await openCheckpoint(reopened.files, signal), face), signal);
    } finally {
      reopened.close();
    }
  });

  const opened = await reach(signal);
  try {
    present = await openCheckpoint(opened.files, signal);
    face = faceOf(present);
    const { config, bytes, quantization, generation } = present;
    const { json, config: tokenizerConfig } = present.tokenizer;
    const tokenizer = createTokenizer(json, tokenizerConfig);
    const notes: string[] = [];
    wished = chooseContext(options.contextLength, config.contextLength, notes);
    await place.run(() => keep(opened, options, notes), signal);
    await tell({ phase: 'ready', bytes, total: bytes, rate: 0 }); // over Comlink: all of them have arrived
    const loadMs = performance.now() - start;
    let template: ChatTemplate | undefined;
    return {
      info() {
        const { backend, contextLength } = latest;
        const reasons = [...descent.reasons, ...backend.info.notes];
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
          memory: place.seat?.backend.memory() ?? 0,
          sampling: samplingDefaults(generation),
          chat: Boolean((tokenizerConfig as { chat_template?: unknown }).chat_template),
          loadMs,
        };
      },
      place,
      session: {
        place,
        tokenizer,
        vocabSize: config.vocabSize,
        eosIds: [...new Set([...generation.eosIds, ...(tokenizer.eosId === undefined ? [] : [tokenizer.eosId])])],
        journal: EMPTY,
        tell,
      },
      template: () =>
        (template ??= compileChatTemplate(tokenizerConfig) ?? fail('RequestError', { what: 'The model has no chat template', cure: 'Write the prompt yourself and use generate().' })),
    };
  } catch (error) {
    await place.dispose();
    // what is no model must not stay in the cache
    if ((error as Error).name === 'CheckpointError') await opened.discard().catch(() => undefined);
    throw error;
  } finally {
    present = undefined;
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

/** A source that is read once more must be what it was: another model would go on in the middle of a sentence. */
function same(checkpoint: Checkpoint, face: string): Checkpoint {
  if (faceOf(checkpoint) === face) return checkpoint;
  return fail('SourceError', { what: 'The model has changed at its source since it was loaded', cure: 'Load it again.' });
}

const faceOf = ({ config, bytes, files }: Checkpoint): string => JSON.stringify([config, bytes, files.map(({ name, size }) => [name, size])]);

export function chooseContext(asked: number | undefined, made: number, notes: string[]): number {
  if (asked === undefined) return Math.min(CONTEXT, made);
  if (!Number.isInteger(asked) || asked < SHORTEST_CONTEXT)
    fail('RequestError', { what: 'contextLength cannot be honoured', got: String(asked), wanted: `a whole number of at least ${SHORTEST_CONTEXT}` });
  if (asked > made) notes.push(`The context is ${made} tokens and not ${asked}: the model was made for no more.`);
  return Math.min(asked, made);
}

interface Extent {
  /** tokens of context, and how far down memory may press it */
  wished: number;
  least: number;
  chunk: number;
}

/** The weights as names and shapes. */
const shapes = ({ weights }: Checkpoint): Lfm2 =>
  mapWeights(
    weights,
    ({ name, cols, segments }) => ({ name, cols, rows: segments.reduce((sum, { rows }) => sum + rows, 0), segments }),
    ({ name, length }) => ({ name, length }),
  );

/** Weights into the backend, the plan compiled and run once. */
async function prepare(checkpoint: Checkpoint, backend: Backend, extent: Extent, tell: Tell, signal?: AbortSignal): Promise<{ runner: Runner; contextLength: number }> {
  const { bytes, config } = checkpoint;
  await backend.reserve(bytes);
  backend.precompile?.(recordPlan((op) => forward(op, config, shapes(checkpoint))), { contextLength: extent.wished, chunk: extent.chunk });
  const meter = new Meter('load', bytes, tell);
  let done = 0;
  const weights = await loadWeights(checkpoint, backend, (n) => meter.at((done += n)), signal);
  tell({ phase: 'compile', bytes, total: bytes, rate: 0 });
  await heed(signal);
  const compiled = await compile(backend, recordPlan((op) => forward(op, config, weights)), extent);
  await heed(signal);
  await warm(compiled.runner);
  await heed(signal);
  return compiled;
}

/** @throws MemoryError that names the next smaller context, where that was not to be taken of one's own accord */
export async function compile(backend: Backend, plan: Plan, { wished, least, chunk }: Extent): Promise<{ runner: Runner; contextLength: number }> {
  for (let contextLength = wished; ; contextLength >>= 1) {
    try {
      return { runner: await backend.compile(plan, { contextLength, chunk }), contextLength };
    } catch (error) {
      const { name, message } = error as Error;
      if (name !== 'MemoryError' || backend.lost?.()) throw error;
      const next = contextLength >> 1;
      if (next >= least) backend.info.notes.push(`The context is ${next} tokens and not ${contextLength}: ${message}`);
      else if (next < SHORTEST_CONTEXT) throw error;
      else {
        const other = backend.info.name === 'webgpu' ? ", or with backend 'wasm'" : '';
        fail('MemoryError', { what: `A context of ${contextLength} tokens does not fit`, got: message, cure: `Load the model with contextLength ${next}${other}.` }, error);
      }
    }
  }
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
  await runner.decode(2, GREEDY_SAMPLING);
  runner.rewind(0);
}
