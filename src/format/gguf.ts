/**
 * GGUF, versions 2 and 3, little-endian: magic, version, counts, metadata, tensor infos, aligned tensor data
 * (ggml-org/ggml docs/gguf.md).
 * Pure: bytes in, a header out.
 */
import { fail, show } from '../errors';
import { dtypeOfGgml, DTYPES, rowBytes } from '../tensor/dtype';
import type { TensorInfo } from '../tensor/tensor';
import { HeaderCursor, MAX_HEADER_BYTES, parseHead, type NamedFile, type NeedMoreBytes } from './header_cursor';
import { checkLayout, valueCount } from './check_layout';

/** 64-bit integers beyond 2^53 are rounded. */
export type GgufValue = number | boolean | string | GgufValue[];
export type GgufMetadata = Map<string, GgufValue>;

export interface GgufHeader {
  version: number;
  metadata: GgufMetadata;
  /** offsets are from the start of the file */
  tensors: TensorInfo[];
  alignment: number;
  /** first byte of the tensor data */
  dataOffset: number;
}

const MAGIC = 0x46554747; // 'GGUF'
const MAX_ENTRIES = 65536;
const MAX_ARRAY = 2 ** 20;
const MAX_DEPTH = 2;
const MAX_KEY = 65535;
export const MAX_NAME = 256;
const STRING = 8;
const ARRAY = 9;

/** type id → size in bytes and reader; strings and arrays are handled separately */
const SCALARS = new Map<number, [number, (c: HeaderCursor) => number | boolean]>([
  [0, [1, (c) => c.u8()]],
  [1, [1, (c) => c.i8()]],
  [2, [2, (c) => c.u16()]],
  [3, [2, (c) => c.i16()]],
  [4, [4, (c) => c.u32()]],
  [5, [4, (c) => c.i32()]],
  [6, [4, (c) => c.f32()]],
  [7, [1, (c) => c.u8() !== 0]],
  [10, [8, (c) => c.u64()]],
  [11, [8, (c) => c.i64()]],
  [12, [8, (c) => c.f64()]],
]);

/** ggml types that are not supported, for the error message */
const OTHER_TYPES: Record<number, string> = {
  16: 'IQ2_XXS',
  17: 'IQ2_XS',
  18: 'IQ3_XXS',
  19: 'IQ1_S',
  22: 'IQ2_S',
  24: 'I8',
  25: 'I16',
  26: 'I32',
  27: 'I64',
  28: 'F64',
  29: 'IQ1_M',
  34: 'TQ1_0',
  35: 'TQ2_0',
  40: 'NVFP4',
  41: 'Q1_0',
  42: 'Q2_0',
};

const DAMAGED = 'The file is damaged: get it again.';

/**
 * The header, or how many bytes of the file the parser needs.
 * @param head the first bytes of the file
 * @param index of the file among the shards, for `TensorInfo.file`
 * @throws CheckpointError for anything but a valid GGUF file of supported types
 */
export const parseGguf = (head: Uint8Array, file: NamedFile, index = 0): GgufHeader | NeedMoreBytes =>
  parseHead(head, file, (cursor) => readHeader(cursor, file, index));

function readHeader(c: HeaderCursor, file: NamedFile, index: number): GgufHeader {
  const { version, tensorCount, entryCount } = readCounts(c, file);
  const metadata: GgufMetadata = new Map();
  readMetadata(c, entryCount, metadata);
  return { version, metadata, ...readTensors(c, tensorCount, metadata, index, 0) };
}

export function readCounts(
  c: HeaderCursor,
  file: NamedFile,
): { version: number; tensorCount: number; entryCount: number } {
  if (c.u32() !== MAGIC)
    fail('CheckpointError', {
      what: `${file.name} is not a GGUF file`,
      got: `first bytes ${[...c.head.subarray(0, 4)].map((b) => b.toString(16).padStart(2, '0')).join(' ')}`,
      wanted: '47 47 55 46 ("GGUF")',
      cure: 'Check that it is the model file itself, not a web page or a pointer to it.',
    });
  const version = c.u32();
  if (version !== 2 && version !== 3)
    fail('CheckpointError', {
      what: version > 0xffff ? `${file.name} is big-endian` : `The GGUF version of ${file.name} is not supported`,
      got: version > 0xffff ? undefined : version,
      wanted: 'little-endian GGUF version 2 or 3',
      cure: 'Convert the model with a current converter.',
    });
  // every tensor info has at least 24 bytes, every metadata entry 13
  const tensorCount = count(c.u64(), 24, 'tensors', MAX_ENTRIES, c);
  const entryCount = count(c.u64(), 13, 'metadata entries', MAX_ENTRIES, c);
  return { version, tensorCount, entryCount };
}

export function readMetadata(c: HeaderCursor, entryCount: number, into: GgufMetadata): void {
  for (let i = 0; i < entryCount; i++) {
    const key = c.string(count(c.u64(), 1, 'bytes of a metadata key', MAX_KEY, c));
    if (into.has(key))
      fail('CheckpointError', { what: `${c.file.name} has the same metadata key twice`, got: key, cure: DAMAGED });
    into.set(key, readValue(c, c.u32(), key, 0));
  }
}

/** @param start where the cursor's bytes begin in the file */
export function readTensors(
  c: HeaderCursor,
  tensorCount: number,
  metadata: GgufMetadata,
  index: number,
  start: number,
): Pick<GgufHeader, 'tensors' | 'alignment' | 'dataOffset'> {
  const { file } = c;
  const alignment = metadata.get('general.alignment') ?? 32;
  if (typeof alignment !== 'number' || alignment < 1 || alignment > 65536 || !Number.isInteger(Math.log2(alignment)))
    fail('CheckpointError', {
      what: `general.alignment of ${file.name} is not valid`,
      got: show(alignment),
      wanted: 'a power of two up to 65536',
      cure: DAMAGED,
    });

  const others = new Set<string>();
  const infos = Array.from({ length: tensorCount }, () => readTensor(c, index, others)).filter((info) => !!info);
  if (others.size > 0)
    fail('CheckpointError', {
      what: `${file.name} has tensors of a type that is not supported`,
      got: [...others].join(', '),
      wanted: Object.keys(DTYPES).join(', '),
      cure: 'Use the model in one of these types, Q4_0 or Q4_K_M for instance.',
    });
  const dataOffset = Math.ceil((start + c.at) / alignment) * alignment;
  const tensors = infos.map((info) => {
    if (info.offset % alignment !== 0)
      fail('CheckpointError', {
        what: `Tensor ${info.name} is not aligned`,
        got: `offset ${info.offset}`,
        wanted: `a multiple of ${alignment}`,
        cure: DAMAGED,
      });
    return { ...info, offset: info.offset + dataOffset };
  });
  checkLayout(tensors, file);
  return { tensors, alignment, dataOffset };
}

/** Checks a count of items of at least `bytes` bytes each: they must fit into the rest of the file. */
function count(n: number, bytes: number, of: string, limit: number, c: HeaderCursor): number {
  const room = Math.min(c.file.size, MAX_HEADER_BYTES) - c.at;
  if (n <= limit && n * bytes <= room) return n;
  return fail('CheckpointError', {
    what: `${c.file.name} is incomplete or damaged: it states ${n} ${of}`,
    got: `${room} bytes left for them`,
    wanted: n > limit ? `at most ${limit} ${of}` : `at least ${n * bytes}`,
    cure: 'Get the file again.',
  });
}

function readValue(c: HeaderCursor, type: number, key: string, depth: number): GgufValue {
  const scalar = SCALARS.get(type);
  if (scalar) return scalar[1](c);
  if (type === STRING) return c.string(count(c.u64(), 1, `bytes of ${key}`, MAX_HEADER_BYTES, c));
  if (type !== ARRAY)
    return fail('CheckpointError', {
      what: `The metadata value ${key} has an unknown type`,
      got: type,
      wanted: '0 to 12',
      cure: DAMAGED,
    });
  if (depth === MAX_DEPTH)
    return fail('CheckpointError', {
      what: `The metadata value ${key} is nested too deeply`,
      got: `more than ${depth} nested arrays`,
      cure: DAMAGED,
    });

  const elementType = c.u32();
  const element = SCALARS.get(elementType);
  const length = count(
    c.u64(),
    element?.[0] ?? (elementType === ARRAY ? 12 : 8),
    `values of ${key}`,
    elementType === ARRAY ? MAX_ENTRIES : MAX_ARRAY,
    c,
  );
  if (elementType === STRING) return c.strings(length);
  if (element) {
    const end = c.take(length * element[0]); // all bytes must be in memory before the list is made
    c.at = end;
    return Array.from({ length }, () => element[1](c));
  }
  return Array.from({ length }, () => readValue(c, elementType, key, depth + 1));
}

/** The offset of the result counts from the start of the tensor data. A type that is not supported goes to `others`. */
function readTensor(c: HeaderCursor, file: number, others: Set<string>): TensorInfo | undefined {
  const name = c.string(count(c.u64(), 1, 'bytes of a tensor name', MAX_NAME, c));
  const dimensions = c.u32();
  if (dimensions < 1 || dimensions > 4)
    fail('CheckpointError', {
      what: `Tensor ${name} has a wrong number of dimensions`,
      got: dimensions,
      wanted: '1 to 4',
      cure: DAMAGED,
    });
  const shape = Array.from({ length: dimensions }, () => c.u64()).reverse(); // GGUF lists the innermost dimension first
  const type = c.u32();
  const offset = c.u64();
  const dtype = dtypeOfGgml(type);
  if (!dtype) return void others.add(OTHER_TYPES[type] ?? `type ${type}`);
  const values = valueCount(name, shape);
  const cols = shape[shape.length - 1];
  const { blockLength } = DTYPES[dtype];
  if (cols % blockLength !== 0)
    fail('CheckpointError', {
      what: `The rows of tensor ${name} are not whole blocks of ${dtype}`,
      got: cols,
      wanted: `a multiple of ${blockLength}`,
      cure: DAMAGED,
    });
  const byteLength = rowBytes(dtype, cols) * (values / cols);
  if (!Number.isSafeInteger(byteLength) || !Number.isSafeInteger(offset))
    fail('CheckpointError', {
      what: `Tensor ${name} is too large`,
      got: `${byteLength} bytes at ${offset}`,
      wanted: 'below 2^53',
      cure: DAMAGED,
    });
  return { name, dtype, shape, file, offset, byteLength };
}

/**
 * Joins the headers of a model's shards: the metadata of the first, the tensors of all (keys split.no, split.count).
 * @param headers in the order of the files, each with its index in `TensorInfo.file`
 * @throws CheckpointError if there are too few or too many shards, or if two hold the same tensor
 */
export function joinShards(headers: readonly GgufHeader[]): { metadata: GgufMetadata; tensors: TensorInfo[] } {
  const counts = headers.map(({ metadata }) => metadata.get('split.count') || 1); // 0 in merged files
  const numbers = headers.map(({ metadata }) => metadata.get('split.no') ?? 0);
  if (
    counts.some((n) => n !== headers.length) ||
    new Set(numbers).size !== headers.length ||
    numbers.some((n) => !(Number(n) >= 0 && Number(n) < headers.length))
  )
    fail('CheckpointError', {
      what: 'The GGUF files are not the shards of one model',
      got: `shards ${numbers.map(show).join(', ')} of ${counts.map(show).join(', ')}`,
      wanted:
        headers.length === 1 && typeof counts[0] === 'number'
          ? `all ${counts[0]} files`
          : 'one file, or every shard of one model once',
      cure: 'Give all the files of one model, and only those.',
    });
  const names = new Set<string>();
  const tensors = headers.flatMap((header) => header.tensors);
  for (const { name } of tensors) {
    if (names.has(name))
      fail('CheckpointError', {
        what: 'Two shards hold the same tensor',
        got: name,
        cure: 'Give the files of one model only.',
      });
    names.add(name);
  }
  return { metadata: headers[numbers.indexOf(0)].metadata, tensors };
}
