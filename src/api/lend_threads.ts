/**
 * The page starts the threads of the engine's worker. The worker itself could, but in Firefox `new Worker` inside a
 * worker sometimes never returns (ESR 153, measured: one start in fourteen on a busy machine).
 */
import type { ThreadLendingMessage } from '../backend/wasm/threads';
import { trustedUrl } from './trusted_url';

/** Starts threads when `engine` asks for them. @returns a function that ends them all */
export function lendThreads(engine: Worker): () => void {
  const threads = new Map<number, Worker>();
  const lend = ({ data }: MessageEvent<ThreadLendingMessage | undefined>): void => {
    if (data?.rivuletThreads === 'start') {
      const { id, url, port } = data;
      const failed = (reason: string): void =>
        engine.postMessage({ rivuletThreads: 'failed', id, reason } satisfies ThreadLendingMessage);
      try {
        const thread = new Worker(trustedUrl(url));
        thread.onerror = ({ message }) => failed(message);
        thread.postMessage({ port }, [port]);
        threads.set(id, thread);
      } catch (error) {
        failed(String(error));
      }
    } else if (data?.rivuletThreads === 'end') {
      threads.get(data.id)?.terminate();
      threads.delete(data.id);
    }
  };
  engine.addEventListener('message', lend);
  engine.postMessage({ rivuletThreads: 'lent' } satisfies ThreadLendingMessage);
  return () => {
    // what holds the worker would hold what this function sees: once a minifier has inlined it, the caller's variables
    engine.removeEventListener('message', lend);
    threads.forEach((thread) => thread.terminate());
  };
}
