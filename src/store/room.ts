/** Room on the device: how much there is, how to ask for keeps, and what may go. */
import { fail } from '../errors';
import { chunkLength, type Cache, type Manifest } from './database';
import { exclusive, exclusiveNow, readers } from './lock';

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
 * Bytes this site may still store; undefined where the browser does not say. Chromium tells every site of 10 GB, whatever is granted or
 * free on the disk, therefore a worker tries whether `needed` bytes would be granted: then the answer is exact to 1 MiB.
 */
export async function freeRoom(needed: number): Promise<number | undefined> {
  const told = await storageRoom();
  const free = told && Math.max(0, told.quota - told.usage);
  if (needed <= 0 || (free !== undefined && free < needed)) return free;
  const granted = await exclusive('rivulet:room', () => grantedRoom(needed)).catch(() => undefined);
  return granted === undefined || granted >= needed ? free : granted;
}

const LEAST = 20; // powers of two: Chromium grants room for a file in these, from 1 MiB on

/** Asks for room by lengthening empty files, which takes none of the disk, and deletes them. Undefined where that is not possible. */
async function grantedRoom(needed: number): Promise<number | undefined> {
  if (typeof FileSystemFileHandle === 'undefined' || !('createSyncAccessHandle' in FileSystemFileHandle.prototype)) return undefined;
  const folder = await navigator.storage.getDirectory();
  const name = 'rivulet-room';
  await folder.removeEntry(name, { recursive: true }).catch(() => undefined); // of a browser that was killed here
  const files = await folder.getDirectoryHandle(name, { create: true });
  const held: FileSystemSyncAccessHandle[] = [];
  const wanted = Math.ceil(needed / 2 ** LEAST) * 2 ** LEAST; // a sum of different powers
  let sum = 0;
  try {
    for (let power = Math.floor(Math.log2(wanted)); power >= LEAST && sum < wanted; power--) {
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
 * Asks the browser not to evict what is stored (Safari does so after seven days without a visit). A page may ask, a worker may only look.
 * Firefox shows the question to the reader, and grants more room when it is answered with yes.
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

/** What is missing, and which models would have to go for it. */
export interface Eviction {
  /** the model that is to be kept */
  id: string;
  /** bytes of it that are still to be stored */
  needed: number;
  /** bytes this site may still store, as far as the browser says */
  free?: number;
  /** whole or half downloads of others, the longest unused first: no more than are needed, and never a pinned one */
  victims: { id: string; bytes: number; lastUsed: Date }[];
}

/** Consent to delete other models: once for all, or asked each time room is missing. */
export type Consent = boolean | ((eviction: Eviction) => boolean | Promise<boolean>);

const RECLAIM = { times: 10, milliseconds: 200 }; // what was deleted becomes free a little later

/**
 * Room for `needed` bytes of the model `id`: what there is, or what is made with consent. Nothing is deleted without it, nor if all that may
 * go would not suffice.
 * @param failed a write was refused: what the browser tells is not to be believed
 * @param notes gets what was deleted
 * @returns whether there is room now
 */
export async function makeRoom(cache: Cache, id: string, needed: number, consent: Consent, notes: string[], failed = false): Promise<boolean> {
  const free = await freeRoom(needed);
  const missing = free === undefined || free >= needed ? 0 : needed - free;
  if (missing === 0 && !failed) return true;
  if (!consent) return false;
  const victims: Eviction['victims'] = [];
  for (const { id: other, bytes, lastUsed } of await candidates(cache, id)) {
    if (victims.length > 0 && sum(victims) >= missing) break;
    // one that is being read is left alone
    if (await exclusiveNow(readers(other), async () => true)) victims.push({ id: other, bytes, lastUsed });
  }
  if (victims.length === 0 || sum(victims) < missing) return false;
  if (consent !== true && !(await consent({ id, needed, ...(free !== undefined && { free }), victims }))) return false;
  const before = notes.length;
  for (const { id: other } of victims)
    if (await exclusiveNow(readers(other), () => deleteUnpinned(cache, other))) notes.push(`Deleted to make room: ${other}.`);
  if (missing === 0) return notes.length > before; // the writer tries again
  for (let i = 0; i < RECLAIM.times; i++) {
    if (((await freeRoom(needed)) ?? needed) >= needed) return true;
    await new Promise((go) => setTimeout(go, RECLAIM.milliseconds));
  }
  return false;
}

/** It may have been pinned while the question was open. */
async function deleteUnpinned(cache: Cache, id: string): Promise<boolean> {
  if ((await cache.manifest(id))?.pinned !== false) return false;
  await cache.deleteModel(id);
  return true;
}

/** Bytes of a model that are here. */
export async function bytesThere(cache: Cache, { id, files, chunkBytes }: Manifest): Promise<number> {
  const hashes = await cache.hashes(id);
  const chunks = files.flatMap(({ name, size }) => [...(hashes.get(name)?.keys() ?? [])].map((index) => ({ bytes: Math.max(0, chunkLength(size, chunkBytes, index)) })));
  return sum(chunks);
}

/** What may be deleted, the longest unused first. */
async function candidates(cache: Cache, keep: string): Promise<Eviction['victims']> {
  const manifests = (await cache.manifests()).filter(({ id, pinned }) => id !== keep && !pinned).sort((a, b) => a.lastUsed - b.lastUsed);
  return Promise.all(manifests.map(async (manifest) => ({ id: manifest.id, bytes: await bytesThere(cache, manifest), lastUsed: new Date(manifest.lastUsed) })));
}

const sum = (parts: readonly { bytes: number }[]): number => parts.reduce((total, { bytes }) => total + bytes, 0);

/** What is needed, what is there, what could go. */
export async function roomMessage(cache: Cache, needed: number, keep: string): Promise<string> {
  const free = await freeRoom(needed);
  const there = free !== undefined && free < needed ? `${megabytes(free)} are free` : 'the browser takes no more';
  const others = (await candidates(cache, keep)).map(({ id, bytes }) => `${id} (${megabytes(bytes)})`);
  return `${megabytes(needed)} more are needed, ${there}${others.length > 0 ? `; could be deleted: ${others.join(', ')}` : ''}`;
}

export const refuseForRoom = (id: string, message: string, cause?: unknown): never =>
  fail('StorageError', { what: `there is no room to keep ${id}`, got: message, cure: 'Delete a model or free space on the device; what has arrived is kept.' }, cause);

export const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;
