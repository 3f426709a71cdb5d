import 'fake-indexeddb/auto';
import { IDBFactory } from 'fake-indexeddb';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  createHub,
  modelBytes,
  requested,
  sha256Of as hash,
  type Fault,
  type Hub,
  type HubOptions,
  type Request,
} from '../../e2e/hub';
import { openModelCache } from './model_cache';
import { openModel, type ModelSource, type OpenedModel, type OpenOptions } from './open_model';

const CHUNK = 64 << 10;
const POLICY = { backoff: 1, stall: 200, chunkBytes: CHUNK };
const REPO = 'Org/Model-GGUF';
const large = modelBytes(20 * CHUNK + 1234, 1);
const small = new TextEncoder().encode('{"architectures":["Lfm2ForCausalLM"]}');

let hub: Hub;
const open = (source: ModelSource, options: OpenOptions = {}): Promise<OpenedModel> =>
  openModel(source, { hub: hub.origin, ...options, policy: { ...POLICY, ...options.policy } });
const start = async (options: HubOptions = {}): Promise<Hub> =>
  (hub = await createHub({ repos: { [REPO]: { 'Model-Q4_0.gguf': large } }, ...options }));

/** Reads all of a model in pieces, as a loader does; SHA-256 of each file. */
async function readAll({ files }: OpenedModel, piece = 100_000): Promise<string[]> {
  const all: string[] = [];
  for (const file of files) {
    const bytes = new Uint8Array(file.size);
    for (let at = 0; at < file.size; at += piece) {
      const part = await file.read(at, Math.min(piece, file.size - at));
      bytes.set(part, at);
      file.release?.(part);
    }
    all.push(hash(bytes));
  }
  return all;
}

const once =
  (fault: Fault, when: (request: Request, n: number) => boolean = (_, n) => n === 2): HubOptions['fault'] =>
  (request, n) =>
    request.kind === 'file' && when(request, n) ? fault : undefined;

beforeEach(() => void (globalThis.indexedDB = new IDBFactory()));
afterEach(() => hub?.close());

describe('openModel', () => {
  it('loads from the hub, then from the cache without a request', async () => {
    await start();
    const first = await open(REPO);
    expect(first.cached).toBe(false);
    expect(await readAll(first)).toEqual([hash(large)]);
    await first.finish();
    first.close();
    await hub.close();
    const second = await open(REPO);
    expect(second.cached).toBe(true);
    expect(await readAll(second)).toEqual([hash(large)]);
    second.close();
  });

  it('is in the cache as soon as every file was read to its end', async () => {
    await start();
    const first = await open(REPO);
    await readAll(first);
    first.close();
    expect((await open(REPO)).cached).toBe(true);
  });

  it.each([
    [`${REPO}:q4_0`, 'Model-Q4_0.gguf'],
    [`${REPO}:Q8_0`, 'sub/Model-Q8_0.gguf'],
    [`${REPO}/sub/Model-Q8_0.gguf@main`, 'sub/Model-Q8_0.gguf'],
    [REPO, 'Model-Q4_0.gguf'],
  ])('%s means %s', async (source, name) => {
    await start({
      repos: {
        [REPO]: {
          'mmproj-Q4_0.gguf': large,
          'sub/Model-Q8_0.gguf': large,
          'Model-Q4_0.gguf': large,
          'README.md': small,
        },
      },
    });
    const model = await open(source);
    // the vision encoder beside the text model is a part of it
    const names = name.includes('/') ? [name] : [name, 'mmproj-Q4_0.gguf'];
    expect(model.files.map((file) => file.name)).toEqual(names);
    model.close();
  });

  it('takes all shards, and a Hugging Face directory file by file', async () => {
    const parts = ['M-F16-00001-of-00002.gguf', 'M-F16-00002-of-00002.gguf'];
    const directory = {
      'config.json': small,
      'tokenizer.json': small,
      'model.safetensors': large,
      'generation_config.json': small,
      'README.md': small,
    };
    await start({ repos: { [REPO]: { [parts[1]]: large, [parts[0]]: large }, 'Org/Model': directory } });
    const split = await open(REPO);
    expect(split.files.map((file) => file.name)).toEqual(parts);
    const model = await open('Org/Model');
    expect(model.files.map((file) => file.name)).toEqual([
      'config.json',
      'tokenizer.json',
      'generation_config.json',
      'model.safetensors',
    ]);
    await model.finish();
    expect(await readAll(model)).toEqual([small, small, small, large].map(hash));
    for (const opened of [split, model]) opened.close();
  });

  it('takes a revision by its name and by its commit', async () => {
    await start();
    const first = await open(`${REPO}@main`);
    await first.finish();
    first.close();
    const [{ revision }] = await (await openModelCache())!.manifests();
    const model = await open(`${REPO}:Q4_0@${revision}`);
    expect(await readAll(model)).toEqual([hash(large)]);
    expect(model.id).toContain(`@${revision}`);
    model.close();
    expect(hub.log.some(({ path }) => path.includes(`/revision/${revision}`))).toBe(true);
  });

  it('takes a list of the addresses of shards, and all of them from the address of the first', async () => {
    const parts = ['M-F16-00001-of-00002.gguf', 'M-F16-00002-of-00002.gguf'];
    await start({ repos: { 'a/b': { [parts[0]]: large, [parts[1]]: large.slice().fill(7, 4) } } });
    const urls = parts.map((name) => `${hub.origin}/plain/a/b/${name}`);
    for (const url of [urls, urls[0]]) {
      const model = await open({ url });
      expect(model.files.map(({ name }) => name)).toEqual(parts);
      expect(await readAll(model)).toEqual([hash(large), hash(large.slice().fill(7, 4))]);
      model.close();
    }
  });

  it('reads plain addresses, their folders, and lists of them', async () => {
    await start({
      repos: { 'a/b': { 'x.gguf': large, 'config.json': small, 'tokenizer.json': small, 'model.safetensors': large } },
    });
    for (const url of [
      `${hub.origin}/plain/a/b/x.gguf`,
      `${hub.origin}/plain/a/b/`,
      [`${hub.origin}/plain/a/b/config.json`, `${hub.origin}/plain/a/b/model.safetensors`],
    ]) {
      const model = await open({ url });
      expect((await readAll(model)).at(-1)).toEqual(hash(large));
      await model.finish();
      model.close();
      expect((await open({ url })).cached).toBe(true);
    }
  });

  it.each([
    ['X-Amz-Date=1&X-Amz-Signature=aa', 'X-Amz-Date=2&X-Amz-Signature=bb', 1],
    ['Expires=1&Signature=aa&Key-Pair-Id=K', 'Expires=2&Signature=bb&Key-Pair-Id=K', 1],
    ['version=1', 'version=2', 2],
  ])('an address signed anew is the same model (%s, %s)', async (first, second, count) => {
    await start();
    const address = `${hub.origin}/plain/${REPO}/Model-Q4_0.gguf`;
    for (const query of [first, second]) {
      const model = await open(`${address}?${query}`);
      await model.finish();
      expect(model.cached).toBe(count === 1 && query === second);
      await model.close();
    }
    const ids = (await (await openModelCache())!.manifests()).map(({ id }) => id);
    expect(ids).toHaveLength(count);
    if (count === 1) expect(ids).toEqual([address]);
  });

  it('a half download goes on under a new signature', async () => {
    await start();
    const address = `${hub.origin}/plain/${REPO}/Model-Q4_0.gguf`;
    const first = await open(`${address}?token=1`);
    await first.files[0].read(6 * CHUNK, 10);
    await first.close();
    const before = hub.log.length;
    const second = await open(`${address}?token=2`);
    expect(await readAll(second)).toEqual([hash(large)]);
    expect(hub.log.slice(before).every(({ path }) => path.endsWith('token=2'))).toBe(true);
    expect(requested(hub, before)).toBeLessThan(large.length);
  });

  it('the option id names a model, whatever its address is', async () => {
    await start({ repos: { [REPO]: { 'Model-Q4_0.gguf': large }, 'a/b': { 'other.gguf': large } } });
    const addresses = [
      `${hub.origin}/plain/a/b/other.gguf?ticket=1`,
      `${hub.origin}/plain/${REPO}/Model-Q4_0.gguf?ticket=2`,
      REPO,
    ];
    for (const [i, source] of addresses.entries()) {
      const model = await open(source, { id: 'the model' });
      await model.finish();
      expect([model.id, model.cached]).toEqual(['the model', i > 0]);
      await model.close();
    }
    expect((await open('the model')).cached).toBe(true);
    expect((await open(addresses[0])).id).toBe('the model');
    expect((await openModel(new Blob([large]), { id: 'mine' })).id).toBe('mine');
  });

  it('reads files and blobs in place', async () => {
    const file = new File([large], 'x.gguf', { lastModified: 1 });
    const handle = { kind: 'file', name: 'x.gguf', getFile: async () => file } as FileSystemFileHandle;
    for (const source of [
      { file },
      file,
      handle,
      new Blob([large]),
      { file: new Blob([large]) },
      { files: [new File([small], 'notes.txt'), file] },
    ])
      expect(await readAll(await openModel(source))).toEqual([hash(large)]);
    expect(await (await openModelCache())!.manifests()).toEqual([]);
  });

  it('a header read fetches one chunk, a look far less', async () => {
    await start();
    const model = await open(REPO);
    await model.files[0].read(0, 1000);
    expect(hub.sent()).toBe(CHUNK);
    model.close();
    const look = await open(REPO, { peek: true, policy: { chunkBytes: 4096 } });
    await look.files[0].read(0, 1000);
    await look.files[0].read(5000, 1000);
    expect(hub.sent()).toBe(CHUNK + 8192);
  });

  it('a model that is closed keeps no memory', async () => {
    await start();
    for (const cached of [false, true]) {
      const model = await open(REPO);
      await model.finish();
      expect(model.cached).toBe(cached);
      const parts = [
        await model.files[0].read(0, 10),
        await model.files[0].read(2 * CHUNK, 10),
        await model.files[0].read(large.length - 10, 10),
      ];
      for (const part of parts) model.files[0].release?.(part);
      // a chunk that is read for the first time is read whole, and kept: the reader may want more of it
      expect(parts.at(-1)!.buffer.byteLength).toBe(cached ? 1234 : 0);
      await model.close();
      expect(parts.map(({ buffer }) => buffer.byteLength)).toEqual([0, 0, 0]);
    }
  });

  it('goes on where it stopped: no verified byte is fetched twice', async () => {
    await start();
    const first = await open(REPO);
    await first.files[0].read(6 * CHUNK, 10);
    await first.close();
    const [manifest] = await (await openModelCache())!.manifests();
    expect(manifest.state).toBe('partial');
    const kept = [...(await (await openModelCache())!.checksums(manifest.id)).values()][0].size * CHUNK;
    expect(kept).toBeGreaterThan(0);
    const before = hub.log.length;
    const second = await open(REPO);
    expect(await readAll(second)).toEqual([hash(large)]);
    expect(requested(hub, before)).toBe(large.length - kept);
  });

  it.each<[Fault, number]>([
    ['cut', 2],
    ['truncate', 2],
    ['stall', 2],
    ['shifted', 2],
    ['403', 2],
    ['416', 2],
    ['429', 2],
    ['500', 2],
    ['503', 2],
    ['trickle', 2],
    ['whole', 2],
  ])('%s in one answer of the hub: the bytes are right', async (fault, n) => {
    await start({ fault: once(fault, (_, at) => at === n) });
    const model = await open(REPO);
    expect(await readAll(model)).toEqual([hash(large)]);
    await model.finish();
    model.close();
    expect((await open(REPO)).cached).toBe(true);
  });

  it.each<Fault>(['html', 'gzip', 'size'])(
    '%s from the hub is refused by name, and nothing of it is kept',
    async (fault) => {
      await start({ fault: once(fault, () => true) });
      const model = await open(REPO);
      await expect(readAll(model)).rejects.toMatchObject({ name: 'SourceError' });
      model.close();
      expect(await (await openModelCache())!.manifests()).toEqual([]);
    },
  );

  it('a signed address that expires is asked for again', async () => {
    await start({ signedUses: 3 });
    expect(await readAll(await open(REPO))).toEqual([hash(large)]);
  });

  it('a flipped bit is found by the hash of the whole file, and the file is fetched once more', async () => {
    await start({ fault: once('flip') });
    const model = await open(REPO);
    await model.finish();
    expect(await readAll(model)).toEqual([hash(large)]);
  });

  it.each([true, false])(
    'a flipped bit in bytes that were read already ends in an error, not in nonsense (cache: %s)',
    async (cache) => {
      await start({ fault: once('flip') });
      const model = await open(REPO, { cache });
      await expect(readAll(model)).rejects.toMatchObject({
        name: 'SourceError',
        message: expect.stringContaining('damaged'),
      });
      model.close();
      expect(await (await openModelCache())!.manifests()).toEqual([]);
      expect(await readAll(await open(REPO))).toEqual([hash(large)]);
    },
  );

  it('a file that changes on the server under a download is noticed; the next load begins anew', async () => {
    await start();
    const url = `${hub.origin}/plain/${REPO}/Model-Q4_0.gguf`;
    const first = await open(url);
    await first.files[0].read(3 * CHUNK, 10);
    const newer = modelBytes(large.length, 2);
    hub.repos[REPO]['Model-Q4_0.gguf'] = newer;
    const rest = readAll(first);
    await expect(rest).rejects.toMatchObject({ name: 'SourceError', message: expect.stringContaining('changed') });
    first.close();
    expect(await readAll(await open(url))).toEqual([hash(newer)]);
  });

  it('a newer revision replaces a half download; of a whole one only on demand', async () => {
    await start();
    const first = await open(REPO);
    await first.files[0].read(3 * CHUNK, 10);
    await first.close();
    const newer = modelBytes(large.length + CHUNK, 3);
    hub.repos[REPO]['Model-Q4_0.gguf'] = newer;
    expect(await readAll(await open(REPO))).toEqual([hash(newer)]);
    hub.repos[REPO]['Model-Q4_0.gguf'] = large;
    expect(await readAll(await open(REPO))).toEqual([hash(newer)]);
    expect(await readAll(await open(REPO, { refresh: true }))).toEqual([hash(large)]);
  });

  it.each([true, false])('a server without ranges: the bytes are right (cache: %s)', async (cache) => {
    await start({ fault: once('whole', () => true) });
    const model = await open(REPO, { cache });
    expect(await readAll(model)).toEqual([hash(large)]);
    await model.files[0].read(0, 10); // back to the beginning
    await model.finish();
    expect((await open(REPO, { cache })).cached).toBe(cache);
    model.close();
  });

  it('other origins that hide their headers, and servers without validators', async () => {
    await start({ exposed: false, validators: false });
    const url = `${hub.origin}/plain/${REPO}/Model-Q4_0.gguf`;
    expect(await readAll(await open(url))).toEqual([hash(large)]);
  });

  it('without storage, and with cache: false, it streams and keeps nothing', async () => {
    await start();
    expect(await readAll(await open(REPO, { cache: false }))).toEqual([hash(large)]);
    const { indexedDB } = globalThis;
    Reflect.deleteProperty(globalThis, 'indexedDB');
    const model = await open(REPO);
    expect(model.notes.join()).toContain('stores nothing');
    expect(await readAll(model)).toEqual([hash(large)]);
    await model.finish();
    globalThis.indexedDB = indexedDB;
    expect(await (await openModelCache())!.manifests()).toEqual([]);
  });

  it('a storage that fills up: the load goes on, what fitted stays, and required caching says what is missing', async () => {
    await start();
    const cache = (await openModelCache())!;
    const { putChunk } = cache;
    let left = 5;
    cache.putChunk = (...parts) =>
      left-- > 0 ? putChunk(...parts) : Promise.reject(new DOMException('full', 'QuotaExceededError'));
    const model = await open(REPO);
    expect(await readAll(model)).toEqual([hash(large)]);
    await model.finish();
    expect(model.notes.join()).toContain('not enough space');
    model.close();
    left = 3;
    await expect(open(REPO, { cache: 'required' }).then(readAll)).rejects.toMatchObject({
      name: 'StorageError',
      message: expect.stringContaining('more are needed'),
    });
    const before = hub.sent();
    left = Infinity;
    const last = await open(REPO);
    expect(await readAll(last)).toEqual([hash(large)]);
    expect(hub.sent() - before).toBe(large.length - 8 * CHUNK);
  });

  it('a damaged chunk is found at its read and fetched anew; without a connection the load fails by name', async () => {
    await start();
    const model = await open(REPO);
    await model.finish();
    model.close();
    const cache = (await openModelCache())!;
    const damage = async (index: number): Promise<void> => {
      const data = new Uint8Array((await cache.chunk(model.id, 'Model-Q4_0.gguf', index))!);
      data[7] ^= 1;
      const hash = (await cache.checksums(model.id)).get('Model-Q4_0.gguf')!.get(index)!;
      await cache.putChunk((await cache.manifest(model.id))!, { file: 'Model-Q4_0.gguf', index, data, checksum: hash });
    };
    await damage(4);
    const healed = await open(REPO);
    expect(healed.cached).toBe(true);
    const before = hub.sent();
    expect(await readAll(healed)).toEqual([hash(large)]);
    expect(hub.sent() - before).toBe(CHUNK);
    await healed.finish();
    healed.close();
    await damage(9);
    await hub.close();
    const broken = await open(REPO);
    await expect(readAll(broken)).rejects.toMatchObject({ name: 'StorageError' });
    broken.close();
  });

  it('reads parts of chunks that were checked; what is damaged since is found and fetched anew', async () => {
    await start();
    const first = await open(REPO);
    await first.finish();
    first.close();
    const cache = (await openModelCache())!;
    const { chunk, putChunk } = cache;
    const read: number[] = [];
    cache.chunk = async (...key) => {
      const data = await chunk(...key);
      read.push(data?.byteLength ?? 0);
      return data;
    };
    const checksum = async (index: number) => (await cache.checksums(first.id)).get('Model-Q4_0.gguf')!.get(index)!;
    const store = async (index: number, data: Uint8Array<ArrayBuffer>): Promise<void> =>
      putChunk((await cache.manifest(first.id))!, {
        file: 'Model-Q4_0.gguf',
        index,
        data,
        checksum: await checksum(index),
      });
    const model = await open(REPO);
    /** reads as experts are read: here and there */
    const expectParts = async (wanted: number[], reads?: number[]): Promise<void> => {
      read.length = 0;
      for (const at of wanted) {
        const bytes = await model.files[0].read(at, 100);
        expect(bytes).toEqual(large.subarray(at, at + 100));
        model.files[0].release?.(bytes);
      }
      if (reads) expect(read).toEqual(reads);
    };
    const places = [9, 5, 2].map((index) => index * CHUNK + 500);
    await expectParts(places, [CHUNK, CHUNK, CHUNK]);
    const others = [8, 6, 4, 3, 1, 7, 0].map((index) => index * CHUNK);
    await expectParts(others, Array<number>(7).fill(CHUNK));
    await expectParts(places, [100, 100, 100]);
    await expectParts([5 * CHUNK - 40], [40, 60]);
    // cut short: its length tells, and then its checksum
    await store(9, large.slice(9 * CHUNK, 9 * CHUNK + 550));
    // removed, and replaced by other bytes while they are looked for
    await cache.deleteChunk(first.id, 'Model-Q4_0.gguf', 5);
    const before = hub.sent();
    await expectParts(places);
    expect(hub.sent() - before).toBe(2 * CHUNK);
    await hub.close();
    await cache.deleteChunk(first.id, 'Model-Q4_0.gguf', 2);
    await model.files[0].read(8 * CHUNK, 10);
    await expect(model.files[0].read(places[2], 100)).rejects.toMatchObject({ name: 'StorageError' });
    Object.assign(cache, { chunk });
    model.close();
  });

  it('reads stored chunks that are no Blobs, and stores such where the browser refuses Blobs', async () => {
    const { put } = IDBObjectStore.prototype;
    const refused = vi.spyOn(IDBObjectStore.prototype, 'put').mockImplementation(function (
      this: IDBObjectStore,
      value,
      key,
    ) {
      if (value instanceof Blob) throw new DOMException('Error preparing Blob/File data', 'UnknownError');
      return put.call(this, value, key);
    });
    await start();
    const first = await open(REPO);
    await first.finish();
    first.close();
    refused.mockRestore();
    const model = await open(REPO);
    expect(model.cached).toBe(true);
    for (const index of [9, 5, 2, 8, 6, 4, 3, 1, 7, 9, 5, 2]) {
      const at = index * CHUNK + 500;
      expect(await model.files[0].read(at, 100)).toEqual(large.subarray(at, at + 100));
    }
    model.close();
  });

  it('can be aborted in every phase, and the rest is found again', async () => {
    await start({ fault: (request, n) => (request.kind === 'file' && n >= 5 ? 'stall' : undefined) });
    const controller = new AbortController();
    const model = await open(REPO, { signal: controller.signal, policy: { stall: 1e6 } });
    const reads = expect(readAll(model)).rejects.toMatchObject({ name: 'AbortError' });
    while (!hub.log.some(({ fault }) => fault)) await new Promise((go) => setTimeout(go, 1));
    controller.abort();
    await reads;
    await expect(model.finish()).rejects.toMatchObject({ name: 'AbortError' });
    await expect(open(REPO, { signal: controller.signal })).rejects.toMatchObject({ name: 'AbortError' });
    hub.options.fault = undefined;
    expect(await readAll(await open(REPO))).toEqual([hash(large)]);
  });

  it('sends the token to the hub alone', async () => {
    await start();
    await readAll(await open(REPO, { token: 'hf_secret' }));
    for (const { kind, authorization } of hub.log)
      expect(authorization).toBe(kind === 'file' ? undefined : 'Bearer hf_secret');
    expect(JSON.stringify(await (await openModelCache())!.manifests())).not.toContain('secret');
  });

  it('sends no token to a plain address', async () => {
    await start();
    const token = 'hf_secret';
    const url = `${hub.origin}/plain/${REPO}/Model-Q4_0.gguf`;
    expect(await readAll(await open(url, { token, hub: undefined }))).toEqual([hash(large)]);
    expect(hub.log.filter(({ authorization }) => authorization)).toEqual([]);
  });

  it('a list of files may come compressed', async () => {
    await start({ fault: ({ kind }) => (kind === 'api' ? 'gzip' : undefined) });
    expect(await readAll(await open(REPO))).toEqual([hash(large)]);
  });

  it.each<[string, RegExp]>([
    ['Org/Nothing', /status 404/],
    [`${REPO}:Q2_K`, /no model 'Q2_K': got Q4_0/],
    [`${REPO}@v9`, /status 404/],
  ])('%s: SourceError', async (source, message) => {
    await start();
    await expect(open(source)).rejects.toMatchObject({ name: 'SourceError', message: expect.stringMatching(message) });
  });

  it.each(['no model', 'a/b/../c', 'Org', '', 'c:y.gguf'])('%j is no source', async (source) => {
    await start();
    await expect(open(source)).rejects.toMatchObject({ name: 'RequestError' });
  });

  it('says so of a file that is gone', async () => {
    const gone = {
      kind: 'file',
      name: 'x.gguf',
      getFile: () => Promise.reject(new DOMException('gone', 'NotFoundError')),
    } as unknown as FileSystemFileHandle;
    await expect(openModel(gone)).rejects.toMatchObject({ name: 'SourceError' });
  });

  it('tells progress up to the last byte, with a rate', async () => {
    await start({ pace: 3 });
    const calls: { phase: string; bytes: number; total: number; rate: number }[] = [];
    const model = await open(REPO, { onProgress: (progress) => calls.push(progress) });
    await model.finish();
    expect(calls[0].phase).toBe('resolve');
    expect(calls.at(-1)).toMatchObject({ phase: 'download', bytes: large.length, total: large.length });
    expect(calls.some(({ rate }) => rate > 0)).toBe(true);
  });
});
