import { beforeEach, expect, test, vi } from 'vitest';
import type { CachedModel, DownloadOptions, Progress } from '../../../src/index';
import { createDownloads, readDownloads, type Download, type DownloadsParts } from './downloads';

const SOURCE = 'O/M-GGUF:Q4_0';
const ID = 'O/M-GGUF/M-Q4_0.gguf';
const model = { source: SOURCE, name: 'M' };

/** A library whose download goes on when the test says so, and a storage. */
function parts() {
  const done: Download[] = [];
  const said: string[] = [];
  const library = {
    stored: [] as Partial<CachedModel>[],
    reachable: undefined as Error | undefined,
    started: 0,
    progress: (_: Progress): void => undefined,
    end: (_?: Error): void => undefined,
    deleted: [] as string[],
  };
  const downloads = (): ReturnType<typeof createDownloads> =>
    createDownloads({
      makeRoom: false,
      changed: () => undefined,
      done: (download) => done.push(download),
      announce: (text) => said.push(text),
      library: {
        checkReachable: async () => {
          if (library.reachable) throw library.reachable;
        },
        listModels: async () => library.stored as CachedModel[],
        deleteModel: async (id) => void library.deleted.push(id),
        downloadModel: (_, { signal, onProgress }: DownloadOptions = {}) =>
          new Promise((resolve, reject) => {
            library.started++;
            library.progress = (progress) => onProgress?.(progress);
            library.end = (error) => (error ? reject(error) : resolve(ID));
            signal?.addEventListener('abort', () => reject(new DOMException('aborted', 'AbortError')));
          }),
      } satisfies DownloadsParts['library'],
    });
  return { library, downloads, done, said };
}

const settle = (): Promise<void> => new Promise((go) => setTimeout(go));
const progress = (bytes: number): Progress => ({ phase: 'download', bytes, total: 100, rate: 10, eta: 5 });
const brief = (downloads: { list(): Download[] }): string[] =>
  downloads.list().map(({ name, state, done, total }) => `${name} ${state} ${done}/${total}`);

const storage = new Map<string, string>();
beforeEach(() => {
  storage.clear();
  vi.stubGlobal('localStorage', {
    getItem: (key: string) => storage.get(key) ?? null,
    setItem: (key: string, value: string) => storage.set(key, value),
    removeItem: (key: string) => storage.delete(key),
  });
  vi.stubGlobal('navigator', { onLine: true });
});

test('runs, is done, and is not remembered then', async () => {
  const { downloads, library, done } = parts();
  const all = downloads();
  void all.start(model);
  await settle();
  library.progress(progress(40));
  expect(brief(all)).toEqual(['M running 40/100']);
  void all.start(model);
  await settle();
  expect(library.started).toBe(1);
  library.end();
  await settle();
  expect(brief(all)).toEqual(['M done 100/100']);
  expect(done).toMatchObject([{ id: ID, source: SOURCE }]);
  expect(storage.get('rivulet-chat.downloads')).toBe('[]');
  all.dismiss(SOURCE);
  expect(all.list()).toEqual([]);
});

test('paused, it says what is stored, and it is there after a reload; resumed, it goes on', async () => {
  const { downloads, library, said } = parts();
  const all = downloads();
  void all.start(model);
  await settle();
  library.progress(progress(44));
  library.stored = [{ id: ID, bytes: 100, storedBytes: 40, complete: false }];
  all.pause(SOURCE);
  await settle();
  expect(brief(all)).toEqual(['M paused 40/100']);
  expect(said.at(-1)).toBe('The download of M is paused.');

  const again = downloads();
  expect(brief(again)).toEqual(['M paused 40/100']);
  void again.start(model);
  await settle();
  expect([library.started, brief(again)]).toEqual([2, ['M running 40/100']]);
});

test('one that ran when the page was closed is paused after it; one that another tab has finished is gone', async () => {
  const { downloads, library } = parts();
  const all = downloads();
  void all.start(model);
  await settle();
  library.progress(progress(44));
  library.stored = [{ id: ID, bytes: 100, storedBytes: 40, complete: false }];
  const again = downloads();
  await settle();
  expect(brief(again)).toEqual(['M paused 40/100']);
  library.stored = [{ id: ID, bytes: 100, storedBytes: 100, complete: true }];
  const last = downloads();
  await settle();
  expect(last.list()).toEqual([]);
});

test('a failure says why and keeps the part; without a network it waits for it', async () => {
  const { downloads, library } = parts();
  const all = downloads();
  library.reachable = Object.assign(new Error('a.b cannot be reached. Check it.'), {
    name: 'SourceError',
    cure: 'Check it.',
  });
  await all.start(model);
  expect(all.list()).toMatchObject([{ state: 'failed', problem: { text: 'Check it.' } }]);
  expect(library.started).toBe(0);

  vi.stubGlobal('navigator', { onLine: false });
  await all.start(model);
  expect(all.list()).toMatchObject([{ state: 'waiting' }]);
});

test('discarded, its part is deleted, and it does not come back when its call ends', async () => {
  const { downloads, library } = parts();
  const all = downloads();
  void all.start(model);
  await settle();
  library.stored = [{ id: ID, bytes: 100, storedBytes: 40, complete: false }];
  await all.discard(SOURCE);
  await settle();
  expect([all.list(), library.deleted]).toEqual([[], [ID]]);
});

test('anything may stand in storage', () => {
  expect(
    readDownloads([
      { source: 's', name: 'n', done: 1, total: 2 },
      { source: 's' },
      null,
      7,
      { source: 's', name: 'n', done: 'x', total: -1 },
    ]),
  ).toEqual([
    { source: 's', name: 'n', done: 1, total: 2 },
    { source: 's', name: 'n', done: 0, total: 0 },
  ]);
  for (const stored of [null, 'x', {}, 7]) expect(readDownloads(stored)).toEqual([]);
});
