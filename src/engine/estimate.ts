/** What a model would need of this device and how fast it would be, before it is downloaded: from its headers, and from a short run over made-up weights. */
import { ROW_ALIGNMENT, type Backend, type BackendInfo, type Runner } from '../backend/backend';
import { recordPlan } from '../backend/plan';
import { GREEDY_SAMPLING } from '../backend/sampling';
import { randomWeightRows } from '../backend/random_weights';
import { abortError } from '../errors';
import type { Config } from '../model/config';
import { forward, type Layer, type Lfm2 } from '../model/lfm2';
import type { Matrix, Vector } from '../model/ops';
import { mapWeights, type MatrixSource, type VectorSource } from '../model/weights';
import { isLocal } from '../store/local';
import { roomFor, type Room } from '../store/models';
import { openModel, type ModelSource } from '../store/open';
import { megabytes } from '../store/room';
import type { ByteSource } from '../store/source';
import { rowBytes, type Dtype } from '../tensor/dtype';
import { openOutline, type Outline } from './checkpoint';
import { chooseContext, compile, PACE, type LoadOptions } from './model';
import { pause } from './pause';
import { descend, descentOf, ladder } from './pick';

export interface Estimate {
  /** as listModels() and ModelInfo give it */
  id: string;
  /** for people */
  name: string;
  architecture: 'lfm2';
  config: Config;
  /** weights, as numbers */
  parameters: number;
  /** of most of the bytes: 'Q4_0' */
  quantization: string;
  /** of all files; of them that are still to be downloaded; that this call fetched to find out */
  bytes: number;
  download: number;
  fetched: number;
  /** bytes this site may still store; undefined where the browser does not say */
  free?: number;
  /** that load() would take; memory is that of a conversation which fills it */
  contextLength: number;
  /** bytes on the backend: the weights, everything else, both */
  memory: { weights: number; context: number; total: number };
  /** the one load() would take, and why no better one */
  backend: BackendInfo;
  /** predicted, for the beginning of a conversation */
  tokensPerSecond: number;
  /** how long the run over made-up weights took, all in all */
  benchmarkMs: number;
  /** nothing that is known of this device keeps it from loading and storing the model */
  fits: boolean;
  /** what does, in plain words */
  obstacles: string[];
  /** what else is good to know */
  notes: string[];
}

export type EstimateOptions = Omit<LoadOptions, 'cache' | 'makeRoom' | 'check' | 'policy'>;

const FINE = 16 << 10; // bytes of a piece, as the headers are first looked for
const MEASURED_MS = 300;
/** bytes of made-up weights: more than most caches hold, so that memory is what is measured */
const SAMPLE = 128e6;
const SLICE = 1 << 20;
/** positions that WASM keys and values begin with */
const PAGE = 256;
const RING_POSITIONS = 128;
const WASM_LIMIT = 2 ** 32;

/** @throws as load does for what the headers show: SourceError, CheckpointError, RequestError, DeviceError where nothing computes; AbortError */
export async function estimate(source: ModelSource, options: EstimateOptions = {}, signal?: AbortSignal): Promise<Estimate> {
  const descent = descentOf(ladder(options));
  const { outline, room, cached, fetched } = await look(source, options, signal);
  const { config, quantization, weights } = outline;
  const notes: string[] = [];
  const contextLength = chooseContext(options.contextLength, config.contextLength, notes);
  const start = performance.now();
  const measured = await descend(descent, (backend) => measure(backend, outline, contextLength, options, signal));
  const { memory, obstacles } = measured;
  if (!room.enough) obstacles.push(room.message);
  const device = (globalThis.navigator as { deviceMemory?: number } | undefined)?.deviceMemory; // GiB, rounded down to a power of two and capped
  if (device !== undefined && memory.total > device * 2 ** 30) obstacles.push(`It takes ${megabytes(memory.total)} of memory, and this device has about ${device} GB.`);
  else if (device !== undefined && memory.total > device * 2 ** 29) notes.push(`It takes more than half of the memory of this device (about ${device} GB).`);
  return {
    id: room.id,
    name: room.id.slice(room.id.lastIndexOf('/') + 1),
    architecture: 'lfm2',
    config,
    parameters: countOf(weights),
    quantization,
    bytes: room.bytes,
    download: room.needed,
    fetched: cached || isLocal(source) ? 0 : fetched,
    ...(room.free !== undefined && { free: room.free }),
    contextLength: measured.contextLength,
    memory,
    backend: { ...measured.backend, notes: [...descent.reasons, ...measured.backend.notes] },
    tokensPerSecond: measured.tokensPerSecond,
    benchmarkMs: performance.now() - start,
    fits: obstacles.length === 0,
    obstacles,
    notes: [...notes, ...descent.reasons, ...measured.backend.notes],
  };
}

interface Look {
  outline: Outline;
  room: Room;
  cached: boolean;
  fetched: number;
}

async function look(source: ModelSource, options: EstimateOptions, signal?: AbortSignal): Promise<Look> {
  let fetched = 0;
  for (const skim of [true, false]) {
    const opened = await openModel(source, { ...options, signal, peek: true, ...(skim && { policy: { chunkBytes: FINE } }) });
    try {
      const pieces = new Map<string, Promise<Uint8Array>>();
      const outline = await openOutline(opened.files.map((file) => keeping(file, pieces)), skim, signal);
      fetched += pieces.size * FINE;
      if (outline) return { outline, room: await roomFor(source, opened), cached: opened.cached, fetched };
    } finally {
      opened.close();
    }
  }
  throw new Error('a whole header tells the outline or why not');
}

/** Keeps the pieces of a file that were read: the search comes back to the first ones when the store has let go of them. */
const keeping = (file: ByteSource, pieces: Map<string, Promise<Uint8Array>>): ByteSource => ({
  ...file,
  async read(offset, length, signal) {
    if (offset + length > file.size) return file.read(offset, length, signal); // which refuses
    const bytes = new Uint8Array(length);
    for (let at = offset - (offset % FINE); at < offset + length; at += FINE) {
      const key = `${file.name} ${at}`;
      let piece = pieces.get(key);
      if (!piece) pieces.set(key, (piece = file.read(at, Math.min(FINE, file.size - at), signal)));
      const part = (await piece).subarray(Math.max(0, offset - at), offset + length - at);
      bytes.set(part, Math.max(0, at - offset));
    }
    return bytes;
  },
});

type Sources = Lfm2<MatrixSource, VectorSource>;

interface Measured {
  backend: BackendInfo;
  contextLength: number;
  memory: Estimate['memory'];
  tokensPerSecond: number;
  obstacles: string[];
}

/** Runs a part of the model, with the shapes and formats of its layers and weights of no meaning, and concludes from its bytes to those of the whole. */
async function measure(backend: Backend, outline: Outline, wished: number, options: EstimateOptions, signal?: AbortSignal): Promise<Measured> {
  const { config, weights, bytes } = outline;
  const obstacles: string[] = [];
  const part = sample(weights, SAMPLE / bytes);
  await reserve(backend, bytes, bytesOf(part), obstacles);
  const before = backend.memory();
  const filled = await fill(backend, part, signal);
  const loaded = backend.memory();
  const partConfig: Config = { ...config, vocabSize: rowsOf(part.head), layers: part.layers.map(({ kind }) => kind) };
  const pace = PACE[backend.info.name];
  const { runner, contextLength } = await compile(backend, recordPlan((op) => forward(op, partConfig, filled)), { wished, least: 1, chunk: pace.chunk });
  const compiled = backend.memory();
  const seconds = await secondsPerToken(runner, partConfig, Math.min(contextLength, PAGE), pace.longest, signal);
  const info = { ...backend.info };
  runner.dispose();
  await backend.dispose();

  // keys, values and rings of the layers and positions that the part did not have
  const whole = options.exact || (info.name === 'webgpu' && options.f16 === false); // f32; else halves, or int16 and a scale
  const position = 2 * config.kvHeads * (whole ? 4 * config.headDim : 2 * config.headDim + (info.name === 'wasm' ? 4 : 0));
  const layers = (kinds: Config['layers'], kind: Config['layers'][number]): number => kinds.filter((k) => k === kind).length;
  const held = layers(partConfig.layers, 'attention') * (info.name === 'wasm' ? Math.min(PAGE, contextLength) : contextLength);
  const keys = position * (layers(config.layers, 'attention') * contextLength - held);
  const rings = 4 * RING_POSITIONS * config.hiddenSize * (layers(config.layers, 'conv') - layers(partConfig.layers, 'conv'));
  const weightBytes = Math.round(((loaded - before) / bytesOf(part)) * bytesOf(weights));
  const context = compiled - loaded + keys + rings;
  const total = weightBytes + context;
  if (info.name === 'wasm' && total > WASM_LIMIT) obstacles.push(`It takes ${megabytes(total)} of memory, and WebAssembly has no more than ${megabytes(WASM_LIMIT)}.`);
  return { backend: info, contextLength, memory: { weights: weightBytes, context, total }, tokensPerSecond: bytesRead(part) / bytesRead(weights) / seconds, obstacles };
}

/** Asks for the memory of the whole model, as load does; where that is refused, for what the part needs. */
async function reserve(backend: Backend, whole: number, part: number, obstacles: string[]): Promise<void> {
  try {
    await backend.reserve(whole);
  } catch (error) {
    const { name, message } = error as Error;
    if (name !== 'MemoryError') throw error;
    obstacles.push(message);
    await backend.reserve(part);
  }
}

/** Some layers of each kind that the model has, and as much of the vocabulary. */
function sample(weights: Sources, share: number): Sources {
  if (share >= 1) return weights;
  const kinds = new Map<string, Layer<MatrixSource, VectorSource>[]>();
  for (const layer of weights.layers) kinds.set(layer.kind, [...(kinds.get(layer.kind) ?? []), layer]);
  const kept = new Set([...kinds.values()].flatMap((layers) => layers.slice(0, Math.max(1, Math.round(layers.length * share)))));
  const rows = Math.ceil((rowsOf(weights.embed) * kept.size) / weights.layers.length / 64) * 64;
  const shorten = ({ name, cols, segments: [first] }: MatrixSource): MatrixSource => ({ name, cols, segments: [{ ...first, rows: Math.min(rows, first.rows) }] });
  const embed = shorten(weights.embed);
  return {
    ...weights,
    embed,
    layers: weights.layers.filter((layer) => kept.has(layer)),
    head: weights.head === weights.embed ? embed : shorten(weights.head),
  };
}

/** Made-up weights into the backend, a few rows of each format again and again. */
async function fill(backend: Backend, part: Sources, signal?: AbortSignal): Promise<Lfm2> {
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
  mapWeights(part, (source) => void sources.push(source), () => undefined);
  for (const source of sources) {
    await pause();
    if (signal?.aborted) throw abortError();
    const { name, cols, segments } = source;
    const writer = backend.matrix({ name, cols, rows: rowsOf(source), segments });
    for (const [i, { dtype, rows }] of segments.entries()) {
      const row = rowBytes(dtype, cols);
      const step = Math.max(1, Math.floor(SLICE / row / ROW_ALIGNMENT)) * ROW_ALIGNMENT;
      for (let first = 0; first < rows; first += step) {
        const count = Math.min(step, rows - first);
        await writer.write(i, first, tile(dtype, Math.min(step, rows), cols).slice(0, count * row));
      }
    }
    matrices.set(source, await writer.finish());
  }
  return mapWeights<MatrixSource, VectorSource, Matrix, Vector>(
    part,
    (source) => matrices.get(source)!,
    ({ name, length }) => backend.vector(name, new Float32Array(length).fill(1)),
  );
}

/** Median over calls of decode, after one that is not counted. */
async function secondsPerToken(runner: Runner, { vocabSize }: Config, contextLength: number, longest: number, signal?: AbortSignal): Promise<number> {
  const prompt = Uint32Array.of(0, 1 % vocabSize);
  const begin = async (): Promise<void> => {
    runner.rewind(0);
    await runner.prefill(prompt);
    await runner.decode(1, GREEDY_SAMPLING);
  };
  const timed = async (steps: number): Promise<number> => {
    const start = performance.now();
    await runner.decode(steps, GREEDY_SAMPLING);
    return (performance.now() - start) / 1000 / steps;
  };
  await begin();
  const first = await timed(1);
  // a window as in use, but for devices so slow that one would take all the time
  const steps = Math.max(1, Math.min(longest, contextLength - 8, Math.floor(MEASURED_MS / 3000 / first)));
  const times: number[] = [];
  const end = performance.now() + MEASURED_MS;
  while (times.length < 3 || performance.now() < end) {
    if (signal?.aborted) throw abortError();
    if (runner.position + steps > contextLength) await begin();
    times.push(await timed(steps));
    await pause();
  }
  return times.sort((a, b) => a - b)[times.length >> 1];
}

const rowsOf = ({ segments }: MatrixSource): number => segments.reduce((sum, { rows }) => sum + rows, 0);
const stored = ({ cols, segments }: MatrixSource): number => segments.reduce((sum, { rows, dtype }) => sum + rows * rowBytes(dtype, cols), 0);

/** Sums over the matrices, a tied head once. */
function sumOf(weights: Sources, of: (matrix: MatrixSource) => number): number {
  const matrices = new Set<MatrixSource>();
  mapWeights(weights, (matrix) => void matrices.add(matrix), () => undefined);
  return [...matrices].reduce((sum, matrix) => sum + of(matrix), 0);
}

const bytesOf = (weights: Sources): number => sumOf(weights, stored);

/** Bytes that a decoded token reads: all but the embedding, of which it is one row. */
const bytesRead = (weights: Sources): number => bytesOf(weights) - (weights.head === weights.embed ? 0 : stored(weights.embed));

function countOf(weights: Sources): number {
  let vectors = 0;
  mapWeights(weights, () => undefined, ({ length }) => void (vectors += length));
  return vectors + sumOf(weights, (matrix) => rowsOf(matrix) * matrix.cols);
}
