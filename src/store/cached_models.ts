/** The models in the cache: list, size, delete, pin, and download before use. */
import { fail } from '../errors';
import { openModelCache, requireModelCache, type ModelCache } from './model_cache';
import { withExclusiveLock, tryExclusiveLock, readLockName } from './model_locks';
import { isLocalSource } from './local_source';
import { openModel, type ModelSource, type OpenedModel, type OpenOptions } from './open_model';
import { sumStoredChunkBytes, freeStorageBytes, formatMegabytes } from './storage_space';
import { FileChangedError } from './http_connection';

export interface CachedModel {
  id: string;
  /** bytes of the whole model, and bytes that are stored */
  bytes: number;
  storedBytes: number;
  /** false: the download has not ended; loading the model continues it */
  complete: boolean;
  files: { name: string; bytes: number }[];
  revision?: string;
  added: Date;
  lastUsed: Date;
  pinned: boolean;
}

/** All models, the last used first. @throws StorageError if the page has no storage */
export async function listModels(): Promise<CachedModel[]> {
  const cache = await requireModelCache();
  const manifests = await cache.manifests();
  const models = await Promise.all(
    manifests.map(async (manifest): Promise<CachedModel> => ({
      id: manifest.id,
      bytes: sum(manifest.files.map(({ size }) => size)),
      storedBytes: await sumStoredChunkBytes(cache, manifest),
      complete: manifest.state === 'complete',
      files: manifest.files.map(({ name, size }) => ({ name, bytes: size })),
      ...(manifest.revision && { revision: manifest.revision }),
      added: new Date(manifest.added),
      lastUsed: new Date(manifest.lastUsed),
      pinned: manifest.pinned,
    })),
  );
  return models.sort((a, b) => b.lastUsed.getTime() - a.lastUsed.getTime());
}

/** Stored bytes of a model; 0 if it is not stored. */
export async function storedModelBytes(id: string): Promise<number> {
  return storedBytesOf(await requireModelCache(), id);
}

async function storedBytesOf(cache: ModelCache, id: string): Promise<number> {
  const manifest = await cache.manifest(id);
  return manifest ? sumStoredChunkBytes(cache, manifest) : 0;
}

/**
 * Deletes a model, in one transaction.
 * @param options.wait true (default): waits until no tab has it open; false: rejects at once if one has
 * @throws StorageError if it is in use; AbortError while it waits
 */
export async function deleteModel(
  id: string,
  { wait = true, signal }: { wait?: boolean; signal?: AbortSignal } = {},
): Promise<void> {
  const cache = await requireModelCache();
  const work = async (): Promise<true> => (await cache.deleteModel(id), true);
  const done = wait
    ? await withExclusiveLock(readLockName(id), work, signal)
    : await tryExclusiveLock(readLockName(id), work);
  if (!done)
    fail('StorageError', { what: `${id} is in use`, cure: 'Unload it, or close the other tabs of this page.' });
}

/** A pinned model is never deleted to make room. */
export async function pinModel(id: string, pinned = true): Promise<void> {
  await (await requireModelCache()).updateManifest(id, (manifest) => ({ ...manifest, pinned }));
}

/**
 * Downloads a model into the cache without loading it. If it changes on the server meanwhile, the download starts
 * again, once. @throws like openModel
 */
export async function downloadModel(source: ModelSource, options: OpenOptions = {}): Promise<string> {
  for (let again = true; ; again = false) {
    const model = await openModel(source, { ...options, cache: 'required' });
    try {
      await model.finish();
      return model.id;
    } catch (error) {
      if (!(again && error instanceof FileChangedError)) throw error;
    } finally {
      await model.close();
    }
  }
}

export interface ModelRoom {
  id: string;
  /** bytes of the whole model, and bytes that still have to be downloaded */
  bytes: number;
  needed: number;
  /** bytes that this site may still store; undefined if the browser does not say */
  free?: number;
  enough: boolean;
  /** what is needed and what is free, in one sentence */
  message: string;
}

/** Tells, before a download, how much space a model needs and how much is free. @throws like openModel */
export async function modelRoom(source: ModelSource, options: OpenOptions = {}): Promise<ModelRoom> {
  const model = await openModel(source, { ...options, peek: true });
  await model.close();
  return reportRoomForOpenModel(source, model);
}

/** The same for a source that is already open. */
export async function reportRoomForOpenModel(
  source: ModelSource,
  { id, files, cached }: Pick<OpenedModel, 'id' | 'files' | 'cached'>,
): Promise<ModelRoom> {
  const bytes = sum(files.map(({ size }) => size));
  const here = cached || isLocalSource(source);
  const cache = here ? undefined : await openModelCache();
  const stored = cache ? await storedBytesOf(cache, id) : 0;
  const needed = here ? 0 : Math.max(0, bytes - stored);
  const room = { id, bytes, needed };
  if (needed === 0) return { ...room, enough: true, message: `${id} is on this device.` };
  const needs = `${id} needs ${formatMegabytes(needed)}${stored > 0 ? ' more' : ''}`;
  if (!cache)
    return {
      ...room,
      free: 0,
      enough: false,
      message: `${needs}; this browser window stores nothing, so it is downloaded at each visit.`,
    };
  const free = await freeStorageBytes(needed);
  if (free === undefined)
    return { ...room, enough: true, message: `${needs}; the browser does not say how much space is free.` };
  return { ...room, free, enough: free >= needed, message: `${needs}; ${formatMegabytes(free)} are free.` };
}

export const sum = (numbers: number[]): number => numbers.reduce((a, b) => a + b, 0);
