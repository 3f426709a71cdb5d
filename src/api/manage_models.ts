/**
 * Calls on models that are not loaded: estimates before a download, and the stored models. Heavy work runs in a worker
 * of its own.
 */
import { proxy } from 'comlink';
import type { LoadEstimate, EstimateOptions } from '../engine/estimate';
import type { CloneableOptions } from '../engine/worker_model_calls';
import { abortError, RivuletError } from '../errors';
import { deleteModel as deleteStoredModel, type ModelRoom } from '../store/cached_models';
import type { VerificationResult } from '../store/maintain_models';
import type { ModelSource, OpenOptions } from '../store/open_model';
import type { Progress } from '../store/progress';
import { proxyConsent, startEngine, type RemoteEngine } from './client';
import {
  OPTIONS,
  readOptions,
  readText,
  type Abortable,
  type DownloadOptions,
  type RoomOptions,
  type RulesOf,
  type WatchedCall,
} from './options';
import { persistOnDownload } from './persist_storage';
import { absoluteHub, readFile, readSource } from './resolve_source';
import { withSideFiles } from './side_files';
import { watchProgress } from './watch_progress';

interface DeleteOptions {
  wait?: boolean;
}

type Report = (progress: Progress) => void;

interface WorkerCall {
  /** told before the page's listener */
  before?: Report;
  /** whether it is a call of the side file `tools` */
  sideFile?: boolean;
}

/** Reads the options, and runs a call in a worker that ends with the call. */
async function inWorker<O extends WatchedCall, T>(
  rules: RulesOf<Required<O>>,
  given: O | undefined,
  call: (
    remote: RemoteEngine,
    options: Omit<O, keyof WatchedCall>,
    signal: AbortSignal | undefined,
    report: Report | undefined,
  ) => Promise<T>,
  { before, sideFile }: WorkerCall = {},
): Promise<T> {
  const { signal, onProgress, ...options } = readOptions<O>(rules, given);
  if (signal?.aborted) throw abortError();
  return withSideFiles(sideFile ? ['tools'] : [], async (sideFiles) => {
    if (signal?.aborted) throw abortError();
    const watch = watchProgress(onProgress);
    const { remote, guard, end } = startEngine(sideFiles);
    try {
      return await guard(
        call(
          remote,
          options,
          signal,
          proxy((progress: Progress) => (before?.(progress), watch.report(progress))),
        ),
      );
    } finally {
      watch.stop();
      end(new RivuletError('RequestError', { what: 'The call is over' }));
    }
  });
}

/**
 * Estimates how much memory a model needs, whether it fits, and how fast it runs. Downloads a few hundred KB of headers
 * and runs under a second over synthetic weights, on the backend that load() would use.
 * @throws by name, like load() for the headers: SourceError, CheckpointError, RequestError, DeviceError, AbortError
 */
export const estimate = async (source: ModelSource, options?: EstimateOptions & Abortable): Promise<LoadEstimate> =>
  inWorker(
    OPTIONS.estimate,
    options,
    (remote, read, signal) => remote.estimate(readSource(source), absoluteHub(read), signal),
    { sideFile: true },
  );

/**
 * How much storage space a model needs and how much is free. Does not read the model. @throws SourceError,
 * RequestError, AbortError
 */
export const modelRoom = (source: ModelSource, options?: RoomOptions & Abortable): Promise<ModelRoom> =>
  inWorker(OPTIONS.room, options, (remote, read, signal) =>
    remote.modelRoom(readSource(source), absoluteHub(read), signal),
  );

/**
 * Downloads a model into the browser's storage, to be loaded later without a network. An interrupted download resumes
 * at the next call, or when the model is loaded.
 * @returns its id
 * @throws StorageError before the download if space is missing, and when it runs out; SourceError, RequestError,
 * AbortError
 */
export const downloadModel = (source: ModelSource, options?: DownloadOptions): Promise<string> =>
  inWorker(
    OPTIONS.download,
    options,
    (remote, { makeRoom, ...read }, signal, report) =>
      remote.downloadModel(
        readSource(source),
        absoluteHub<CloneableOptions<OpenOptions>>(read),
        report,
        signal,
        proxyConsent(makeRoom),
      ),
    { before: persistOnDownload(true) },
  );

/**
 * Reads every stored byte of a model and checks it; damaged parts are deleted, and the next load downloads them.
 * @throws StorageError, RequestError, AbortError
 */
export const verifyModel = (id: string, options?: WatchedCall): Promise<VerificationResult> =>
  inWorker(
    OPTIONS.watch,
    options,
    (remote, _, signal, report) => remote.verifyModel(readText('id', id), report, signal),
    { sideFile: true },
  );

/**
 * Deletes a model, in one transaction.
 * @param options.wait true (default): waits until no tab has it open; false: rejects at once if one has
 * @throws StorageError if it is in use; RequestError; AbortError while it waits
 */
export const deleteModel = async (id: string, options?: DeleteOptions & Abortable): Promise<void> =>
  deleteStoredModel(readText('id', id), readOptions<DeleteOptions & Abortable>(OPTIONS.delete, options));

/** A completely stored model as one file, for another device. @throws StorageError, RequestError, AbortError */
export const exportModel = (id: string, options?: Abortable): Promise<Blob> =>
  inWorker(OPTIONS.cancel, options, (remote, _, signal) => remote.exportModel(readText('id', id), signal), {
    sideFile: true,
  });

/**
 * Stores an exported model and checks every byte; or stores a GGUF File, whose id is its name.
 * @returns the id, which load() takes. @throws SourceError for any other file; StorageError, RequestError, AbortError
 */
export const importModel = (blob: Blob, options?: WatchedCall): Promise<string> =>
  inWorker(OPTIONS.watch, options, (remote, _, signal, report) => remote.importModel(readFile(blob), report, signal), {
    sideFile: true,
  });
