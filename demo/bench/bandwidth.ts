/** Measures how fast this device reads memory: a token reads all weights once, so this bounds its speed. */
import type { ReaderJob, ReaderMessage } from './bench_reader_worker';

/** More than the caches of a processor hold, all threads together. */
const TOTAL_BYTES = 256 << 20;
const LEAST_BYTES = 32 << 20;
const ROUND_MS = 150;
const ROUNDS = 3;

/** @returns GB/s of all threads together, the best of a few rounds; undefined if the browser starts no such threads */
export async function readBandwidth(threads: number, signal: AbortSignal): Promise<number | undefined> {
  const bytes = Math.max(LEAST_BYTES, Math.floor(TOTAL_BYTES / threads));
  const workers = Array.from(
    { length: threads },
    () => new Worker(new URL('./bench_reader_worker.ts', import.meta.url), { type: 'module' }),
  );
  try {
    const all = (job: ReaderJob): Promise<Exclude<ReaderMessage, { error: string }>[]> =>
      Promise.all(workers.map((worker) => ask(worker, job, signal)));
    await all({ bytes, milliseconds: 0 });
    let best = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const done = await all({ bytes, milliseconds: ROUND_MS });
      const sum = done.reduce((total, one) => total + ('bytes' in one ? one.bytes / one.milliseconds : 0), 0);
      best = Math.max(best, sum / 1e6);
    }
    return best;
  } catch {
    if (signal.aborted) throw new DOMException('The benchmark was stopped.', 'AbortError');
    return undefined; // the result then has no bandwidth
  } finally {
    for (const worker of workers) worker.terminate();
  }
}

function ask(worker: Worker, job: ReaderJob, signal: AbortSignal): Promise<Exclude<ReaderMessage, { error: string }>> {
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(new Error('stopped')), { once: true });
    worker.onerror = ({ message }) => reject(new Error(message));
    worker.onmessage = ({ data }: MessageEvent<ReaderMessage>) =>
      'error' in data ? reject(new Error(data.error)) : resolve(data);
    worker.postMessage(job);
  });
}
