/** Room on the device: how much there is, how to ask for keeps, and what may go. */
import { fail } from '../errors';
import type { Cache, Manifest } from './database';
import { exclusiveNow, readers } from './lock';

/** Bytes the browser grants this site and bytes in use; undefined where it does not say. Browsers round and pad these numbers. */
export async function storageRoom(): Promise<{ quota: number; usage: number } | undefined> {
  try {
    const { quota, usage } = (await globalThis.navigator?.storage?.estimate?.()) ?? {};
    return quota === undefined || usage === undefined ? undefined : { quota, usage };
  } catch {
    return undefined;
  }
}

/**
 * Asks the browser not to evict what is stored (Safari does so after seven days without a visit). A page may ask, a worker may only look.
 * @returns whether storage is persistent now
 */
export async function persistStorage(): Promise<boolean> {
  try {
    const { storage } = globalThis.navigator ?? {};
    return (await storage?.persisted?.()) || ((await storage?.persist?.()) ?? false);
  } catch {
    return false;
  }
}

/** Deletes the model that was not used for the longest time, is not pinned and that nobody reads: only on consent. @returns its id */
export async function deleteOldest(cache: Cache, keep: string): Promise<string | undefined> {
  for (const { id } of candidates(await cache.manifests(), keep))
    if (await exclusiveNow(readers(id), async () => (await cache.deleteModel(id), true))) return id;
  return undefined;
}

const candidates = (manifests: Manifest[], keep: string): Manifest[] =>
  manifests.filter(({ id, pinned }) => id !== keep && !pinned).sort((a, b) => a.lastUsed - b.lastUsed);

/** What is needed, what is there, what could go. Chromium tells every site of 10 GB, whatever the disk holds. */
export async function roomMessage(cache: Cache, needed: number, keep: string): Promise<string> {
  const room = await storageRoom();
  const free = room && Math.max(0, room.quota - room.usage);
  const there = free !== undefined && free < needed ? `${megabytes(free)} are free` : 'the browser takes no more';
  const others = candidates(await cache.manifests(), keep).map(({ id, files }) => `${id} (${megabytes(files.reduce((sum, { size }) => sum + size, 0))})`);
  return `${megabytes(needed)} more are needed, ${there}${others.length > 0 ? `; could be deleted: ${others.join(', ')}` : ''}`;
}

export const refuseForRoom = (id: string, message: string, cause?: unknown): never =>
  fail('StorageError', { what: `there is no room to keep ${id}`, got: message, cure: 'Delete a model or free space on the device; what has arrived is kept.' }, cause);

export const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;
