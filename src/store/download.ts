/**
 * Fetches the missing chunks of one opened model: those a reader waits for first, then, once all are asked for, the rest in order. One tab
 * does it; the others wait for its lock and meanwhile look every quarter second at what it has written.
 *
 * Memory: a connection holds the chunk it fills until that is hashed and written; others, which came before their turn, wait for the reader or
 * for the hash of the whole file, unless there would be more than two chunks per connection: then they are read from the cache when it comes.
 */
import { abortError } from '../errors';
import type { FileRecord } from './database';
import { matches } from './fingerprint';
import { hold, letGo } from './loan';
import { downloader, exclusive } from './lock';
import { Meter, type Progress } from './progress';
import { Damaged, Seals } from './seal';
import { KEPT, type Shelf } from './shelf';
import { Changed, fetchRange, fetchWhole, NoRanges, sniff, Worthless, type Policy, type Remote } from './transfer';

const LOOK = 250; // milliseconds between looks at another tab's progress
const STEADY = 8; // chunks without trouble before another connection is tried
const MORE = 2; // connections beyond those of the policy

interface Waiter {
  file: string;
  index: number;
  done: (error?: unknown) => void;
}

interface Job {
  file: string;
  run: () => Promise<void>;
}

/** A stream without ranges has gone past a chunk that is wanted now. */
class Rewind extends Error {}

export class Download {
  readonly #remotes: Map<string, Remote>;
  readonly #waiters = new Set<Waiter>();
  readonly #flying = new Set<string>();
  readonly #handed = new Set<string>();
  readonly #retried = new Set<string>();
  readonly #seals: Seals;
  /** files whose server ignores ranges */
  readonly #streamed = new Set<string>();
  readonly #meter: Meter;
  #all = false;
  /** a file changed or came damaged: whoever has read of it must begin anew, so nothing more is given out */
  #dead?: Worthless;
  #running?: Promise<void>;
  #lanes: number;
  #steady = 0;
  readonly #inFlight = new Set<{ file: string; index: number; bytes: number }>();
  /** the last chunk a reader asked for: what comes just behind it stays in memory, and without storage no more is fetched */
  #reader = { file: '', index: -1 };
  #poke: () => void = () => {};
  #poked: Promise<void> = Promise.resolve();

  constructor(
    readonly shelf: Shelf,
    readonly policy: Policy,
    readonly signal: AbortSignal,
    /** a token is for addresses below the hub's alone */
    readonly options: { hub: string; token?: string; onProgress?: (progress: Progress) => void; ahead: number },
  ) {
    this.#lanes = policy.connections;
    this.#seals = new Seals(shelf);
    this.#remotes = new Map(shelf.manifest.files.map((file) => [file.name, { file, ...(file.url.startsWith(`${options.hub}/`) && { token: options.token }) }]));
    this.#meter = new Meter('download', shelf.manifest.files.reduce((sum, { size }) => sum + size, 0), options.onProgress);
  }

  /** May a reader have it? The last chunk of a file only comes out when the whole file was compared with the hub's hash. */
  ready(file: FileRecord, index: number): boolean {
    if (this.#dead || !this.shelf.has(file.name, index)) return false;
    return index < this.shelf.chunks(file) - 1 || !this.shelf.lasting || this.#seals.has(file.name);
  }

  /** A reader takes this chunk. @throws SourceError when it completes a file that is not the hub's */
  async handed(file: FileRecord, index: number, data: Uint8Array): Promise<void> {
    this.#handed.add(file.name);
    this.#reader = { file: file.name, index };
    if (index > 0) this.#all = true;
    if (this.shelf.lasting) return this.shelf.past(file.name, index);
    this.#seals.offer(file, index, data, this.#seals.early < 2); // it may have come when its turn in the hash had not
    if (this.#all) this.#wake();
    if (this.#seals.ready(file)) {
      try {
        await this.#seal(file);
      } catch (error) {
        if (error instanceof Worthless) this.#dead = error;
        throw error;
      }
    }
  }

  /** Resolves when a chunk can be read. @throws SourceError, AbortError */
  want(file: FileRecord, index: number): Promise<void> {
    this.#reader = { file: file.name, index };
    if (index > 0) this.#all = true;
    if (this.#dead) return Promise.reject(this.#dead);
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        file: file.name,
        index,
        done: (error) => {
          this.#waiters.delete(waiter);
          if (error === undefined) resolve();
          else reject(error);
        },
      };
      this.#waiters.add(waiter);
      this.#wake();
    });
  }

  /** Resolves when everything is in the cache and checked, or cannot be kept. @throws SourceError, AbortError */
  async all(): Promise<void> {
    this.#all = true;
    while (this.shelf.lasting && this.shelf.manifest.state !== 'complete') {
      if (this.#dead) throw this.#dead;
      this.#wake();
      await this.#running;
    }
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    while (this.#running) await this.#running.catch(() => {});
  }

  #wake(): void {
    this.#notify();
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
      if (this.#waiters.size > 0 && !this.signal.aborted) this.#wake();
    });
    this.#running.catch(() => {}); // every waiter has been told
  }

  /** Something changed that a waiting lane or the scheduler should look at. */
  #notify(): void {
    this.#poke();
    this.#poked = new Promise((resolve) => (this.#poke = resolve));
  }

  async #run(): Promise<void> {
    try {
      if (this.signal.aborted) throw abortError();
      if (!this.shelf.lasting) return await this.#transfer();
      const look = setInterval(() => void this.shelf.refresh().then(this.#settle, () => {}), LOOK);
      try {
        await exclusive(
          downloader(this.shelf.manifest.id),
          async () => {
            clearInterval(look);
            await this.shelf.refresh();
            this.#settle();
            await this.#transfer();
          },
          this.signal,
        );
      } finally {
        clearInterval(look);
      }
    } catch (error) {
      const reason = this.signal.aborted ? abortError() : error;
      for (const waiter of [...this.#waiters]) waiter.done(reason);
      throw reason;
    }
  }

  /** Tells the readers whose chunks are here. */
  #settle = (): void => {
    for (const waiter of [...this.#waiters]) if (this.ready(this.#remotes.get(waiter.file)!.file, waiter.index)) waiter.done();
    this.#meter.at(this.#bytes, this.#reader.file);
  };

  /** Works until there is nothing left to do. What is known to be worthless is dropped when no lane is at work that could write more of it. */
  async #transfer(): Promise<void> {
    for (;;) {
      const failure = await this.#work();
      if (!failure) break;
      const { error, file } = failure;
      if (error instanceof Worthless) {
        this.#seals.forget(file);
        await this.shelf.drop(file);
        if (error instanceof Damaged && !this.#handed.has(file) && !this.#retried.has(file)) {
          this.#retried.add(file);
          continue;
        }
        this.#dead = error;
        if (error instanceof Damaged) await this.#weed();
      }
      throw error;
    }
    await this.#complete();
    this.#settle();
    if (this.#all && this.shelf.lasting) this.#meter.at(this.shelf.bytes);
  }

  /** Drops the other files that are whole and not the hub's, so that one more load suffices. */
  async #weed(): Promise<void> {
    for (const file of this.shelf.manifest.files) {
      if (this.shelf.chunks(file) === 0 || this.shelf.missing(file) > 0) continue;
      await this.#seal(file).catch(() => this.shelf.drop(file.name));
    }
  }

  async #work(): Promise<{ error: unknown; file: string } | undefined> {
    const stop = new AbortController();
    const stopped = (): void => stop.abort();
    this.signal.addEventListener('abort', stopped);
    const lanes = new Set<Promise<void>>();
    let failure: { error: unknown; file: string } | undefined;
    while (!failure) {
      while (lanes.size < this.#lanes) {
        const job = this.#next(stop.signal);
        if (!job) break;
        const { file } = job;
        const lane: Promise<void> = job
          .run()
          .catch((error: unknown) => void (failure ??= { error, file }))
          .finally(() => lanes.delete(lane));
        lanes.add(lane);
      }
      if (lanes.size === 0) break;
      await Promise.race([...lanes, this.#poked]);
    }
    stop.abort();
    this.#notify();
    await Promise.allSettled(lanes);
    this.signal.removeEventListener('abort', stopped);
    return failure;
  }

  async #complete(): Promise<void> {
    const { files, state } = this.shelf.manifest;
    if (state !== 'complete' && files.every((file) => this.#seals.has(file.name) && this.shelf.missing(file) === 0)) await this.shelf.complete();
  }

  /** The next thing to do, taken: a chunk, a file without ranges, a file to compare with its hash. */
  #next(signal: AbortSignal): Job | undefined {
    const take = (name: string, index: number): Job | undefined => {
      const remote = this.#remotes.get(name)!;
      const at = this.#streamed.has(name) ? name : `${name} ${index}`;
      if (this.shelf.has(name, index) || this.#flying.has(at)) return undefined;
      this.#flying.add(at);
      const work = this.#streamed.has(name) ? this.#stream : this.#fetch;
      return { file: name, run: () => work.call(this, remote, index, signal).finally(() => this.#flying.delete(at)) };
    };
    for (const { file, index } of this.#waiters) {
      const job = take(file, index);
      if (job) return job;
    }
    if (!this.#all) return this.#unsealed([...this.#waiters].map(({ file }) => file));
    if (!this.shelf.lasting) {
      const file = this.#remotes.get(this.#reader.file)?.file;
      const end = file ? Math.min(this.shelf.chunks(file), this.#reader.index + 1 + this.options.ahead) : 0;
      for (let index = this.#reader.index + 1; index < end; index++) {
        const job = take(file!.name, index);
        if (job) return job;
      }
      return undefined;
    }
    for (const file of this.shelf.manifest.files) {
      if (this.shelf.missing(file) === 0) continue;
      for (let index = 0; index < this.shelf.chunks(file); index++) {
        const job = take(file.name, index);
        if (job) return job;
      }
    }
    return this.#unsealed(this.shelf.manifest.files.map(({ name }) => name));
  }

  #unsealed(names: string[]): Job | undefined {
    const { lasting } = this.shelf;
    const name = names.find((name) => lasting && !this.#seals.has(name) && !this.#flying.has(`${name} seal`) && this.shelf.missing(this.#remotes.get(name)!.file) === 0);
    if (name === undefined) return undefined;
    this.#flying.add(`${name} seal`);
    return { file: name, run: () => this.#seal(this.#remotes.get(name)!.file).finally(() => this.#flying.delete(`${name} seal`)) };
  }

  async #fetch(remote: Remote, index: number, signal: AbortSignal): Promise<void> {
    const { file } = remote;
    const data = hold(new Uint8Array(this.shelf.length(file, index)));
    const flight = { file: file.name, index, bytes: 0 };
    this.#inFlight.add(flight);
    const onBytes = (bytes: number): void => {
      flight.bytes += bytes;
      this.#meter.at(this.#bytes, file.name);
    };
    try {
      await fetchRange(remote, index * this.shelf.manifest.chunkBytes, data, { policy: this.policy, signal, onBytes, onBusy: this.#busy });
      await this.#arrived(file, index, data);
      if (++this.#steady % STEADY === 0) this.#lanes = Math.min(this.policy.connections + MORE, this.#lanes + 1);
    } catch (error) {
      if (error instanceof NoRanges) this.#streamed.add(file.name);
      else throw error;
    } finally {
      this.#inFlight.delete(flight);
      letGo(data);
    }
  }

  /** On the shelf or on the way to it; a chunk that is being stored counts once. */
  #bytes = (): number => {
    let sum = this.shelf.bytes;
    for (const { file, index, bytes } of this.#inFlight) if (!this.shelf.has(file, index)) sum += bytes;
    return sum;
  };

  #busy = (): void => {
    this.#steady = 0;
    this.#lanes = Math.max(1, this.#lanes >> 1);
  };

  /** Takes a whole file in one stream; without storage only as fast as it is read. */
  async #stream(remote: Remote, _: number, signal: AbortSignal): Promise<void> {
    const { file } = remote;
    const blank = (index: number): Uint8Array<ArrayBuffer> => hold(new Uint8Array(index < this.shelf.chunks(file) ? this.shelf.length(file, index) : 0));
    let index = 0;
    let filled = 0;
    let data = blank(0);
    const restart = (): void => {
      index = filled = 0;
      data = blank(0);
    };
    const take = async (piece: Uint8Array): Promise<void> => {
      for (let at = 0; at < piece.length; ) {
        const part = piece.subarray(at, at + data.length - filled);
        data.set(part, filled);
        filled += part.length;
        at += part.length;
        if (filled < data.length) return;
        while (!this.shelf.lasting && !this.#soon(file, index, signal)) await this.#poked;
        await this.#arrived(file, index++, data);
        letGo(data);
        filled = 0;
        data = blank(index);
      }
    };
    try {
      await fetchWhole(remote, restart, take, { policy: this.policy, signal, onBusy: this.#busy });
    } catch (error) {
      if (!(error instanceof Rewind)) throw error;
    }
  }

  /** Whether a stream may hand on this chunk now, with no storage to put it in. */
  #soon(file: FileRecord, index: number, signal: AbortSignal): boolean {
    if (signal.aborted) throw abortError();
    for (const waiter of this.#waiters) if (waiter.file === file.name && waiter.index < index && !this.shelf.has(file.name, waiter.index)) throw new Rewind();
    return this.#reader.file === file.name && index <= this.#reader.index + Math.max(1, this.options.ahead);
  }

  async #arrived(file: FileRecord, index: number, data: Uint8Array<ArrayBuffer>): Promise<void> {
    if (index === 0) sniff(file.name, data);
    const known = this.shelf.hash(file.name, index);
    if (known) {
      if (await matches(data, known, true)) return;
      throw new Changed(file.name, 'other bytes', 'those already here');
    }
    const roomy = this.#inFlight.size + this.shelf.kept + this.#seals.early < 2 * this.#lanes;
    const soon = this.#reader.file === file.name && index >= this.#reader.index && index < this.#reader.index + KEPT;
    const awaited = [...this.#waiters].some((waiter) => waiter.file === file.name && waiter.index === index);
    const put = this.shelf.put(file.name, index, data, awaited || (soon && roomy)); // the browser hashes the chunk on a thread of its own meanwhile
    this.#seals.offer(file, index, data, roomy);
    if (!(await put)) throw new Changed(file.name, 'other bytes', 'those that were here');
    const last = this.shelf.missing(file) === 0 || (!this.shelf.lasting && this.#seals.ready(file));
    if (last) await this.#seal(file);
    else if (this.shelf.lasting) await this.#seals.catchUp(file);
    this.#settle();
  }

  /** Compares a file, all of whose chunks are here, with what the hub says of it. @throws SourceError */
  async #seal(file: FileRecord): Promise<void> {
    if (this.#seals.has(file.name) || !(await this.#seals.check(file))) return; // a lost chunk comes first
    await this.#complete();
    this.#settle();
  }
}
