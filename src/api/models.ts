/** Models that are not loaded: a look before the download, and what is kept in this browser. The heavy part runs in a worker of its own. */
import { proxy } from 'comlink';
import type { Estimate, EstimateOptions } from '../engine/estimate';
import type { Sendable } from '../engine/keeper';
import { abortError, RivuletError } from '../errors';
import type { Room, Verification } from '../store/models';
import type { ModelSource, OpenOptions } from '../store/open';
import type { Progress } from '../store/progress';
import { askable, start, type Abortable, type Remote } from './client';
import { asksToPersist } from './persist';
import { absolute, absoluteHub } from './source';

interface Watched extends Abortable {
  onProgress?: (progress: Progress) => void;
}

/** In a worker that ends with the call. */
async function inWorker<T>(signal: AbortSignal | undefined, call: (remote: Remote) => Promise<T>): Promise<T> {
  if (signal?.aborted) throw abortError();
  const { engine, guard, end } = start();
  try {
    return await guard(call(engine));
  } finally {
    end(new RivuletError('RequestError', { what: 'The call is over' }));
  }
}

const proxied = (onProgress: Watched['onProgress']): Watched['onProgress'] => onProgress && proxy((progress: Progress) => onProgress(progress));

/**
 * What a model would need of this device, whether it can hold it, and how fast it would answer: from the headers, of which some hundred KB are
 * fetched, and from a run of under a second over made-up weights, on the backend that load() would take.
 * @throws by name, as load() does for what the headers show: SourceError, CheckpointError, RequestError, DeviceError, AbortError
 */
export const estimate = (source: ModelSource, { signal, ...options }: EstimateOptions & Abortable = {}): Promise<Estimate> =>
  inWorker(signal, (remote) => remote.estimate(absolute(source), absoluteHub(options), signal));

/** What a model needs of the storage and what is there, without a look into it. @throws SourceError, RequestError, AbortError */
export const modelRoom = (source: ModelSource, { signal, ...options }: Pick<OpenOptions, 'hub' | 'token'> & Abortable = {}): Promise<Room> =>
  inWorker(signal, (remote) => remote.modelRoom(absolute(source), absoluteHub(options), signal));

export type DownloadOptions = Pick<OpenOptions, 'hub' | 'token' | 'refresh' | 'makeRoom' | 'policy'> & Watched;

/**
 * Brings a model into the browser's storage, to be loaded later without a network. Broken off, it goes on where it was at the next call, or
 * when the model is loaded.
 * @returns its id
 * @throws StorageError before any byte of it is fetched if there is no room, and when it runs out; SourceError, RequestError, AbortError
 */
export const downloadModel = (source: ModelSource, { signal, onProgress, makeRoom, ...options }: DownloadOptions = {}): Promise<string> => {
  const ask = asksToPersist(true);
  const report = proxied((progress) => (ask(progress), onProgress?.(progress)));
  return inWorker(signal, (remote) => remote.downloadModel(absolute(source), absoluteHub<Sendable<OpenOptions>>(options), report, signal, askable(makeRoom)));
};

/** Reads every stored byte of a model and compares it with its hashes; what is damaged is forgotten, to be fetched anew. @throws StorageError, AbortError */
export const verifyModel = (id: string, { signal, onProgress }: Watched = {}): Promise<Verification> =>
  inWorker(signal, (remote) => remote.verifyModel(id, proxied(onProgress), signal));

/** One whole model of the storage as one file, for another device. @throws StorageError, AbortError */
export const exportModel = (id: string, { signal }: Abortable = {}): Promise<Blob> => inWorker(signal, (remote) => remote.exportModel(id, signal));

/** Puts an exported model into the storage; every byte is checked. @returns its id. @throws SourceError for any other file; StorageError, AbortError */
export const importModel = (blob: Blob, { signal, onProgress }: Watched = {}): Promise<string> =>
  inWorker(signal, (remote) => remote.importModel(blob, proxied(onProgress), signal));
