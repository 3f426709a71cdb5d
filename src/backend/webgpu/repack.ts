/**
 * Packed weights: how a matrix lies on the GPU, and how it gets there.
 *
 * Rows are taken four at a time (a group), columns in units: 16 bytes of floats, 16 columns of codes (half a block of 32), of which neighbouring
 * lanes then want neighbouring activations. A part has two planes, each 256-byte aligned:
 *   w       codes [row][unit] of `unitBytes`, then for Q5 and Q6 the high bits of 4 rows [group][block] of 16 bytes × `high`
 *   scales  of 4 rows [group][block of 32] of 8 bytes × `scale`, then for K-quants those of [group][block of 256] of 8 bytes × `top`
 * so that neighbouring lanes of a kernel, each at its own unit, read neighbouring addresses in every plane. Nothing is rounded: codes,
 * 6-bit scales and halves are kept as they are. Bytes a 256-block: Q4_0 144, Q5_0 176, Q8_0 272, Q6_K 210, as in the file; Q4_K 148 and
 * Q5_K 180 (144, 176 in the file), because 6-bit scales become bytes.
 */
import { fail } from '../../errors';
import type { Matrix } from '../../model/ops';
import { DTYPES, rowBytes, type Dtype } from '../../tensor/dtype';
import { ROW_STEP, type MatrixWriter } from '../backend';
import { whole, type Gpu, type Region, type Step } from './gpu';

interface Format {
  /** shader files that decode it, without the loader (lib/weights_*) and the halves (lib/half_*) */
  libraries: string[];
  unitColumns: number;
  unitBytes: 8 | 16;
  high: number;
  scale: number;
  top: number;
  repack: { kernel: string; constants: Record<string, number> };
}

const float = (name: string, unitColumns: number): Format => ({
  libraries: [`lib/${name}`],
  unitColumns,
  unitBytes: 16,
  high: 0,
  scale: 0,
  top: 0,
  repack: { kernel: 'repack_float', constants: {} },
});

function block(bits: 4 | 5 | 8, minimum: boolean, dtype: Dtype): Format {
  const codeBytes = bits === 8 ? 32 : 16;
  const { blockBytes: block_bytes } = DTYPES[dtype];
  const constants = {
    block_bytes,
    high_from: bits === 5 ? (minimum ? 4 : 2) : 0,
    codes_from: block_bytes - codeBytes,
    code_words: codeBytes / 16,
    bits,
    minimum: Number(minimum),
  };
  return {
    libraries: [`lib/bits${bits}`, minimum ? 'lib/scale_minimum' : 'lib/scale_middle'],
    unitColumns: 16,
    unitBytes: bits === 8 ? 16 : 8,
    high: bits === 5 ? 1 : 0,
    scale: minimum ? 2 : 1,
    top: 0,
    repack: { kernel: 'repack_block', constants },
  };
}

const kBlock = (bits: 4 | 5, dtype: Dtype): Format => ({
  libraries: [`lib/bits${bits}`, 'lib/scale_k'],
  unitColumns: 16,
  unitBytes: 8,
  high: bits === 5 ? 1 : 0,
  scale: 1,
  top: 2,
  repack: {
    kernel: 'repack_k',
    constants: { block_bytes: DTYPES[dtype].blockBytes, high_from: bits === 5 ? 16 : 0, codes_from: DTYPES[dtype].blockBytes - 128 },
  },
});

export const FORMATS: Record<Dtype, Format> = {
  F32: float('f32', 4),
  F16: float('f16', 8),
  BF16: float('bf16', 8),
  Q4_0: block(4, false, 'Q4_0'),
  Q4_1: block(4, true, 'Q4_1'),
  Q5_0: block(5, false, 'Q5_0'),
  Q5_1: block(5, true, 'Q5_1'),
  Q8_0: block(8, false, 'Q8_0'),
  Q4_K: kBlock(4, 'Q4_K'),
  Q5_K: kBlock(5, 'Q5_K'),
  Q6_K: {
    libraries: ['lib/bits6', 'lib/scale_q6_k'],
    unitColumns: 16,
    unitBytes: 8,
    high: 2,
    scale: 1,
    top: 1,
    repack: { kernel: 'repack_q6_k', constants: {} },
  },
};

/** A run of rows of one dtype in one buffer. */
export interface Part {
  dtype: Dtype;
  /** its first row in the matrix, and how many there are */
  first: number;
  rows: number;
  w: Region;
  /** absent for floats */
  scales?: Region;
  /** the overrides of lib/weights_* */
  layout: { units: number; high_at: number; top_at: number };
}

/** A matrix on the GPU. */
export interface GpuMatrix extends Matrix {
  readonly parts: readonly Part[];
  /** of GPU memory */
  readonly bytes: number;
}

const align = (bytes: number, to: number): number => Math.ceil(bytes / to) * to;

/** Bytes of the two planes of a part, and where their inner planes begin. */
function planes(dtype: Dtype, rows: number, cols: number) {
  const { unitColumns, unitBytes, high, scale, top } = FORMATS[dtype];
  const units = Math.ceil(cols / unitColumns);
  const groups = Math.ceil(rows / 4);
  const blocks = Math.floor((groups * cols) / 32);
  const high_at = (groups * 4 * units * unitBytes) / 16;
  const top_at = blocks * scale;
  return { layout: { units, high_at, top_at }, w: 16 * (high_at + blocks * high), scales: 8 * (top_at + (blocks / 8) * top) };
}

interface Piece {
  dtype: Dtype;
  first: number;
  rows: number;
}

/** Segments of one dtype that lie on whole groups become one piece; a piece beyond `limit` bytes of a binding is cut by rows. */
function pieces(spec: Matrix, limit: number): Piece[] {
  const joined: Piece[] = [];
  let first = 0;
  for (const { dtype, rows } of spec.segments) {
    const last = joined.at(-1);
    if (last?.dtype === dtype && last.rows % ROW_STEP === 0) last.rows += rows;
    else joined.push({ dtype, first, rows });
    first += rows;
  }
  return joined.flatMap((piece) => {
    const { w, scales } = planes(piece.dtype, ROW_STEP, spec.cols);
    const most = Math.floor((limit - 512) / (w + scales)) * ROW_STEP;
    if (most === 0) fail('MemoryError', { what: `${ROW_STEP} rows of ${spec.name} do not fit one GPU binding`, got: w + scales, wanted: `≤ ${limit} bytes` });
    const cut: Piece[] = [];
    for (let at = 0; at < piece.rows; at += most) cut.push({ ...piece, first: piece.first + at, rows: Math.min(most, piece.rows - at) });
    return cut;
  });
}

function pieceBytes({ dtype, rows }: Piece, cols: number): number {
  const { w, scales } = planes(dtype, rows, cols);
  return scales ? align(w, 256) + align(scales, 16) : w;
}

/** Bytes a matrix takes on the GPU. */
export const packedBytes = (spec: Matrix, limit = Infinity): number =>
  pieces(spec, limit).reduce((sum, piece) => sum + pieceBytes(piece, spec.cols), 0);

export interface PackOptions {
  /** most bytes of one part; by default what the device can bind */
  limit?: number;
}

const SLICE_BYTES = 1 << 20;
const SLICE_FIELDS = 6;
const PENDING_BYTES = 32 << 20;

/**
 * Takes the rows of a matrix. Each slice of ≤ 1 MB is written to a staging buffer and repacked by a kernel from there.
 * Slices may be queued faster than the GPU takes them: `write` waits for the GPU every 32 MB.
 * @throws MemoryError when a buffer is refused, CheckpointError for rows that do not fit the matrix or are missing
 */
export function matrixWriter(gpu: Gpu, spec: Matrix, { limit = bindingLimit(gpu) }: PackOptions = {}): MatrixWriter {
  const parts = allocateParts(gpu, spec, limit);
  parts.catch(() => {}); // reported by the first write
  const starts = spec.segments.map((_, i) => spec.segments.slice(0, i).reduce((sum, { rows }) => sum + rows, 0));
  const written = spec.segments.map(() => 0);

  async function write(segment: number, firstRow: number, bytes: Uint8Array): Promise<void> {
    const { dtype, rows: segmentRows, name } = spec.segments[segment];
    const bytesPerRow = rowBytes(dtype, spec.cols);
    const rows = bytes.length / bytesPerRow;
    if (!Number.isInteger(rows) || firstRow % ROW_STEP || firstRow + rows > segmentRows)
      fail('CheckpointError', { what: `Rows of ${name} do not fit`, got: `${bytes.length} bytes at row ${firstRow}`, wanted: `rows of ${bytesPerRow} bytes, ${segmentRows} in all` });
    const step = ROW_STEP * Math.max(1, Math.floor(SLICE_BYTES / (ROW_STEP * bytesPerRow)));
    const ready = await parts;
    for (let row = 0; row < rows; ) {
      const at = starts[segment] + firstRow + row;
      const part = ready.find((p) => at >= p.first && at < p.first + p.rows)!;
      const count = Math.min(step, rows - row, part.first + part.rows - at);
      await upload(gpu, part, at - part.first, count, bytesPerRow, bytes.subarray(row * bytesPerRow, (row + count) * bytesPerRow));
      row += count;
    }
    written[segment] += rows;
  }

  async function finish(): Promise<GpuMatrix> {
    spec.segments.forEach(({ name, rows }, i) => {
      if (written[i] !== rows) fail('CheckpointError', { what: `Rows of ${name} are missing`, got: written[i], wanted: rows });
    });
    const ready = await parts;
    const { name, rows, cols, segments } = spec;
    return { name, rows, cols, segments, parts: ready, bytes: ready.reduce((sum, part) => sum + part.w.buffer.size, 0) };
  }

  return { write, finish };
}

export const bindingLimit = ({ device: { limits } }: Gpu): number => Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize);

/** How a matrix will lie, in buffers that are not there yet. */
export const packedParts = (spec: Matrix, limit: number, nowhere: () => Region): Part[] => pieces(spec, limit).map((piece) => partOf(piece, spec.cols, nowhere().buffer));

function partOf(piece: Piece, cols: number, buffer: GPUBuffer): Part {
  const { layout, w, scales } = planes(piece.dtype, piece.rows, cols);
  const part: Part = { ...piece, layout, w: { buffer, offset: 0, size: w } };
  if (scales) part.scales = { buffer, offset: align(w, 256), size: scales };
  return part;
}

async function allocateParts(gpu: Gpu, spec: Matrix, limit: number): Promise<Part[]> {
  const made: Part[] = [];
  try {
    for (const piece of pieces(spec, limit)) made.push(partOf(piece, spec.cols, await gpu.allocate(spec.name, pieceBytes(piece, spec.cols))));
  } catch (error) {
    for (const { w } of made) gpu.release(w.buffer);
    throw error;
  }
  return made;
}

/** Frees what a matrix holds. */
export const releaseMatrix = (gpu: Gpu, { parts }: GpuMatrix): void => parts.forEach(({ w }) => gpu.release(w.buffer));

interface Staging {
  raw: GPUBuffer;
  slice: GPUBuffer;
  /** bytes written since the GPU was last waited for */
  pending: number;
  /** the upload before: one at a time uses the buffers */
  tail: Promise<void>;
}

const stagings = new WeakMap<Gpu, Promise<Staging>>();

function staging(gpu: Gpu): Promise<Staging> {
  let held = stagings.get(gpu);
  if (!held) {
    const { STORAGE, COPY_DST, UNIFORM } = GPUBufferUsage;
    const make = async (): Promise<Staging> => ({
      raw: await gpu.allocate('upload', SLICE_BYTES + 4, STORAGE | COPY_DST),
      slice: await gpu.allocate('upload slice', 4 * SLICE_FIELDS, UNIFORM | COPY_DST),
      pending: 0,
      tail: Promise.resolve(),
    });
    stagings.set(gpu, (held = make()));
  }
  return held;
}

/** Rows of a part from `firstRow` (of the part) on: upload, and a dispatch that packs them. The queue keeps the order of the two. */
async function upload(gpu: Gpu, part: Part, firstRow: number, rows: number, bytesPerRow: number, bytes: Uint8Array): Promise<void> {
  const held = await staging(gpu);
  const turn = held.tail.then(async () => {
    const { queue } = gpu.device;
    const size = align(bytes.length, 4);
    if (size > held.raw.size - 4) {
      gpu.release(held.raw);
      held.raw = await gpu.allocate('upload', size + 4, GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST);
    }
    const { units, high_at, top_at } = part.layout;
    queue.writeBuffer(held.slice, 0, new Uint32Array([firstRow / 4, rows, bytesPerRow, units, high_at, top_at]));
    if (size === bytes.length) queue.writeBuffer(held.raw, 0, bytes as Uint8Array<ArrayBuffer>);
    else {
      const padded = new Uint8Array(size);
      padded.set(bytes);
      queue.writeBuffer(held.raw, 0, padded);
    }
    await gpu.run([repackStep(part, held, rows)]);
    held.pending += size;
    if (held.pending >= PENDING_BYTES) {
      held.pending = 0;
      await gpu.settled(queue.onSubmittedWorkDone());
    }
  });
  held.tail = turn.catch(() => {});
  return turn;
}

function repackStep(part: Part, { raw, slice }: Staging, rows: number): Step {
  const { repack } = FORMATS[part.dtype];
  const { units } = part.layout;
  const threads = part.scales ? (Math.ceil(rows / 4) * units) / 2 : rows * units;
  return {
    label: `repack.${part.dtype.toLowerCase()}`,
    sources: ['lib/raw', 'lib/nibbles', repack.kernel],
    constants: repack.constants,
    bindings: { raw: whole(raw), slice: whole(slice), w: part.w, ...(part.scales && { scales: part.scales }) },
    grid: [Math.ceil(threads / 64), 1, 1],
  };
}
