import 'fake-indexeddb/auto';
import { IDBFactory } from 'fake-indexeddb';
import { createStore, get, set } from 'idb-keyval';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createHub, modelBytes, seeded, sha256Of, type Hub } from '../../e2e/hub';
import { openModelCache } from './model_cache';
import { deleteModel, downloadModel, listModels, modelRoom, storedModelBytes, pinModel } from './cached_models';
import { exportModel, importModel, verifyModel } from './maintain_models';
import { openModel } from './open_model';

const CHUNK = 16 << 10;
const bytes = modelBytes(9 * CHUNK + 77, 5);
const FILE = 'M-Q4_0.gguf';
let hub: Hub;
const options = () => ({ hub: hub.origin, policy: { backoff: 1, stall: 200, chunkBytes: CHUNK } });

beforeEach(async () => {
  globalThis.indexedDB = new IDBFactory();
  hub = await createHub({ repos: { 'a/b': { [FILE]: bytes }, 'a/c': { [FILE]: bytes.slice().reverse() } } });
  hub.repos['a/c'][FILE].set(bytes.subarray(0, 4));
});
afterEach(() => hub.close());

async function flip(id: string, index: number): Promise<void> {
  const cache = (await openModelCache())!;
  const data = new Uint8Array((await cache.chunk(id, FILE, index))!);
  data[data.length >> 1] ^= 1;
  await cache.putChunk((await cache.manifest(id))!, {
    file: FILE,
    index,
    data,
    checksum: (await cache.checksums(id)).get(FILE)!.get(index)!,
  });
}

describe('the models in the cache', () => {
  it('are listed, the last used first, sized, pinned and deleted', async () => {
    const first = await downloadModel('a/b', options());
    await new Promise((go) => setTimeout(go, 5));
    const second = await downloadModel('a/c', options());
    await pinModel(first);
    const models = await listModels();
    expect(models.map(({ id, pinned, complete, storedBytes }) => ({ id, pinned, complete, storedBytes }))).toEqual([
      { id: second, pinned: false, complete: true, storedBytes: bytes.length },
      { id: first, pinned: true, complete: true, storedBytes: bytes.length },
    ]);
    await deleteModel(second);
    expect(await storedModelBytes(second)).toBe(0);
    expect((await listModels()).map(({ id }) => id)).toEqual([first]);
  });

  it('a vision encoder and its text model are one', async () => {
    const encoder = 'mmproj-M-F16.gguf';
    hub.repos['a/b'][encoder] = bytes.slice(0, 3 * CHUNK);
    const id = await downloadModel('a/b', options());
    await pinModel(id);
    const storedBytes = bytes.length + 3 * CHUNK;
    expect(await listModels()).toMatchObject([{ id, pinned: true, complete: true, storedBytes }]);
    const opened = await openModel('a/b', options());
    expect(opened.files.map(({ name }) => name)).toEqual([FILE, encoder]);
    expect(opened.cached).toBe(true);
    await opened.close();
    await deleteModel(id);
    expect(await storedModelBytes(id)).toBe(0);
  });

  it('say what they need before they are downloaded', async () => {
    const room = await modelRoom('a/b', options());
    expect(room).toMatchObject({ bytes: bytes.length, needed: bytes.length, enough: true });
    const id = await downloadModel('a/b', options());
    expect(await modelRoom('a/b', options())).toMatchObject({ id, needed: 0 });
  });

  it('any flipped byte is found, and only its chunk is fetched anew', async () => {
    const id = await downloadModel('a/b', options());
    expect(await verifyModel(id)).toEqual({ ok: true, damaged: [], foreign: [] });
    await flip(id, 6);
    expect(await verifyModel(id)).toEqual({ ok: false, damaged: [{ file: FILE, index: 6 }], foreign: [] });
    const before = hub.sent();
    await downloadModel('a/b', options());
    expect(hub.sent() - before).toBe(CHUNK);
    expect((await verifyModel(id)).ok).toBe(true);
  });

  it('wherever a bit flips, in a chunk or in its checksum: verify finds it, and a load gives the right bytes', async () => {
    const id = await downloadModel('a/b', options());
    const cache = (await openModelCache())!;
    const manifest = (await cache.manifest(id))!;
    const random = seeded(3);
    const places = Array.from({ length: 24 }, (_, i) =>
      i < 2 ? i * (bytes.length - 1) : Math.floor(random() * bytes.length),
    );
    for (const [i, place] of places.entries()) {
      const index = Math.floor(place / CHUNK);
      const data = new Uint8Array((await cache.chunk(id, FILE, index))!.slice(0));
      const hash = (await cache.checksums(id)).get(FILE)!.get(index)!.slice();
      if (i % 4 === 3) hash[place % 32] ^= 1 << (i % 8);
      else data[place % CHUNK] ^= 1 << (i % 8);
      const spoil = (): Promise<void> =>
        cache.putChunk(
          { ...manifest, state: 'complete' },
          { file: FILE, index, data: data.slice(), checksum: hash.slice() },
        );
      await spoil();
      expect(await verifyModel(id), `byte ${place}`).toMatchObject({ ok: false, damaged: [{ file: FILE, index }] });
      await downloadModel('a/b', options());
      await spoil();
      const model = await openModel('a/b', { ...options(), check: i % 4 === 3 ? 'full' : 'quick' });
      // a hash that is wrong itself cannot tell what belongs there: then the load may also end in an error
      const read = await model.files[0].read(0, bytes.length).catch((error: Error) => error.name);
      if (typeof read === 'string') expect([i % 4, read]).toEqual([3, 'SourceError']);
      else expect(sha256Of(read), `byte ${place}`).toBe(sha256Of(bytes));
      model.close();
      await downloadModel('a/b', options()).catch(() => deleteModel(id).then(() => downloadModel('a/b', options())));
    }
  });

  it('the first and the last byte of every chunk, and every part of its checksum: verify finds what changed', async () => {
    const id = await downloadModel('a/b', options());
    const cache = (await openModelCache())!;
    const manifest = (await cache.manifest(id))!;
    for (let index = 0; index < 10; index++) {
      const chunk = (await cache.chunk(id, FILE, index))!;
      const right = (await cache.checksums(id)).get(FILE)!.get(index)!;
      const places = [
        ...[0, chunk.byteLength - 1].map((at) => ({ part: 'data', at })),
        ...[0, 31, 32, 63].map((at) => ({ part: 'hash', at })),
      ];
      for (const { part, at } of places) {
        const [data, hash] = [new Uint8Array(chunk.slice(0)), right.slice()];
        (part === 'data' ? data : hash)[at] ^= 1;
        await cache.putChunk(manifest, { file: FILE, index, data, checksum: hash });
        expect(await verifyModel(id), `${part} ${at} of ${index}`).toEqual({
          ok: false,
          damaged: [{ file: FILE, index }],
          foreign: [],
        });
        await cache.putChunk(manifest, { file: FILE, index, data: new Uint8Array(chunk.slice(0)), checksum: right });
        await cache.putManifest({ ...manifest, state: 'complete' });
      }
    }
    expect(await verifyModel(id)).toMatchObject({ ok: true });
  });

  it('wherever a bit of a manifest flips: verify ends in an error, and a load gives the right bytes', async () => {
    const store = createStore('rivulet', 'weights');
    let id = await downloadModel('a/b', options());
    const text = JSON.stringify(await get(['manifest', id], store));
    const random = seeded(11);
    const flipped = new Set<string>();
    for (let n = 0; n < 60;) {
      const at = Math.floor(random() * text.length);
      const other =
        text.slice(0, at) +
        String.fromCharCode(text.charCodeAt(at) ^ (1 << Math.floor(random() * 7))) +
        text.slice(at + 1);
      let record: object;
      try {
        record = JSON.parse(other) as object; // what the browser could not read back it would not hand out
      } catch {
        continue;
      }
      if (JSON.stringify(record) === text) continue;
      n++;
      flipped.add([...text.slice(0, at).matchAll(/"(\w+)":/g)].at(-1)?.[1] ?? '');
      const damaged = async (): Promise<void> => {
        id = await downloadModel('a/b', options());
        await set(['manifest', id], record, store);
      };
      if (n % 2 === 0) {
        await damaged();
        await expect(verifyModel(id), other).rejects.toMatchObject({ name: 'StorageError' });
      } else {
        await damaged();
        const model = await openModel('a/b', options());
        expect(sha256Of(await model.files[0].read(0, bytes.length)), other).toBe(sha256Of(bytes));
        await model.finish();
        await model.close();
        expect(await verifyModel(id), other).toMatchObject({ ok: true });
      }
    }
    for (const field of ['aliases', 'url', 'sha256']) expect(flipped).toContain(field);
  });

  it('chunks of another file with hashes to match do not pass for this one', async () => {
    const id = await downloadModel('a/b', options());
    const other = await downloadModel('a/c', options());
    const cache = (await openModelCache())!;
    const data = new Uint8Array((await cache.chunk(other, FILE, 3))!);
    await cache.putChunk((await cache.manifest(id))!, {
      file: FILE,
      index: 3,
      data,
      checksum: (await cache.checksums(other)).get(FILE)!.get(3)!,
    });
    expect(await verifyModel(id)).toEqual({ ok: false, damaged: [], foreign: [FILE] });
    await downloadModel('a/b', options());
    expect((await verifyModel(id)).ok).toBe(true);
  });

  it('go out into one file and come in from it', async () => {
    const id = await downloadModel('a/b', options());
    const blob = await exportModel(id);
    await hub.close();
    globalThis.indexedDB = new IDBFactory();
    expect(await importModel(blob)).toBe(id);
    const model = await openModel('a/b', options());
    expect(model.cached).toBe(true);
    expect(sha256Of(await model.files[0].read(0, bytes.length))).toBe(sha256Of(bytes));
    model.close();
  });

  it('a GGUF file is stored under its name', async () => {
    await hub.close();
    expect(await importModel(new File([bytes], 'my model.gguf'))).toBe('my model.gguf');
    expect(await listModels()).toMatchObject([
      { id: 'my model.gguf', bytes: bytes.length, storedBytes: bytes.length, complete: true },
    ]);
    const model = await openModel('my model.gguf');
    expect(model.cached).toBe(true);
    expect(sha256Of(await model.files[0].read(0, bytes.length))).toBe(sha256Of(bytes));
    await model.close();
    expect(await verifyModel('my model.gguf')).toEqual({ ok: true, damaged: [], foreign: [] });
    await expect(importModel(new File(['<!doctype html>'], 'page.gguf'))).rejects.toMatchObject({
      name: 'SourceError',
    });
  });

  it('are opened by their id without the network, also those of another hub', async () => {
    const id = await downloadModel('a/b:Q4_0', options());
    await hub.close();
    const model = await openModel(id, { policy: { attempts: 1 } });
    expect([model.id, model.cached]).toEqual([id, true]);
    await model.close();
    await expect(openModel('not stored')).rejects.toMatchObject({ name: 'RequestError' });
  });

  it.each<[string, (whole: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>]>([
    ['nothing', () => new Uint8Array(0)],
    ['another format', () => bytes],
    ['cut', (whole) => whole.slice(0, -5)],
    ['cut in the header', (whole) => whole.slice(0, 60)],
    ['longer', (whole) => new Uint8Array([...whole, 0])],
    ['a flipped byte', (whole) => whole.map((byte, i) => (i === whole.length - 9 ? byte ^ 1 : byte))],
    ['a flipped header', (whole) => whole.map((byte, i) => (i === 14 ? byte ^ 1 : byte))],
  ])('an import of %s is refused and leaves nothing', async (_, change) => {
    const id = await downloadModel('a/b', options());
    const whole = new Uint8Array(await (await exportModel(id)).arrayBuffer());
    globalThis.indexedDB = new IDBFactory();
    await expect(importModel(new Blob([change(whole)]))).rejects.toMatchObject({ name: 'SourceError' });
    expect(await listModels()).toEqual([]);
  });

  it('a download ahead of use begins anew, once, if the file changes on the server', async () => {
    let changed = false;
    const newer = modelBytes(bytes.length, 6);
    hub.options.fault = ({ kind, range }) => {
      if (kind === 'file' && (range?.first ?? 0) > 4 * CHUNK && !changed) {
        changed = true;
        hub.repos['a/b'][FILE] = newer;
      }
      return undefined;
    };
    const id = await downloadModel(`${hub.origin}/plain/a/b/${FILE}`, options());
    expect((await verifyModel(id)).ok).toBe(true);
    const model = await openModel(id, options());
    expect(sha256Of(await model.files[0].read(0, newer.length))).toBe(sha256Of(newer));
  });
});
