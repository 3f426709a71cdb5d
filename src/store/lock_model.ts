/** Finds a model in the cache and locks it against deletion while it is read. */
import { fail } from '../errors';
import type { ResolvedModel } from './hub_source';
import { hasSameContent, type FileRecord, type ModelCache, type ModelManifest } from './model_cache';
import { acquireSharedLock, readLockName, tryExclusiveLock } from './model_locks';

/** The hash that a file must have, if one is known. */
export type HashOf = (file: FileRecord) => string | undefined;

export interface LockedModel {
  manifest: ModelManifest;
  cache?: ModelCache;
  /** allows others to delete the model */
  release: () => unknown;
}

const orRelease = <T>(work: Promise<T>, release: () => unknown): Promise<T> =>
  work.catch((error: unknown) => {
    release();
    throw error;
  });

/** A complete cached model by its source or its id, locked against deletion; undefined if there is none. */
export async function lockComplete(
  cache: ModelCache,
  wanted: unknown,
  alias: string,
  hashOf: HashOf,
  signal: AbortSignal,
): Promise<LockedModel | undefined> {
  const found = (await cache.manifests()).find(
    ({ id, state, aliases, files }) =>
      state === 'complete' &&
      (id === wanted || aliases.includes(alias)) &&
      files.every((file) => file.sha256 === hashOf(file)),
  );
  if (!found) return undefined;
  const release = await acquireSharedLock(readLockName(found.id), signal);
  const manifest = await orRelease(cache.manifest(found.id), release);
  if (manifest?.state !== 'complete') return void release();
  // a full disk must not prevent reading
  await cache.updateManifest(found.id, (now) => ({ ...now, lastUsed: Date.now() })).catch(() => {});
  return { manifest, cache, release };
}

/** The cached part of a model, locked against deletion. Files that changed on the server are deleted first. */
export async function lockPartial(
  cache: ModelCache,
  resolved: ResolvedModel,
  alias: string,
  chunkBytes: number,
  signal: AbortSignal,
): Promise<LockedModel> {
  for (;;) {
    const release = await acquireSharedLock(readLockName(resolved.id), signal);
    const stored = await orRelease(cache.manifest(resolved.id), release);
    if (!stored) return { manifest: newManifest(resolved, alias, chunkBytes), cache, release };
    const changed = stored.files.filter((old) => !resolved.files.some((file) => hasSameContent(file, old)));
    const unchanged = changed.length === 0 && resolved.files.length === stored.files.length;
    const manifest: ModelManifest = {
      ...stored,
      ...resolved,
      aliases: [...new Set([...stored.aliases, alias])],
      lastUsed: Date.now(),
      state: unchanged ? stored.state : 'partial',
    };
    if (unchanged) {
      await cache
        .updateManifest(stored.id, (now) => ({ ...manifest, state: now.state, pinned: now.pinned }))
        .catch(() => {});
      return { manifest, cache, release };
    }
    await release();
    const done = await tryExclusiveLock(readLockName(resolved.id), async () => {
      if (changed.length === stored.files.length) await cache.deleteModel(stored.id);
      else {
        // in this order an interruption at any moment leaves no old chunk under a new name
        await cache.putManifest({ ...stored, state: 'partial' });
        for (const { name } of changed) await cache.deleteFile(stored.id, name);
        await cache.putManifest(manifest);
      }
      return true;
    });
    if (!done)
      fail('StorageError', {
        what: 'Another tab uses an older version of this model',
        cure: 'Close that tab to store the new version.',
      });
  }
}

export const newManifest = (resolved: ResolvedModel, alias: string, chunkBytes: number): ModelManifest => ({
  ...resolved,
  aliases: [alias],
  chunkBytes,
  state: 'partial',
  added: Date.now(),
  lastUsed: Date.now(),
  pinned: false,
});
