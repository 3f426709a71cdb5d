/** The store as tests and drills in a browser call it: each call answers with plain data, errors included. */
import { openModelCache } from '../../src/store/model_cache';
import { deleteModel, downloadModel, listModels } from '../../src/store/cached_models';
import { exportModel, importModel, verifyModel } from '../../src/store/maintain_models';
import { openModel, type OpenOptions } from '../../src/store/open_model';
import type { Progress } from '../../src/store/progress';
import { createSha256, toHex } from '../../src/store/sha256';
import { ChunkStore } from '../../src/store/chunk_store';

const PIECE = 4 << 20; // bytes per read, as the loader takes them

export interface Loaded {
  hashes: string[];
  cached: boolean;
  notes: string[];
  /** until the last byte was read, and until all was in the cache */
  seconds: number;
  finished: number;
  /** calls of onProgress during the download, each with more bytes than the last */
  told: number;
  error?: undefined;
}
export interface Failed {
  error: { name: string; message: string };
}

const answer = async <T extends object>(work: () => Promise<T>): Promise<T | Failed> => {
  try {
    return await work();
  } catch (error) {
    const { name, message } = error instanceof Error ? error : { name: 'unknown', message: String(error) };
    return { error: { name, message } };
  }
};

const once = <T>(request: IDBRequest<T> | IDBTransaction): Promise<T> =>
  new Promise((resolve, reject) => {
    if (request instanceof IDBTransaction) request.oncomplete = () => resolve(undefined as T);
    else request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

export const calls = {
  /** Opens a model, reads all of it in order, finishes. */
  load: (source: string, options: OpenOptions & { hash?: boolean } = {}): Promise<Loaded | Failed> =>
    answer(async () => {
      const start = performance.now();
      let [told, last] = [0, 0];
      const onProgress = ({ phase, bytes }: Progress): void =>
        void (phase === 'download' && bytes > last && ((last = bytes), told++));
      const model = await openModel(source, { ...options, onProgress });
      try {
        const hashes: string[] = [];
        for (const file of model.files) {
          const hash = createSha256();
          for (let at = 0; at < file.size; at += PIECE) {
            const bytes = await file.read(at, Math.min(PIECE, file.size - at));
            if (options.hash !== false) hash.update(bytes);
            file.release?.(bytes);
          }
          hashes.push(toHex(hash.digest()));
        }
        const seconds = (performance.now() - start) / 1000;
        await model.finish();
        return {
          hashes,
          cached: model.cached,
          notes: model.notes,
          seconds,
          finished: (performance.now() - start) / 1000,
          told,
        };
      } finally {
        model.close();
      }
    }),

  inWorker: (source: string, options: object): Promise<Loaded | Failed> =>
    new Promise((resolve) => {
      const worker = new Worker(new URL('./store.worker.ts', import.meta.url), { type: 'module' });
      worker.onmessage = ({ data }: MessageEvent<Loaded | Failed>) => {
        worker.terminate();
        resolve(data);
      };
      worker.postMessage({ source, options });
    }),

  /** seconds */
  download: (source: string, options: OpenOptions = {}) =>
    answer(async () => {
      const start = performance.now();
      const id = await downloadModel(source, options);
      return { id, seconds: (performance.now() - start) / 1000 };
    }),
  list: () => answer(async () => ({ models: await listModels() })),
  remove: (id: string, options: { wait?: boolean } = {}) =>
    answer(async () => (await deleteModel(id, options), { at: Date.now() })),
  /** Has a chunk of a model open for a time. */
  keepOpen: (source: string, options: OpenOptions, milliseconds: number) =>
    answer(async () => {
      const model = await openModel(source, options);
      await model.files[0].read(0, 16);
      await new Promise((go) => setTimeout(go, milliseconds));
      await model.files[0].read(0, 16);
      const closed = Date.now();
      await model.close();
      return { closed };
    }),
  verify: (id: string) => answer(() => verifyModel(id)),
  /** An export that comes in again. */
  roundTrip: (id: string) =>
    answer(async () => {
      const blob = await exportModel(id);
      await deleteModel(id);
      return { id: await importModel(blob), bytes: blob.size };
    }),

  /** Changes one bit of one stored chunk and leaves its hash. */
  flip: (id: string, file: string, index: number, at: number) =>
    answer(async () => {
      const cache = (await openModelCache())!;
      const data = new Uint8Array((await cache.chunk(id, file, index))!);
      data[at % data.length] ^= 16;
      await cache.putChunk((await cache.manifest(id))!, {
        file,
        index,
        data,
        checksum: (await cache.checksums(id)).get(file)!.get(index)!,
      });
      return {};
    }),

  /** Changes one bit of one field of a stored manifest, past the store: 'files 0 size'. */
  flipManifest: (id: string, field: string) =>
    answer(async () => {
      await openModelCache();
      const db = await once(indexedDB.open('rivulet'));
      const store = db.transaction('weights', 'readwrite').objectStore('weights');
      const manifest = (await once(store.get(['manifest', id]))) as Record<string, unknown>;
      const path = field.split(' ');
      const name = path.pop()!;
      const holder = path.reduce((at, key) => at[key] as Record<string, unknown>, manifest);
      const value = holder[name];
      if (value === undefined) throw new Error(`a manifest has no ${field}`);
      holder[name] =
        typeof value === 'number'
          ? value ^ 1
          : typeof value === 'boolean'
            ? !value
            : String.fromCharCode(String(value).charCodeAt(0) ^ 1) + String(value).slice(1);
      await once(store.put(manifest, ['manifest', id]));
      db.close();
      return {};
    }),

  /** seconds to fetch into memory with nothing but fetch */
  plainFetch: (url: string) =>
    answer(async () => {
      const start = performance.now();
      const { byteLength } = await (await fetch(url, { cache: 'no-store' })).arrayBuffer();
      return { seconds: (performance.now() - start) / 1000, byteLength };
    }),

  /** seconds to write and to read `total` bytes with nothing but IndexedDB, four transactions at once */
  bareLoop: (total: number, chunkBytes: number) =>
    answer(async () => {
      const request = indexedDB.open('bare');
      request.onupgradeneeded = () => request.result.createObjectStore('s');
      const db = await once(request);
      const write = await inLanes(total, chunkBytes, ({ buffer }, index) => {
        const transaction = db.transaction('s', 'readwrite');
        transaction.objectStore('s').put(buffer, index);
        return once(transaction);
      });
      const read = await inLanes(total, chunkBytes, (_, index) =>
        once(db.transaction('s').objectStore('s').get(index)),
      );
      db.close();
      await once(indexedDB.deleteDatabase('bare'));
      return { write, read };
    }),

  /** seconds in which the store writes `total` bytes that are in memory, hashes included */
  storeWrite: (total: number, chunkBytes: number) =>
    answer(async () => {
      const cache = (await openModelCache())!;
      const times = { added: 0, lastUsed: 0, pinned: false };
      const chunkStore = new ChunkStore(
        {
          id: 'written',
          aliases: [],
          files: [{ name: 'w', size: total, url: '' }],
          chunkBytes,
          state: 'partial',
          ...times,
        },
        cache,
      );
      const seconds = await inLanes(total, chunkBytes, (chunk, index) =>
        chunkStore.put('w', index, chunk.subarray(0, Math.min(chunkBytes, total - index * chunkBytes)), false),
      );
      await cache.deleteModel('written');
      return { seconds };
    }),
};

const LANES = 4;

/** seconds for one call for each chunk of `total` bytes, so many at once; each lane has a buffer of its own */
async function inLanes(
  total: number,
  chunkBytes: number,
  work: (chunk: Uint8Array<ArrayBuffer>, index: number) => Promise<unknown>,
): Promise<number> {
  const chunks = Array.from({ length: LANES }, () => {
    const bytes = new Uint8Array(chunkBytes);
    for (let at = 0; at < chunkBytes; at += 65536) crypto.getRandomValues(bytes.subarray(at, at + 65536));
    return bytes;
  });
  const start = performance.now();
  let next = 0;
  await Promise.all(
    chunks.map(async (chunk) => {
      while (next * chunkBytes < total) await work(chunk, next++);
    }),
  );
  return (performance.now() - start) / 1000;
}
