/**
 * Packed weights: the layout of a matrix on the GPU, and the upload into it.
 *
 * Four rows form a group. Columns form units: 16 bytes of floats, or 16 columns of codes (half a block of 32). A part
 * has two planes, each 256-byte aligned:
 *   w       codes [row][unit] of `unitBytes`, then for Q5 and Q6 the high bits of 4 rows [group][block] of
 *           16 bytes × `high`
 *   scales  of 4 rows [group][block of 32] of 8 bytes × `scale`, then for K-quants those of [group][block of 256] of
 *           8 bytes × `top`
 * Neighbouring lanes of a kernel take neighbouring units, so that they read adjacent addresses in every plane. Nothing
 * is rounded: codes, 6-bit scales and halves keep their values. Bytes per 256 weights: Q4_0 144, Q5_0 176, Q8_0 272,
 * Q6_K 210, as in the file; Q4_K 148 and Q5_K 180 (144, 176 in the file), because 6-bit scales become bytes. Formats
 * that tensor/nibbles.ts simplifies: Q2_K and Q3_K 148 (84, 110 in the file), IQ4_NL, IQ4_XS, IQ3_S and MXFP4 160 (144,
 * 136, 110, 136).
 */
import { fail } from '../../errors';
import type { Matrix } from '../../model/ops';
import { rowBytes, type Dtype } from '../../tensor/dtype';
import { simpleRowBytes, simplify } from '../../tensor/nibbles';
import { ROW_SLICE_MULTIPLE, type MatrixWriter } from '../backend';
import { wholeBuffer, type DispatchContext, type BufferRegion, type Dispatch } from './dispatch';
import { uniformLayout } from './shader';

/** The packed layout of a dtype: bytes and counts in the terms of the comment above. */
interface PackedFormat {
  /** shader files that decode it, besides lib/weights_* and lib/half_* */
  libraries: string[];
  unitColumns: number;
  unitBytes: 8 | 16;
  high: number;
  scale: number;
  top: number;
  repack: { kernel: string; constants: Record<string, number> };
}

const float = (name: string, unitColumns: number): PackedFormat => ({
  libraries: [`lib/${name}`],
  unitColumns,
  unitBytes: 16,
  high: 0,
  scale: 0,
  top: 0,
  repack: { kernel: 'repack_float', constants: {} },
});

function block(bits: 4 | 5 | 8, minimum: boolean, dtype: Dtype): PackedFormat {
  const codeBytes = bits === 8 ? 32 : 16;
  const block_bytes = simpleRowBytes(dtype, 32);
  const constants = {
    block_bytes,
    high_from: bits === 5 ? (minimum ? 4 : 2) : 0,
    codes_from: block_bytes - codeBytes,
    code_words: codeBytes / 16,
    bits,
    minimum: Number(minimum),
  };
  return {
    libraries: [`lib/bits${bits}`, minimum ? 'lib/scale_min' : 'lib/scale_symmetric'],
    unitColumns: 16,
    unitBytes: bits === 8 ? 16 : 8,
    high: bits === 5 ? 1 : 0,
    scale: minimum ? 2 : 1,
    top: 0,
    repack: { kernel: 'repack_block', constants },
  };
}

/** The layout of Q4_1: a float in place of the two halves. */
const table = (name: string, dtype: Dtype): PackedFormat => ({
  ...block(4, true, dtype),
  libraries: [`lib/table_${name}`, 'lib/bits4_table', 'lib/scale_float'],
});

function kBlock(bits: 4 | 5, dtype: Dtype, options: Record<string, number> = {}): PackedFormat {
  const block_bytes = simpleRowBytes(dtype, 256);
  return {
    libraries: [`lib/bits${bits}`, 'lib/scale_k'],
    unitColumns: 16,
    unitBytes: 8,
    high: bits === 5 ? 1 : 0,
    scale: 1,
    top: 2,
    repack: {
      kernel: 'repack_k',
      constants: { block_bytes, high_from: bits === 5 ? 16 : 0, codes_from: block_bytes - 128, ...options },
    },
  };
}

const sixteens = (dtype: 'Q2_K' | 'Q3_K'): PackedFormat => ({
  ...kBlock(4, dtype, { sixteens: 1 }),
  libraries: ['lib/bits4', `lib/scale_${dtype.toLowerCase()}`],
});

export const PACKED_FORMATS: Record<Dtype, PackedFormat> = {
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
  Q2_K: sixteens('Q2_K'),
  Q3_K: sixteens('Q3_K'),
  IQ4_NL: table('iq4', 'IQ4_NL'),
  IQ3_S: table('iq3', 'IQ3_S'),
  IQ4_XS: table('iq4', 'IQ4_XS'),
  MXFP4: table('mxfp4', 'MXFP4'),
};

/** A run of rows of one dtype in one buffer. */
export interface MatrixPart {
  dtype: Dtype;
  /** its first row in the matrix, and its number of rows */
  first: number;
  rows: number;
  w: BufferRegion;
  /** absent for floats */
  scales?: BufferRegion;
  /** values of the overrides of lib/weights_* */
  layout: { units: number; high_at: number; top_at: number };
}

/** A matrix on the GPU. */
export interface GpuMatrix extends Matrix {
  readonly parts: readonly MatrixPart[];
  /** size in GPU memory */
  readonly bytes: number;
}

const align = (bytes: number, to: number): number => Math.ceil(bytes / to) * to;

/** Bytes of the two planes of a part, and the offsets of the parts within them. */
function planes(dtype: Dtype, rows: number, cols: number) {
  const { unitColumns, unitBytes, high, scale, top } = PACKED_FORMATS[dtype];
  const units = Math.ceil(cols / unitColumns);
  const groups = Math.ceil(rows / 4);
  const blocks = Math.floor((groups * cols) / 32);
  const high_at = (groups * 4 * units * unitBytes) / 16;
  const top_at = blocks * scale;
  return {
    layout: { units, high_at, top_at },
    w: 16 * (high_at + blocks * high),
    scales: 8 * (top_at + (blocks / 8) * top),
  };
}

/** A part before its buffer exists. */
interface RowRange {
  dtype: Dtype;
  first: number;
  rows: number;
}

/**
 * Joins adjacent segments of one dtype if the first ends at a whole group, then splits what exceeds `limit` bytes of a
 * binding by rows: between segments if all have as many rows, as experts have.
 */
function rowRanges(spec: Matrix, limit: number): RowRange[] {
  /** `each`: the rows of every segment; NaN if they differ */
  const joined: (RowRange & { each: number })[] = [];
  let first = 0;
  for (const { dtype, rows } of spec.segments) {
    const last = joined.at(-1);
    if (last?.dtype === dtype && last.rows % ROW_SLICE_MULTIPLE === 0) {
      last.rows += rows;
      if (last.each !== rows) last.each = NaN;
    } else joined.push({ dtype, first, rows, each: rows });
    first += rows;
  }
  return joined.flatMap(({ each, ...piece }) => {
    const { w, scales } = planes(piece.dtype, ROW_SLICE_MULTIPLE, spec.cols);
    const most = Math.floor((limit - 512) / (w + scales)) * ROW_SLICE_MULTIPLE;
    if (most === 0)
      fail('MemoryError', {
        what: `${ROW_SLICE_MULTIPLE} rows of ${spec.name} are larger than a GPU binding`,
        got: `${w + scales} bytes`,
        wanted: `at most ${limit}`,
        cure: 'Use the WASM backend.',
      });
    const step = each <= most && most < piece.rows ? most - (most % each) : most;
    const cut: RowRange[] = [];
    for (let at = 0; at < piece.rows; at += step)
      cut.push({ ...piece, first: piece.first + at, rows: Math.min(step, piece.rows - at) });
    return cut;
  });
}

function rowRangeBytes({ dtype, rows }: RowRange, cols: number): number {
  const { w, scales } = planes(dtype, rows, cols);
  return scales ? align(w, 256) + align(scales, 16) : w;
}

/** Bytes of a matrix on the GPU. */
export const packedMatrixBytes = (spec: Matrix, limit = Infinity): number =>
  rowRanges(spec, limit).reduce((sum, piece) => sum + rowRangeBytes(piece, spec.cols), 0);

export interface GpuMatrixWriter extends MatrixWriter {
  /** the matrix, with or without its rows. @throws MemoryError */
  matrix(): Promise<GpuMatrix>;
}

export interface MatrixWriterOptions {
  /** most bytes of one part; by default the largest binding of the device */
  limit?: number;
}

const SLICE_BYTES = 1 << 20;
const SLICE = uniformLayout('lib/checkpoint_bytes#Slice');
const MAX_QUEUED_BYTES = 32 << 20;

/**
 * Receives the rows of a matrix. It writes slices of at most 1 MB to a staging buffer, from which a kernel packs them.
 * `write` waits for the GPU every 32 MB, so that uploads do not queue up without limit.
 * @throws MemoryError when a buffer is refused, CheckpointError when rows are missing or do not fit the matrix
 */
export function createMatrixWriter(
  gpu: DispatchContext,
  spec: Matrix,
  { limit = maxBindingBytes(gpu) }: MatrixWriterOptions = {},
): GpuMatrixWriter {
  const parts = allocateParts(gpu, spec, limit);
  parts.catch(() => {}); // the first write reports the error
  const starts = spec.segments.map((_, i) => spec.segments.slice(0, i).reduce((sum, { rows }) => sum + rows, 0));
  const written = spec.segments.map(() => 0);

  async function write(segment: number, firstRow: number, bytes: Uint8Array): Promise<void> {
    const { dtype, rows: segmentRows, name } = spec.segments[segment];
    const bytesPerRow = rowBytes(dtype, spec.cols);
    const rows = bytes.length / bytesPerRow;
    if (!Number.isInteger(rows) || firstRow % ROW_SLICE_MULTIPLE || firstRow + rows > segmentRows)
      fail('CheckpointError', {
        what: `Rows of ${name} do not fit the matrix`,
        got: `${bytes.length} bytes at row ${firstRow}`,
        wanted: `rows of ${bytesPerRow} bytes, ${segmentRows} in all`,
      });
    const uploaded = simpleRowBytes(dtype, spec.cols);
    const step = ROW_SLICE_MULTIPLE * Math.max(1, Math.floor(SLICE_BYTES / (ROW_SLICE_MULTIPLE * uploaded)));
    const ready = await parts;
    for (let row = 0; row < rows;) {
      const at = starts[segment] + firstRow + row;
      const part = ready.find((p) => at >= p.first && at < p.first + p.rows)!;
      const count = Math.min(step, rows - row, part.first + part.rows - at);
      await upload(
        gpu,
        part,
        at - part.first,
        count,
        uploaded,
        simplify(dtype, bytes.subarray(row * bytesPerRow, (row + count) * bytesPerRow)),
      );
      row += count;
    }
    written[segment] += rows;
  }

  async function matrix(): Promise<GpuMatrix> {
    const ready = await parts;
    const { name, rows, cols, segments } = spec;
    const bytes = ready.reduce((sum, part) => sum + part.w.buffer.size, 0);
    return { name, rows, cols, segments, parts: ready, bytes };
  }

  async function finish(): Promise<GpuMatrix> {
    spec.segments.forEach(({ name, rows }, i) => {
      if (written[i] !== rows)
        fail('CheckpointError', { what: `Rows of ${name} are missing`, got: written[i], wanted: rows });
    });
    return matrix();
  }

  return { write, matrix, finish };
}

export const maxBindingBytes = ({ device: { limits } }: DispatchContext): number =>
  Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize);

/** The parts of a matrix whose buffers do not exist yet. */
export const unallocatedMatrixParts = (spec: Matrix, limit: number, noBuffer: () => BufferRegion): MatrixPart[] =>
  rowRanges(spec, limit).map((piece) => partOf(piece, spec.cols, noBuffer().buffer));

function partOf(piece: RowRange, cols: number, buffer: GPUBuffer): MatrixPart {
  const { layout, w, scales } = planes(piece.dtype, piece.rows, cols);
  const part: MatrixPart = { ...piece, layout, w: { buffer, offset: 0, size: w } };
  if (scales) part.scales = { buffer, offset: align(w, 256), size: scales };
  return part;
}

async function allocateParts(gpu: DispatchContext, spec: Matrix, limit: number): Promise<MatrixPart[]> {
  const made: MatrixPart[] = [];
  try {
    for (const piece of rowRanges(spec, limit))
      made.push(partOf(piece, spec.cols, await gpu.allocateBuffer(spec.name, rowRangeBytes(piece, spec.cols))));
  } catch (error) {
    for (const { w } of made) gpu.releaseBuffer(w.buffer);
    throw error;
  }
  return made;
}

/** Releases the buffers of a matrix. */
export const releaseMatrix = (gpu: DispatchContext, { parts }: GpuMatrix): void =>
  parts.forEach(({ w }) => gpu.releaseBuffer(w.buffer));

interface Staging {
  raw: GPUBuffer;
  slice: GPUBuffer;
  /** bytes written since the last wait for the GPU */
  queued: number;
  /** resolves after the last upload: uploads take turns with these buffers */
  lastUpload: Promise<void>;
}

const stagings = new WeakMap<DispatchContext, Promise<Staging>>();

/** The buffers for uploads, which the device keeps. */
export function staging(gpu: DispatchContext): Promise<Staging> {
  let held = stagings.get(gpu);
  if (!held) {
    const { STORAGE, COPY_DST, UNIFORM } = GPUBufferUsage;
    const make = async (): Promise<Staging> => ({
      raw: await gpu.allocateBuffer('upload', SLICE_BYTES + 4, STORAGE | COPY_DST),
      slice: await gpu.allocateBuffer('upload slice', SLICE.bytes, UNIFORM | COPY_DST),
      queued: 0,
      lastUpload: Promise.resolve(),
    });
    stagings.set(gpu, (held = make()));
  }
  return held;
}

/** Uploads rows of a part, from its row `firstRow` on, and packs them; the queue keeps the two in order. */
async function upload(
  gpu: DispatchContext,
  part: MatrixPart,
  firstRow: number,
  rows: number,
  bytesPerRow: number,
  bytes: Uint8Array,
): Promise<void> {
  const held = await staging(gpu);
  const turn = held.lastUpload.then(async () => {
    const { queue } = gpu.device;
    const size = align(bytes.length, 4);
    if (size > held.raw.size - 4) {
      gpu.releaseBuffer(held.raw);
      held.raw = await gpu.allocateBuffer('upload', size + 4, GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST);
    }
    const { units, high_at: highAt, top_at: topAt } = part.layout;
    queue.writeBuffer(
      held.slice,
      0,
      SLICE.pack({ group: firstRow / 4, rows, rowBytes: bytesPerRow, units, highAt, topAt }),
    );
    if (size === bytes.length) queue.writeBuffer(held.raw, 0, bytes as Uint8Array<ArrayBuffer>);
    else {
      const padded = new Uint8Array(size);
      padded.set(bytes);
      queue.writeBuffer(held.raw, 0, padded);
    }
    await gpu.run([repackDispatch(part, held, rows)]);
    held.queued += size;
    if (held.queued >= MAX_QUEUED_BYTES) {
      held.queued = 0;
      await gpu.waitFor(queue.onSubmittedWorkDone());
    }
  });
  held.lastUpload = turn.catch(() => {});
  return turn;
}

function repackDispatch(part: MatrixPart, { raw, slice }: Staging, rows: number): Dispatch {
  const { repack } = PACKED_FORMATS[part.dtype];
  const { units } = part.layout;
  const threads = part.scales ? (Math.ceil(rows / 4) * units) / 2 : rows * units;
  return {
    label: `repack.${part.dtype.toLowerCase()}`,
    sources: ['lib/checkpoint_bytes', 'lib/nibbles', repack.kernel],
    constants: repack.constants,
    bindings: {
      raw: wholeBuffer(raw),
      slice: wholeBuffer(slice),
      w: part.w,
      ...(part.scales && { scales: part.scales }),
    },
    grid: [Math.ceil(threads / 64), 1, 1],
  };
}
