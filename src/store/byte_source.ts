/** A file of known size that is read in pieces. The rest of the engine sees the store only through this. */
import { abortError, fail } from '../errors';
import { freeBufferNow } from './buffer_references';

export interface ByteSource {
  /** path within its model, '/' between folders: 'LFM2-350M-Q4_0.gguf', 'config.json' */
  readonly name: string;
  /** bytes */
  readonly size: number;
  /**
   * Exactly `length` bytes from `offset`. Other readers may share the bytes: do not write to or transfer them.
   * @throws SourceError if the range leaves the file or the bytes cannot be read; StorageError if the cached copy is
   * damaged; AbortError
   */
  read(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array>;
  /**
   * The reader no longer needs bytes that `read` returned and must not use them again. Without other readers their
   * memory is freed at once, which garbage collection would do much later.
   */
  release?(bytes: Uint8Array): void;
}

/** @throws SourceError unless 0 ≤ offset ≤ offset + length ≤ size, all whole numbers */
export function checkRange(source: { name: string; size: number }, offset: number, length: number): void {
  const end = offset + length;
  if (Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0 && end <= source.size)
    return;
  fail('SourceError', {
    what: `A read leaves the file ${source.name}`,
    got: `bytes ${offset} to ${end}`,
    wanted: `within 0 to ${source.size}`,
    cure: 'The file is shorter than its header says: get it again.',
  });
}

export function memorySource(name: string, bytes: Uint8Array): ByteSource {
  return {
    name,
    size: bytes.length,
    read: async (offset, length, signal) => {
      if (signal?.aborted) throw abortError();
      checkRange({ name, size: bytes.length }, offset, length);
      return bytes.subarray(offset, offset + length);
    },
  };
}

/** Reads from disk on demand, without a copy of the file. */
export function blobSource(blob: Blob, name = blob instanceof File ? blob.name : 'model'): ByteSource {
  const { size } = blob;
  return {
    name,
    size,
    read: async (offset, length, signal) => {
      if (signal?.aborted) throw abortError();
      checkRange({ name, size }, offset, length);
      let bytes: Uint8Array;
      try {
        bytes = new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer());
      } catch (cause) {
        // NotReadableError or NotFoundError: the file was changed, moved or deleted after it was chosen
        fail(
          'SourceError',
          { what: `${name} can no longer be read`, got: String(cause), cure: 'Choose the file again.' },
          cause,
        );
      }
      if (signal?.aborted) throw abortError();
      if (bytes.length !== length)
        fail('SourceError', {
          what: `${name} changed while it was read`,
          got: `${bytes.length} bytes`,
          wanted: `${length}`,
          cure: 'Choose the file again.',
        });
      return bytes;
    },
    release: freeBufferNow,
  };
}
