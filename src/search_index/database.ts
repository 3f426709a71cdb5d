/** The documents of an index in IndexedDB: a record each, with vectors and a checksum, written in one transaction. */
import { fail, show } from '../errors';
import type { IndexDocument } from './types';
import type { PackedVectors } from './vector_store';

/** What vectors an index has, and how its model is told from others. */
export interface IndexHead {
  version: number;
  /** SHA-256 of the model's configuration */
  model: string;
  /** numbers of a vector */
  size: number;
  /** what the model makes of a fixed text, [n, size] */
  probe: Float32Array<ArrayBuffer>;
}

export interface StoredDocument extends IndexDocument, PackedVectors {
  check: number;
}

export const VERSION = 1;
const [HEAD, DOCUMENTS] = ['head', 'documents'];
const REVISION = 'revision';
export const databaseName = (name: string): string => `rivulet-search-index:${name}`;

/** FNV-1a over the words of the vectors and scales, and the texts. */
export function checksumOf({ id, text, metadata, bytes, scales }: IndexDocument & PackedVectors): number {
  let hash = 0x811c9dc5;
  const mix = (word: number): void => void (hash = Math.imul(hash ^ word, 0x01000193));
  const mixText = (part: string): void => {
    for (let i = 0; i < part.length; i++) mix(part.charCodeAt(i));
    mix(0x10000);
  };
  mixText(id);
  mixText(text);
  mixText(JSON.stringify(metadata ?? null));
  // rows are 16 bytes wide
  for (const { buffer, byteOffset, byteLength } of [bytes, scales]) {
    const words = new Uint32Array(buffer, byteOffset, byteLength >> 2);
    for (let i = 0; i < words.length; i++) hash = Math.imul(hash ^ words[i], 0x01000193);
  }
  return hash >>> 0;
}

/** @throws StorageError unless it is what was stored, with vectors of this width */
export function requireSound(record: StoredDocument, width: number): StoredDocument {
  const { id, text, bytes, scales } = record;
  const sound =
    typeof id === 'string' &&
    typeof text === 'string' &&
    bytes instanceof Int8Array &&
    scales instanceof Float32Array &&
    bytes.length === scales.length * width &&
    record.check === checksumOf(record);
  if (sound) return record;
  return fail('StorageError', {
    what: 'A document of the index is damaged',
    got: show(id),
    cure: 'Delete the index with deleteIndex, and add its documents again.',
  });
}

const done = (transaction: IDBTransaction): Promise<void> =>
  new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = transaction.onerror = () => reject(transaction.error ?? new Error('aborted'));
  });

const resultOf = <T>(request: IDBRequest<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error('failed'));
  });

function failStorage(cause: unknown): never {
  const full = /Quota/.test((cause as Error)?.name ?? '');
  return fail(
    'StorageError',
    full
      ? { what: 'The storage is full', cure: 'Remove documents or models; what was stored before stays.' }
      : { what: 'The index cannot be read or written', got: String(cause) },
    cause,
  );
}

const inStorage = async <T>(work: () => Promise<T>): Promise<T> => {
  try {
    return await work();
  } catch (error) {
    return failStorage(error);
  }
};

export interface IndexDatabase {
  head(): Promise<IndexHead | undefined>;
  writeHead(head: IndexHead): Promise<void>;
  /** records as they are stored, in pieces of some hundred */
  all(each: (record: StoredDocument) => void): Promise<void>;
  get(id: string): Promise<StoredDocument | undefined>;
  /** counts the writes */
  revision(): Promise<number>;
  /**
   * Whole, or not at all.
   * @param revision the one that the caller knows
   * @returns the next one; undefined, and nothing is written, if there have been other writes
   */
  write(
    revision: number,
    documents: readonly StoredDocument[],
    removed?: readonly string[],
  ): Promise<number | undefined>;
  close(): void;
}

const revisionIn = async (transaction: IDBTransaction): Promise<number> =>
  (await resultOf(transaction.objectStore(HEAD).get(REVISION) as IDBRequest<number | undefined>)) ?? 0;

/** Records read at a time. */
const PIECE = 256;

/** @throws StorageError */
export async function openIndexDatabase(name: string): Promise<IndexDatabase> {
  const db = await inStorage(() => {
    const request = indexedDB.open(databaseName(name), 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore(HEAD);
      request.result.createObjectStore(DOCUMENTS, { keyPath: 'id' });
    };
    return resultOf(request);
  });
  db.onversionchange = () => db.close(); // deleteIndex
  return {
    head: () =>
      inStorage(() => resultOf(db.transaction(HEAD).objectStore(HEAD).get(HEAD) as IDBRequest<IndexHead | undefined>)),
    writeHead: (head) =>
      inStorage(async () => {
        const transaction = db.transaction(HEAD, 'readwrite');
        transaction.objectStore(HEAD).put(head, HEAD);
        await done(transaction);
      }),
    all: (each) =>
      inStorage(async () => {
        for (let last: string | undefined; ;) {
          const range = last === undefined ? null : IDBKeyRange.lowerBound(last, true);
          const store = db.transaction(DOCUMENTS).objectStore(DOCUMENTS);
          const records = await resultOf(store.getAll(range, PIECE) as IDBRequest<StoredDocument[]>);
          records.forEach(each);
          if (records.length < PIECE) return;
          last = records.at(-1)!.id;
        }
      }),
    get: (id) =>
      inStorage(() =>
        resultOf(db.transaction(DOCUMENTS).objectStore(DOCUMENTS).get(id) as IDBRequest<StoredDocument | undefined>),
      ),
    revision: () => inStorage(() => revisionIn(db.transaction(HEAD))),
    write: (revision, documents, removed = []) =>
      inStorage(async () => {
        const transaction = db.transaction([HEAD, DOCUMENTS], 'readwrite', { durability: 'strict' });
        const finished = done(transaction);
        finished.catch(() => undefined);
        if ((await revisionIn(transaction)) !== revision) return undefined;
        transaction.objectStore(HEAD).put(revision + 1, REVISION);
        const store = transaction.objectStore(DOCUMENTS);
        for (const one of documents) store.put(one);
        for (const id of removed) store.delete(id);
        await finished;
        return revision + 1;
      }),
    close: () => db.close(),
  };
}

/** Deletes an index of this site. @throws StorageError */
export async function deleteIndex(name: string): Promise<void> {
  await inStorage(() => resultOf(indexedDB.deleteDatabase(databaseName(name))));
}
