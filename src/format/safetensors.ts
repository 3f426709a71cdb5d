/**
 * safetensors: a 64-bit length, that many bytes of JSON { name: { dtype, shape, data_offsets } }, the data
 * (huggingface/safetensors README).
 * Pure: bytes in, tensor infos out.
 */
import { fail, show } from '../errors';
import { rowBytes, type Dtype } from '../tensor/dtype';
import type { TensorInfo } from '../tensor/tensor';
import { MAX_HEADER_BYTES, parseHead, type HeaderCursor, type NamedFile, type NeedMoreBytes } from './header_cursor';
import { checkLayout, valueCount } from './check_layout';

const DTYPE: ReadonlyMap<unknown, Dtype> = new Map([
  ['F32', 'F32'],
  ['F16', 'F16'],
  ['BF16', 'BF16'],
] as const);
const DAMAGED = 'The file is damaged: get it again.';

/**
 * The tensors, or how many bytes of the file the parser needs.
 * @param index of the file among the shards, for `TensorInfo.file`
 * @throws CheckpointError for anything but a valid safetensors file of F32, F16 and BF16
 */
export const parseSafetensors = (head: Uint8Array, file: NamedFile, index = 0): TensorInfo[] | NeedMoreBytes =>
  parseHead(head, file, (cursor) => readHeader(cursor, file, index));

function readHeader(c: HeaderCursor, file: NamedFile, index: number): TensorInfo[] {
  const length = c.u64();
  if (length < 2 || length > MAX_HEADER_BYTES || length + 8 > file.size)
    fail('CheckpointError', {
      what: `${file.name} is not a safetensors file, or is incomplete`,
      got: `a header of ${length} bytes in a file of ${file.size}`,
      wanted: `2 to ${Math.min(MAX_HEADER_BYTES, file.size - 8)}`,
      cure: 'Check that it is the model file itself, or get it again.',
    });
  const dataOffset = 8 + length;
  const header = object(parse(c.string(length), file), `The header of ${file.name}`);
  const tensors = Object.entries(header)
    .filter(([name]) => name !== '__metadata__')
    .map(([name, entry]) => tensor(name, object(entry, `Tensor ${name}`), dataOffset, index));
  checkLayout(tensors, file);
  return tensors;
}

function parse(text: string, file: NamedFile): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    return fail(
      'CheckpointError',
      {
        what: `The header of ${file.name} is not JSON`,
        got: String(cause),
        wanted: 'a safetensors file',
        cure: DAMAGED,
      },
      cause,
    );
  }
}

function object(value: unknown, what: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  return fail('CheckpointError', {
    what: `${what} is not valid`,
    got: show(value),
    wanted: 'a JSON object',
    cure: DAMAGED,
  });
}

const isNumbers = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);

function tensor(name: string, entry: Record<string, unknown>, dataOffset: number, file: number): TensorInfo {
  const { shape, data_offsets: offsets } = entry;
  const dtype = DTYPE.get(entry.dtype);
  if (!dtype)
    return fail('CheckpointError', {
      what: `Tensor ${name} has a type that is not supported`,
      got: show(entry.dtype),
      wanted: [...DTYPE.values()].join(', '),
      cure: 'Use an unquantised model, or a GGUF file.',
    });
  if (!isNumbers(shape) || shape.length > 8 || !isNumbers(offsets) || offsets.length !== 2 || offsets[1] < offsets[0])
    return fail('CheckpointError', {
      what: `Tensor ${name} has an invalid description`,
      got: `shape ${show(shape)}, data_offsets ${show(offsets)}`,
      wanted: 'a shape and two rising data_offsets',
      cure: DAMAGED,
    });
  const byteLength = rowBytes(dtype, valueCount(name, shape));
  if (offsets[1] - offsets[0] !== byteLength)
    fail('CheckpointError', {
      what: `The bytes of tensor ${name} do not fit its shape`,
      got: offsets[1] - offsets[0],
      wanted: byteLength,
      cure: DAMAGED,
    });
  return { name, dtype, shape, file, offset: dataOffset + offsets[0], byteLength };
}
