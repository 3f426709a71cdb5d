/** The models in the cache: list, size, delete, verify, pin, export, import, download ahead of use. */
import { abortError, fail } from '../errors';
import { chunkCount, chunkLength, isQuotaError, openCache, requireCache, type Cache, type FileRecord, type Manifest } from './database';
import { fingerprint, matches, sha256Part } from './fingerprint';
import { exclusive, exclusiveNow, readers, share } from './lock';
import { isLocal } from './local';
import { openModel, type ModelSource, type OpenedModel, type OpenOptions } from './open';
import { Meter, type Progress } from './progress';
import { bytesThere, freeRoom, megabytes } from './room';
import { hex, Sha256 } from './sha256';
import { Changed } from './transfer';

export interface CachedModel {
  id: string;
  /** bytes of the whole model, and of it that are here */
  bytes: number;
  there: number;
  /** false: a download that has not ended; loading the model goes on with it */
  complete: boolean;
  files: { name: string; bytes: number }[];
  revision?: string;
  added: Date;
  lastUsed: Date;
  pinned: boolean;
}

/** All models, the last used first. @throws StorageError when the page has no storage */
export async function listModels(): Promise<CachedModel[]> {
  const cache = await requireCache();
  const manifests = await cache.manifests();
  const models = await Promise.all(
    manifests.map(
      async (manifest): Promise<CachedModel> => ({
        id: manifest.id,
        bytes: sum(manifest.files.map(({ size }) => size)),
        there: await bytesThere(cache, manifest),
        complete: manifest.state === 'complete',
        files: manifest.files.map(({ name, size }) => ({ name, bytes: size })),
        ...(manifest.revision && { revision: manifest.revision }),
        added: new Date(manifest.added),
        lastUsed: new Date(manifest.lastUsed),
        pinned: manifest.pinned,
      }),
    ),
  );
  return models.sort((a, b) => b.lastUsed.getTime() - a.lastUsed.getTime());
}

/** Bytes that a model takes up here; 0 if it is not here. */
export async function modelSize(id: string): Promise<number> {
  return sizeIn(await requireCache(), id);
}

async function sizeIn(cache: Cache, id: string): Promise<number> {
  const manifest = await cache.manifest(id);
  return manifest ? bytesThere(cache, manifest) : 0;
}

/**
 * Deletes a model, in one transaction.
 * @param options.wait until nobody has it open any more, in any tab (default); false: rejects at once if somebody has
 * @throws StorageError when it is in use; AbortError while it waits
 */
export async function deleteModel(id: string, { wait = true, signal }: { wait?: boolean; signal?: AbortSignal } = {}): Promise<void> {
  const cache = await requireCache();
  const work = async (): Promise<true> => (await cache.deleteModel(id), true);
  const done = wait ? await exclusive(readers(id), work, signal) : await exclusiveNow(readers(id), work);
  if (!done) fail('StorageError', { what: `${id} is in use`, cure: 'Unload it, or close the other tabs of this page.' });
}

/** A pinned model is never deleted to make room. */
export async function pinModel(id: string, pinned = true): Promise<void> {
  await (await requireCache()).amend(id, (manifest) => ({ ...manifest, pinned }));
}

export interface Verification {
  ok: boolean;
  /** chunks whose bytes are not what was written: forgotten, so that the next load fetches them, and only them, anew */
  damaged: { file: string; index: number }[];
  /** files whose hash is not the hub's: forgotten whole */
  foreign: string[];
}

/** Reads every stored byte of a model and compares it with its hashes. @throws StorageError; AbortError */
export async function verifyModel(id: string, options: { signal?: AbortSignal; onProgress?: (progress: Progress) => void } = {}): Promise<Verification> {
  const cache = await requireCache();
  const release = await share(readers(id), options.signal);
  try {
    const manifest = await known(cache, id);
    const hashes = await cache.hashes(id);
    const result: Verification = { ok: true, damaged: [], foreign: [] };
    const meter = new Meter('read', sum(manifest.files.map(({ size }) => size)), options.onProgress);
    let done = 0;
    for (const file of manifest.files) {
      const whole = new Sha256();
      let entire = true;
      for (let index = 0; index < chunkCount(file.size, manifest.chunkBytes); index++) {
        if (options.signal?.aborted) throw abortError();
        const hash = hashes.get(file.name)?.get(index);
        const data = hash && (await cache.chunk(id, file.name, index));
        const good = data !== undefined && data.byteLength === chunkLength(file.size, manifest.chunkBytes, index) && (await matches(new Uint8Array(data), hash!, true));
        if (good && file.sha256 && entire) whole.update(new Uint8Array(data));
        entire &&= good;
        if (!good && (hash || manifest.state === 'complete')) result.damaged.push({ file: file.name, index });
        meter.at((done += chunkLength(file.size, manifest.chunkBytes, index)), file.name);
      }
      if (entire && file.sha256 && hex(whole.digest()) !== file.sha256) result.foreign.push(file.name);
    }
    result.ok = result.damaged.length === 0 && result.foreign.length === 0;
    if (!result.ok) {
      await cache.amend(id, (now) => ({ ...now, state: 'partial' }));
      for (const { file, index } of result.damaged) await cache.deleteChunk(id, file, index);
      for (const file of result.foreign) await cache.deleteFile(id, file);
    }
    return result;
  } finally {
    release();
  }
}

/** Brings a model into the cache without loading it; one that changes on the server meanwhile is begun anew, once. @throws as openModel */
export async function downloadModel(source: ModelSource, options: OpenOptions = {}): Promise<string> {
  for (let again = true; ; again = false) {
    const model = await openModel(source, { ...options, cache: 'required' });
    try {
      await model.finish();
      return model.id;
    } catch (error) {
      if (!(again && error instanceof Changed)) throw error;
    } finally {
      await model.close();
    }
  }
}

export interface Room {
  id: string;
  /** of the whole model; of it that must still be downloaded */
  bytes: number;
  needed: number;
  /** bytes this site may still store; undefined where the browser does not say */
  free?: number;
  enough: boolean;
  /** what is needed and what is there, in one sentence */
  message: string;
}

/** Asks, before anything is downloaded, what a model needs and what is there. @throws as openModel */
export async function modelRoom(source: ModelSource, options: OpenOptions = {}): Promise<Room> {
  const model = await openModel(source, { ...options, peek: true });
  await model.close();
  return roomFor(source, model);
}

/** The same of a source that is open. */
export async function roomFor(source: ModelSource, { id, files, cached }: Pick<OpenedModel, 'id' | 'files' | 'cached'>): Promise<Room> {
  const bytes = sum(files.map(({ size }) => size));
  const here = cached || isLocal(source);
  const cache = here ? undefined : await openCache();
  const there = cache ? await sizeIn(cache, id) : 0;
  const needed = here ? 0 : Math.max(0, bytes - there);
  const room = { id, bytes, needed };
  if (needed === 0) return { ...room, enough: true, message: `${id} is on this device.` };
  const needs = `${id} needs ${megabytes(needed)}${there > 0 ? ' more' : ''}`;
  if (!cache) return { ...room, free: 0, enough: false, message: `${needs}; this browser window keeps nothing, so it is downloaded at each visit.` };
  const free = await freeRoom(needed);
  if (free === undefined) return { ...room, enough: true, message: `${needs}; the browser does not say how much room there is.` };
  return { ...room, free, enough: free >= needed, message: `${needs}; ${megabytes(free)} are free.` };
}

// An exported model: 8 bytes of MAGIC, the length of the header (u32, little-endian), the header (JSON), then the files one after another.
const MAGIC = 'RIVULET1';
const HEADER_LIMIT = 64 << 20;

interface Header {
  id: string;
  aliases: string[];
  revision?: string;
  chunkBytes: number;
  files: (FileRecord & { hashes: string[] })[];
}

/** One whole cached model as one file, checked while it is read. The browser may keep the blob on disk. @throws StorageError; AbortError */
export async function exportModel(id: string, { signal }: { signal?: AbortSignal } = {}): Promise<Blob> {
  const cache = await requireCache();
  const release = await share(readers(id), signal);
  try {
    const { aliases, revision, chunkBytes, files, state } = await known(cache, id);
    if (state !== 'complete') fail('StorageError', { what: `${id} is not whole`, got: state, wanted: 'complete', cure: 'Load it once, then export it.' });
    const hashes = await cache.hashes(id);
    const hashOf = (file: string, index: number): Uint8Array => hashes.get(file)?.get(index) ?? damaged(id, file);
    const parts: Blob[] = [];
    const records: Header['files'] = [];
    for (const file of files) {
      const count = chunkCount(file.size, chunkBytes);
      records.push({ ...file, hashes: Array.from({ length: count }, (_, index) => hex(sha256Part(hashOf(file.name, index)))) });
      for (let index = 0; index < count; index++) {
        if (signal?.aborted) throw abortError();
        const data = await cache.chunk(id, file.name, index);
        if (!data || !(await matches(new Uint8Array(data), hashOf(file.name, index), true))) damaged(id, file.name);
        parts.push(new Blob([data]));
      }
    }
    const header: Header = { id, aliases, ...(revision && { revision }), chunkBytes, files: records };
    const text = new TextEncoder().encode(JSON.stringify(header));
    return new Blob([MAGIC, new Uint32Array([text.length]), text, ...parts], { type: 'application/octet-stream' });
  } finally {
    release();
  }
}

function damaged(id: string, file: string): never {
  fail('StorageError', { what: `the cached copy of ${file} is damaged`, cure: `Load ${id} again with a connection: what is damaged is fetched anew.` });
}

/** Puts an exported model into the cache; every byte is checked. @returns its id. @throws SourceError for anything else; StorageError; AbortError */
export async function importModel(blob: Blob, { signal, onProgress }: { signal?: AbortSignal; onProgress?: (progress: Progress) => void } = {}): Promise<string> {
  const cache = await requireCache();
  const head = new DataView(await blob.slice(0, 12).arrayBuffer());
  const length = head.byteLength === 12 ? head.getUint32(8, true) : 0;
  const magic = new TextDecoder().decode(new Uint8Array(head.buffer, 0, Math.min(8, head.byteLength)));
  const wrong = (got: string): never => fail('SourceError', { what: 'this file is not an exported model', got, wanted: MAGIC, cure: 'A .gguf file is opened as it is, without import.' });
  if (magic !== MAGIC) wrong(JSON.stringify(magic));
  if (length === 0 || length > HEADER_LIMIT) wrong(`a header of ${length} bytes`);
  const header = readHeader(await blob.slice(12, 12 + length).text()) ?? wrong('a header that makes no sense');
  const total = sum(header.files.map(({ size }) => size));
  if (blob.size !== 12 + length + total) wrong(`${blob.size} bytes instead of ${12 + length + total}`);
  const { id } = header;
  const now = Date.now();
  const files = header.files.map(({ hashes: _, ...file }) => file);
  const manifest: Manifest = { ...header, files, state: 'partial', added: now, lastUsed: now, pinned: false };
  await exclusive(
    readers(id),
    async () => {
      if ((await cache.manifest(id))?.state === 'complete') return;
      await cache.deleteModel(id);
      const meter = new Meter('read', total, onProgress);
      try {
        let at = 12 + length;
        for (const file of header.files) {
          const whole = new Sha256();
          for (let index = 0; index < file.hashes.length; index++) {
            if (signal?.aborted) throw abortError();
            const end = at + chunkLength(file.size, header.chunkBytes, index);
            const data = new Uint8Array(await blob.slice(at, end).arrayBuffer());
            const hash = await fingerprint(data);
            if (hex(sha256Part(hash)) !== file.hashes[index]) wrong(`damaged bytes in ${file.name}`);
            if (file.sha256) whole.update(data);
            await cache.putChunk(manifest, { file: file.name, index, data, hash });
            at = end;
            meter.at(at - 12 - length, file.name);
          }
          if (file.sha256 && hex(whole.digest()) !== file.sha256) wrong(`another hash of ${file.name} than the hub's`);
        }
        await cache.put({ ...manifest, state: 'complete' });
      } catch (error) {
        await cache.deleteModel(id).catch(() => {}); // it stays partial, which counts as nothing
        if (isQuotaError(error))
          fail('StorageError', { what: `there is no room for ${id}`, wanted: megabytes(total), cure: 'Delete a model or free space on the device.' }, error);
        throw error;
      }
    },
    signal,
  );
  return id;
}

function readHeader(text: string): Header | undefined {
  try {
    const header = JSON.parse(text) as Partial<Header>;
    const whole = (n: unknown): boolean => Number.isSafeInteger(n) && (n as number) >= 0;
    const isFile = (file: Partial<Header['files'][number]> | null): boolean =>
      typeof file?.name === 'string' &&
      typeof file.url === 'string' &&
      whole(file.size) &&
      Array.isArray(file.hashes) &&
      file.hashes.length === chunkCount(file.size!, header.chunkBytes!) &&
      file.hashes.every((hash) => /^[0-9a-f]{64}$/.test(String(hash)));
    const good =
      typeof header.id === 'string' &&
      Array.isArray(header.aliases) &&
      header.aliases.every((alias) => typeof alias === 'string') &&
      whole(header.chunkBytes) &&
      header.chunkBytes! >= 4096 &&
      header.chunkBytes! <= 64 << 20 &&
      Array.isArray(header.files) &&
      header.files.length > 0 &&
      header.files.every(isFile);
    return good ? (header as Header) : undefined;
  } catch {
    return undefined;
  }
}

const known = async (cache: Cache, id: string): Promise<Manifest> =>
  (await cache.manifest(id)) ?? fail('StorageError', { what: `${id} is not in the cache, or its record there was damaged`, cure: 'listModels() names what is; load the model again.' });

const sum = (numbers: number[]): number => numbers.reduce((a, b) => a + b, 0);
