/**
 * Where the chunks of one opened model lie: in the cache, or, without one, a few of them in memory. Every chunk is checked against its hash
 * the first time it is read; the last few read stay in memory, for readers ask for less than a chunk at a time.
 */
import { chunkCount, chunkLength, mark, type Cache, type Chunk, type Manifest } from './database';
import { fingerprint, matches, sha256Part } from './fingerprint';
import { hold, letGo } from './loan';
import { equal } from './sha256';
import { Changed } from './transfer';

export const KEPT = 6; // chunks in memory at most: the one being read and those that are wanted next, as many as come side by side
const KEPT_UNCACHED = 10;
const RETRIES = 6; // of a write, between two deletions that make room
const RECLAIM = 300; // milliseconds

export class Shelf {
  /** fingerprints of the chunks that are here, by file and index */
  #hashes = new Map<string, Map<number, Uint8Array<ArrayBuffer>>>();
  /** most recently used last */
  readonly #memory = new Map<string, Promise<Uint8Array<ArrayBuffer> | undefined>>();
  readonly #checked = new Set<string>();
  /** chunks that lie in memory only */
  readonly #volatile = new Set<string>();
  /** hashes of chunks that were here and are not: what is fetched instead must have them */
  readonly #expected = new Map<string, Uint8Array<ArrayBuffer>>();
  #cache?: Cache;
  #full = false;
  #filling?: Promise<boolean>;
  #closed = false;

  constructor(
    public manifest: Manifest,
    cache: Cache | undefined,
    /** told when the storage takes no more; answers whether room was made; may throw rather than go on without storage */
    readonly onFull: (error?: unknown) => Promise<boolean> = async () => false,
    /** 'quick': the first read of each chunk by its quick sum; 'full': every read from disk by SHA-256 */
    readonly check: 'quick' | 'full' = 'quick',
  ) {
    this.#cache = cache;
  }

  /** Chunks are kept: false without storage and once it is full */
  get lasting(): boolean {
    return this.#cache !== undefined && !this.#full;
  }

  /** From here on nothing more is stored. @throws what `onFull` throws */
  async fill(error?: unknown): Promise<void> {
    if (this.#full) return;
    this.#filling ??= this.onFull(error).finally(() => (this.#filling = undefined)); // once for all connections that find it full
    if (!(await this.#filling)) this.#full = true;
  }

  /** Writes a chunk, unless the storage is full (QuotaExceededError) or fails otherwise: then the load goes on without it. */
  async #store(chunk: Chunk): Promise<void> {
    for (let attempt = 1; this.lasting; attempt++) {
      try {
        return await this.#cache!.putChunk(this.manifest, chunk);
      } catch (error) {
        if (attempt % RETRIES === 1) await this.fill(error);
        else await new Promise((go) => setTimeout(go, RECLAIM)); // what was deleted becomes free a little later
      }
    }
  }

  /** Looks at what is in the cache now, after other tabs may have written. */
  async refresh(): Promise<void> {
    if (!this.#cache) return;
    const manifest = await this.#cache.manifest(this.manifest.id);
    if (manifest && !this.#isOurs(manifest)) throw new Changed(this.manifest.id, 'another version in the cache, from another tab', 'the one that was begun');
    const hashes = manifest ? await this.#cache.hashes(this.manifest.id) : new Map<string, Map<number, Uint8Array<ArrayBuffer>>>();
    for (const at of this.#volatile) {
      const [file, index] = JSON.parse(at) as [string, number];
      ensure(hashes, file).set(index, this.hash(file, index)!);
    }
    this.#hashes = hashes;
    if (manifest) this.manifest = manifest;
  }

  #isOurs = ({ chunkBytes, files }: Manifest): boolean =>
    chunkBytes === this.manifest.chunkBytes &&
    files.length === this.manifest.files.length &&
    files.every((file, i) => file.name === this.manifest.files[i].name && file.size === this.manifest.files[i].size && mark(file) === mark(this.manifest.files[i]));

  has = (file: string, index: number): boolean => this.#hashes.get(file)?.has(index) ?? false;

  /** It was stored and was found damaged or gone */
  wasHere = (file: string, index: number): boolean => this.lasting && this.#expected.has(key(file, index));

  hash = (file: string, index: number): Uint8Array<ArrayBuffer> | undefined => this.#hashes.get(file)?.get(index);

  chunks = (file: { size: number }): number => chunkCount(file.size, this.manifest.chunkBytes);

  length = (file: { size: number }, index: number): number => chunkLength(file.size, this.manifest.chunkBytes, index);

  missing = (file: { name: string; size: number }): number => this.chunks(file) - (this.#hashes.get(file.name)?.size ?? 0);

  /** Bytes that are here, of all files. */
  get bytes(): number {
    let sum = 0;
    for (const file of this.manifest.files) for (const index of this.#hashes.get(file.name)?.keys() ?? []) sum += Math.max(0, this.length(file, index));
    return sum;
  }

  /**
   * Puts a chunk away.
   * @param keep leaves it in memory too, for a reader that waits for it
   * @returns false if the chunk replaces a damaged one and is not the same
   */
  async put(file: string, index: number, data: Uint8Array<ArrayBuffer>, keep: boolean): Promise<boolean> {
    const hash = await fingerprint(data);
    const at = key(file, index);
    const expected = this.#expected.get(at);
    if (expected && !equal(sha256Part(expected), sha256Part(hash))) return false;
    this.#expected.delete(at);
    await this.#store({ file, index, data, hash });
    this.#checked.add(at);
    ensure(this.#hashes, file).set(index, hash);
    if (!this.lasting) this.#volatile.add(at);
    if (keep || !this.lasting) this.#remember(at, Promise.resolve(hold(data)));
    return true;
  }

  /**
   * The bytes of a chunk, checked, held for the caller, who lets go of them; undefined if it is not here, or was and is damaged or gone: then it
   * is forgotten and `has` is false.
   */
  get(file: string, index: number): Promise<Uint8Array<ArrayBuffer> | undefined> {
    return this.#recall(file, index).then((data) => data && hold(data)); // said before anything that could take it from memory
  }

  /** Starts to read a chunk that will be wanted soon. */
  ahead(file: string, index: number): void {
    if (!this.#closed && this.has(file, index)) this.#recall(file, index).catch(() => {});
  }

  #recall(file: string, index: number): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const at = key(file, index);
    const known = this.#memory.get(at);
    const chunk = known ?? this.#load(file, index);
    this.#remember(at, chunk);
    const lost = (): void => void (this.#memory.get(at) === chunk && this.#memory.delete(at));
    if (!known) chunk.then((data) => data ?? lost(), lost);
    return chunk;
  }

  async #load(file: string, index: number): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const hash = this.hash(file, index);
    const record = this.manifest.files.find(({ name }) => name === file);
    if (!hash || !record || !this.#cache) return this.#forget(file, index);
    const stored = await this.#cache.chunk(this.manifest.id, file, index).catch(() => undefined); // lost, as far as a reader is concerned
    if (!stored || stored.byteLength !== this.length(record, index)) return this.#forget(file, index);
    const data = hold(new Uint8Array(stored));
    const at = key(file, index);
    if (this.check === 'full' || !this.#checked.has(at)) {
      if (!(await matches(data, hash, this.check === 'full'))) return this.#forget(file, index);
      this.#checked.add(at);
    }
    return data;
  }

  async #forget(file: string, index: number): Promise<undefined> {
    const hash = this.hash(file, index);
    this.#hashes.get(file)?.delete(index);
    if (!this.#cache || !hash) return;
    this.#expected.set(key(file, index), hash);
    this.manifest = { ...this.manifest, state: 'partial' };
    try {
      await this.#cache.amend(this.manifest.id, (manifest) => ({ ...manifest, state: 'partial' }));
      await this.#cache.deleteChunk(this.manifest.id, file, index);
    } catch {
      // a storage that cannot even delete: the damage is found again at the next load
    }
  }

  /** Forgets a file, in memory and in the cache. */
  async drop(file: string): Promise<void> {
    const count = this.#hashes.get(file)?.size ?? 0;
    for (const index of this.#hashes.get(file)?.keys() ?? []) {
      this.#evict(key(file, index));
      for (const keys of [this.#checked, this.#volatile, this.#expected]) keys.delete(key(file, index));
    }
    this.#hashes.delete(file);
    if (count === 0 || !this.#cache) return;
    this.manifest = { ...this.manifest, state: 'partial' };
    if (this.bytes === 0) return await this.#cache.deleteModel(this.manifest.id);
    await this.#cache.amend(this.manifest.id, (manifest) => ({ ...manifest, state: 'partial' }));
    await this.#cache.deleteFile(this.manifest.id, file);
  }

  /** All is here and was compared with what the hub says. */
  async complete(): Promise<void> {
    if (!this.lasting) return;
    try {
      await this.#cache!.amend(this.manifest.id, (manifest) => ({ ...manifest, state: 'complete', lastUsed: Date.now() }));
      this.manifest = { ...this.manifest, state: 'complete', lastUsed: Date.now() };
    } catch (error) {
      await this.fill(error);
    }
  }

  #remember(at: string, chunk: Promise<Uint8Array<ArrayBuffer> | undefined>): void {
    if (this.#memory.get(at) !== chunk) this.#evict(at);
    this.#memory.delete(at);
    this.#memory.set(at, chunk);
    for (const oldest of this.#memory.keys()) {
      if (this.#memory.size <= (this.lasting ? KEPT : KEPT_UNCACHED)) break;
      this.#evict(oldest);
      if (!this.#volatile.delete(oldest)) continue;
      const [file, index] = JSON.parse(oldest) as [string, number];
      this.#expected.set(oldest, this.hash(file, index)!);
      this.#hashes.get(file)?.delete(index); // it lay nowhere else: it is missing again
    }
  }

  /** Chunks in memory. */
  get kept(): number {
    return this.#memory.size;
  }

  /** A reader has come to this chunk: those before it need not stay in memory. */
  past(file: string, index: number): void {
    for (const at of [...this.#memory.keys()]) {
      const [name, before] = JSON.parse(at) as [string, number];
      if (name === file && before < index) this.#evict(at);
    }
  }

  /** Frees what is in memory, for whoever knows the model's name may keep the shelf for as long as the model lives. Nothing may be read after it. */
  close(): void {
    this.#closed = true;
    for (const at of [...this.#memory.keys()]) this.#evict(at);
  }

  #evict(at: string): void {
    this.#memory.get(at)?.then((data) => data && letGo(data), () => {});
    this.#memory.delete(at);
  }
}

const key = (file: string, index: number): string => JSON.stringify([file, index]);

function ensure<T>(hashes: Map<string, Map<number, T>>, file: string): Map<number, T> {
  const found = hashes.get(file) ?? new Map<number, T>();
  hashes.set(file, found);
  return found;
}
