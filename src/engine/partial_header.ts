/**
 * Reads the tensor table of a GGUF file without the vocabulary before it. The vocabulary is megabytes long and its
 * length is not stated. The table ends where the weights begin, and header bytes look unlike weights, so a binary
 * search finds the border.
 */
import { abortError } from '../errors';
import { MAX_HEADER_BYTES } from '../format/header_cursor';
import { parseGguf, type GgufHeader } from '../format/gguf';
import { findGgufTensors, looksLikeHeader, parseGgufPartialHeader } from '../format/gguf_partial';
import type { ByteSource } from '../store/byte_source';

const START_BYTES = 32 << 10; // enough for what converters write before the vocabulary
const SAMPLE_BYTES = 4 << 10;
const TABLE_BYTES = 96 << 10; // enough for a thousand tensors

/**
 * @returns undefined if the table is not found: then read the whole header. @throws CheckpointError; SourceError;
 * AbortError
 */
export async function readHeaderWithoutVocabulary(
  file: ByteSource,
  signal?: AbortSignal,
): Promise<GgufHeader | undefined> {
  const read = (from: number, to: number): Promise<Uint8Array> => {
    if (signal?.aborted) throw abortError();
    return file.read(from, Math.min(to, file.size) - from, signal);
  };
  const head = await read(0, START_BYTES);
  const whole = parseGguf(head, file);
  if (!('need' in whole)) return whole;
  const start = parseGgufPartialHeader(head, file);
  if ('need' in start || file.size <= START_BYTES) return undefined;
  let [inside, outside] = [START_BYTES, Math.min(file.size, MAX_HEADER_BYTES)];
  while (outside - inside > SAMPLE_BYTES) {
    const middle = (inside + outside) >> 1;
    if (looksLikeHeader(await read(middle, middle + SAMPLE_BYTES))) inside = middle;
    else outside = middle;
  }
  const from = Math.max(0, outside - TABLE_BYTES);
  return findGgufTensors(start, await read(from, outside + SAMPLE_BYTES), from, file);
}
