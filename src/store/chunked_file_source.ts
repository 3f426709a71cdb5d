/** Reads the files of a model from its chunks, in memory, in the cache or still to be downloaded. */
import { abortError, fail } from '../errors';
import { releaseBuffer, retainBuffer } from './buffer_references';
import { checkRange, type ByteSource } from './byte_source';
import type { ChunkStore } from './chunk_store';
import type { ModelDownload } from './download';
import { FileContentError } from './http_connection';
import type { FileRecord } from './model_cache';

const READ_AHEAD_CHUNKS = 2; // parallel reads are faster, and checking overlaps with them
const MAX_READ_ATTEMPTS = 3;

/** A file of the chunk store as a byte source; the reader must release what it reads. */
export function chunkedFileSource(
  file: FileRecord,
  chunks: ChunkStore,
  download: ModelDownload,
  closed: AbortSignal,
): ByteSource {
  // experts are read here and there, and then the rest of a chunk and the next chunks are of no use
  let [last, inOrder] = [0, 2];
  const chunk = async (index: number, signal: AbortSignal | undefined): Promise<Uint8Array> => {
    for (let attempt = 0; attempt < MAX_READ_ATTEMPTS; attempt++) {
      if (signal?.aborted || closed.aborted) throw abortError();
      if (!download.isReadable(file, index)) {
        try {
          await abortable(download.waitFor(file, index), signal);
        } catch (error) {
          if (
            !chunks.wasStored(file.name, index) ||
            error instanceof FileContentError ||
            signal?.aborted ||
            closed.aborted
          )
            throw error;
          fail(
            'StorageError',
            {
              what: `The stored copy of ${file.name} is damaged and cannot be downloaded again`,
              got: String(error),
              cure: 'Load it again while online, or delete it.',
            },
            error,
          );
        }
      }
      const data = await chunks.get(file.name, index);
      if (data) {
        await download.delivered(file, index, data);
        if (inOrder >= 2)
          for (let next = index + 1; next <= index + READ_AHEAD_CHUNKS; next++) chunks.prefetch(file.name, next);
        return data;
      }
    }
    return fail('StorageError', {
      what: `${file.name} cannot be read from the browser's storage`,
      got: `chunk ${index} damaged ${MAX_READ_ATTEMPTS} times`,
      cure: 'Delete the model and load it again.',
    });
  };
  return {
    name: file.name,
    size: file.size,
    read: async (offset, length, signal) => {
      if (signal?.aborted || closed.aborted) throw abortError();
      checkRange(file, offset, length);
      const { chunkBytes } = chunks.manifest;
      const part = async (at: number, most: number): Promise<Uint8Array> => {
        const index = Math.floor(at / chunkBytes);
        const start = at - index * chunkBytes;
        const end = Math.min(start + most, chunkBytes);
        const part = inOrder < 2 && (await chunks.part(file.name, index, start, end));
        return part || (await chunk(index, signal)).subarray(start, end);
      };
      if (length === 0) return new Uint8Array(0);
      const first = Math.floor(offset / chunkBytes);
      inOrder = first === last || first === last + 1 ? inOrder + 1 : 0;
      last = Math.floor((offset + length - 1) / chunkBytes);
      if ((offset % chunkBytes) + length <= chunkBytes) return part(offset, length);
      const bytes = retainBuffer(new Uint8Array(length));
      for (let at = 0; at < length;) {
        const data = await part(offset + at, length - at);
        bytes.set(data, at);
        at += data.length;
        releaseBuffer(data);
      }
      return bytes;
    },
    release: releaseBuffer,
  };
}

function abortable<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work;
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(abortError());
    signal.addEventListener('abort', stop, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}
