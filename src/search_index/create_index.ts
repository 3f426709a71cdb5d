/** An index that lives in the page: vectors in memory, documents in IndexedDB, one tab that writes. */
import { abortError, fail, show } from '../errors';
import { checksumOf, openIndexDatabase, requireSound, type IndexHead, type StoredDocument } from './database';
import { readIndexFile, writeIndexFile } from './index_file';
import { documentVectors, headOf, queryVectors, requireSameModel } from './model_vectors';
import { fuse, readFilter, readK, refuseOption, topOf, type Ranked } from './rank';
import { readDocuments } from './read_documents';
import type { AddOptions, IndexDocument, IndexOptions, SearchIndex, SearchOptions, SearchResult } from './types';
import { createVectorStore, packVectors, widthOf } from './vector_store';
import { createWordIndex, type WordIndex } from './words';
import { createWriterLock } from './writer_lock';

/** What tabs tell each other: the revision of the index, and the documents that changed or went. */
interface Change {
  revision: number;
  ids: string[];
}

/** Each of both lists gives at least so many to the fusion. */
const CANDIDATES = 100;

/**
 * Opens the index of this name in this site's storage, or makes it.
 * @throws RequestError for a model without vectors; StorageError for an index of another model or version, or a damaged
 * one; MemoryError
 */
export async function createIndex({ model, name }: IndexOptions): Promise<SearchIndex> {
  if (typeof name !== 'string' || !name) refuseOption('name', name, 'a text that is not empty');
  const own = await headOf(model);
  return openIndex({ model, name }, own);
}

/**
 * Adds the documents of an exported index to the index of this name.
 * @throws SourceError for a damaged file; as `createIndex` and `add`
 */
export async function importIndex(file: Blob, { model, name }: IndexOptions): Promise<SearchIndex> {
  const own = await headOf(model);
  const { head, documents } = await readIndexFile(file, widthOf);
  requireSameModel(head, own);
  return openIndex({ model, name }, own, documents);
}

async function openIndex(
  { model, name }: IndexOptions,
  own: IndexHead,
  imported: readonly StoredDocument[] = [],
): Promise<SearchIndex> {
  const database = await openIndexDatabase(name);
  const store = await createVectorStore(own.size);
  const documents = new Map<string, IndexDocument>();
  const lock = createWriterLock(name);
  const channel = new BroadcastChannel(`rivulet-search-index:${name}`);
  let words: WordIndex | undefined;
  let revision = 0;
  let closed = false;
  /** settles when all calls before it have */
  let queue: Promise<unknown> = Promise.resolve();

  const inTurn = <T>(task: () => Promise<T>): Promise<T> => {
    const run = queue.then(() => {
      if (closed) fail('RequestError', { what: 'The index is closed', cure: 'Open it again with createIndex.' });
      return task();
    });
    queue = run.catch(() => undefined);
    return run;
  };

  function forget(id: string): void {
    documents.delete(id);
    store.delete(id);
    words?.remove(id);
  }

  function take(record: StoredDocument): void {
    const { id, text, metadata } = requireSound(record, store.width);
    store.set(id, record);
    const one = { id, text, ...(metadata && { metadata }) };
    documents.set(id, one);
    words?.add(one);
  }

  async function readAll(): Promise<void> {
    const before = new Set(documents.keys());
    for (;;) {
      const from = await database.revision();
      await database.all((record) => (before.delete(record.id), take(record)));
      revision = await database.revision();
      if (from === revision) break; // else another tab has written meanwhile
    }
    before.forEach(forget);
  }

  const failOther = (): never =>
    fail('StorageError', {
      what: 'Another tab writes to the index',
      got: name,
      cure: 'Close the index there, or write there.',
    });

  async function becomeWriter(): Promise<void> {
    if (!(await lock.take())) failOther();
    if ((await database.revision()) !== revision) await readAll();
  }

  /** Stores first, then changes what is in memory and tells the other tabs. */
  async function commit(records: readonly StoredDocument[], removed: readonly string[] = []): Promise<void> {
    const next = await database.write(revision, records, removed);
    if (next === undefined) return failOther();
    revision = next;
    records.forEach(take);
    removed.forEach(forget);
    channel.postMessage({ revision, ids: [...records.map(({ id }) => id), ...removed] } satisfies Change);
  }

  channel.onmessage = ({ data }: MessageEvent<Change>) =>
    void inTurn(async () => {
      if (data.revision <= revision) return;
      if (data.revision !== revision + 1) return readAll();
      for (const id of data.ids) {
        const record = await database.get(id);
        if (record) take(record);
        else forget(id);
      }
      revision = data.revision;
    }).catch(() => undefined); // the next write reads all

  const addNow = async (given: readonly IndexDocument[], there: boolean, options: AddOptions): Promise<void> => {
    const { signal, onProgress } = options;
    const read = readDocuments(given);
    await becomeWriter();
    const wrong = read.find(({ id }) => documents.has(id) !== there);
    if (wrong)
      fail('RequestError', {
        what: there ? 'There is no document with this id' : 'There is a document with this id already',
        got: show(wrong.id),
        cure: there ? 'Use add.' : 'Use update.',
      });
    let done = 0;
    const texts = read.map(({ text }) => text);
    for await (const vectors of documentVectors(model, texts, signal)) {
      if (signal?.aborted) throw abortError();
      const record = { ...read[done], ...packVectors(vectors, own.size) };
      await commit([{ ...record, check: checksumOf(record) }]);
      done++;
      onProgress?.(done, read.length);
    }
  };

  function byWords(query: string, allowed: ((id: string) => boolean) | undefined): Ranked[] {
    words ??= createWordIndex(documents.values());
    return words.search(query, allowed);
  }

  async function byVectors(query: string, ids: readonly string[], k: number, signal?: AbortSignal): Promise<Ranked[]> {
    const vectors = await queryVectors(model, query, signal);
    if (signal?.aborted) throw abortError();
    const here = ids.filter((id) => store.has(id)); // those that went meanwhile
    return topOf(here, store.scores(vectors, here), k);
  }

  async function search(query: string, options: SearchOptions = {}): Promise<SearchResult[]> {
    if (closed) return inTurn(async () => []); // fails
    if (typeof query !== 'string' || !query.trim()) refuseOption('query', query, 'a text that is not empty');
    const k = readK(options.k);
    const { filter, by = 'hybrid', signal } = options;
    const accepts = readFilter(filter);
    const ids = [...documents.values()].flatMap((one) => (accepts && !accepts(one) ? [] : one.id));
    const allowed =
      accepts &&
      (
        (known) => (id: string) =>
          known.has(id)
      )(new Set(ids));
    const few = Math.max(k, CANDIDATES);
    const ranked =
      by === 'words'
        ? byWords(query, allowed)
        : by === 'vectors'
          ? await byVectors(query, ids, k, signal)
          : by === 'hybrid'
            ? fuse([await byVectors(query, ids, few, signal), byWords(query, allowed).slice(0, few)])
            : refuseOption('by', by, 'hybrid, vectors or words');
    return ranked.slice(0, k).flatMap(({ id, score }) => {
      const one = documents.get(id);
      return one ? [{ ...one, score }] : [];
    });
  }

  async function close(): Promise<void> {
    await queue;
    closed = true;
    channel.close();
    lock.release();
    database.close();
  }

  try {
    const stored = await database.head();
    if (stored) requireSameModel(stored, own);
    else await database.writeHead(own);
    await readAll();
    if (imported.length) {
      await becomeWriter();
      await commit(imported);
    }
  } catch (error) {
    await close();
    throw error;
  }

  return {
    name,
    get size() {
      return documents.size;
    },
    get vectors() {
      return store.vectors;
    },
    get memory() {
      return store.bytes;
    },
    add: (given, options = {}) => inTurn(() => addNow(given, false, options)),
    update: (given, options = {}) => inTurn(() => addNow(given, true, options)),
    remove: (ids) =>
      inTurn(async () => {
        await becomeWriter();
        const there = [...new Set(ids)].filter((id) => documents.has(id));
        if (there.length) await commit([], there);
      }),
    get: (id) => documents.get(id),
    search,
    export: () =>
      inTurn(async () => {
        const records = [...documents.values()].map((one) => ({ ...one, ...store.packed(one.id), check: 0 }));
        return writeIndexFile(own, records);
      }),
    close,
  };
}
