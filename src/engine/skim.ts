/**
 * The tensors of a GGUF file without its vocabulary, which stands before them, is megabytes long and cannot be skipped by its lengths. Their
 * table ends where the weights begin, and bytes of a header are unlike weights: so the border is found by halving.
 */
import { abortError } from '../errors';
import { MAX_HEADER } from '../format/cursor';
import { findGgufTensors, looksLikeHeader, parseGguf, parseGgufStart, type GgufHeader } from '../format/gguf';
import type { ByteSource } from '../store/source';

const START = 32 << 10; // holds what converters write before the vocabulary
const PROBE = 4 << 10;
const TABLE = 96 << 10; // of a thousand tensors

/** @returns undefined where the table is not found: then the header must be read whole. @throws CheckpointError; SourceError; AbortError */
export async function skimHeader(file: ByteSource, signal?: AbortSignal): Promise<GgufHeader | undefined> {
  const read = (from: number, to: number): Promise<Uint8Array> => {
    if (signal?.aborted) throw abortError();
    return file.read(from, Math.min(to, file.size) - from, signal);
  };
  const head = await read(0, START);
  const whole = parseGguf(head, file);
  if (!('need' in whole)) return whole;
  const start = parseGgufStart(head, file);
  if ('need' in start || file.size <= START) return undefined;
  let [inside, outside] = [START, Math.min(file.size, MAX_HEADER)];
  while (outside - inside > PROBE) {
    const middle = (inside + outside) >> 1;
    if (looksLikeHeader(await read(middle, middle + PROBE))) inside = middle;
    else outside = middle;
  }
  const from = Math.max(0, outside - TABLE);
  return findGgufTensors(start, await read(from, outside + PROBE), from, file);
}
