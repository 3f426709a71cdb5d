/** Maintenance of the models in the cache: verify, export, import. Every byte is read. */
import { abortError, fail } from '../errors';
import { sum } from './cached_models';
import { sha256WithQuickChecksum, matchesChecksum, sha256PartOfChecksum } from './checksum';
import {
  CHUNK_BYTES,
  chunkCount,
  chunkLength,
  isQuotaError,
  requireModelCache,
  type ModelCache,
  type FileRecord,
  type ModelManifest,
} from './model_cache';
import { withExclusiveLock, readLockName, acquireSharedLock } from './model_locks';
import { ProgressMeter, type Progress } from './progress';
import { createSha256, toHex } from './sha256';
import { formatMegabytes } from './storage_space';

export interface VerificationResult {
  ok: boolean;
  /** chunks that differ from what was written; they are deleted, and the next load downloads only them */
  damaged: { file: string; index: number }[];
  /** files whose hash differs from the hub's; they are deleted */
  foreign: string[];
}

/** Reads every stored byte of a model and checks it against the checksums. @throws StorageError; AbortError */
export async function verifyModel(
  id: string,
  options: { signal?: AbortSignal; onProgress?: (progress: Progress) => void } = {},
): Promise<VerificationResult> {
  const cache = await requireModelCache();
  const release = await acquireSharedLock(readLockName(id), options.signal);
  try {
    const manifest = await requireManifest(cache, id);
    const hashes = await cache.checksums(id);
    const result: VerificationResult = { ok: true, damaged: [], foreign: [] };
    const meter = new ProgressMeter('read', sum(manifest.files.map(({ size }) => size)), options.onProgress);
    let done = 0;
    for (const file of manifest.files) {
      const whole = createSha256();
      let entire = true;
      for (let index = 0; index < chunkCount(file.size, manifest.chunkBytes); index++) {
        if (options.signal?.aborted) throw abortError();
        const hash = hashes.get(file.name)?.get(index);
        const data = hash && (await cache.chunk(id, file.name, index));
        const good =
          data !== undefined &&
          data.byteLength === chunkLength(file.size, manifest.chunkBytes, index) &&
          (await matchesChecksum(new Uint8Array(data), hash!, true));
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

// An exported model: 8 bytes of MAGIC, the length of the header (u32, little-endian), the header (JSON), then the files
// one after another.
const MAGIC = 'RIVULET1';
const MAX_HEADER_BYTES = 64 << 20;

interface ExportHeader {
  id: string;
  aliases: string[];
  revision?: string;
  chunkBytes: number;
  files: (FileRecord & { hashes: string[] })[];
}

/**
 * A complete cached model as one file, checked while it is read. The browser may keep the blob on disk. @throws
 * StorageError; AbortError
 */
export async function exportModel(id: string, { signal }: { signal?: AbortSignal } = {}): Promise<Blob> {
  const cache = await requireModelCache();
  const release = await acquireSharedLock(readLockName(id), signal);
  try {
    const { aliases, revision, chunkBytes, files, state } = await requireManifest(cache, id);
    if (state !== 'complete')
      fail('StorageError', {
        what: `${id} is not downloaded completely`,
        got: state,
        wanted: 'complete',
        cure: 'Load it once, then export it.',
      });
    const hashes = await cache.checksums(id);
    const hashOf = (file: string, index: number): Uint8Array => hashes.get(file)?.get(index) ?? failDamaged(id, file);
    const parts: Blob[] = [];
    const records: ExportHeader['files'] = [];
    for (const file of files) {
      const count = chunkCount(file.size, chunkBytes);
      records.push({
        ...file,
        hashes: Array.from({ length: count }, (_, index) => toHex(sha256PartOfChecksum(hashOf(file.name, index)))),
      });
      for (let index = 0; index < count; index++) {
        if (signal?.aborted) throw abortError();
        const data = await cache.chunk(id, file.name, index);
        if (!data || !(await matchesChecksum(new Uint8Array(data), hashOf(file.name, index), true)))
          failDamaged(id, file.name);
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
  fail('StorageError', {
    what: `The stored copy of ${file} is damaged`,
    cure: `Load ${id} again while online: the damaged part is downloaded again.`,
  });
}

/**
 * Stores an exported model and checks every byte; or stores a GGUF file, whose id is the file's name.
 * @returns its id. @throws SourceError for any other file; StorageError; AbortError
 */
export async function importModel(
  blob: Blob,
  { signal, onProgress }: { signal?: AbortSignal; onProgress?: (progress: Progress) => void } = {},
): Promise<string> {
  const cache = await requireModelCache();
  const { name, size } = blob as File;
  const magic = await blob.slice(0, 8).text();
  const length = size < 12 ? 0 : new Uint32Array(await blob.slice(8, 12).arrayBuffer())[0];
  const wrong = (got: string): never =>
    fail('SourceError', {
      what: 'This file is not an exported model',
      got,
      wanted: `${MAGIC} and a valid header`,
      cure: 'Import an exported model or a .gguf file.',
    });
  const plain = name && magic.startsWith('GGUF'); // a blob has no name
  const start = plain ? 0 : 12 + length;
  const header: ExportHeader = plain
    ? { id: name, aliases: [], chunkBytes: CHUNK_BYTES, files: [{ name, size, url: '', hashes: [] }] }
    : (magic === MAGIC && length <= MAX_HEADER_BYTES && readHeader(await blob.slice(12, start).text())) ||
      wrong(JSON.stringify(magic));
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
          const whole = createSha256();
          for (let index = 0; index < chunkCount(file.size, header.chunkBytes); index++) {
            if (signal?.aborted) throw abortError();
            const end = at + chunkLength(file.size, header.chunkBytes, index);
            const data = new Uint8Array(await blob.slice(at, end).arrayBuffer());
            const hash = await sha256WithQuickChecksum(data);
            if (!plain && toHex(sha256PartOfChecksum(hash)) !== file.hashes[index])
              wrong(`damaged bytes in ${file.name}`);
            if (file.sha256) whole.update(data);
            await cache.putChunk(manifest, { file: file.name, index, data, checksum: hash });
            at = end;
            meter.update(at - start, file.name);
          }
          if (file.sha256 && toHex(whole.digest()) !== file.sha256)
            wrong(`a hash of ${file.name} that differs from the hub's`);
        }
        await cache.putManifest({ ...manifest, state: 'complete' });
      } catch (error) {
        await cache.deleteModel(id).catch(() => {}); // if this fails too, the partial model does not count as stored
        if (isQuotaError(error))
          fail(
            'StorageError',
            {
              what: `There is not enough space for ${id}`,
              wanted: formatMegabytes(total),
              cure: 'Delete a model or free space on the device.',
            },
            error,
          );
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
  (await cache.manifest(id)) ??
  fail('StorageError', {
    what: `${id} is not stored, or its record was damaged`,
    cure: 'See listModels() for what is stored, or load the model again.',
  });
