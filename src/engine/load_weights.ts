/** Streams the weights into a backend: slices in the order of the file, at most two in memory. */
import { ROW_SLICE_MULTIPLE, type Backend, type MatrixWriter } from '../backend/backend';
import { abortError, fail } from '../errors';
import type { LoadedWeights } from '../model/architecture';
import type { Matrix, Vector } from '../model/ops';
import { mapLeaves, rowsOf, type MatrixSource, type VectorSource } from '../model/weights';
import { dequantize } from '../tensor/dequant';
import { rowBytes } from '../tensor/dtype';
import type { TensorInfo } from '../tensor/tensor';
import type { Checkpoint } from './checkpoint';

/** Size of a slice, unless ROW_SLICE_MULTIPLE rows are longer. */
const SLICE_BYTES = 4 * 2 ** 20;

interface Slice {
  tensor: TensorInfo;
  /** bytes from the start of the file */
  offset: number;
  length: number;
  write(bytes: Uint8Array): void | Promise<void>;
}

/**
 * The backend must have reserved `checkpoint.memoryBytes`. Several matrices are written at the same time, since their
 * tensors are interleaved in the file.
 * @param onBytes gets the size of each slice that is written
 * @param paged makes the matrices of experts that stay in the files
 * @throws what the sources and the backend throw; CheckpointError for F32 weights that are no numbers; AbortError
 */
export async function loadWeights(
  checkpoint: Checkpoint,
  backend: Backend,
  onBytes: (n: number) => void,
  signal?: AbortSignal,
  paged?: (source: MatrixSource) => Matrix,
): Promise<LoadedWeights> {
  const matrices = new Map<MatrixSource, Matrix>();
  const vectors = new Map<VectorSource, Vector>();
  const slices: Slice[] = [];
  mapLeaves(
    checkpoint.weights,
    (source) =>
      paged && source.experts
        ? void matrices.set(source, paged(source))
        : void slices.push(...matrixSlices(source, backend, (matrix) => matrices.set(source, matrix))),
    (source) =>
      void slices.push(...vectorSlices(source, (values) => vectors.set(source, backend.vector(source.name, values)))),
  );
  slices.sort((a, b) => a.tensor.file - b.tensor.file || a.offset - b.offset);

  const read = (i: number): Promise<Uint8Array> | undefined => {
    if (i >= slices.length) return undefined;
    const { tensor, offset, length } = slices[i];
    const bytes = checkpoint.files[tensor.file].read(offset, length, signal);
    bytes.catch(() => undefined); // it is awaited one slice later; until then a failure must not count as unhandled
    return bytes;
  };
  let next = read(0);
  for (const [i, slice] of slices.entries()) {
    if (signal?.aborted) throw abortError();
    const bytes = (await next)!;
    next = read(i + 1);
    await slice.write(bytes);
    checkpoint.files[slice.tensor.file].release?.(bytes);
    onBytes(slice.length);
  }
  return mapLeaves(
    checkpoint.weights,
    (source) => matrices.get(source)!,
    (source) => vectors.get(source)!,
  );
}

/** The matrix that a backend gets. */
export const matrixSpec = (source: MatrixSource): Matrix => ({
  name: source.name,
  cols: source.cols,
  rows: rowsOf(source),
  segments: source.segments.map(({ name, rows, dtype }) => ({ name, rows, dtype })),
});

function matrixSlices(source: MatrixSource, backend: Backend, done: (matrix: Matrix) => void): Slice[] {
  const { cols, segments } = source;
  let writer: MatrixWriter | undefined;
  const slices = segments.flatMap(({ rows, dtype, tensor }, segment) => {
    const row = rowBytes(dtype, cols);
    const step = Math.max(Math.floor(SLICE_BYTES / row / ROW_SLICE_MULTIPLE), 1) * ROW_SLICE_MULTIPLE;
    return Array.from({ length: Math.ceil(rows / step) }, (_, i): Slice => {
      const first = i * step;
      return {
        tensor,
        offset: tensor.offset + first * row,
        length: Math.min(step, rows - first) * row,
        write(bytes) {
          // routers of GGUF files are F32: one NaN would choose the same experts for all tokens
          if (dtype === 'F32') checkFinite(tensor, bytes);
          return write(segment, first, bytes);
        },
      };
    });
  });
  let left = slices.length;

  async function write(segment: number, firstRow: number, bytes: Uint8Array): Promise<void> {
    writer ??= backend.matrix(matrixSpec(source));
    await writer.write(segment, firstRow, bytes);
    if (--left === 0) done(await writer.finish());
  }
  return slices;
}

/** @throws CheckpointError unless all of these F32 values are finite */
function checkFinite({ name }: TensorInfo, bytes: Uint8Array): void {
  // the high byte of each value, and the upper half of the next: an exponent of ones
  for (let at = 3; at < bytes.length; at += 4)
    if ((bytes[at] & 127) === 127 && bytes[at - 1] > 127)
      fail('CheckpointError', {
        what: `Tensor ${name} is not valid`,
        got: 'NaN or infinity',
        cure: 'The file is damaged: get it again.',
      });
}

function vectorSlices(
  { length, tensor: first, rest = [] }: VectorSource,
  done: (values: Float32Array) => void,
): Slice[] {
  const values = new Float32Array(length);
  let [end, left] = [0, rest.length];
  return [first, ...rest].map((tensor) => {
    const begin = end;
    const count = tensor.shape.reduce((a, b) => a * b);
    end += count;
    const write = (bytes: Uint8Array): void => {
      const part = dequantize(tensor.dtype, bytes, count);
      checkFinite(tensor, new Uint8Array(part.buffer));
      values.set(part, begin);
      if (!left--) done(values);
    };
    return { tensor, offset: tensor.offset, length: tensor.byteLength, write };
  });
}
