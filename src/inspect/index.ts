/** Looks inside a model. A file of its own beside the library: it holds the reference backend, which answers nobody. */
import { proxy } from 'comlink';
import { OPTIONS, readOptions } from '../api/options';
import { readPrompt } from '../api/read_arguments';
import { absoluteHub, readSource } from '../api/resolve_source';
import { startWorker } from '../api/start_worker';
import { watchProgress } from '../api/watch_progress';
import { abortError, RivuletError } from '../errors';
import type { ModelSource } from '../store/open_model';
import type { Progress } from '../store/progress';
import type { Inspection, InspectOptions } from './inspect_model';
import type { InspectWorkerCalls } from './worker';
import inspectScript from './worker?script';

export type { AttentionWeights, ConvGates, Inspection, InspectOptions } from './inspect_model';
export type { ModelSource, Progress };

export interface InspectCallOptions extends InspectOptions {
  signal?: AbortSignal;
  onProgress?: (progress: Progress) => void;
}

/**
 * Computes what a model does with a text, layer by layer and token by token, with the reference backend in a worker
 * that ends with the call.
 * `text` may be token ids, which are used unchanged. A model that is stored in this browser is read from there, by its
 * id or source.
 * @throws by name: RequestError for a text that is empty or has more than 64 tokens, MemoryError for more than 500
 * million weights, SourceError, CheckpointError, StorageError, AbortError
 */
export async function inspect(
  source: ModelSource,
  text: string | readonly number[],
  options?: InspectCallOptions,
): Promise<Inspection> {
  const { signal, onProgress, ...settings } = readOptions<InspectCallOptions>(OPTIONS.inspect, options);
  if (signal?.aborted) throw abortError();
  const { remote, guard, end } = startWorker<InspectWorkerCalls>('rivulet inspect', [inspectScript]);
  const watch = watchProgress(onProgress);
  const abort = (): void => end(abortError() as Error);
  signal?.addEventListener('abort', abort);
  try {
    return await guard<Inspection>(
      remote.inspectModel(readSource(source), readPrompt(text), absoluteHub(settings), proxy(watch.report)),
    );
  } finally {
    watch.stop();
    signal?.removeEventListener('abort', abort);
    end(new RivuletError('RequestError', { what: 'The call is over' }));
  }
}
