/** Opens a source as readable files: from the cache, or from the network while the cache fills. */
import { abortError, fail, RivuletError, show } from '../errors';
import { toAbsoluteUrl, resolveUrls, withoutSignature } from './url_source';
import {
  CHUNK_BYTES,
  isQuotaError,
  openModelCache,
  requireModelCache,
  type ModelCache,
  type ModelManifest,
} from './model_cache';
import { ModelDownload } from './download';
import { DEFAULT_HUB, parseHubId, resolveHubModel, type ResolvedModel } from './hub_source';
import { openLocalSource, type LocalSource } from './local_source';
import { lockComplete, lockPartial, newManifest, type HashOf, type LockedModel } from './lock_model';
import { tryExclusiveLock, readLockName } from './model_locks';
import type { Progress } from './progress';
import { makeRoom, failWithoutSpace, missingSpaceMessage, type EvictionConsent } from './storage_space';
import { ChunkStore } from './chunk_store';
import { chunkedFileSource } from './chunked_file_source';
import type { ByteSource } from './byte_source';
import { DEFAULT_DOWNLOAD_POLICY, type DownloadPolicy, type HttpRequestOptions } from './http_connection';

/**
 * A hub id 'Org/Repo[:quant | /file][@revision]'; a URL (https://…, ./…, /…; one that ends in '/' is a folder with a
 * Hugging Face checkpoint);
 * the id of a stored model; the URLs of all files of one model; or local files.
 */
export type ModelSource = string | { url: string | string[] } | LocalSource;

export interface OpenOptions {
  /** the name under which the model is stored, in place of its address; a model that is stored under it is taken */
  id?: string;
  /** default: 'https://huggingface.co' */
  hub?: string;
  /** sent to the hub only, never stored */
  token?: string;
  /** false: nothing is stored; 'required': a StorageError if the model cannot be stored */
  cache?: boolean | 'required';
  /** @internal downloads small pieces and stores none, to read a header only. A cached model is read from the cache */
  peek?: boolean;
  /** asks the server for a newer version even if the model is in the cache */
  refresh?: boolean;
  /**
   * consent to delete other models, the least recently used first, if space is missing; a function is asked each time
   */
  makeRoom?: EvictionConsent;
  /** checks the first read of each cached chunk by a quick checksum (default), or every read from disk by SHA-256 */
  check?: 'quick' | 'full';
  /**
   * SHA-256 of the model's file in lower-case hex, or of several files by their names. A download with another hash is
   * refused. load() then implies cache: 'required', since only what is stored is compared as a whole. Local files are
   * refused
   */
  sha256?: string | Readonly<Record<string, string>>;
  /** stops everything: reads reject with AbortError, stored chunks are kept */
  signal?: AbortSignal;
  onProgress?: (progress: Progress) => void;
  policy?: Partial<DownloadPolicy>;
}

export interface OpenedModel {
  id: string;
  /** A read waits for its chunk. The first read after the first chunk of a file starts the download of everything. */
  files: ByteSource[];
  /** the cache had the complete model; no network was needed */
  cached: boolean;
  /** for the user: no storage, no space, … It grows while the model is open */
  notes: string[];
  /**
   * Resolves when the whole model is stored and verified, or cannot be stored (a note says why). Await it before
   * `close`.
   * @throws SourceError; StorageError if the cache is required; AbortError
   */
  finish(): Promise<void>;
  /** Ends reads and download. Stored chunks are kept for the next time. Resolves when everything has ended */
  close(): Promise<void>;
  /** Whether all that was read can be read again without the network; absent for local files. */
  stored?(): boolean;
  /** Closes the model and deletes it from the cache, unless another tab reads it: for files that are not a model */
  discard(): Promise<void>;
}

const UNCACHED_CHUNK_BYTES = 4 << 20;
const PEEK_CHUNK_BYTES = 256 << 10;

/** @throws RequestError for an invalid source; SourceError; StorageError if the cache is required; AbortError */
export async function openModel(source: ModelSource, options: OpenOptions = {}): Promise<OpenedModel> {
  if (options.signal?.aborted) throw abortError();
  if (typeof source === 'object' && !('url' in source)) {
    if (options.sha256) failSource('a local file and sha256');
    const { id, files } = await openLocalSource(source);
    const nothing = async (): Promise<void> => {};
    return { id: options.id ?? id, files, cached: false, notes: [], finish: nothing, close: nothing, discard: nothing };
  }
  const controller = new AbortController();
  const abort = (): void => controller.abort();
  options.signal?.addEventListener('abort', abort, { signal: controller.signal }); // until it is closed
  try {
    return await openRemote(source, options, controller);
  } catch (error) {
    controller.abort();
    throw options.signal?.aborted ? abortError() : error;
  }
}

async function cacheFor({ cache }: OpenOptions): Promise<ModelCache | undefined> {
  if (cache === false) return undefined;
  return cache === 'required' ? requireModelCache() : openModelCache();
}

async function openRemote(
  source: string | { url: string | string[] },
  options: OpenOptions,
  controller: AbortController,
): Promise<OpenedModel> {
  const { signal } = controller;
  const { peek = false } = options;
  const policy: DownloadPolicy = { ...DEFAULT_DOWNLOAD_POLICY, ...options.policy, ...(peek && { connections: 1 }) };
  const { report, onWait } = reporter(options.onProgress);
  const { alias, resolve } = parseSource(source, options, { policy, signal, onWait, onProgress: report, peek });
  const notes: string[] = [];
  const hashOf: HashOf = ({ name, sha256 }) =>
    (typeof options.sha256 === 'string' ? options.sha256 : (options.sha256?.[name] ?? sha256))?.toLowerCase();
  const cache = await cacheFor(options);
  if (!cache && options.cache !== false)
    notes.push('This browser window stores nothing: the model is downloaded again at each visit.');

  const orWithoutCache = async (work: Promise<LockedModel | undefined>): Promise<LockedModel | undefined> => {
    try {
      return await work;
    } catch (error) {
      if (options.cache === 'required' || !(error instanceof RivuletError) || error.name !== 'StorageError')
        throw error;
      notes.push(`The model is used but not stored: ${error.message}`);
      return undefined;
    }
  };

  let locked =
    cache && !options.refresh
      ? await orWithoutCache(lockComplete(cache, options.id ?? source, options.id ?? alias, hashOf, signal))
      : undefined;
  const cached = locked !== undefined;
  const blobs = new Map<string, Blob | undefined>();
  if (!locked) {
    report(START);
    const resolved = await resolve();
    resolved.id = options.id ?? resolved.id;
    for (const file of resolved.files) {
      blobs.set(file.name, file.blob);
      delete file.blob;
      file.sha256 = hashOf(file);
    }
    locked = (cache &&
      !peek &&
      (await orWithoutCache(lockPartial(cache, resolved, alias, policy.chunkBytes ?? CHUNK_BYTES, signal)))) || {
      manifest: newManifest(resolved, alias, policy.chunkBytes ?? (peek ? PEEK_CHUNK_BYTES : UNCACHED_CHUNK_BYTES)),
      release: () => {},
    };
  }
  const { manifest, release } = locked;
  const complete = manifest.state === 'complete';
  const onFull = async (error?: unknown): Promise<boolean> => {
    const broken = error instanceof RivuletError && !isQuotaError(error);
    if (isQuotaError(error) && (await makeRoom(cache!, manifest.id, missing(), options.makeRoom ?? false, notes, true)))
      return true;
    if (broken && options.cache === 'required') throw error;
    const message = broken ? error.message : await missingSpaceMessage(cache!, missing(), manifest.id);
    if (options.cache === 'required') failWithoutSpace(manifest.id, message, error);
    notes.push(
      `${broken ? 'The storage failed' : 'There is not enough space to store the model'} (${message}): the model is used but not stored.`,
    );
    return false;
  };
  const chunks = new ChunkStore(manifest, locked.cache, onFull, options.check);
  const missing = (): number => Math.max(0, total(manifest) - chunks.storedBytes);
  try {
    await chunks.refresh();
    if (
      locked.cache &&
      !complete &&
      !(await makeRoom(locked.cache, manifest.id, missing(), options.makeRoom ?? false, notes))
    )
      await chunks.handleFull();
  } catch (error) {
    release();
    throw error;
  }
  const close = async (): Promise<void> => {
    controller.abort();
    await download.whenIdle();
    chunks.close();
    await release();
  };
  const download = new ModelDownload(chunks, policy, signal, {
    hub: hubHost(options),
    token: options.token,
    blobs,
    onWait,
    onProgress: report,
    readAhead: peek ? 0 : policy.connections,
  });
  return {
    id: manifest.id,
    files: chunks.manifest.files.map((file) => chunkedFileSource(file, chunks, download, signal)),
    cached: cached || complete,
    notes,
    finish: () => download.downloadAll(),
    stored: () => chunks.persistent,
    close,
    discard: async () => {
      await close();
      await tryExclusiveLock(readLockName(manifest.id), async () => await locked.cache?.deleteModel(manifest.id));
    },
  };
}

const failSource = (got: string, cure?: string): never =>
  fail('RequestError', {
    what: 'This is not a model source',
    got,
    wanted: "'Org/Repo', 'Org/Repo:Q4_0', 'Org/Repo/file.gguf', or a URL",
    cure,
  });

const START: Progress = { phase: 'resolve', bytes: 0, total: 0, rate: 0 };

/** Reports progress, and between two reports why a request is waiting. */
function reporter(onProgress?: (progress: Progress) => void): {
  report(progress: Progress): void;
  onWait(cause: string): void;
} {
  let last = START;
  const report = (progress: Progress): void => onProgress?.((last = progress));
  return { report, onWait: (cause) => onProgress?.({ ...last, rate: 0, eta: undefined, cause }) };
}

const hubHost = ({ hub = DEFAULT_HUB }: OpenOptions): string => hub.replace(/\/+$/, '');

/** The source in one canonical spelling, to find it in the cache without the network, and how to resolve it. */
function parseSource(
  source: string | { url: string | string[] },
  options: OpenOptions,
  http: HttpRequestOptions & { peek: boolean },
): { alias: string; resolve: () => Promise<ResolvedModel> } {
  const host = hubHost(options);
  const { token } = options;
  const id = typeof source === 'string' ? parseHubId(source, host) : undefined;
  if (id) {
    const alias = `${host}/${id.repo}:${id.selector ?? ''}@${id.revision}`;
    return { alias, resolve: () => resolveHubModel(id, { ...http, hub: host, token }) };
  }
  const listed = typeof source === 'string' ? [source] : [source.url].flat();
  if (listed.length === 0) fail('RequestError', { what: 'The model source has no URL', wanted: 'at least one' });
  const url = (text: string): string => {
    const found = toAbsoluteUrl(text);
    if (!found)
      return failSource(
        show(text),
        text.includes(':')
          ? undefined
          : `For a file of this site write './${text.slice(0, 80)}', for another host 'https://…'.`,
      );
    const { username, password, host } = new URL(found);
    if (username || password)
      fail('RequestError', {
        what: `The address at ${host} has a user name or password, which browsers refuse`,
        cure: 'Use a signed address.',
      });
    return found;
  };
  // any text may be the id of a stored model
  return {
    alias: listed.map((text) => withoutSignature(toAbsoluteUrl(text) ?? text)).join(' '),
    resolve: async () => resolveUrls(listed.map(url), http),
  };
}

const total = ({ files }: ModelManifest): number => files.reduce((sum, { size }) => sum + size, 0);
