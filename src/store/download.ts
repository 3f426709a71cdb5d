/**
 * Downloads the missing chunks of one opened model: first the chunks that readers wait for, then, if the whole model is
 * wanted, the rest in order. One tab downloads; the others wait for its lock and check every quarter second what it has
 * written.
 *
 * Memory: a connection keeps its chunk until the chunk is hashed and written. Chunks that arrive early stay in memory
 * for the reader or for the hash of the whole file, up to two per connection. Beyond that they are read from the cache
 * again.
 */
import { abortError } from '../errors';
import type { FileRecord } from './model_cache';
import { matchesChecksum } from './checksum';
import { retainBuffer, releaseBuffer } from './buffer_references';
import { downloadLockName, withExclusiveLock } from './model_locks';
import { ProgressMeter, type Progress } from './progress';
import { DamagedFileError, FileVerifier } from './file_verifier';
import { MAX_CHUNKS_IN_MEMORY, type ChunkStore } from './chunk_store';
import { fetchRange, fetchWholeFile, RangesIgnoredError, checkFirstBytes } from './http';
import { FileChangedError, FileContentError, type DownloadPolicy, type RemoteFile } from './http_connection';

const POLL_MS = 250; // how often another tab's progress is read
const CHUNKS_PER_EXTRA_CONNECTION = 8; // chunks without an error before another connection is added
const MAX_EXTRA_CONNECTIONS = 2; // beyond the number in the policy

interface WaitingReader {
  file: string;
  index: number;
  settle: (error?: unknown) => void;
}

interface Job {
  file: string;
  run: () => Promise<void>;
}

/** A stream without ranges has passed a chunk that a reader now waits for. */
class StreamTooFar extends Error {}

export class ModelDownload {
  readonly #remotes: Map<string, RemoteFile>;
  readonly #waiting = new Set<WaitingReader>();
  readonly #claimed = new Set<string>();
  readonly #deliveredFiles = new Set<string>();
  readonly #retried = new Set<string>();
  readonly #verifier: FileVerifier;
  /** files whose server ignores ranges */
  readonly #filesWithoutRanges = new Set<string>();
  readonly #meter: ProgressMeter;
  #wantsAll = false;
  /** a file changed or arrived damaged: readers must start again, so no more chunks are delivered */
  #failed?: FileContentError;
  #running?: Promise<void>;
  #connections: number;
  #chunksWithoutTrouble = 0;
  readonly #inFlight = new Set<{ file: string; index: number; bytes: number }>();
  /** the last chunk that a reader asked for: the next ones stay in memory; without storage only they are downloaded */
  #lastRead = { file: '', index: -1 };
  #signalChange: () => void = () => {};
  #change: Promise<void> = Promise.resolve();

  constructor(
    readonly chunks: ChunkStore,
    readonly policy: DownloadPolicy,
    readonly signal: AbortSignal,
    /** the token is sent to URLs of the hub only */
    readonly options: {
      hub: string;
      token?: string;
      blobs?: Map<string, Blob | undefined>;
      onWait?: (cause: string) => void;
      onProgress?: (progress: Progress) => void;
      readAhead: number;
    },
  ) {
    this.#connections = policy.connections;
    this.#verifier = new FileVerifier(chunks);
    this.#remotes = new Map(
      chunks.manifest.files.map((file) => [
        file.name,
        {
          file,
          blob: options.blobs?.get(file.name),
          ...(file.url.startsWith(`${options.hub}/`) && { token: options.token }),
        },
      ]),
    );
    this.#meter = new ProgressMeter(
      'download',
      chunks.manifest.files.reduce((sum, { size }) => sum + size, 0),
      options.onProgress,
    );
  }

  /** The last chunk of a file is readable only after the whole file was compared with the hub's hash. */
  isReadable(file: FileRecord, index: number): boolean {
    if (this.#failed || !this.chunks.has(file.name, index)) return false;
    return index < this.chunks.chunkCount(file) - 1 || !this.chunks.persistent || this.#verifier.isVerified(file.name);
  }

  /** A reader takes this chunk. @throws SourceError if it completes a file with a wrong hash */
  async delivered(file: FileRecord, index: number, data: Uint8Array): Promise<void> {
    this.#deliveredFiles.add(file.name);
    this.#lastRead = { file: file.name, index };
    if (index > 0) this.#wantsAll = true;
    if (this.chunks.persistent) return this.chunks.evictBefore(file.name, index);
    // it may have arrived too early for the hash
    this.#verifier.addChunk(file, index, data, this.#verifier.waitingCount < 2);
    if (this.#wantsAll) this.#start();
    if (this.#verifier.isHashed(file)) {
      try {
        await this.#verify(file);
      } catch (error) {
        if (error instanceof FileContentError) this.#failed = error;
        throw error;
      }
    }
  }

  /** Resolves when the chunk can be read. @throws SourceError, AbortError */
  waitFor(file: FileRecord, index: number): Promise<void> {
    this.#lastRead = { file: file.name, index };
    if (index > 0) this.#wantsAll = true;
    if (this.#failed) return Promise.reject(this.#failed);
    return new Promise((resolve, reject) => {
      const waiter: WaitingReader = {
        file: file.name,
        index,
        settle: (error) => {
          this.#waiting.delete(waiter);
          if (error === undefined) resolve();
          else reject(error);
        },
      };
      this.#waiting.add(waiter);
      this.#start();
    });
  }

  /** Resolves when everything is stored and verified, or when storage has failed. @throws SourceError, AbortError */
  async downloadAll(): Promise<void> {
    this.#wantsAll = true;
    while (this.chunks.persistent && this.chunks.manifest.state !== 'complete') {
      if (this.#failed) throw this.#failed;
      this.#start();
      await this.#running;
    }
  }

  /** Resolves when no job is running. */
  async whenIdle(): Promise<void> {
    while (this.#running) await this.#running.catch(() => {});
  }

  #start(): void {
    this.#notify();
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
      if (this.#waiting.size > 0 && !this.signal.aborted) this.#start();
    });
    this.#running.catch(() => {}); // every waiting reader was told
  }

  /** Wakes the scheduler and streams that wait for a change. */
  #notify(): void {
    this.#signalChange();
    this.#change = new Promise((resolve) => (this.#signalChange = resolve));
  }

  async #run(): Promise<void> {
    try {
      if (this.signal.aborted) throw abortError();
      if (!this.chunks.persistent) return await this.#transfer();
      const look = setInterval(() => void this.chunks.refresh().then(this.#settleWaiters, () => {}), POLL_MS);
      try {
        await withExclusiveLock(
          downloadLockName(this.chunks.manifest.id),
          async () => {
            clearInterval(look);
            await this.chunks.refresh();
            this.#settleWaiters();
            await this.#transfer();
          },
          this.signal,
        );
      } finally {
        clearInterval(look);
      }
    } catch (error) {
      const reason = this.signal.aborted ? abortError() : error;
      for (const waiter of [...this.#waiting]) waiter.settle(reason);
      throw reason;
    }
  }

  /** Resolves the readers whose chunks have arrived. */
  #settleWaiters = (): void => {
    for (const waiter of [...this.#waiting])
      if (this.isReadable(this.#remotes.get(waiter.file)!.file, waiter.index)) waiter.settle();
    this.#meter.update(this.#bytes, this.#lastRead.file);
  };

  /**
   * Runs jobs until none is left. An unusable file is deleted after all jobs have ended, since they could write more of
   * it.
   */
  async #transfer(): Promise<void> {
    for (;;) {
      const failure = await this.#runJobs();
      if (!failure) break;
      const { error, file } = failure;
      if (error instanceof FileContentError) {
        this.#verifier.forget(file);
        await this.chunks.deleteFile(file);
        if (error instanceof DamagedFileError && !this.#deliveredFiles.has(file) && !this.#retried.has(file)) {
          this.#retried.add(file);
          continue;
        }
        this.#failed = error;
        if (error instanceof DamagedFileError) await this.#deleteWrongFiles();
      }
      throw error;
    }
    await this.#complete();
    this.#settleWaiters();
    if (this.#wantsAll && this.chunks.persistent) this.#meter.update(this.chunks.storedBytes);
  }

  /** Deletes the other complete files with wrong hashes, so that one more load is enough. */
  async #deleteWrongFiles(): Promise<void> {
    for (const file of this.chunks.manifest.files) {
      if (this.chunks.chunkCount(file) === 0 || this.chunks.missingCount(file) > 0) continue;
      await this.#verify(file).catch(() => this.chunks.deleteFile(file.name));
    }
  }

  async #runJobs(): Promise<{ error: unknown; file: string } | undefined> {
    const stop = new AbortController();
    const stopped = (): void => stop.abort();
    this.signal.addEventListener('abort', stopped);
    const running = new Set<Promise<void>>();
    let failure: { error: unknown; file: string } | undefined;
    while (!failure) {
      while (running.size < this.#connections) {
        const job = this.#nextJob(stop.signal);
        if (!job) break;
        const { file } = job;
        const run: Promise<void> = job
          .run()
          .catch((error: unknown) => void (failure ??= { error, file }))
          .finally(() => running.delete(run));
        running.add(run);
      }
      if (running.size === 0) break;
      await Promise.race([...running, this.#change]);
    }
    stop.abort();
    this.#notify();
    await Promise.allSettled(running);
    this.signal.removeEventListener('abort', stopped);
    return failure;
  }

  async #complete(): Promise<void> {
    const { files, state } = this.chunks.manifest;
    if (
      state !== 'complete' &&
      files.every((file) => this.#verifier.isVerified(file.name) && this.chunks.missingCount(file) === 0)
    )
      await this.chunks.markComplete();
  }

  /** Claims the next job: a chunk, a file without ranges, or a file to verify. */
  #nextJob(signal: AbortSignal): Job | undefined {
    const take = (name: string, index: number): Job | undefined => {
      const remote = this.#remotes.get(name)!;
      const at = this.#filesWithoutRanges.has(name) ? name : `${name} ${index}`;
      if (this.chunks.has(name, index) || this.#claimed.has(at)) return undefined;
      this.#claimed.add(at);
      const work = this.#filesWithoutRanges.has(name) ? this.#stream : this.#fetch;
      return { file: name, run: () => work.call(this, remote, index, signal).finally(() => this.#claimed.delete(at)) };
    };
    for (const { file, index } of this.#waiting) {
      const job = take(file, index);
      if (job) return job;
    }
    if (!this.#wantsAll) return this.#nextVerification([...this.#waiting].map(({ file }) => file));
    if (!this.chunks.persistent) {
      const file = this.#remotes.get(this.#lastRead.file)?.file;
      const end = file ? Math.min(this.chunks.chunkCount(file), this.#lastRead.index + 1 + this.options.readAhead) : 0;
      for (let index = this.#lastRead.index + 1; index < end; index++) {
        const job = take(file!.name, index);
        if (job) return job;
      }
      return undefined;
    }
    for (const file of this.chunks.manifest.files) {
      if (this.chunks.missingCount(file) === 0) continue;
      for (let index = 0; index < this.chunks.chunkCount(file); index++) {
        const job = take(file.name, index);
        if (job) return job;
      }
    }
    return this.#nextVerification(this.chunks.manifest.files.map(({ name }) => name));
  }

  #nextVerification(names: string[]): Job | undefined {
    const { persistent } = this.chunks;
    const name = names.find(
      (name) =>
        persistent &&
        !this.#verifier.isVerified(name) &&
        !this.#claimed.has(`${name} verify`) &&
        this.chunks.missingCount(this.#remotes.get(name)!.file) === 0,
    );
    if (name === undefined) return undefined;
    this.#claimed.add(`${name} verify`);
    return {
      file: name,
      run: () => this.#verify(this.#remotes.get(name)!.file).finally(() => this.#claimed.delete(`${name} verify`)),
    };
  }

  async #fetch(remote: RemoteFile, index: number, signal: AbortSignal): Promise<void> {
    const { file } = remote;
    const data = retainBuffer(new Uint8Array(this.chunks.chunkLength(file, index)));
    const flight = { file: file.name, index, bytes: 0 };
    this.#inFlight.add(flight);
    const onBytes = (bytes: number): void => {
      flight.bytes += bytes;
      this.#meter.update(this.#bytes, file.name);
    };
    try {
      await fetchRange(remote, index * this.chunks.manifest.chunkBytes, data, {
        policy: this.policy,
        signal,
        onBytes,
        onBusy: this.#busy,
        onWait: this.options.onWait,
      });
      await this.#store(file, index, data);
      if (++this.#chunksWithoutTrouble % CHUNKS_PER_EXTRA_CONNECTION === 0)
        this.#connections = Math.min(this.policy.connections + MAX_EXTRA_CONNECTIONS, this.#connections + 1);
    } catch (error) {
      if (error instanceof RangesIgnoredError) this.#filesWithoutRanges.add(file.name);
      else throw error;
    } finally {
      this.#inFlight.delete(flight);
      releaseBuffer(data);
    }
  }

  /** Bytes that are stored or arriving; a chunk that is being stored counts once. */
  #bytes = (): number => {
    let sum = this.chunks.storedBytes;
    for (const { file, index, bytes } of this.#inFlight) if (!this.chunks.has(file, index)) sum += bytes;
    return sum;
  };

  #busy = (): void => {
    this.#chunksWithoutTrouble = 0;
    this.#connections = Math.max(1, this.#connections >> 1);
  };

  /** Downloads a file in one stream; without storage only as fast as the reader reads. */
  async #stream(remote: RemoteFile, _: number, signal: AbortSignal): Promise<void> {
    const { file } = remote;
    const blank = (index: number): Uint8Array<ArrayBuffer> =>
      retainBuffer(new Uint8Array(index < this.chunks.chunkCount(file) ? this.chunks.chunkLength(file, index) : 0));
    let index = 0;
    let filled = 0;
    let data = blank(0);
    const restart = (): void => {
      index = filled = 0;
      data = blank(0);
    };
    const take = async (piece: Uint8Array): Promise<void> => {
      for (let at = 0; at < piece.length;) {
        const part = piece.subarray(at, at + data.length - filled);
        data.set(part, filled);
        filled += part.length;
        at += part.length;
        if (filled < data.length) return;
        while (!this.chunks.persistent && !this.#mayDeliver(file, index, signal)) await this.#change;
        await this.#store(file, index++, data);
        releaseBuffer(data);
        filled = 0;
        data = blank(index);
      }
    };
    try {
      await fetchWholeFile(remote, restart, take, {
        policy: this.policy,
        signal,
        onBusy: this.#busy,
        onWait: this.options.onWait,
      });
    } catch (error) {
      if (!(error instanceof StreamTooFar)) throw error;
    }
  }

  /** Without storage, a stream may deliver a chunk only when the reader is close to it. */
  #mayDeliver(file: FileRecord, index: number, signal: AbortSignal): boolean {
    if (signal.aborted) throw abortError();
    for (const waiter of this.#waiting)
      if (waiter.file === file.name && waiter.index < index && !this.chunks.has(file.name, waiter.index))
        throw new StreamTooFar();
    return this.#lastRead.file === file.name && index <= this.#lastRead.index + Math.max(1, this.options.readAhead);
  }

  async #store(file: FileRecord, index: number, data: Uint8Array<ArrayBuffer>): Promise<void> {
    if (index === 0) checkFirstBytes(file.name, data);
    const known = this.chunks.checksum(file.name, index);
    if (known) {
      if (await matchesChecksum(data, known, true)) return;
      throw new FileChangedError(file.name, 'other bytes', 'the bytes that are stored');
    }
    const roomy =
      this.#inFlight.size + this.chunks.chunksInMemory + this.#verifier.waitingCount < 2 * this.#connections;
    const soon =
      this.#lastRead.file === file.name &&
      index >= this.#lastRead.index &&
      index < this.#lastRead.index + MAX_CHUNKS_IN_MEMORY;
    const awaited = [...this.#waiting].some((waiter) => waiter.file === file.name && waiter.index === index);
    // meanwhile the browser hashes the chunk on another thread
    const put = this.chunks.put(file.name, index, data, awaited || (soon && roomy));
    this.#verifier.addChunk(file, index, data, roomy);
    if (!(await put)) throw new FileChangedError(file.name, 'other bytes', 'the bytes that were stored');
    const last = this.chunks.missingCount(file) === 0 || (!this.chunks.persistent && this.#verifier.isHashed(file));
    if (last) await this.#verify(file);
    else if (this.chunks.persistent) await this.#verifier.hashStored(file);
    this.#settleWaiters();
  }

  /** Verifies a file whose chunks have all arrived. @throws SourceError */
  async #verify(file: FileRecord): Promise<void> {
    // a lost chunk must be downloaded first
    if (this.#verifier.isVerified(file.name) || !(await this.#verifier.verify(file))) return;
    await this.#complete();
    this.#settleWaiters();
  }
}
