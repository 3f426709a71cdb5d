/** The page's side of the times by kernel: a worker for each call. */
import { wrap } from 'comlink';
import '../../src/engine/comlink_handlers';
import type { ModelSource } from '../../src/index';
import type { KernelCalls, KernelTimesOptions } from './bench_kernels_worker';
import type { KernelTimes } from './result';

/** @throws what the backend throws; AbortError */
export async function kernelTimes(
  source: ModelSource,
  options: KernelTimesOptions,
  signal: AbortSignal,
): Promise<KernelTimes> {
  const worker = new Worker(new URL('./bench_kernels_worker.ts', import.meta.url), { type: 'module' });
  try {
    const stopped = new Promise<never>((_, reject) => {
      const abort = (): void => reject(new DOMException('The benchmark was stopped.', 'AbortError'));
      if (signal.aborted) abort();
      signal.addEventListener('abort', abort, { once: true });
      worker.addEventListener('error', ({ message }) =>
        reject(new Error(`The worker of the times by kernel failed: ${message || 'it did not start'}`)),
      );
    });
    return await Promise.race([wrap<KernelCalls>(worker).kernelTimes(source, options), stopped]);
  } finally {
    worker.terminate();
  }
}
