/**
 * Estimates, before a download, how much memory a model needs and how fast it runs: from its headers and a short run
 * over synthetic weights.
 */
import { ROW_SLICE_MULTIPLE, type Backend, type BackendInfo, type State } from '../backend/backend';
import { planCost } from '../backend/cost';
import { recordModel } from '../backend/model_plan';
import { GREEDY_SAMPLING } from '../backend/sampling';
import { randomWeightRows } from '../backend/random_weights';
import { abortError } from '../errors';
import type { ArchitectureName, LoadedWeights, Weights } from '../model/architecture';
import type { Config } from '../model/config';
import type { Matrix } from '../model/ops';
import { mapLeaves, rowsOf, shapesOf, type MatrixSource } from '../model/weights';
import { isLocalSource } from '../store/local_source';
import { reportRoomForOpenModel, type ModelRoom } from '../store/cached_models';
import { copiesOf, type ModelCopies } from '../store/model_locks';
import { openModel, type ModelSource } from '../store/open_model';
import { formatMegabytes } from '../store/storage_space';
import type { ByteSource } from '../store/byte_source';
import { rowBytes, type Dtype } from '../tensor/dtype';
import { simpleRowBytes } from '../tensor/nibbles';
import type { CheckpointOutline } from './checkpoint';
import { openCheckpointOutline } from './checkpoint_outline';
import { pagedBudget, pagedMemory } from './estimate_paging';
import { visionMemory } from './estimate_vision';
import { pagedBatches } from './paging';
import { compileWithFittingContext, resolveContextLength, type LoadOptions } from './load_model';
import { yieldToEventLoop } from './event_loop';
import { withWorkingBackend, createFallbackState, backendCandidates } from './choose_backend';

export interface LoadEstimate {
  /** the id in listModels() and ModelInfo */
  id: string;
  /** a short name to show */
  name: string;
  architecture: ArchitectureName;
  config: Config;
  /** number of weights */
  parameters: number;
  /** the type of most weights: 'Q4_0' */
  quantization: string;
  /** bytes of all files; bytes that still have to be downloaded; bytes that this call fetched */
  bytes: number;
  download: number;
  fetched: number;
  /** bytes that this site may still store; undefined if the browser does not say */
  free?: number;
  /** the context that load() would use; `memory` counts a conversation that fills it */
  contextLength: number;
  /** bytes on the backend: the weights, everything else, and both */
  memory: { weights: number; context: number; total: number };
  /** where it is in memory already, in this tab or in others of this site: another copy takes as much again */
  copies: ModelCopies;
  /** the backend that load() would use, and why no better one */
  backend: BackendInfo;
  /** predicted for the beginning of a conversation */
  tokensPerSecond: number;
  /** duration of the run over synthetic weights */
  benchmarkMs: number;
  /** true if nothing known about this device prevents loading and storing the model */
  fits: boolean;
  /** what prevents it, in plain words */
  obstacles: string[];
  /** other facts for the user */
  notes: string[];
}

export type EstimateOptions = Omit<LoadOptions, 'cache' | 'makeRoom' | 'check' | 'policy' | 'sha256'>;

const PIECE_BYTES = 16 << 10; // unit of reads while the tensor table is searched
const MEASURED_MS = 300;
/** size of the synthetic weights: larger than most CPU caches, so that the run measures memory speed */
const SAMPLE_BYTES = 128e6;
const SLICE_BYTES = 1 << 20;
/** most positions of the measured conversation: its speed is that of a beginning */
const MEASURED_POSITIONS = 256;

/**
 * @throws what load() throws for the headers: SourceError, CheckpointError, RequestError, DeviceError if no backend
 * works; AbortError
 */
export async function estimate(
  source: ModelSource,
  options: EstimateOptions = {},
  signal?: AbortSignal,
): Promise<LoadEstimate> {
  const fallback = createFallbackState(backendCandidates(options));
  const { outline, room, cached, fetched } = await inspect(source, options, signal);
  const { architecture, config, quantization, weights } = outline;
  const notes: string[] = [];
  const wanted = resolveContextLength(options.contextLength, config.contextLength, notes);
  const start = performance.now();
  const { memoryBudget } = options;
  const measured = await withWorkingBackend(fallback, (backend) =>
    measureSample(backend, outline, { wanted, memoryBudget }, signal),
  );
  const { memory, obstacles } = measured;
  if (!room.enough) obstacles.push(room.message);
  // GiB; browsers round down to a power of two and cap it
  const device = (globalThis.navigator as { deviceMemory?: number } | undefined)?.deviceMemory;
  if (device !== undefined && memory.total > device * 2 ** 30)
    obstacles.push(`The model needs ${formatMegabytes(memory.total)} of memory; this device has about ${device} GB.`);
  else if (device !== undefined && memory.total > device * 2 ** 29)
    notes.push(`The model needs more than half of the memory of this device (about ${device} GB).`);
  return {
    id: room.id,
    name: room.id.slice(room.id.lastIndexOf('/') + 1),
    architecture: architecture.name,
    config,
    parameters: parameterCount(weights),
    quantization,
    bytes: room.bytes,
    download: room.needed,
    fetched: cached || isLocalSource(source) ? 0 : fetched,
    ...(room.free !== undefined && { free: room.free }),
    contextLength: measured.contextLength,
    memory,
    copies: await copiesOf(room.id),
    backend: { ...measured.backend, notes: [...fallback.reasons, ...measured.backend.notes] },
    tokensPerSecond: measured.tokensPerSecond,
    benchmarkMs: performance.now() - start,
    fits: obstacles.length === 0,
    obstacles,
    notes: [...notes, ...measured.notes, ...fallback.reasons, ...measured.backend.notes],
  };
}

interface Inspection {
  outline: CheckpointOutline;
  room: ModelRoom;
  cached: boolean;
  fetched: number;
}

async function inspect(source: ModelSource, options: EstimateOptions, signal?: AbortSignal): Promise<Inspection> {
  let fetched = 0;
  for (const skim of [true, false]) {
    const opened = await openModel(source, {
      ...options,
      signal,
      peek: true,
      ...(skim && { policy: { chunkBytes: PIECE_BYTES } }),
    });
    try {
      const pieces = new Map<string, Promise<Uint8Array>>();
      const outline = await openCheckpointOutline(
        opened.files.map((file) => cachingReads(file, pieces)),
        skim,
        signal,
      );
      fetched += pieces.size * PIECE_BYTES;
      if (outline)
        return { outline, room: await reportRoomForOpenModel(source, opened), cached: opened.cached, fetched };
    } finally {
      opened.close();
    }
  }
  throw new Error('A whole header gives the outline or an error');
}

/** Keeps the pieces that were read: the search returns to early ones after the store has freed them. */
const cachingReads = (file: ByteSource, pieces: Map<string, Promise<Uint8Array>>): ByteSource => ({
  ...file,
  async read(offset, length, signal) {
    if (offset + length > file.size) return file.read(offset, length, signal); // throws
    const bytes = new Uint8Array(length);
    for (let at = offset - (offset % PIECE_BYTES); at < offset + length; at += PIECE_BYTES) {
      const key = `${file.name} ${at}`;
      let piece = pieces.get(key);
      if (!piece) pieces.set(key, (piece = file.read(at, Math.min(PIECE_BYTES, file.size - at), signal)));
      const part = (await piece).subarray(Math.max(0, offset - at), offset + length - at);
      bytes.set(part, Math.max(0, at - offset));
    }
    return bytes;
  },
});

interface Measurement {
  backend: BackendInfo;
  contextLength: number;
  memory: LoadEstimate['memory'];
  tokensPerSecond: number;
  obstacles: string[];
  notes: string[];
}

/**
 * Asks the backend what the model takes, and runs some of its layers with synthetic weights of the same shapes and
 * formats for the time.
 */
async function measureSample(
  backend: Backend,
  outline: CheckpointOutline,
  { wanted, memoryBudget }: { wanted: number; memoryBudget?: number },
  signal?: AbortSignal,
): Promise<Measurement> {
  const { architecture, config, weights, bytes, memoryBytes } = outline;
  const { limits } = backend;
  const obstacles: string[] = [];
  const { part, layers } = sampleLayers(weights, config.layers, SAMPLE_BYTES / bytes);
  const paged = pagedBudget(outline, memoryBudget, obstacles);
  await reserve(backend, Math.min(memoryBytes, paged ?? Infinity), part, obstacles);
  const filled = await writeSyntheticWeights(backend, part, signal);
  const partConfig: Config = { ...config, vocabSize: rowsOf(part.head), layers };
  const partPlan = recordModel({ architecture, config: partConfig }, filled);
  const { state, contextLength } = await compileWithFittingContext(
    backend,
    partPlan,
    { wanted, least: 1 },
    { prefillBatch: limits.prefillBatch },
  );
  const seconds = await secondsPerToken(
    state,
    partConfig,
    Math.min(contextLength, MEASURED_POSITIONS),
    limits.decodeSteps,
    signal,
  );
  const info = { ...backend.info };
  const { prefillBatch } = paged === undefined ? limits : pagedBatches(limits, paged);
  const options = { contextLength, prefillBatch };
  const cost = await planCost(backend, recordModel(outline, shapesOf(weights)), options);
  const { read } = await planCost(backend, partPlan, options);
  const vision = await visionMemory(backend, outline);
  // of the memory that the model got: after dispose() the backend has none
  const { memory: most } = limits;
  state.program.dispose();
  await backend.dispose();

  const context = cost.scratch + cost.state + vision.context;
  const held = { weights: cost.weights + vision.weights, context };
  const { total, notes } = pagedMemory(outline, paged, held, obstacles);
  if (most !== undefined && total > most)
    obstacles.push(
      `The model needs ${formatMegabytes(total)} of memory; the backend ${info.name} has at most ${formatMegabytes(most)}.`,
    );
  return {
    backend: info,
    contextLength,
    memory: { weights: Math.max(0, total - context), context, total },
    tokensPerSecond: read / cost.read / seconds,
    obstacles,
    notes,
  };
}

/** Reserves the memory of the whole model, as load() does. If that fails, reserves what the sample needs. */
async function reserve(backend: Backend, whole: number, part: Weights, obstacles: string[]): Promise<void> {
  try {
    await backend.reserve(whole);
  } catch (error) {
    const { name, message } = error as Error;
    if (name !== 'MemoryError') throw error;
    obstacles.push(message);
    let bytes = 0;
    mapLeaves(
      part,
      ({ cols, segments }) => segments.forEach(({ rows, dtype }) => (bytes += rows * simpleRowBytes(dtype, cols))),
      () => undefined,
    );
    await backend.reserve(bytes);
  }
}

/** The same share of each kind of layer and of the vocabulary, whose matrices stand outside the layers. */
function sampleLayers(
  weights: Weights,
  kinds: Config['layers'],
  share: number,
): { part: Weights; layers: Config['layers'] } {
  if (share >= 1) return { part: weights, layers: kinds };
  const named = kinds.map((kind, i) => `${kind}${weights.layers[i].router ? ' with experts' : ''}`);
  const kept = named.map((kind, i) => {
    const same = named.flatMap((other, at) => (other === kind ? [at] : []));
    return same.indexOf(i) < Math.max(1, Math.round(same.length * share));
  });
  const layers = kinds.filter((_, i) => kept[i]);
  const rows = Math.ceil((rowsOf(weights.embed) * layers.length) / kinds.length / 64) * 64;
  const shorten = ({ name, cols, segments: [first] }: MatrixSource): MatrixSource => ({
    name,
    cols,
    segments: [{ ...first, rows: Math.min(rows, first.rows) }],
  });
  const { layers: all, ...outside } = weights;
  return {
    part: { ...mapLeaves(outside, shorten, (vector) => vector), layers: all.filter((_, i) => kept[i]) },
    layers,
  };
}

/** Writes synthetic weights into the backend: a few rows of each format, repeated. */
async function writeSyntheticWeights(backend: Backend, part: Weights, signal?: AbortSignal): Promise<LoadedWeights> {
  const tiles = new Map<string, Uint8Array>();
  const tile = (dtype: Dtype, rows: number, cols: number): Uint8Array => {
    const key = `${dtype} ${cols}`;
    const made = tiles.get(key);
    if (made && made.length >= rows * rowBytes(dtype, cols)) return made;
    tiles.set(key, randomWeightRows(key, dtype, rows, cols));
    return tiles.get(key)!;
  };
  const matrices = new Map<MatrixSource, Matrix>();
  const sources: MatrixSource[] = [];
  mapLeaves(
    part,
    (source) => void sources.push(source),
    () => undefined,
  );
  for (const source of sources) {
    await yieldToEventLoop();
    if (signal?.aborted) throw abortError();
    const { name, cols, segments } = source;
    const writer = backend.matrix({ name, cols, rows: rowsOf(source), segments });
    for (const [i, { dtype, rows }] of segments.entries()) {
      const row = rowBytes(dtype, cols);
      const step = Math.max(1, Math.floor(SLICE_BYTES / row / ROW_SLICE_MULTIPLE)) * ROW_SLICE_MULTIPLE;
      for (let first = 0; first < rows; first += step) {
        const count = Math.min(step, rows - first);
        await writer.write(i, first, tile(dtype, Math.min(step, rows), cols).slice(0, count * row));
      }
    }
    matrices.set(source, await writer.finish());
  }
  return mapLeaves(
    part,
    (source) => matrices.get(source)!,
    ({ name, length }) => backend.vector(name, new Float32Array(length).fill(1)),
  );
}

/** The median over decode calls; the first call does not count. */
async function secondsPerToken(
  state: State,
  { vocabSize }: Config,
  contextLength: number,
  longest: number,
  signal?: AbortSignal,
): Promise<number> {
  const prompt = Uint32Array.of(0, 1 % vocabSize);
  const begin = async (): Promise<void> => {
    state.rewind(0);
    await state.prefill(prompt);
    await state.decode(1, GREEDY_SAMPLING);
  };
  const timed = async (steps: number): Promise<number> => {
    const start = performance.now();
    await state.decode(steps, GREEDY_SAMPLING);
    return (performance.now() - start) / 1000 / steps;
  };
  await begin();
  const first = await timed(1);
  // as many steps as in use, but fewer on a device so slow that one call would take all the time
  const steps = Math.max(1, Math.min(longest, contextLength - 8, Math.floor(MEASURED_MS / 3000 / first)));
  const times: number[] = [];
  const end = performance.now() + MEASURED_MS;
  while (times.length < 3 || performance.now() < end) {
    if (signal?.aborted) throw abortError();
    if (state.position + steps > contextLength) await begin();
    times.push(await timed(steps));
    await yieldToEventLoop();
  }
  return times.sort((a, b) => a - b)[times.length >> 1];
}

function parameterCount(weights: Weights): number {
  let count = 0;
  mapLeaves(
    weights,
    (matrix) => void (count += rowsOf(matrix) * matrix.cols),
    ({ length }) => void (count += length),
  );
  return count;
}
