/** Compares whole files with the hashes that the hub states: SHA-256 chunk by chunk as they come, the git id of small files at the end. */
import type { FileRecord } from './database';
import { hold, letGo } from './loan';
import { hex, Sha256 } from './sha256';
import type { Shelf } from './shelf';
import { Worthless } from './transfer';

const SMALL = 32 << 20; // bytes: what is hashed in one piece; the hub keeps no larger file without stating its SHA-256

/** The file is whole and its hash is not the hub's. */
export class Damaged extends Worthless {}

export class Seals {
  readonly #sealed = new Set<string>();
  readonly #running = new Map<string, Running>();

  constructor(readonly shelf: Shelf) {}

  /** The file is whole and what the hub says. */
  has = (file: string): boolean => this.#sealed.has(file) || this.shelf.manifest.state === 'complete';

  /** A chunk that has come. @param wait in memory, if its turn in the hash has not come; else it is read from the shelf then */
  offer(file: FileRecord, index: number, data: Uint8Array, wait: boolean): void {
    if (file.sha256) this.#of(file).offer(index, data, wait);
  }

  /** Chunks that wait in memory for their turn. */
  get early(): number {
    return [...this.#running.values()].reduce((sum, { early }) => sum + early.size, 0);
  }

  /** Every chunk went through the hash; never true of files without one. */
  ready = (file: FileRecord): boolean => this.#running.get(file.name)?.next === this.shelf.chunks(file);

  /** Takes into the hash what lies on the shelf and is next. */
  async catchUp(file: FileRecord): Promise<void> {
    if (!file.sha256) return;
    const running = this.#of(file);
    running.busy ??= (async () => {
      while (this.shelf.has(file.name, running.next)) {
        const index = running.next;
        const data = await this.shelf.get(file.name, index);
        if (!data) return;
        running.offer(index, data, false);
        letGo(data);
      }
    })().finally(() => (running.busy = undefined));
    await running.busy;
  }

  /** Compares a file that is whole. @returns false if a chunk turns out to be lost. @throws Damaged */
  async check(file: FileRecord): Promise<boolean> {
    if (this.has(file.name)) return true;
    const wanted = file.sha256 ?? file.gitId;
    const found = file.sha256 ? await this.#sha256(file) : await this.#gitId(file);
    if (this.shelf.lasting && this.shelf.missing(file) > 0) return false;
    if (found && found !== wanted)
      throw new Damaged({
        what: `${file.name} arrived damaged`,
        got: `hash ${found}`,
        wanted,
        cure: 'Nothing of it was kept: load it again, and if it happens again, from another hub address.',
      });
    this.#sealed.add(file.name);
    return true;
  }

  forget(file: string): void {
    this.#running.get(file)?.early.forEach(letGo);
    this.#running.delete(file);
  }

  #of(file: FileRecord): Running {
    const known = this.#running.get(file.name) ?? new Running();
    this.#running.set(file.name, known);
    return known;
  }

  async #sha256(file: FileRecord): Promise<string | undefined> {
    await this.catchUp(file);
    return this.ready(file) ? this.#of(file).digest() : undefined;
  }

  async #gitId(file: FileRecord): Promise<string | undefined> {
    if (!file.gitId || file.size > SMALL || !globalThis.crypto?.subtle) return undefined;
    const head = new TextEncoder().encode(`blob ${file.size}\0`);
    const object = new Uint8Array(head.length + file.size);
    object.set(head);
    for (let index = 0; index < this.shelf.chunks(file); index++) {
      const data = await this.shelf.get(file.name, index);
      if (!data) return undefined;
      object.set(data, head.length + index * this.shelf.manifest.chunkBytes);
      letGo(data);
    }
    return hex(new Uint8Array(await crypto.subtle.digest('SHA-1', object)));
  }
}

/** SHA-256 of a whole file whose chunks come nearly in order. */
class Running {
  readonly #hash = new Sha256();
  readonly early = new Map<number, Uint8Array>();
  #digest?: string;
  next = 0;
  /** a catch-up under way */
  busy?: Promise<void>;

  offer(index: number, data: Uint8Array, wait: boolean): void {
    if (wait && index > this.next && !this.early.has(index)) this.early.set(index, hold(data));
    if (index !== this.next) return;
    this.#hash.update(data);
    for (this.next++; this.early.has(this.next); this.next++) {
      const early = this.early.get(this.next)!;
      this.early.delete(this.next);
      this.#hash.update(early);
      letGo(early);
    }
  }

  digest = (): string => (this.#digest ??= hex(this.#hash.digest()));
}
