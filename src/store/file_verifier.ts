/**
 * Compares whole files with the hashes that the hub states: SHA-256 chunk by chunk during the download, the git id of
 * small files at the end.
 */
import type { FileRecord } from './model_cache';
import { retainBuffer, releaseBuffer } from './buffer_references';
import { createSha256, toHex } from './sha256';
import type { ChunkStore } from './chunk_store';
import { FileContentError } from './http_connection';

const MAX_GIT_ID_BYTES = 32 << 20; // such a file is hashed in one piece; for larger files the hub states a SHA-256

/** The file is complete and its hash differs from the hub's. */
export class DamagedFileError extends FileContentError {}

export class FileVerifier {
  readonly #verified = new Set<string>();
  readonly #running = new Map<string, RunningHash>();

  constructor(readonly chunks: ChunkStore) {}

  /** The file is complete and has the hash of the hub. */
  isVerified = (file: string): boolean => this.#verified.has(file) || this.chunks.manifest.state === 'complete';

  /**
   * Adds a chunk to the hash. @param wait keeps a chunk that is too early in memory; otherwise it is read from the
   * store later
   */
  addChunk(file: FileRecord, index: number, data: Uint8Array, wait: boolean): void {
    if (file.sha256) this.#hashOf(file).addChunk(index, data, wait);
  }

  /** Number of early chunks in memory. */
  get waitingCount(): number {
    return [...this.#running.values()].reduce((sum, { waiting }) => sum + waiting.size, 0);
  }

  /** Every chunk was hashed; never true for files without a stated SHA-256. */
  isHashed = (file: FileRecord): boolean => this.#running.get(file.name)?.next === this.chunks.chunkCount(file);

  /** Hashes the stored chunks that come next. */
  async hashStored(file: FileRecord): Promise<void> {
    if (!file.sha256) return;
    const running = this.#hashOf(file);
    running.catchingUp ??= (async () => {
      while (this.chunks.has(file.name, running.next)) {
        const index = running.next;
        const data = await this.chunks.get(file.name, index);
        if (!data) return;
        running.addChunk(index, data, false);
        releaseBuffer(data);
      }
    })().finally(() => (running.catchingUp = undefined));
    await running.catchingUp;
  }

  /** Verifies a complete file. @returns false if a chunk was lost. @throws DamagedFileError */
  async verify(file: FileRecord): Promise<boolean> {
    if (this.isVerified(file.name)) return true;
    const wanted = file.sha256 ?? file.gitId;
    const found = file.sha256 ? await this.#sha256(file) : await this.#gitId(file);
    if (this.chunks.persistent && this.chunks.missingCount(file) > 0) return false;
    if (found && found !== wanted)
      throw new DamagedFileError({
        what: `${file.name} arrived damaged`,
        got: `hash ${found}`,
        wanted,
        cure: 'The file was deleted: load it again. If this happens again, use another hub.',
      });
    this.#verified.add(file.name);
    return true;
  }

  forget(file: string): void {
    this.#running.get(file)?.waiting.forEach(releaseBuffer);
    this.#running.delete(file);
  }

  #hashOf(file: FileRecord): RunningHash {
    const known = this.#running.get(file.name) ?? new RunningHash();
    this.#running.set(file.name, known);
    return known;
  }

  async #sha256(file: FileRecord): Promise<string | undefined> {
    await this.hashStored(file);
    return this.isHashed(file) ? this.#hashOf(file).digest() : undefined;
  }

  async #gitId(file: FileRecord): Promise<string | undefined> {
    if (!file.gitId || file.size > MAX_GIT_ID_BYTES || !globalThis.crypto?.subtle) return undefined;
    const head = new TextEncoder().encode(`blob ${file.size}\0`);
    const object = new Uint8Array(head.length + file.size);
    object.set(head);
    for (let index = 0; index < this.chunks.chunkCount(file); index++) {
      const data = await this.chunks.get(file.name, index);
      if (!data) return undefined;
      object.set(data, head.length + index * this.chunks.manifest.chunkBytes);
      releaseBuffer(data);
    }
    return toHex(new Uint8Array(await crypto.subtle.digest('SHA-1', object)));
  }
}

/** SHA-256 of a whole file whose chunks arrive nearly in order. */
class RunningHash {
  readonly #hash = createSha256();
  readonly waiting = new Map<number, Uint8Array>();
  #digest?: string;
  next = 0;
  /** a catch-up under way */
  catchingUp?: Promise<void>;

  addChunk(index: number, data: Uint8Array, wait: boolean): void {
    if (wait && index > this.next && !this.waiting.has(index)) this.waiting.set(index, retainBuffer(data));
    if (index !== this.next) return;
    this.#hash.update(data);
    for (this.next++; this.waiting.has(this.next); this.next++) {
      const early = this.waiting.get(this.next)!;
      this.waiting.delete(this.next);
      this.#hash.update(early);
      releaseBuffer(early);
    }
  }

  digest = (): string => (this.#digest ??= toHex(this.#hash.digest()));
}
