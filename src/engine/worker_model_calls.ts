/** The worker's side of calls on models that are not loaded: estimates, and the heavy work of the cache, which would make a page stutter. */
import { exportModel, importModel, downloadModel, modelRoom, verifyModel, type ModelRoom, type VerificationResult } from '../store/cached_models';
import type { ModelSource, OpenOptions } from '../store/open_model';
import type { Progress } from '../store/progress';
import type { EvictionConsent } from '../store/storage_space';
import { estimate, type LoadEstimate, type EstimateOptions } from './estimate';

type OnProgress = (progress: Progress) => void;

/** Options that a message can carry. Functions and signals are arguments of their own. */
export type CloneableOptions<T> = Omit<T, 'signal' | 'onProgress' | 'makeRoom'> & { makeRoom?: boolean };

/** The calls that the page makes through Comlink. */
export interface WorkerModelCalls {
  estimate(source: ModelSource, options?: EstimateOptions, signal?: AbortSignal): Promise<LoadEstimate>;
  modelRoom(source: ModelSource, options?: CloneableOptions<OpenOptions>, signal?: AbortSignal): Promise<ModelRoom>;
  downloadModel(source: ModelSource, options?: CloneableOptions<OpenOptions>, onProgress?: OnProgress, signal?: AbortSignal, makeRoom?: EvictionConsent): Promise<string>;
  verifyModel(id: string, onProgress?: OnProgress, signal?: AbortSignal): Promise<VerificationResult>;
  exportModel(id: string, signal?: AbortSignal): Promise<Blob>;
  importModel(blob: Blob, onProgress?: OnProgress, signal?: AbortSignal): Promise<string>;
}

export const workerModelCalls: WorkerModelCalls = {
  estimate,
  modelRoom: (source, options, signal) => modelRoom(source, { ...options, signal }),
  downloadModel: (source, options, onProgress, signal, makeRoom) => downloadModel(source, { ...options, onProgress, signal, ...(makeRoom && { makeRoom }) }),
  verifyModel: (id, onProgress, signal) => verifyModel(id, { onProgress, signal }),
  exportModel: (id, signal) => exportModel(id, { signal }),
  importModel: (blob, onProgress, signal) => importModel(blob, { onProgress, signal }),
};
