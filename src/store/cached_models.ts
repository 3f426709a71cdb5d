/** The models in the cache: list, size, delete, verify, pin, export, import, and download before use. */
import { abortError, fail } from '../errors';
import { CHUNK_BYTES, chunkCount, chunkLength, isQuotaError, openModelCache, requireModelCache, type ModelCache, type FileRecord, type ModelManifest } from './model_cache';
import { sha256WithQuickChecksum, matchesChecksum, sha256PartOfChecksum } from './checksum';
import { withExclusiveLock, tryExclusiveLock, readLockName, acquireSharedLock } from './model_locks';
import { isLocalSource } from './local_source';
import { openModel, type ModelSource, type OpenedModel, type OpenOptions } from './open_model';
import { ProgressMeter, type Progress } from './progress';
import { sumStoredChunkBytes, freeStorageBytes, formatMegabytes } from './storage_space';
import { toHex, Sha256 } from './sha256';
import { FileChangedError } from './http';

export interface CachedModel {
  id: string;
  /** bytes of the whole model, and bytes that are stored */
  bytes: number;
  storedBytes: number;
  /** false: the download has not ended; loading the model continues it */
  complete: boolean;
  files: { name: string; bytes: number }[];
  revision?: string;
  added: Date;
  lastUsed: Date;
  pinned: boolean;
}

/** All models, the last used first. @throws StorageError if the page has no storage */
export async function listModels(): Promise<CachedModel[]> {
  const cache = await requireModelCache();
  const manifests = await cache.manifests();
  const models = await Promise.all(
    manifests.map(
      async (manifest): Promise<CachedModel> => ({
        id: manifest.id,
        bytes: sum(manifest.files.map(({ size }) => size)),
        storedBytes: await sumStoredChunkBytes(cache, manifest),
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

/** Stored bytes of a model; 0 if it is not stored. */
export async function storedModelBytes(id: string): Promise<number> {
  return storedBytesOf(await requireModelCache(), id);
}

async function storedBytesOf(cache: ModelCache, id: string): Promise<number> {
  const manifest = await cache.manifest(id);
  return manifest ? sumStoredChunkBytes(cache, manifest) : 0;
}

/**
 * Deletes a model, in one transaction.
 * @param options.wait true (default): waits until no tab has it open; false: rejects at once if one has
 * @throws StorageError if it is in use; AbortError while it waits
 */
export async function deleteModel(id: string, { wait = true, signal }: { wait?: boolean; signal?: AbortSignal } = {}): Promise<void> {
  const cache = await requireModelCache();
  const work = async (): Promise<true> => (await cache.deleteModel(id), true);
  const done = wait ? await withExclusiveLock(readLockName(id), work, signal) : await tryExclusiveLock(readLockName(id), work);
  if (!done) fail('StorageError', { what: `${id} is in use`, cure: 'Unload it, or close the other tabs of this page.' });
}

/** A pinned model is never deleted to make room. */
export async function pinModel(id: string, pinned = true): Promise<void> {
  await (await requireModelCache()).updateManifest(id, (manifest) => ({ ...manifest, pinned }));
}

export interface VerificationResult {
  ok: boolean;
  /** chunks that differ from what was written; they are deleted, and the next load downloads only them */
  damaged: { file: string; index: number }[];
  /** files whose hash differs from the hub's; they are deleted */
  foreign: string[];
}

/** Reads every stored byte of a model and checks it against the checksums. @throws StorageError; AbortError */
export async function verifyModel(id: string, options: { signal?: AbortSignal; onProgress?: (progress: Progress) => void } = {}): Promise<VerificationResult> {
  const cache = await requireModelCache();
  const release = await acquireSharedLock(readLockName(id), options.signal);
  try {
    const manifest = await requireManifest(cache, id);
    const hashes = await cache.checksums(id);
    const result: VerificationResult = { ok: true, damaged: [], foreign: [] };
    const meter = new ProgressMeter('read', sum(manifest.files.map(({ size }) => size)), options.onProgress);
    let done = 0;
    for (const file of manifest.files) {
      const whole = new Sha256();
      let entire = true;
      for (let index = 0; index < chunkCount(file.size, manifest.chunkBytes); index++) {
        if (options.signal?.aborted) throw abortError();
        const hash = hashes.get(file.name)?.get(index);
        const data = hash && (await cache.chunk(id, file.name, index));
        const good = data !== undefined && data.byteLength === chunkLength(file.size, manifest.chunkBytes, index) && (await matchesChecksum(new Uint8Array(data), hash!, true));
        if (good && file.sha256 && entire) whole.update(new Uint8Array(data));
        entire &&= good;
        if (!good && (hash || manifest.state === 'complete')) result.damaged.push({ file: file.name, index });
        meter.update((done += chunkLength(file.size, manifest.chunkBytes, index)), file.name);
      }
      if (entire && file.sha256 && toHex(whole.digest()) !== file.sha256) result.foreign.push(file.name);
    }
    result.ok = result.damaged.length === 0 && result.foreign.length === 0;
    if (!result.ok) {
      await cache.updateManifest(id, (now) => ({ ...now, state: 'partial' }));
      for (const { file, index } of result.damaged) await cache.deleteChunk(id, file, index);
      for (const file of result.foreign) await cache.deleteFile(id, file);
    }
    return result;
  } finally {
    release();
  }
}

/** Downloads a model into the cache without loading it. If it changes on the server meanwhile, the download starts again, once. @throws like openModel */
export async function downloadModel(source: ModelSource, options: OpenOptions = {}): Promise<string> {
  for (let again = true; ; again = false) {
    const model = await openModel(source, { ...options, cache: 'required' });
    try {
      await model.finish();
      return model.id;
    } catch (error) {
      if (!(again && error instanceof FileChangedError)) throw error;
    } finally {
      await model.close();
    }
  }
}

export interface ModelRoom {
  id: string;
  /** bytes of the whole model, and bytes that still have to be downloaded */
  bytes: number;
  needed: number;
  /** bytes that this site may still store; undefined if the browser does not say */
  free?: number;
  enough: boolean;
  /** what is needed and what is free, in one sentence */
  message: string;
}

/** Tells, before a download, how much space a model needs and how much is free. @throws like openModel */
export async function modelRoom(source: ModelSource, options: OpenOptions = {}): Promise<ModelRoom> {
  const model = await openModel(source, { ...options, peek: true });
  await model.close();
  return reportRoomForOpenModel(source, model);
}

/** The same for a source that is already open. */
export async function reportRoomForOpenModel(source: ModelSource, { id, files, cached }: Pick<OpenedModel, 'id' | 'files' | 'cached'>): Promise<ModelRoom> {
  const bytes = sum(files.map(({ size }) => size));
  const here = cached || isLocalSource(source);
  const cache = here ? undefined : await openModelCache();
  const stored = cache ? await storedBytesOf(cache, id) : 0;
  const needed = here ? 0 : Math.max(0, bytes - stored);
  const room = { id, bytes, needed };
  if (needed === 0) return { ...room, enough: true, message: `${id} is on this device.` };
  const needs = `${id} needs ${formatMegabytes(needed)}${stored > 0 ? ' more' : ''}`;
  if (!cache) return { ...room, free: 0, enough: false, message: `${needs}; this browser window stores nothing, so it is downloaded at each visit.` };
  const free = await freeStorageBytes(needed);
  if (free === undefined) return { ...room, enough: true, message: `${needs}; the browser does not say how much space is free.` };
  return { ...room, free, enough: free >= needed, message: `${needs}; ${formatMegabytes(free)} are free.` };
}

// An exported model: 8 bytes of MAGIC, the length of the header (u32, little-endian), the header (JSON), then the files one after another.
const MAGIC = 'RIVULET1';
const MAX_HEADER_BYTES = 64 << 20;

interface ExportHeader {
  id: string;
  aliases: string[];
  revision?: string;
  chunkBytes: number;
  files: (FileRecord & { hashes: string[] })[];
}

/** A complete cached model as one file, checked while it is read. The browser may keep the blob on disk. @throws StorageError; AbortError */
export async function exportModel(id: string, { signal }: { signal?: AbortSignal } = {}): Promise<Blob> {
  const cache = await requireModelCache();
  const release = await acquireSharedLock(readLockName(id), signal);
  try {
    const { aliases, revision, chunkBytes, files, state } = await requireManifest(cache, id);
    if (state !== 'complete') fail('StorageError', { what: `${id} is not downloaded completely`, got: state, wanted: 'complete', cure: 'Load it once, then export it.' });
    const hashes = await cache.checksums(id);
    const hashOf = (file: string, index: number): Uint8Array => hashes.get(file)?.get(index) ?? failDamaged(id, file);
    const parts: Blob[] = [];
    const records: ExportHeader['files'] = [];
    for (const file of files) {
      const count = chunkCount(file.size, chunkBytes);
      records.push({ ...file, hashes: Array.from({ length: count }, (_, index) => toHex(sha256PartOfChecksum(hashOf(file.name, index)))) });
      for (let index = 0; index < count; index++) {
        if (signal?.aborted) throw abortError();
        const data = await cache.chunk(id, file.name, index);
        if (!data || !(await matchesChecksum(new Uint8Array(data), hashOf(file.name, index), true))) failDamaged(id, file.name);
        parts.push(new Blob([data]));
      }
    }
    const header: ExportHeader = { id, aliases, ...(revision && { revision }), chunkBytes, files: records };
    const text = new TextEncoder().encode(JSON.stringify(header));
    return new Blob([MAGIC, new Uint32Array([text.length]), text, ...parts], { type: 'application/octet-stream' });
  } finally {
    release();
  }
}

function failDamaged(id: string, file: string): never {
  fail('StorageError', { what: `The stored copy of ${file} is damaged`, cure: `Load ${id} again while online: the damaged part is downloaded again.` });
}

/**
 * Stores an exported model and checks every byte; or stores a GGUF file, whose id is the file's name.
 * @returns its id. @throws SourceError for any other file; StorageError; AbortError
 */
export async function importModel(blob: Blob, { signal, onProgress }: { signal?: AbortSignal; onProgress?: (progress: Progress) => void } = {}): Promise<string> {
  const cache = await requireModelCache();
  const { name, size } = blob as File;
  const magic = await blob.slice(0, 8).text();
  const length = size < 12 ? 0 : new Uint32Array(await blob.slice(8, 12).arrayBuffer())[0];
  const wrong = (got: string): never => fail('SourceError', { what: 'This file is not an exported model', got, wanted: `${MAGIC} and a valid header`, cure: 'Import an exported model or a .gguf file.' });
  const plain = name && magic.startsWith('GGUF'); // a blob has no name
  const start = plain ? 0 : 12 + length;
  const header: ExportHeader = plain
    ? { id: name, aliases: [], chunkBytes: CHUNK_BYTES, files: [{ name, size, url: '', hashes: [] }] }
    : ((magic === MAGIC && length <= MAX_HEADER_BYTES && readHeader(await blob.slice(12, start).text())) || wrong(JSON.stringify(magic)));
  const total = sum(header.files.map((file) => file.size));
  if (size !== start + total) wrong(`${size} bytes instead of ${start + total}`);
  const { id } = header;
  const now = Date.now();
  const files = header.files.map(({ hashes: _, ...file }) => file);
  const manifest: ModelManifest = { ...header, files, state: 'partial', added: now, lastUsed: now, pinned: false };
  await withExclusiveLock(
    readLockName(id),
    async () => {
      if ((await cache.manifest(id))?.state === 'complete') return;
      await cache.deleteModel(id);
      const meter = new ProgressMeter('read', total, onProgress);
      try {
        let at = start;
        for (const file of header.files) {
          const whole = new Sha256();
          for (let index = 0; index < chunkCount(file.size, header.chunkBytes); index++) {
            if (signal?.aborted) throw abortError();
            const end = at + chunkLength(file.size, header.chunkBytes, index);
            const data = new Uint8Array(await blob.slice(at, end).arrayBuffer());
            const hash = await sha256WithQuickChecksum(data);
            if (!plain && toHex(sha256PartOfChecksum(hash)) !== file.hashes[index]) wrong(`damaged bytes in ${file.name}`);
            if (file.sha256) whole.update(data);
            await cache.putChunk(manifest, { file: file.name, index, data, checksum: hash });
            at = end;
            meter.update(at - start, file.name);
          }
          if (file.sha256 && toHex(whole.digest()) !== file.sha256) wrong(`a hash of ${file.name} that differs from the hub's`);
        }
        await cache.putManifest({ ...manifest, state: 'complete' });
      } catch (error) {
        await cache.deleteModel(id).catch(() => {}); // if this fails too, the partial model does not count as stored
        if (isQuotaError(error))
          fail('StorageError', { what: `There is not enough space for ${id}`, wanted: formatMegabytes(total), cure: 'Delete a model or free space on the device.' }, error);
        throw error;
      }
    },
    signal,
  );
  return id;
}

function readHeader(text: string): ExportHeader | undefined {
  try {
    const header = JSON.parse(text) as Partial<ExportHeader>;
    const whole = (n: unknown): boolean => Number.isSafeInteger(n) && (n as number) >= 0;
    const isFile = (file: Partial<ExportHeader['files'][number]> | null): boolean =>
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
    return good ? (header as ExportHeader) : undefined;
  } catch {
    return undefined;
  }
}

const requireManifest = async (cache: ModelCache, id: string): Promise<ModelManifest> =>
  (await cache.manifest(id)) ?? fail('StorageError', { what: `${id} is not stored, or its record was damaged`, cure: 'See listModels() for what is stored, or load the model again.' });

const sum = (numbers: number[]): number => numbers.reduce((a, b) => a + b, 0);
