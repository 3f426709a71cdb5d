/** Streams of chunks that can be stopped from outside. */
import { isAbort, toOpenAIError } from './openai_error';

/**
 * Starts a stream and waits for its first chunk: what fails before it rejects.
 * @param begin gets the signal that ends the stream
 * @returns chunks to iterate once. Leaving the loop, and `signal`, abort the generation; after the signal the loop ends
 * with AbortError
 */
export async function startStream<T>(
  begin: (signal: AbortSignal) => AsyncGenerator<T, void>,
  signal?: AbortSignal | null,
): Promise<AsyncIterable<T>> {
  const controller = new AbortController();
  const abort = (): void => controller.abort();
  if (signal?.aborted) abort();
  signal?.addEventListener('abort', abort);
  const chunks = begin(controller.signal);
  const end = (): void => {
    signal?.removeEventListener('abort', abort);
    abort();
  };
  let first: IteratorResult<T, void>;
  try {
    first = await chunks.next();
  } catch (error) {
    end();
    throw error;
  }

  async function* iterate(): AsyncGenerator<T, void> {
    try {
      if (first.done) return;
      yield first.value;
      yield* chunks;
    } catch (error) {
      throw isAbort(error) ? error : toOpenAIError(error);
    } finally {
      end();
    }
  }
  const iterator = iterate();
  return {
    [Symbol.asyncIterator]: () => ({
      next: () => iterator.next(),
      // the generator may wait for a chunk: return() alone would wait, too
      return: () => (end(), iterator.return()),
    }),
  };
}
