/** The worker's side of calls on models that are not loaded: the heavy work of the cache would make a page stutter. */
import { downloadModel, modelRoom, type ModelRoom } from '../store/cached_models';
import type { ModelSource, OpenOptions } from '../store/open_model';
import type { Progress } from '../store/progress';
import type { EvictionConsent } from '../store/storage_space';

/** Options that a message can carry. Functions and signals are arguments of their own. */
export type CloneableOptions<T> = Omit<T, 'signal' | 'onProgress' | 'makeRoom'> & { makeRoom?: boolean };

/** The calls that the page makes through Comlink. */
export interface WorkerModelCalls {
  modelRoom(source: ModelSource, options?: CloneableOptions<OpenOptions>, signal?: AbortSignal): Promise<ModelRoom>;
  downloadModel(
    source: ModelSource,
    options?: CloneableOptions<OpenOptions>,
    onProgress?: (progress: Progress) => void,
    signal?: AbortSignal,
    makeRoom?: EvictionConsent,
  ): Promise<string>;
}

export const workerModelCalls: WorkerModelCalls = {
  modelRoom: (source, options, signal) => modelRoom(source, { ...options, signal }),
  downloadModel: (source, options, onProgress, signal, makeRoom) =>
    downloadModel(source, { ...options, onProgress, signal, ...(makeRoom && { makeRoom }) }),
};
