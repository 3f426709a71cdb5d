/** Calls on models that are not loaded: estimates before a download, and the stored models. Heavy work runs in a worker of its own. */
import { proxy } from 'comlink';
import type { LoadEstimate, EstimateOptions } from '../engine/estimate';
import type { CloneableOptions } from '../engine/worker_model_calls';
import { abortError, RivuletError } from '../errors';
import type { ModelRoom } from '../store/cached_models';
import type { VerificationResult } from '../store/maintain_models';
import type { ModelSource, OpenOptions } from '../store/open_model';
import type { Progress } from '../store/progress';
import { proxyConsent, startEngine, type Abortable, type RemoteEngine } from './client';
import { persistOnDownload } from './persist_storage';
import { absoluteSource, absoluteHub } from './resolve_source';
import { sideFileText } from './side_files';

interface WatchedCall extends Abortable {
  onProgress?: (progress: Progress) => void;
}

/** Runs a call in a worker that ends with the call. @param sideFile whether it is a call of the side file `tools` */
async function inWorker<T>(signal: AbortSignal | undefined, call: (remote: RemoteEngine) => Promise<T>, sideFile = false): Promise<T> {
  if (signal?.aborted) throw abortError();
  const sideFiles = sideFile ? [await sideFileText('tools')] : [];
  if (signal?.aborted) throw abortError();
  const { remote, guard, end } = startEngine(sideFiles);
  try {
    return await guard(call(remote));
  } finally {
    end(new RivuletError('RequestError', { what: 'The call is over' }));
  }
}

const proxied = (onProgress: WatchedCall['onProgress']): WatchedCall['onProgress'] => onProgress && proxy((progress: Progress) => onProgress(progress));

/**
 * Estimates how much memory a model needs, whether it fits, and how fast it runs. Downloads a few hundred KB of headers and runs under a second
 * over synthetic weights, on the backend that load() would use.
 * @throws by name, like load() for the headers: SourceError, CheckpointError, RequestError, DeviceError, AbortError
 */
export const estimate = (source: ModelSource, { signal, ...options }: EstimateOptions & Abortable = {}): Promise<LoadEstimate> =>
  inWorker(signal, (remote) => remote.estimate(absoluteSource(source), absoluteHub(options), signal), true);

/** How much storage space a model needs and how much is free. Does not read the model. @throws SourceError, RequestError, AbortError */
export const modelRoom = (source: ModelSource, { signal, ...options }: Pick<OpenOptions, 'hub' | 'token' | 'policy'> & Abortable = {}): Promise<ModelRoom> =>
  inWorker(signal, (remote) => remote.modelRoom(absoluteSource(source), absoluteHub(options), signal));

export type DownloadOptions = Pick<OpenOptions, 'hub' | 'token' | 'refresh' | 'makeRoom' | 'sha256' | 'policy'> & WatchedCall;

/**
 * Downloads a model into the browser's storage, to be loaded later without a network. An interrupted download resumes at the next call, or
 * when the model is loaded.
 * @returns its id
 * @throws StorageError before the download if space is missing, and when it runs out; SourceError, RequestError, AbortError
 */
export const downloadModel = (source: ModelSource, { signal, onProgress, makeRoom, ...options }: DownloadOptions = {}): Promise<string> => {
  const ask = persistOnDownload(true);
  const report = proxied((progress) => (ask(progress), onProgress?.(progress)));
  return inWorker(signal, (remote) => remote.downloadModel(absoluteSource(source), absoluteHub<CloneableOptions<OpenOptions>>(options), report, signal, proxyConsent(makeRoom)));
};

/** Reads every stored byte of a model and checks it; damaged parts are deleted, and the next load downloads them. @throws StorageError, AbortError */
export const verifyModel = (id: string, { signal, onProgress }: WatchedCall = {}): Promise<VerificationResult> =>
  inWorker(signal, (remote) => remote.verifyModel(id, proxied(onProgress), signal), true);

/** A completely stored model as one file, for another device. @throws StorageError, AbortError */
export const exportModel = (id: string, { signal }: Abortable = {}): Promise<Blob> => inWorker(signal, (remote) => remote.exportModel(id, signal), true);

/**
 * Stores an exported model and checks every byte; or stores a GGUF File, whose id is its name.
 * @returns the id, which load() takes. @throws SourceError for any other file; StorageError, AbortError
 */
export const importModel = (blob: Blob, { signal, onProgress }: WatchedCall = {}): Promise<string> =>
  inWorker(signal, (remote) => remote.importModel(blob, proxied(onProgress), signal), true);
