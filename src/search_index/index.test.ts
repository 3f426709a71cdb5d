/** The index as a page uses it, over a model that makes vectors of words. */
import 'fake-indexeddb/auto';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { IndexDocument, IndexModel, SearchIndex } from './types';
import { createIndex, deleteIndex, importIndex } from './index';
import { databaseName } from './database';
import { wordsOf } from './words';

const SIZE = 32;

/** A vector for each word, which follows from its letters. */
function vectorOf(word: string, salt: number): number[] {
  let hash = salt;
  for (const c of word) hash = Math.imul(hash ^ c.codePointAt(0)!, 0x01000193);
  const own = Array.from({ length: SIZE }, (_, i) => {
    hash = Math.imul(hash ^ (i + 1), 0x85ebca6b);
    return ((hash ^ (hash >>> 13)) >>> 8) / 2 ** 23 - 1;
  });
  const length = Math.hypot(...own);
  return own.map((v) => v / length);
}

interface TestModel extends IndexModel {
  encoded: string[];
}

function model(vectors: 'tokens' | 'text' = 'tokens', salt = 1): TestModel {
  const encoded: string[] = [];
  const encode = (text: string): Float32Array =>
    Float32Array.from(wordsOf(`start ${text}`).flatMap((w) => vectorOf(w, salt)));
  const mean = (text: string): Float32Array => {
    const all = encode(text);
    const sum = Float32Array.from({ length: SIZE }, (_, i) =>
      all.filter((_v, j) => j % SIZE === i).reduce((a, b) => a + b),
    );
    const length = Math.hypot(...sum);
    return sum.map((v) => v / length);
  };
  const info = { config: { retrieval: { vectors, size: SIZE }, hiddenSize: 8 } } as unknown as IndexModel['info'];
  return {
    encoded,
    info,
    encodeQuery: async (text) => encode(text),
    async *encodeDocuments(texts) {
      for (const text of texts) {
        encoded.push(text);
        yield encode(text);
      }
    },
    embed: async (texts) => (encoded.push(...texts), texts.map(mean)),
  };
}

const POOL: IndexDocument[] = [
  { id: 'pool', text: 'A tide pool holds crabs and small fish.', metadata: { year: 2020, kind: 'sea' } },
  { id: 'air', text: 'The air was cold in the mountains.', metadata: { year: 2021, kind: 'land' } },
  { id: 'sea', text: 'The sea fills the pool twice a day.', metadata: { year: 2021, kind: 'sea' } },
  { id: 'zh', text: '潮池里有螃蟹和小鱼。' },
];

let names = 0;
const opened: SearchIndex[] = [];
const open = async (one: IndexModel, name = `test ${++names}`): Promise<SearchIndex> => {
  const index = await createIndex({ model: one, name });
  opened.push(index);
  return index;
};
afterEach(async () => {
  for (const index of opened.splice(0)) await index.close();
});
const ids = (found: { id: string }[]): string[] => found.map(({ id }) => id);
const named = (name: string, what: RegExp) => ({ name, message: expect.stringMatching(what) as string });

describe.each(['tokens', 'text'] as const)('an index of vectors of %s', (vectors) => {
  it('finds documents, filters them, and keeps them over a reload', async () => {
    const one = model(vectors);
    const index = await open(one);
    const done: number[] = [];
    await index.add(POOL, { onProgress: (n) => done.push(n) });
    expect(done).toEqual([1, 2, 3, 4]);
    expect(index.size).toBe(4);
    expect((await index.search('tide pool crabs'))[0]).toMatchObject(POOL[0]);
    expect(ids(await index.search('cold air', { k: 1, by: 'vectors' }))).toEqual(['air']);
    expect(ids(await index.search('pool', { filter: { year: 2021 }, by: 'words' }))).toEqual(['sea']);
    expect(ids(await index.search('pool', { filter: ({ id }) => id === 'zh' }))).toEqual(['zh']);
    expect(ids(await index.search('螃蟹', { by: 'words' }))).toEqual(['zh']);
    const before = await index.search('the sea');
    await index.close();
    const again = await open(one, index.name);
    expect(await again.search('the sea')).toEqual(before);
    expect(one.encoded.filter((text) => text === POOL[0].text)).toHaveLength(1);
  });

  it('updates and removes', async () => {
    const index = await open(model(vectors));
    await index.add(POOL);
    await index.update([{ id: 'air', text: 'Whales sing.' }]);
    await index.remove(['pool', 'nowhere']);
    expect(index.get('air')).toEqual({ id: 'air', text: 'Whales sing.' });
    expect(ids(await index.search('whales', { k: 1 }))).toEqual(['air']);
    expect(ids(await index.search('crabs tide', { by: 'words' }))).toEqual([]);
    expect(index.size).toBe(3);
    const { name } = index;
    await index.close();
    expect((await open(model(vectors), name)).size).toBe(3);
  });

  it('is exported and imported as one file', async () => {
    const index = await open(model(vectors));
    await index.add(POOL);
    const file = await index.export();
    const copy = await importIndex(file, { model: model(vectors), name: `copy ${++names}` });
    opened.push(copy);
    expect(await copy.search('the pool')).toEqual(await index.search('the pool'));
    expect(copy.get('sea')).toEqual(POOL[2]);
    expect(new Uint8Array(await (await copy.export()).arrayBuffer())).toEqual(new Uint8Array(await file.arrayBuffer()));
  });
});

describe('bad input', () => {
  it('is refused by name, and changes nothing', async () => {
    const index = await open(model());
    await index.add(POOL);
    for (const [documents, what] of [
      ['text', /documents is/],
      [[null], /documents\[0\]\.id/],
      [[{ id: '', text: '' }], /documents\[0\]\.id/],
      [[{ id: 'a' }], /documents\[0\]\.text/],
      [[{ id: 'a', text: 'x', metadata: { deep: {} } }], /documents\[0\]\.metadata/],
      [
        [
          { id: 'a', text: 'x' },
          { id: 'a', text: 'y' },
        ],
        /documents\[1\]\.id/,
      ],
      [[{ id: 'pool', text: 'x' }], /already/],
    ] as [never, RegExp][])
      await expect(index.add(documents)).rejects.toMatchObject(named('RequestError', what));
    await expect(index.update([{ id: 'new', text: '' }])).rejects.toMatchObject(named('RequestError', /no document/));
    for (const [query, options] of [
      ['', {}],
      ['  ', {}],
      ['x', { k: 0 }],
      ['x', { by: 'colour' }],
      ['x', { filter: 3 }],
    ] as [string, never][])
      await expect(index.search(query, options), query).rejects.toMatchObject({ name: 'RequestError' });
    expect(index.size).toBe(4);
    await expect(createIndex({ model: model(), name: '' })).rejects.toMatchObject({ name: 'RequestError' });
    const text = { info: { config: {} } } as IndexModel;
    await expect(createIndex({ model: text, name: 'x' })).rejects.toMatchObject(named('RequestError', /no vectors/));
  });

  it('empty, short and strange documents are taken', async () => {
    const index = await open(model());
    const strange = ['', 'a', '!?...', '\u0000', '😀', '\ud800', ' \n '];
    await index.add(strange.map((text, i) => ({ id: `${i}`, text })));
    expect(index.size).toBe(strange.length);
    expect((await index.search('a', { by: 'words' }))[0].id).toBe('1');
    await expect(index.search('?!')).resolves.toHaveLength(strange.length);
  });

  it('another model, another version and damage are refused', async () => {
    const index = await open(model('tokens', 1));
    await index.add(POOL);
    const { name } = index;
    const file = await index.export();
    await index.close();
    for (const other of [model('tokens', 2), model('text')]) {
      await expect(createIndex({ model: other, name })).rejects.toMatchObject(named('StorageError', /another model/));
      const imported = importIndex(file, { model: other, name: 'never' });
      await expect(imported).rejects.toMatchObject(named('StorageError', /another model/));
    }
    const bytes = new Uint8Array(await file.arrayBuffer());
    for (const at of [0, 9, 40, bytes.length >> 1, bytes.length - 1]) {
      const damaged = bytes.slice();
      damaged[at] ^= 1;
      for (const part of [damaged, bytes.slice(0, at)])
        await expect(importIndex(new Blob([part]), { model: model(), name: 'never' })).rejects.toMatchObject({
          name: 'SourceError',
        });
    }
    await change(name, 'documents', 'sea', (record) => {
      (record.bytes as Int8Array)[3] ^= 1;
    });
    await expect(createIndex({ model: model(), name })).rejects.toMatchObject(named('StorageError', /damaged.*"sea"/));
    await change(name, 'head', 'head', (head) => (head.version = 9));
    await expect(createIndex({ model: model(), name })).rejects.toMatchObject(named('StorageError', /another version/));
    await deleteIndex(name);
    expect((await open(model(), name)).size).toBe(0);
  });
});

/** Changes a stored record behind the index's back. */
async function change(
  name: string,
  store: string,
  key: string,
  alter: (record: Record<string, unknown>) => unknown,
): Promise<void> {
  const db = await new Promise<IDBDatabase>((resolve) => {
    const request = indexedDB.open(databaseName(name));
    request.onsuccess = () => resolve(request.result);
  });
  const transaction = db.transaction(store, 'readwrite');
  const request = transaction.objectStore(store).get(key) as IDBRequest<Record<string, unknown>>;
  request.onsuccess = () => {
    alter(request.result);
    transaction.objectStore(store).put(request.result, ...(store === 'head' ? [key] : []));
  };
  await new Promise((resolve) => (transaction.oncomplete = resolve));
  db.close();
}

describe('interruptions', () => {
  const many = (n: number): IndexDocument[] =>
    Array.from({ length: n }, (_, i) => ({ id: `d${i}`, text: `document number ${i} of many` }));

  it('an abort, a failing model and full storage keep the documents before', async () => {
    const one = model();
    const index = await open(one);
    const controller = new AbortController();
    const aborted = index.add(many(9), { signal: controller.signal, onProgress: (n) => n === 3 && controller.abort() });
    await expect(aborted).rejects.toMatchObject({ name: 'AbortError' });
    expect(index.size).toBe(3);

    const put = vi.spyOn(IDBObjectStore.prototype, 'put');
    let writes = 0;
    put.mockImplementation(function (this: IDBObjectStore, ...args: Parameters<IDBObjectStore['put']>) {
      if (this.name === 'documents' && ++writes === 3) {
        this.transaction.abort();
        throw new DOMException('full', 'QuotaExceededError');
      }
      return Reflect.apply(original, this, args) as IDBRequest<IDBValidKey>;
    });
    const full = index.add(many(9).slice(3));
    await expect(full).rejects.toMatchObject(named('StorageError', /storage is full/));
    put.mockRestore();
    expect(index.size).toBe(5);
    await index.add(many(9).slice(5));
    await index.close();
    const again = await open(one, index.name);
    expect(again.size).toBe(9);
    expect(new Set(ids(await again.search('document', { k: 20 }))).size).toBe(9);
  });

  it('a page that goes at any time leaves each document whole or not there: 20 seeds', async () => {
    for (let seed = 0; seed < 20; seed++) {
      const one = model();
      const index = await open(one);
      const stop = 1 + ((seed * 7) % 11);
      let committed = 0;
      const gone = index.add(many(12), {
        onProgress: (n) => {
          committed = n;
          if (n === stop) throw new Error('the page is gone');
        },
      });
      await expect(gone).rejects.toThrow('gone');
      // no close: another page opens it
      const again = await open(one, index.name);
      expect(again.size).toBe(committed);
      expect(ids(await again.search('document', { k: 20 })).sort()).toEqual(ids(many(committed)).sort());
    }
  });
});

const original = IDBObjectStore.prototype.put;

describe('several tabs', () => {
  it('see what one of them writes', async () => {
    const first = await open(model());
    const second = await open(model(), first.name);
    await first.add(POOL);
    await first.update([{ id: 'air', text: 'warm' }]);
    await first.remove(['zh']);
    await vi.waitFor(() => expect(second.size).toBe(3));
    await vi.waitFor(() => expect(second.get('air')?.text).toBe('warm'));
    expect(await second.search('pool')).toEqual(await first.search('pool'));
  });

  it('only one writes', async () => {
    const held = new Map<string, boolean>();
    const request = async (name: string, _options: unknown, run: unknown) => {
      const work = run as (lock: Lock | null) => unknown;
      if (held.get(name)) return work(null);
      held.set(name, true);
      void Promise.resolve(work({ name, mode: 'exclusive' })).then(() => held.delete(name));
    };
    vi.stubGlobal('navigator', { locks: { request } });
    try {
      const first = await open(model());
      const second = await open(model(), first.name);
      await first.add(POOL.slice(0, 2));
      const other = named('StorageError', /Another tab writes/);
      await expect(second.add(POOL.slice(2))).rejects.toMatchObject(other);
      await expect(second.remove(['pool'])).rejects.toMatchObject(other);
      await first.close();
      await second.add(POOL.slice(2));
      expect(second.size).toBe(4);
    } finally {
      vi.unstubAllGlobals();
    }
  });

  it('that write at once do not damage each other, without locks', async () => {
    const first = await open(model());
    const second = await open(model(), first.name);
    const outcomes = await Promise.allSettled([first.add(POOL.slice(0, 2)), second.add(POOL.slice(2))]);
    for (const outcome of outcomes)
      if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject(named('StorageError', /Another tab/));
    const again = await open(model(), first.name);
    await vi.waitFor(() => expect(first.size).toBe(again.size));
    expect(again.size).toBeGreaterThanOrEqual(2);
  });
});

it('words of many scripts are found', () => {
  expect(wordsOf("Don't use snake_case, e.g. in Straße or CAFÉ")).toEqual(
    ['don', 't', 'use', 'snake', 'case', 'e', 'g', 'in', 'strasse', 'or', 'cafe'],
  ); // prettier-ignore
  for (const text of ['潮池里有螃蟹', '東京タワーに行きました', 'ฉันรักประเทศไทย'])
    expect(wordsOf(text).length).toBeGreaterThan(2);
  expect(wordsOf('Электромобиль едет')).toEqual(['электромобиль', 'едет']);
});
