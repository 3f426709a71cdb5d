/** Storage space: how much is free, how to make storage persistent, and which models may be deleted. */
import { fail } from '../errors';
import { chunkLength, deleteSwapFiles, type ModelCache, type ModelManifest } from './model_cache';
import { withExclusiveLock, tryExclusiveLock, readLockName } from './model_locks';

/**
 * Bytes that the browser grants this site and bytes in use; undefined if it does not say. Browsers round and pad these
 * numbers.
 */
export async function storageEstimate(): Promise<{ quota: number; usage: number } | undefined> {
  try {
    const { quota, usage } = (await globalThis.navigator?.storage?.estimate?.()) ?? {};
    return quota === undefined || usage === undefined ? undefined : { quota, usage };
  } catch {
    return undefined;
  }
}

/**
 * Bytes that this site may still store; undefined if the browser does not say. Chromium reports 10 GB to every site,
 * whatever is granted or free on the disk. So a worker tries whether `needed` bytes are granted; then the answer is
 * exact to 1 MiB.
 */
export async function freeStorageBytes(needed: number): Promise<number | undefined> {
  const estimated = await storageEstimate();
  const free = estimated && Math.max(0, estimated.quota - estimated.usage);
  if (needed <= 0 || (free !== undefined && free < needed)) return free;
  const granted = await withExclusiveLock('rivulet:room', () => grantedSpace(needed)).catch(() => undefined);
  return granted === undefined || granted >= needed ? free : granted;
}

const MIN_POWER = 20; // 1 MiB: Chromium grants space for a file in powers of two from there on

/**
 * Extends empty files, which takes no disk space but is limited by the quota, and deletes them. Undefined if that is
 * not possible.
 */
async function grantedSpace(needed: number): Promise<number | undefined> {
  if (typeof FileSystemFileHandle === 'undefined' || !('createSyncAccessHandle' in FileSystemFileHandle.prototype))
    return undefined;
  const folder = await navigator.storage.getDirectory();
  const name = 'rivulet-room';
  await folder.removeEntry(name, { recursive: true }).catch(() => undefined); // left by a browser that was killed here
  const files = await folder.getDirectoryHandle(name, { create: true });
  const held: FileSystemSyncAccessHandle[] = [];
  const wanted = Math.ceil(needed / 2 ** MIN_POWER) * 2 ** MIN_POWER; // a sum of different powers
  let sum = 0;
  try {
    for (let power = Math.floor(Math.log2(wanted)); power >= MIN_POWER && sum < wanted; power--) {
      if (sum + 2 ** power > wanted) continue;
      const handle = await (await files.getFileHandle(String(power), { create: true })).createSyncAccessHandle();
      held.push(handle);
      try {
        handle.truncate(2 ** power);
        sum += 2 ** power;
      } catch {
        continue; // QuotaExceededError: try half
      }
    }
    return sum;
  } finally {
    for (const handle of held) handle.close();
    await folder.removeEntry(name, { recursive: true });
  }
}

/**
 * Asks the browser not to delete what is stored (Safari does so after seven days without a visit). Only a page can ask.
 * Firefox shows the question to the user, and grants more space if the answer is yes.
 * @returns whether storage is persistent now
 */
export async function requestPersistentStorage(): Promise<boolean> {
  try {
    const { storage } = globalThis.navigator ?? {};
    return (await storage?.persisted?.()) || ((await storage?.persist?.()) ?? false);
  } catch {
    return false;
  }
}

/** The space that is missing, and the models that would be deleted for it. */
export interface EvictionRequest {
  /** the model that needs the space */
  id: string;
  /** bytes of the model that are still to be stored */
  needed: number;
  /** bytes that this site may still store, if the browser says so */
  free?: number;
  /** complete or partial downloads, the least recently used first; no more than needed, and never a pinned one */
  victims: { id: string; bytes: number; lastUsed: Date }[];
}

/** Consent to delete other models: a fixed answer, or a function that is asked each time space is missing. */
export type EvictionConsent = boolean | ((eviction: EvictionRequest) => boolean | Promise<boolean>);

const RECLAIM_WAIT = { times: 10, milliseconds: 200 }; // deleted bytes become free a little later

/**
 * Makes space for `needed` bytes of the model `id`. Models are deleted only with consent, and only if that frees
 * enough.
 * @param writeFailed a write ran out of space, so the browser's numbers are wrong
 * @param notes gets the deleted models
 * @returns whether there is enough space now
 */
export async function makeRoom(
  cache: ModelCache,
  id: string,
  needed: number,
  consent: EvictionConsent,
  notes: string[],
  writeFailed = false,
): Promise<boolean> {
  let free = await freeStorageBytes(needed);
  const lacks = (): number => (free === undefined || free >= needed ? 0 : needed - free);
  if (lacks() || writeFailed) {
    await deleteSwapFiles();
    free = await freeStorageBytes(needed);
  }
  const missing = lacks();
  if (missing === 0 && !writeFailed) return true;
  if (!consent) return false;
  const victims: EvictionRequest['victims'] = [];
  for (const { id: other, bytes, lastUsed } of await deletableModels(cache, id)) {
    if (victims.length > 0 && sum(victims) >= missing) break;
    // a model that is being read is not deleted
    if (await tryExclusiveLock(readLockName(other), async () => true)) victims.push({ id: other, bytes, lastUsed });
  }
  if (victims.length === 0 || sum(victims) < missing) return false;
  if (consent !== true && !(await consent({ id, needed, ...(free !== undefined && { free }), victims }))) return false;
  const before = notes.length;
  for (const { id: other } of victims)
    if (await tryExclusiveLock(readLockName(other), () => deleteUnpinned(cache, other)))
      notes.push(`Deleted to make room: ${other}.`);
  if (missing === 0) return notes.length > before; // the writer tries again
  for (let i = 0; i < RECLAIM_WAIT.times; i++) {
    if (((await freeStorageBytes(needed)) ?? needed) >= needed) return true;
    await new Promise((go) => setTimeout(go, RECLAIM_WAIT.milliseconds));
  }
  return false;
}

/** The user may have pinned it while the question was open. */
async function deleteUnpinned(cache: ModelCache, id: string): Promise<boolean> {
  if ((await cache.manifest(id))?.pinned !== false) return false;
  await cache.deleteModel(id);
  return true;
}

/** Stored bytes of a model. */
export async function sumStoredChunkBytes(
  cache: ModelCache,
  { id, files, chunkBytes }: ModelManifest,
): Promise<number> {
  const hashes = await cache.checksums(id);
  const chunks = files.flatMap(({ name, size }) =>
    [...(hashes.get(name)?.keys() ?? [])].map((index) => ({
      bytes: Math.max(0, chunkLength(size, chunkBytes, index)),
    })),
  );
  return sum(chunks);
}

/** Models that may be deleted, the least recently used first. */
async function deletableModels(cache: ModelCache, keep: string): Promise<EvictionRequest['victims']> {
  const manifests = (await cache.manifests())
    .filter(({ id, pinned }) => id !== keep && !pinned)
    .sort((a, b) => a.lastUsed - b.lastUsed);
  return Promise.all(
    manifests.map(async (manifest) => ({
      id: manifest.id,
      bytes: await sumStoredChunkBytes(cache, manifest),
      lastUsed: new Date(manifest.lastUsed),
    })),
  );
}

const sum = (parts: readonly { bytes: number }[]): number => parts.reduce((total, { bytes }) => total + bytes, 0);

/** What is needed, what is free, and what could be deleted. */
export async function missingSpaceMessage(cache: ModelCache, needed: number, keep: string): Promise<string> {
  const free = await freeStorageBytes(needed);
  const available =
    free !== undefined && free < needed ? `${formatMegabytes(free)} are free` : 'the browser stores no more';
  const others = (await deletableModels(cache, keep)).map(({ id, bytes }) => `${id} (${formatMegabytes(bytes)})`);
  return `${formatMegabytes(needed)} more are needed, ${available}${others.length > 0 ? `; could be deleted: ${others.join(', ')}` : ''}`;
}

export const failWithoutSpace = (id: string, message: string, cause?: unknown): never =>
  fail(
    'StorageError',
    {
      what: `There is not enough space to store ${id}`,
      got: message,
      cure: 'Delete a model or free space on the device. The downloaded part is kept.',
    },
    cause,
  );

export const formatMegabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;
