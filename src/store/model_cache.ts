/**
 * The cache of models on disk: one IndexedDB database, through idb-keyval. Keys:
 *
 *   ['manifest', model]             the files of the model and whether all are stored, with a SHA-256 of this record
 *   ['hash', model, file, index]    checksum of a chunk (checksum.ts)
 *   ['chunk', model, file, index]   the chunk: a Blob, of which parts can be read, and which reads twice as fast as an
 *                                   ArrayBuffer; that is what earlier versions stored, and where Blobs are refused
 *   ['state', model, id]            a saved state (saved_states.ts): what it has read
 *   ['pieces', model, id]           its bytes, an array of blobs
 *
 * and a file of the origin private file system for a model whose experts are paged (swap_file.ts).
 *
 * A chunk and its checksum are written in one transaction, so each stored checksum has a verified chunk. Only a
 * manifest with the state 'complete' counts as a cached model.
 */
import { createStore, get, promisifyRequest, set, type UseStore } from 'idb-keyval';
import { fail } from '../errors';
import { toHex, Sha256, sha256BlocksInJavaScript } from './sha256';

/**
 * Bytes of a chunk. Chromium 156, profile on disk, 192 MB of random bytes, 1 / 4 transactions at once, median of 3,
 * MB/s:
 *   1 MB: write 108 / 115, read 225 / 295 · 2 MB: 125 / 133, 272 / 334 · 4 MB: 145 / 146, 344 / 392
 *   8 MB: 154 / 176, 426 / 512 · 16 MB: 159 / 170, 442 / 521
 * 16 MB is hardly faster, takes more memory and loses more bytes to an interruption.
 */
export const CHUNK_BYTES = 8 << 20;

/** One file of a model, with what identifies its content. */
export interface FileRecord {
  /** path within the model */
  name: string;
  size: number;
  /** the URL before redirects; empty for imported files */
  url: string;
  /** its bytes, if they had to be read to know the size. Never stored here */
  blob?: Blob;
  /** ETag, or Last-Modified if there is none */
  etag?: string;
  /** hash of the whole file, hex, as the hub states it */
  sha256?: string;
  /** git object id (SHA-1 of 'blob <size>\0' and the content); the hub states it for small files */
  gitId?: string;
}

export interface ModelManifest {
  id: string;
  /** the source strings that resolved to this model */
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

export interface StoredChunk {
  file: string;
  index: number;
  data: Uint8Array<ArrayBuffer>;
  checksum: Uint8Array<ArrayBuffer>;
}

/** The cache as the store uses it; another kind of storage would implement this. All calls reject with StorageError. */
export interface ModelCache {
  manifests(): Promise<ModelManifest[]>;
  manifest(id: string): Promise<ModelManifest | undefined>;
  /** changes a stored manifest; does nothing if there is none */
  updateManifest(id: string, change: (manifest: ModelManifest) => ModelManifest): Promise<void>;
  putManifest(manifest: ModelManifest): Promise<void>;
  /** Checksums of the stored chunks: checksums.get(file)?.get(index) */
  checksums(id: string): Promise<Map<string, Map<number, Uint8Array<ArrayBuffer>>>>;
  /** A chunk; of one that is a Blob, the bytes from `start` to `end` */
  chunk(id: string, file: string, index: number, start?: number, end?: number): Promise<ArrayBuffer | undefined>;
  /** Writes a chunk with its checksum, and the manifest if none is stored. @throws StorageError if the disk is full */
  putChunk(manifest: ModelManifest, chunk: StoredChunk): Promise<void>;
  deleteChunk(id: string, file: string, index: number): Promise<void>;
  deleteFile(id: string, file: string): Promise<void>;
  deleteModel(id: string): Promise<void>;
  /** transactions, for saved_states.ts */
  readonly store: UseStore;
}

const DATABASE = 'rivulet';
const STORE = 'weights';

// an array sorts after any string or number
export const keysWithin = (...prefix: string[]): IDBKeyRange => IDBKeyRange.bound(prefix, [...prefix, []]);

let opened: { factory: IDBFactory; cache: Promise<ModelCache | undefined> } | undefined;

/**
 * Undefined if IndexedDB is missing or does not open (private windows of some browsers, blocked site data, a damaged
 * profile).
 */
export function openModelCache(): Promise<ModelCache | undefined> {
  try {
    const factory = globalThis.indexedDB;
    if (!factory) return Promise.resolve(undefined);
    if (opened?.factory !== factory) opened = { factory, cache: connect() };
    return opened.cache;
  } catch {
    return Promise.resolve(undefined); // sandboxed frames throw on access
  }
}

async function connect(): Promise<ModelCache | undefined> {
  try {
    const store = createStore(DATABASE, STORE);
    await get('probe', store);
    const inTurns: UseStore = (mode, work) => store(mode, work).catch(failStorage);
    // A tab that is frozen before it hears of an answer cannot end its transaction, and Chromium lets others wait for a
    // minute. So it ends without it
    const atOnce: UseStore = (mode, work) =>
      inTurns(mode, (s) => {
        const done = work(s);
        s.transaction.commit?.();
        return done;
      });
    return createModelCache(atOnce, inTurns);
  } catch {
    opened = undefined; // the next call tries again
    return undefined;
  }
}

/** Turns an error of IndexedDB (QuotaExceededError, UnknownError, InvalidStateError, …) into a StorageError. */
function failStorage(cause: unknown): never {
  const name = cause instanceof Error || cause instanceof DOMException ? cause.name : String(cause);
  const cure = isQuotaError(cause)
    ? 'Delete a model or free space on the device.'
    : 'Reload the page; if it happens again, delete the data of this site.';
  fail(
    'StorageError',
    { what: isQuotaError(cause) ? "The browser's storage is full" : "The browser's storage failed", got: name, cure },
    cause,
  );
}

/** True also if a cause of the error is a quota error. */
export function isQuotaError(error: unknown): boolean {
  const { name, cause } = (error ?? {}) as { name?: unknown; cause?: unknown };
  return name === 'QuotaExceededError' || (cause !== undefined && isQuotaError(cause));
}

/**
 * @param store transactions that make all their requests at once
 * @param inTurns transactions whose later requests depend on answers
 * @param known models whose manifest is stored, so that writing a chunk need not check
 */
const createModelCache = (
  store: UseStore,
  inTurns: UseStore,
  known = new Set<string>(),
  takesBlobs = true,
): ModelCache => ({
  manifests: async () => {
    const [keys, all] = await store('readonly', (s) =>
      Promise.all([
        promisifyRequest(s.getAllKeys(keysWithin('manifest'))),
        promisifyRequest<unknown[]>(s.getAll(keysWithin('manifest'))),
      ]),
    );
    const damaged = keys.filter((_, i) => !isManifest(all[i]));
    for (const key of damaged) await removeModel(store, (key as [string, string])[1]);
    return all.filter(isManifest);
  },
  manifest: async (id) => {
    const manifest = await get<unknown>(['manifest', id], store);
    if (isManifest(manifest)) return manifest;
    known.delete(id); // another tab may have deleted it
    if (manifest !== undefined) await removeModel(store, id);
    return undefined;
  },
  updateManifest: (id, change) =>
    inTurns('readwrite', (s) => {
      const request = s.get(['manifest', id]);
      request.onsuccess = () => {
        if (isManifest(request.result)) s.put(withChecksum(change(request.result)), ['manifest', id]);
      };
      return promisifyRequest(s.transaction);
    }),
  putManifest: (manifest) => set(['manifest', manifest.id], withChecksum(manifest), store),
  checksums: (id) =>
    store('readonly', async (s) => {
      const [keys, values] = await Promise.all([
        promisifyRequest(s.getAllKeys(keysWithin('hash', id))),
        promisifyRequest(s.getAll(keysWithin('hash', id))),
      ]);
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
  chunk: async (id, file, index, start, end) => {
    const data = await get<unknown>(['chunk', id, file, index], store);
    return data instanceof Blob ? data.slice(start, end).arrayBuffer() : data instanceof ArrayBuffer ? data : undefined;
  },
  putChunk: async (manifest, { file, index, data, checksum }) => {
    const { id } = manifest;
    const isStored = known.has(id) || (await store('readonly', (s) => promisifyRequest(s.count(['manifest', id])))) > 0;
    const put = (chunk: Blob | ArrayBuffer): Promise<void> =>
      store('readwrite', (s) => {
        if (!isStored) s.put(withChecksum(manifest), ['manifest', id]);
        s.put(checksum, ['hash', id, file, index]);
        s.put(chunk, ['chunk', id, file, index]);
        return promisifyRequest(s.transaction);
      });
    if (takesBlobs)
      await put(new Blob([data])).catch((error: unknown) => {
        if (isQuotaError(error)) throw error;
        takesBlobs = false; // as WebKitGTK
      });
    if (!takesBlobs) await put(wholeBuffer(data));
    known.add(id);
  },
  deleteChunk: (id, file, index) => remove(store, ['hash', id, file, index], ['chunk', id, file, index]),
  deleteFile: (id, file) => remove(store, keysWithin('hash', id, file), keysWithin('chunk', id, file)),
  deleteModel: async (id) => {
    known.delete(id);
    await removeModel(store, id);
    known.delete(id); // a chunk may have been written meanwhile
  },
  store,
});

const remove = (store: UseStore, ...what: (IDBKeyRange | IDBValidKey)[]): Promise<void> =>
  store('readwrite', (s) => {
    for (const range of what) s.delete(range);
    return promisifyRequest(s.transaction);
  });

async function removeModel(store: UseStore, id: string): Promise<void> {
  await remove(store, ...['hash', 'chunk', 'state', 'pieces'].map((kind) => keysWithin(kind, id)), ['manifest', id]);
  await deleteSwapFiles(swapFileName(id));
}

export const SWAP_FILES = 'rivulet-swap-';
/** Of a model; ids have characters and lengths that names of files may not have. */
export const swapFileName = (id: string): string => SWAP_FILES + manifestChecksum({ id });

/** Deletes the swap files whose names begin so and that no page has open. */
export async function deleteSwapFiles(prefix = SWAP_FILES): Promise<void> {
  try {
    const folder = await navigator.storage.getDirectory();
    for await (const name of folder.keys())
      if (name.startsWith(prefix)) await folder.removeEntry(name).catch(() => undefined);
  } catch {
    // no such storage
  }
}

const wholeBuffer = (data: Uint8Array<ArrayBuffer>): ArrayBuffer =>
  data.byteLength === data.buffer.byteLength ? data.buffer : data.slice().buffer;

/** A manifest as it is stored: with its own SHA-256, which shows damage. */
const withChecksum = (manifest: ModelManifest): ModelManifest & { seal: string } => ({
  ...manifest,
  seal: manifestChecksum(manifest),
});
const manifestChecksum = (manifest: object): string =>
  toHex(
    new Sha256(sha256BlocksInJavaScript)
      .update(new TextEncoder().encode(JSON.stringify({ ...manifest, seal: undefined })))
      .digest(),
  );

/**
 * Stored data is input too: another version, another script of this origin or damage may have changed it. Without a
 * valid manifest nothing can be read, so such a model is deleted.
 */
function isManifest(value: unknown): value is ModelManifest {
  const m = value as (Partial<ModelManifest> & { seal?: string }) | undefined;
  return (
    typeof m?.seal === 'string' &&
    m.seal === manifestChecksum(m) &&
    typeof m.id === 'string' &&
    Array.isArray(m.aliases) &&
    Array.isArray(m.files) &&
    m.files.every(
      (f) => typeof f?.name === 'string' && Number.isSafeInteger(f.size) && f.size >= 0 && typeof f.url === 'string',
    ) &&
    Number.isSafeInteger(m.chunkBytes) &&
    m.chunkBytes! > 0 &&
    (m.state === 'partial' || m.state === 'complete')
  );
}

/** Identifies the content of a file, as far as the server states it. */
export const contentHashOrEtag = ({ sha256, gitId, etag }: FileRecord): string | undefined => sha256 ?? gitId ?? etag;

/** True if it is certainly the same content; false if the server states no identification. */
export const hasSameContent = (a: FileRecord, b: FileRecord): boolean =>
  a.name === b.name &&
  a.size === b.size &&
  contentHashOrEtag(a) !== undefined &&
  contentHashOrEtag(a) === contentHashOrEtag(b);

/** Number of chunks of a file of `size` bytes. */
export const chunkCount = (size: number, chunkBytes: number): number => Math.ceil(size / chunkBytes);

/** Bytes of chunk `index`; the last one is shorter. */
export const chunkLength = (size: number, chunkBytes: number, index: number): number =>
  Math.min(chunkBytes, size - index * chunkBytes);

/** @throws StorageError if there is no storage */
export async function requireModelCache(): Promise<ModelCache> {
  return (
    (await openModelCache()) ??
    fail('StorageError', {
      what: 'This page has no permanent storage',
      got: 'no usable IndexedDB',
      cure: 'Use a normal window, not a private one, and allow the page to store data.',
    })
  );
}
