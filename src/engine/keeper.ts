/** What the worker does for models that are not loaded: a look at them, and the cache's heavy work, which would make a page stutter. */
import { exportModel, importModel, downloadModel, modelRoom, verifyModel, type Room, type Verification } from '../store/models';
import type { ModelSource, OpenOptions } from '../store/open';
import type { Progress } from '../store/progress';
import type { Consent } from '../store/room';
import { estimate, type Estimate, type EstimateOptions } from './estimate';

type Report = (progress: Progress) => void;

/** Options that can be sent; functions and signals stand beside them. */
export type Sendable<T> = Omit<T, 'signal' | 'onProgress' | 'makeRoom'> & { makeRoom?: boolean };

/** What the page reaches through Comlink. */
export interface Keeper {
  estimate(source: ModelSource, options?: EstimateOptions, signal?: AbortSignal): Promise<Estimate>;
  modelRoom(source: ModelSource, options?: Sendable<OpenOptions>, signal?: AbortSignal): Promise<Room>;
  downloadModel(source: ModelSource, options?: Sendable<OpenOptions>, onProgress?: Report, signal?: AbortSignal, makeRoom?: Consent): Promise<string>;
  verifyModel(id: string, onProgress?: Report, signal?: AbortSignal): Promise<Verification>;
  exportModel(id: string, signal?: AbortSignal): Promise<Blob>;
  importModel(blob: Blob, onProgress?: Report, signal?: AbortSignal): Promise<string>;
}

export const keeper: Keeper = {
  estimate,
  modelRoom: (source, options, signal) => modelRoom(source, { ...options, signal }),
  downloadModel: (source, options, onProgress, signal, makeRoom) => downloadModel(source, { ...options, onProgress, signal, ...(makeRoom && { makeRoom }) }),
  verifyModel: (id, onProgress, signal) => verifyModel(id, { onProgress, signal }),
  exportModel: (id, signal) => exportModel(id, { signal }),
  importModel: (blob, onProgress, signal) => importModel(blob, { onProgress, signal }),
};
