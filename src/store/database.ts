/**
 * The cache on disk: one IndexedDB database of our own, through idb-keyval. Keys:
 *
 *   ['manifest', model]             what the model consists of and whether it is whole, with a SHA-256 of that
 *   ['hash', model, file, index]    fingerprint of a chunk (fingerprint.ts)
 *   ['chunk', model, file, index]   the chunk, an ArrayBuffer
 *
 * A chunk and its hash are written in one transaction, so a hash on record means a chunk that was verified. Only a manifest whose state
 * is 'complete' counts as a cached model.
 */
import { createStore, get, promisifyRequest, set, type UseStore } from 'idb-keyval';
import { fail } from '../errors';
import { createReader } from './reader';
import { hex, Sha256 } from './sha256';

/**
 * Bytes of a chunk. Chromium 156, profile on disk, 192 MB of random bytes, 1 / 4 transactions at once, median of 3, MB/s:
 *   1 MB: write 108 / 115, read 225 / 295 · 2 MB: 125 / 133, 272 / 334 · 4 MB: 145 / 146, 344 / 392
 *   8 MB: 154 / 176, 426 / 512 · 16 MB: 159 / 170, 442 / 521
 * 8 MB is as fast as it gets; 16 MB would only cost memory and bytes lost to an interruption.
 */
export const CHUNK_BYTES = 8 << 20;

/** One file of a model, and what tells this content of it from another. */
export interface FileRecord {
  /** path within the model */
  name: string;
  size: number;
  /** where it starts; redirects are followed from here. Empty for files that came without an address (imports) */
  url: string;
  /** ETag, or Last-Modified where there is none */
  etag?: string;
  /** of the whole file, hex, as the hub states it */
  sha256?: string;
  /** git object id (SHA-1 of 'blob <size>\0' and the content), which the hub states for small files */
  gitId?: string;
}

export interface Manifest {
  id: string;
  /** the source strings that led to this model */
  aliases: string[];
  /** commit on the hub */
  revision?: string;
  files: FileRecord[];
  chunkBytes: number;
  state: 'partial' | 'complete';
  /** milliseconds since 1970 */
  added: number;
  lastUsed: number;
  /** never deleted to make room */
  pinned: boolean;
}

export interface Chunk {
  file: string;
  index: number;
  data: Uint8Array<ArrayBuffer>;
  /** fingerprint */
  hash: Uint8Array<ArrayBuffer>;
}

/** What the store needs of a cache; another kind of storage would implement this. All calls reject with StorageError. */
export interface Cache {
  manifests(): Promise<Manifest[]>;
  manifest(id: string): Promise<Manifest | undefined>;
  /** changes a manifest that is there */
  amend(id: string, change: (manifest: Manifest) => Manifest): Promise<void>;
  put(manifest: Manifest): Promise<void>;
  /** Fingerprints of the chunks that are there, by file: hashes.get(file)?.get(index) */
  hashes(id: string): Promise<Map<string, Map<number, Uint8Array<ArrayBuffer>>>>;
  chunk(id: string, file: string, index: number): Promise<ArrayBuffer | undefined>;
  /** Writes a chunk with its hash, and the manifest if the model has none yet. @throws StorageError when the disk is full */
  putChunk(manifest: Manifest, chunk: Chunk): Promise<void>;
  deleteChunk(id: string, file: string, index: number): Promise<void>;
  deleteFile(id: string, file: string): Promise<void>;
  deleteModel(id: string): Promise<void>;
}

const DATABASE = 'rivulet';
const STORE = 'weights';

const within = (...prefix: string[]): IDBKeyRange => IDBKeyRange.bound(prefix, [...prefix, []]); // an array sorts after any string or number

let opened: { factory: IDBFactory; cache: Promise<Cache | undefined> } | undefined;

/** Undefined where there is no IndexedDB or it refuses to open (private windows of some browsers, blocked site data, a damaged profile). */
export function openCache(): Promise<Cache | undefined> {
  try {
    const factory = globalThis.indexedDB;
    if (!factory) return Promise.resolve(undefined);
    if (opened?.factory !== factory) opened = { factory, cache: connect() };
    return opened.cache;
  } catch {
    return Promise.resolve(undefined); // sandboxed frames throw at the very mention of it
  }
}

async function connect(): Promise<Cache | undefined> {
  try {
    const store = createStore(DATABASE, STORE);
    await get('probe', store);
    const willing: UseStore = (mode, work) => store(mode, work).catch(refuse);
    return databaseCache(willing, createReader(DATABASE, STORE, (key) => get<unknown>(key, willing)));
  } catch {
    opened = undefined; // the next call asks again
    return undefined;
  }
}

/** What IndexedDB rejects with (QuotaExceededError, UnknownError, InvalidStateError, …) under the name callers know. */
function refuse(cause: unknown): never {
  const name = cause instanceof Error || cause instanceof DOMException ? cause.name : String(cause);
  const cure = isQuotaError(cause) ? 'Delete a model or free space on the device.' : 'Reload the page; if it happens again, delete the data of this site.';
  fail('StorageError', { what: "the browser's storage refuses", got: name, cure }, cause);
}

/** Also of an error that has one as its cause. */
export function isQuotaError(error: unknown): boolean {
  const { name, cause } = (error ?? {}) as { name?: unknown; cause?: unknown };
  return name === 'QuotaExceededError' || (cause !== undefined && isQuotaError(cause));
}

/** @param begun models whose manifest is known to be there, so that a write of a chunk need not look */
const databaseCache = (store: UseStore, readValue: (key: IDBValidKey) => Promise<unknown>, begun = new Set<string>()): Cache => ({
  manifests: async () => {
    const [keys, all] = await store('readonly', (s) => Promise.all([promisifyRequest(s.getAllKeys(within('manifest'))), promisifyRequest<unknown[]>(s.getAll(within('manifest')))]));
    const damaged = keys.filter((_, i) => !isManifest(all[i]));
    for (const key of damaged) await removeModel(store, (key as [string, string])[1]);
    return all.filter(isManifest);
  },
  manifest: async (id) => {
    const manifest = await get<unknown>(['manifest', id], store);
    if (isManifest(manifest)) return manifest;
    begun.delete(id); // another tab may have deleted it
    if (manifest !== undefined) await removeModel(store, id);
    return undefined;
  },
  amend: (id, change) =>
    store('readwrite', (s) => {
      const request = s.get(['manifest', id]);
      request.onsuccess = () => {
        if (isManifest(request.result)) s.put(sealed(change(request.result)), ['manifest', id]);
      };
      return promisifyRequest(s.transaction);
    }),
  put: (manifest) => set(['manifest', manifest.id], sealed(manifest), store),
  hashes: (id) =>
    store('readonly', async (s) => {
      const [keys, values] = await Promise.all([promisifyRequest(s.getAllKeys(within('hash', id))), promisifyRequest(s.getAll(within('hash', id)))]);
      const files = new Map<string, Map<number, Uint8Array<ArrayBuffer>>>();
      keys.forEach((key, i) => {
        const [, , file, index] = key as [string, string, string, number];
        const hash: unknown = values[i];
        if (!(hash instanceof Uint8Array) || (hash.length !== 32 && hash.length !== 64)) return;
        if (!files.has(file)) files.set(file, new Map());
        files.get(file)!.set(index, Uint8Array.from(hash));
      });
      return files;
    }),
  chunk: async (id, file, index) => {
    const data = await readValue(['chunk', id, file, index]);
    return data instanceof ArrayBuffer ? data : undefined;
  },
  putChunk: (manifest, { file, index, data, hash }) =>
    store('readwrite', async (s) => {
      const request = begun.has(manifest.id) ? undefined : s.count(['manifest', manifest.id]);
      if (request)
        request.onsuccess = () => {
          if (request.result === 0) s.put(sealed(manifest), ['manifest', manifest.id]);
        };
      s.put(hash, ['hash', manifest.id, file, index]);
      s.put(wholeBuffer(data), ['chunk', manifest.id, file, index]);
      if (!request) s.transaction.commit?.(); // writes follow one another: none should wait for this thread to hear of the last
      await promisifyRequest(s.transaction);
      begun.add(manifest.id);
    }),
  deleteChunk: (id, file, index) => remove(store, ['hash', id, file, index], ['chunk', id, file, index]),
  deleteFile: (id, file) => remove(store, within('hash', id, file), within('chunk', id, file)),
  deleteModel: async (id) => {
    begun.delete(id);
    await removeModel(store, id);
    begun.delete(id); // a chunk may have been on its way
  },
});

const remove = (store: UseStore, ...what: (IDBKeyRange | IDBValidKey)[]): Promise<void> =>
  store('readwrite', (s) => {
    for (const range of what) s.delete(range);
    return promisifyRequest(s.transaction);
  });

const removeModel = (store: UseStore, id: string): Promise<void> => remove(store, within('hash', id), within('chunk', id), ['manifest', id]);

const wholeBuffer = (data: Uint8Array<ArrayBuffer>): ArrayBuffer =>
  data.byteLength === data.buffer.byteLength ? data.buffer : data.slice().buffer;

/** A manifest as it is stored: with the SHA-256 of itself, so that one that was damaged is known. */
const sealed = (manifest: Manifest): Manifest & { seal: string } => ({ ...manifest, seal: sealOf(manifest) });
const sealOf = (manifest: object): string => hex(new Sha256().update(new TextEncoder().encode(JSON.stringify({ ...manifest, seal: undefined }))).digest());

/**
 * Storage is input too: a record of another version, of another script on this origin, or with a byte that is not what was written, is not a
 * manifest. Nothing can be read without one, therefore such a model is forgotten whole.
 */
function isManifest(value: unknown): value is Manifest {
  const m = value as (Partial<Manifest> & { seal?: string }) | undefined;
  return (
    typeof m?.seal === 'string' &&
    m.seal === sealOf(m) &&
    typeof m.id === 'string' &&
    Array.isArray(m.aliases) &&
    Array.isArray(m.files) &&
    m.files.every((f) => typeof f?.name === 'string' && Number.isSafeInteger(f.size) && f.size >= 0 && typeof f.url === 'string') &&
    Number.isSafeInteger(m.chunkBytes) &&
    m.chunkBytes! > 0 &&
    (m.state === 'partial' || m.state === 'complete')
  );
}

/** What tells this content of a file from another, as far as the server said. */
export const mark = ({ sha256, gitId, etag }: FileRecord): string | undefined => sha256 ?? gitId ?? etag;

/** Is it certainly the same content? Without any mark it is not. */
export const sameContent = (a: FileRecord, b: FileRecord): boolean => a.name === b.name && a.size === b.size && mark(a) !== undefined && mark(a) === mark(b);

/** Chunks of a file of `size` bytes. */
export const chunkCount = (size: number, chunkBytes: number): number => Math.ceil(size / chunkBytes);

/** Bytes of chunk `index`; the last one is shorter. */
export const chunkLength = (size: number, chunkBytes: number, index: number): number => Math.min(chunkBytes, size - index * chunkBytes);

/** The cache, for calls that make no sense without one. */
export async function requireCache(): Promise<Cache> {
  return (
    (await openCache()) ??
    fail('StorageError', {
      what: 'this page has no storage that lasts',
      got: 'no usable IndexedDB',
      cure: 'Private windows and blocked site data do this: open the page in an ordinary window, or allow it to store data.',
    })
  );
}
