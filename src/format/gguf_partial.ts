/** Reads parts of a GGUF header of which the middle is missing: its start, and its tensor table. Pure, like gguf.ts. */
import { MAX_NAME, readCounts, readMetadata, readTensors, type GgufHeader, type GgufMetadata } from './gguf';
import { HeaderCursor, parseHead, type NamedFile, type NeedMoreBytes } from './header_cursor';

/**
 * The header as far as the first bytes of a file go. `metadata` has the entries that are complete in them: usually
 * those before the vocabulary.
 */
export interface GgufPartialHeader {
  version: number;
  tensorCount: number;
  metadata: GgufMetadata;
}

/** @throws CheckpointError like parseGguf */
export function parseGgufPartialHeader(head: Uint8Array, file: NamedFile): GgufPartialHeader | NeedMoreBytes {
  const metadata: GgufMetadata = new Map();
  let counts: ReturnType<typeof readCounts> | undefined;
  const rest = parseHead(head, file, (c) => {
    counts = readCounts(c, file);
    readMetadata(c, counts.entryCount, metadata);
    return {};
  });
  return counts ? { version: counts.version, tensorCount: counts.tensorCount, metadata } : (rest as NeedMoreBytes);
}

/**
 * Guesses whether the bytes belong to a header: lengths and types are mostly zeros, a chat template is text, weights
 * are neither.
 * `findGgufTensors` checks the result.
 */
export function looksLikeHeader(bytes: Uint8Array): boolean {
  let [zeros, text] = [0, 0];
  for (const byte of bytes) {
    if (byte === 0) zeros++;
    else if (byte >= 9 && byte < 127) text++;
  }
  return zeros > 0.2 * bytes.length || text > 0.8 * bytes.length;
}

/**
 * Finds the tensor table in a piece of the file, and returns a header with all tensors and the metadata of the start.
 * @param piece the bytes of the file from byte `at` on
 * @returns undefined unless the tensors of a table fill the rest of the file exactly
 */
export function findGgufTensors(
  start: GgufPartialHeader,
  piece: Uint8Array,
  at: number,
  file: NamedFile,
  index = 0,
): GgufHeader | undefined {
  const { version, tensorCount, metadata } = start;
  const view = new DataView(piece.buffer, piece.byteOffset, piece.byteLength);
  for (let from = 0; from + 24 * tensorCount <= piece.length; from++) {
    if (
      view.getUint32(from + 4, true) !== 0 ||
      view.getUint32(from, true) > MAX_NAME ||
      view.getUint32(from, true) === 0
    )
      continue;
    const cursor = new HeaderCursor(piece.subarray(from), file);
    try {
      const header = { version, metadata, ...readTensors(cursor, tensorCount, metadata, index, at + from) };
      if (tensorsFillFile(header, file.size)) return header;
    } catch {
      continue; // not here
    }
  }
  return undefined;
}

/** True if the tensors fill the data of the file without gaps. */
function tensorsFillFile(
  { tensors, alignment, dataOffset }: Pick<GgufHeader, 'tensors' | 'alignment' | 'dataOffset'>,
  size: number,
): boolean {
  let end = dataOffset;
  for (const { offset, byteLength } of [...tensors].sort((a, b) => a.offset - b.offset)) {
    if (offset - end >= alignment) return false;
    end = offset + byteLength;
  }
  return size - end < alignment;
}
