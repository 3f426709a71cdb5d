/**
 * The chunks of one opened model: in the cache, or, without storage, a few in memory. A chunk is checked against its
 * checksum when it is first read. The last few stay in memory, because readers ask for less than a chunk at a time.
 */
import {
  chunkCount,
  chunkLength,
  contentHashOrEtag,
  type ModelCache,
  type StoredChunk,
  type ModelManifest,
} from './model_cache';
import { sha256WithQuickChecksum, matchesChecksum, sha256PartOfChecksum } from './checksum';
import { retainBuffer, releaseBuffer } from './buffer_references';
import { equalBytes } from './sha256';
import { FileChangedError } from './http_connection';

export const MAX_CHUNKS_IN_MEMORY = 6; // the one being read, and the next ones, which arrive at the same time
const MAX_UNCACHED_CHUNKS_IN_MEMORY = 10;
const WRITES_PER_SPACE_REQUEST = 6; // writes that fail for lack of space before space is requested again
const RECLAIM_WAIT_MS = 300; // deleted bytes become free a little later

export class ChunkStore {
  /** checksums of the available chunks, by file and index */
  #checksums = new Map<string, Map<number, Uint8Array<ArrayBuffer>>>();
  /** most recently used last */
  readonly #memory = new Map<string, Promise<Uint8Array<ArrayBuffer> | undefined>>();
  readonly #checked = new Set<string>();
  /** chunks that are in memory but not stored */
  readonly #onlyInMemory = new Set<string>();
  /** checksums of lost chunks: the chunks that are downloaded instead must have them */
  readonly #expected = new Map<string, Uint8Array<ArrayBuffer>>();
  #cache?: ModelCache;
  #full = false;
  #handlingFull?: Promise<boolean>;
  #closed = false;

  constructor(
    public manifest: ModelManifest,
    cache: ModelCache | undefined,
    /** called when the storage is full or fails; returns true if space was made; may throw to stop the load */
    readonly onFull: (error?: unknown) => Promise<boolean> = async () => false,
    /** 'quick': checks the first read of each chunk by its quick checksum; 'full': every read from disk by SHA-256 */
    readonly check: 'quick' | 'full' = 'quick',
  ) {
    this.#cache = cache;
  }

  /** Chunks are stored on disk: false without storage and after it is full */
  get persistent(): boolean {
    return this.#cache !== undefined && !this.#full;
  }

  /** Asks `onFull` for space; without it nothing more is stored. @throws what `onFull` throws */
  async handleFull(error?: unknown): Promise<void> {
    if (this.#full) return;
    // one request for all connections
    this.#handlingFull ??= this.onFull(error).finally(() => (this.#handlingFull = undefined));
    if (!(await this.#handlingFull)) this.#full = true;
  }

  /** Writes a chunk. If the storage is full (QuotaExceededError) or fails, the load continues without it. */
  async #store(chunk: StoredChunk): Promise<void> {
    for (let attempt = 1; this.persistent; attempt++) {
      try {
        return await this.#cache!.putChunk(this.manifest, chunk);
      } catch (error) {
        if (attempt % WRITES_PER_SPACE_REQUEST === 1) await this.handleFull(error);
        else await new Promise((go) => setTimeout(go, RECLAIM_WAIT_MS));
      }
    }
  }

  /** Reads what the cache has now; another tab may have written. */
  async refresh(): Promise<void> {
    if (!this.#cache) return;
    const manifest = await this.#cache.manifest(this.manifest.id);
    if (manifest && !this.#isSameModel(manifest))
      throw new FileChangedError(
        this.manifest.id,
        'another version in the cache, from another tab',
        'the version that was being downloaded',
      );
    const hashes = manifest
      ? await this.#cache.checksums(this.manifest.id)
      : new Map<string, Map<number, Uint8Array<ArrayBuffer>>>();
    for (const at of this.#onlyInMemory) {
      const [file, index] = JSON.parse(at) as [string, number];
      filesChunks(hashes, file).set(index, this.checksum(file, index)!);
    }
    this.#checksums = hashes;
    if (manifest) this.manifest = manifest;
  }

  #isSameModel = ({ chunkBytes, files }: ModelManifest): boolean =>
    chunkBytes === this.manifest.chunkBytes &&
    files.length === this.manifest.files.length &&
    files.every(
      (file, i) =>
        file.name === this.manifest.files[i].name &&
        file.size === this.manifest.files[i].size &&
        contentHashOrEtag(file) === contentHashOrEtag(this.manifest.files[i]),
    );

  has = (file: string, index: number): boolean => this.#checksums.get(file)?.has(index) ?? false;

  /** The chunk was stored, but was found damaged or missing. */
  wasStored = (file: string, index: number): boolean => this.persistent && this.#expected.has(chunkKey(file, index));

  checksum = (file: string, index: number): Uint8Array<ArrayBuffer> | undefined =>
    this.#checksums.get(file)?.get(index);

  chunkCount = (file: { size: number }): number => chunkCount(file.size, this.manifest.chunkBytes);

  chunkLength = (file: { size: number }, index: number): number =>
    chunkLength(file.size, this.manifest.chunkBytes, index);

  missingCount = (file: { name: string; size: number }): number =>
    this.chunkCount(file) - (this.#checksums.get(file.name)?.size ?? 0);

  /** Bytes of the available chunks of all files. */
  get storedBytes(): number {
    let sum = 0;
    for (const file of this.manifest.files)
      for (const index of this.#checksums.get(file.name)?.keys() ?? [])
        sum += Math.max(0, this.chunkLength(file, index));
    return sum;
  }

  /**
   * Stores a chunk.
   * @param keep also keeps it in memory, for a reader that waits for it
   * @returns false if it replaces a lost chunk and has other bytes
   */
  async put(file: string, index: number, data: Uint8Array<ArrayBuffer>, keep: boolean): Promise<boolean> {
    const hash = await sha256WithQuickChecksum(data);
    const at = chunkKey(file, index);
    const expected = this.#expected.get(at);
    if (expected && !equalBytes(sha256PartOfChecksum(expected), sha256PartOfChecksum(hash))) return false;
    this.#expected.delete(at);
    await this.#store({ file, index, data, checksum: hash });
    this.#checked.add(at);
    filesChunks(this.#checksums, file).set(index, hash);
    if (!this.persistent) this.#onlyInMemory.add(at);
    if (keep || !this.persistent) this.#keepInMemory(at, Promise.resolve(retainBuffer(data)));
    return true;
  }

  /**
   * The checked bytes of a chunk; the caller must release them. Undefined if the chunk is not available, or if it is
   * damaged or missing: then
   * `has` is false from now on.
   */
  get(file: string, index: number): Promise<Uint8Array<ArrayBuffer> | undefined> {
    return this.#read(file, index).then((data) => data && retainBuffer(data)); // retained before anything can evict it
  }

  /**
   * Bytes of a stored chunk that was checked, without the rest of it; the caller must release them. Undefined if `get`
   * must read it all.
   */
  async part(file: string, index: number, start: number, end: number): Promise<Uint8Array | undefined> {
    const at = chunkKey(file, index);
    if (this.check === 'full' || this.manifest.state === 'partial' || !this.#checked.has(at) || this.#memory.has(at))
      return;
    const part = await this.#cache?.chunk(this.manifest.id, file, index, start, end).catch(() => undefined);
    if (part?.byteLength === end - start) return retainBuffer(new Uint8Array(part));
    this.#checked.delete(at); // damaged since, or no Blob
  }

  /** Starts to read a chunk that will be needed soon. */
  prefetch(file: string, index: number): void {
    if (!this.#closed && this.has(file, index)) this.#read(file, index).catch(() => {});
  }

  #read(file: string, index: number): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const at = chunkKey(file, index);
    const known = this.#memory.get(at);
    const chunk = known ?? this.#readStored(file, index);
    this.#keepInMemory(at, chunk);
    const lost = (): void => void (this.#memory.get(at) === chunk && this.#memory.delete(at));
    if (!known) chunk.then((data) => data ?? lost(), lost);
    return chunk;
  }

  async #readStored(file: string, index: number): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const hash = this.checksum(file, index);
    const record = this.manifest.files.find(({ name }) => name === file);
    if (!hash || !record || !this.#cache) return this.#forgetChunk(file, index);
    // for a reader an error means lost
    const stored = await this.#cache.chunk(this.manifest.id, file, index).catch(() => undefined);
    if (!stored || stored.byteLength !== this.chunkLength(record, index)) return this.#forgetChunk(file, index);
    const data = retainBuffer(new Uint8Array(stored));
    const at = chunkKey(file, index);
    if (this.check === 'full' || !this.#checked.has(at)) {
      if (!(await matchesChecksum(data, hash, this.check === 'full'))) return this.#forgetChunk(file, index);
      this.#checked.add(at);
    }
    return data;
  }

  async #forgetChunk(file: string, index: number): Promise<undefined> {
    const hash = this.checksum(file, index);
    this.#checksums.get(file)?.delete(index);
    if (!this.#cache || !hash) return;
    this.#expected.set(chunkKey(file, index), hash);
    this.manifest = { ...this.manifest, state: 'partial' };
    try {
      await this.#cache.updateManifest(this.manifest.id, (manifest) => ({ ...manifest, state: 'partial' }));
      await this.#cache.deleteChunk(this.manifest.id, file, index);
    } catch {
      // if deleting fails too, the next load finds the damage again
    }
  }

  /** Deletes a file from memory and from the cache. */
  async deleteFile(file: string): Promise<void> {
    const count = this.#checksums.get(file)?.size ?? 0;
    for (const index of this.#checksums.get(file)?.keys() ?? []) {
      this.#evict(chunkKey(file, index));
      for (const keys of [this.#checked, this.#onlyInMemory, this.#expected]) keys.delete(chunkKey(file, index));
    }
    this.#checksums.delete(file);
    if (count === 0 || !this.#cache) return;
    this.manifest = { ...this.manifest, state: 'partial' };
    if (this.storedBytes === 0) return await this.#cache.deleteModel(this.manifest.id);
    await this.#cache.updateManifest(this.manifest.id, (manifest) => ({ ...manifest, state: 'partial' }));
    await this.#cache.deleteFile(this.manifest.id, file);
  }

  /** All files are stored and verified. */
  async markComplete(): Promise<void> {
    if (!this.persistent) return;
    try {
      await this.#cache!.updateManifest(this.manifest.id, (manifest) => ({
        ...manifest,
        state: 'complete',
        lastUsed: Date.now(),
      }));
      this.manifest = { ...this.manifest, state: 'complete', lastUsed: Date.now() };
    } catch (error) {
      await this.handleFull(error);
    }
  }

  #keepInMemory(at: string, chunk: Promise<Uint8Array<ArrayBuffer> | undefined>): void {
    if (this.#memory.get(at) !== chunk) this.#evict(at);
    this.#memory.delete(at);
    this.#memory.set(at, chunk);
    for (const oldest of this.#memory.keys()) {
      if (this.#memory.size <= (this.persistent ? MAX_CHUNKS_IN_MEMORY : MAX_UNCACHED_CHUNKS_IN_MEMORY)) break;
      this.#evict(oldest);
      if (!this.#onlyInMemory.delete(oldest)) continue;
      const [file, index] = JSON.parse(oldest) as [string, number];
      this.#expected.set(oldest, this.checksum(file, index)!);
      this.#checksums.get(file)?.delete(index); // it was not stored, so it is missing again
    }
  }

  get chunksInMemory(): number {
    return this.#memory.size;
  }

  /** A reader has reached this chunk: earlier ones need not stay in memory. */
  evictBefore(file: string, index: number): void {
    for (const at of [...this.#memory.keys()]) {
      const [name, before] = JSON.parse(at) as [string, number];
      if (name === file && before < index) this.#evict(at);
    }
  }

  /** Frees the memory: other objects may hold this store as long as the model lives. Nothing may be read after this. */
  close(): void {
    this.#closed = true;
    for (const at of [...this.#memory.keys()]) this.#evict(at);
  }

  #evict(at: string): void {
    this.#memory.get(at)?.then(
      (data) => data && releaseBuffer(data),
      () => {},
    );
    this.#memory.delete(at);
  }
}

const chunkKey = (file: string, index: number): string => JSON.stringify([file, index]);

function filesChunks<T>(hashes: Map<string, Map<number, T>>, file: string): Map<number, T> {
  const found = hashes.get(file) ?? new Map<number, T>();
  hashes.set(file, found);
  return found;
}
