/** From a source to files that can be read: out of the cache, or from the network with the cache filling on the way. */
import { abortError, fail, RivuletError } from '../errors';
import { parseAddress, resolveAddresses } from './address';
import { CHUNK_BYTES, isQuotaError, openCache, requireCache, sameContent, type Cache, type FileRecord, type Manifest } from './database';
import { Download } from './download';
import { HUB, parseHubId, resolveHub, type Resolved } from './hub';
import { openLocal, type LocalSource } from './local';
import { hold, letGo } from './loan';
import { exclusiveNow, readers, share } from './lock';
import type { Progress } from './progress';
import { makeRoom, refuseForRoom, roomMessage, type Consent } from './room';
import { Shelf } from './shelf';
import { checkRange, type ByteSource } from './source';
import { POLICY, Worthless, type Policy } from './transfer';

/**
 * A hub id 'Org/Repo[:quant | /file][@revision]' or an address (https://…, ./…, /…; one ending in '/' is a folder with a Hugging Face
 * checkpoint); addresses of the files of one model; files of this device.
 */
export type ModelSource = string | { url: string | string[] } | LocalSource;

export interface OpenOptions {
  /** 'https://huggingface.co' unless given */
  hub?: string;
  /** sent to the hub alone, never stored */
  token?: string;
  /** false: nothing is stored; 'required': rather a StorageError than a load that is not kept */
  cache?: boolean | 'required';
  /** @internal reads small pieces of the network and keeps none: for a look at the header. A model that is in the cache is read from there */
  peek?: boolean;
  /** asks the server whether there is a newer version even if the model is in the cache */
  refresh?: boolean;
  /** consent to delete other models, the longest unused first, if there is no room otherwise; a function is asked each time */
  makeRoom?: Consent;
  /** the first read of each cached chunk is checked by a quick sum (default), or every read from disk by SHA-256 */
  check?: 'quick' | 'full';
  /** ends everything: reads reject with AbortError, what has arrived stays */
  signal?: AbortSignal;
  onProgress?: (progress: Progress) => void;
  policy?: Partial<Policy>;
}

export interface OpenedModel {
  id: string;
  /** A read waits for the chunk it needs. The first read beyond the first chunk of a file starts the download of all. */
  files: ByteSource[];
  /** was whole in the cache, no network needed */
  cached: boolean;
  /** what the user may want to know: no storage, no room, … It grows while the model is open */
  notes: string[];
  /**
   * Resolves when the whole model is in the cache and checked, or cannot be kept (then a note says why). To be awaited before `close`.
   * @throws SourceError; StorageError if the cache is required; AbortError
   */
  finish(): Promise<void>;
  /** Ends the reads and the download; what has arrived is kept for the next time. Resolves when nothing is under way any more */
  close(): Promise<void>;
  /** Closes it and deletes it from the cache, unless another tab reads it: for files that turn out to be no model */
  discard(): Promise<void>;
}

const UNCACHED_CHUNK = 4 << 20;
const PEEK_CHUNK = 256 << 10;
const READ_AHEAD = 2; // chunks: reads at once are faster than one after the other, and checking overlaps
const ATTEMPTS = 3;

/** @throws RequestError for a source that makes no sense; SourceError; StorageError if the cache is required; AbortError */
export async function openModel(source: ModelSource, options: OpenOptions = {}): Promise<OpenedModel> {
  if (options.signal?.aborted) throw abortError();
  if (typeof source === 'object' && !('url' in source)) {
    const { id, files } = await openLocal(source);
    const nothing = async (): Promise<void> => {};
    return { id, files, cached: false, notes: [], finish: nothing, close: nothing, discard: nothing };
  }
  const controller = new AbortController();
  const abort = (): void => controller.abort();
  options.signal?.addEventListener('abort', abort, { signal: controller.signal }); // until it is closed
  try {
    return await openRemote(source, options, controller);
  } catch (error) {
    controller.abort();
    throw options.signal?.aborted ? abortError() : error;
  }
}

async function openRemote(source: string | { url: string | string[] }, options: OpenOptions, controller: AbortController): Promise<OpenedModel> {
  const { signal } = controller;
  const { peek = false, onProgress } = options;
  const policy: Policy = { ...POLICY, ...options.policy, ...(peek && { connections: 1 }) };
  const { alias, resolve } = understand(source, options, policy, signal);
  const notes: string[] = [];
  const cache = options.cache === false ? undefined : options.cache === 'required' ? await requireCache() : await openCache();
  if (!cache && options.cache !== false) notes.push('This browser window keeps nothing: the model is downloaded again at each visit.');

  const unlessBroken = async (work: Promise<Held | undefined>): Promise<Held | undefined> => {
    try {
      return await work;
    } catch (error) {
      if (options.cache === 'required' || !(error instanceof RivuletError) || error.name !== 'StorageError') throw error;
      notes.push(`The model is used without being kept: ${error.message}`);
      return undefined;
    }
  };

  let held = cache && !options.refresh ? await unlessBroken(holdComplete(cache, alias, signal)) : undefined;
  const cached = held !== undefined;
  if (!held) {
    onProgress?.({ phase: 'resolve', bytes: 0, total: 0, rate: 0 });
    const resolved = await resolve();
    held = (cache && !peek && (await unlessBroken(holdPartial(cache, resolved, alias, policy.chunkBytes ?? CHUNK_BYTES, signal)))) || {
      manifest: blankManifest(resolved, alias, policy.chunkBytes ?? (peek ? PEEK_CHUNK : UNCACHED_CHUNK)),
      release: () => {},
    };
  }
  const { manifest, release } = held;
  const complete = manifest.state === 'complete';
  const full = async (error?: unknown): Promise<boolean> => {
    const broken = error instanceof RivuletError && !isQuotaError(error);
    if (isQuotaError(error) && (await makeRoom(cache!, manifest.id, missing(), options.makeRoom ?? false, notes, true))) return true;
    if (broken && options.cache === 'required') throw error;
    const message = broken ? error.message : await roomMessage(cache!, missing(), manifest.id);
    if (options.cache === 'required') refuseForRoom(manifest.id, message, error);
    notes.push(`${broken ? 'The storage fails' : 'There is no room to keep the model'} (${message}): it is used without being kept.`);
    return false;
  };
  const shelf = new Shelf(manifest, held.cache, full, options.check);
  const missing = (): number => Math.max(0, total(manifest) - shelf.bytes);
  try {
    await shelf.refresh();
    if (held.cache && !complete && !(await makeRoom(held.cache, manifest.id, missing(), options.makeRoom ?? false, notes))) await shelf.fill();
  } catch (error) {
    release();
    throw error;
  }
  const close = async (): Promise<void> => {
    controller.abort();
    await download.idle();
    shelf.close();
    release();
  };
  const download = new Download(shelf, policy, signal, { hub: hubHost(options), token: options.token, onProgress, ahead: peek ? 0 : policy.connections });
  return {
    id: manifest.id,
    files: shelf.manifest.files.map((file) => reader(file, shelf, download, signal)),
    cached: cached || complete,
    notes,
    finish: () => download.all(),
    close,
    discard: async () => {
      await close();
      await exclusiveNow(readers(manifest.id), async () => await held.cache?.deleteModel(manifest.id));
    },
  };
}

const hubHost = ({ hub = HUB }: OpenOptions): string => hub.replace(/\/+$/, '');

/** A source in one spelling, to find it in the cache without the network, and how to resolve it. */
function understand(
  source: string | { url: string | string[] },
  options: OpenOptions,
  policy: Policy,
  signal: AbortSignal,
): { alias: string; resolve: () => Promise<Resolved> } {
  const host = hubHost(options);
  const { token } = options;
  const id = typeof source === 'string' ? parseHubId(source, host) : undefined;
  if (id) {
    const alias = `${host}/${id.repo}:${id.wish ?? ''}@${id.revision}`;
    return { alias, resolve: () => resolveHub(id, { hub: host, token, policy, signal }) };
  }
  const listed = typeof source === 'string' ? [source] : [source.url].flat();
  const urls = listed.map(
    (text) =>
      parseAddress(text) ??
      fail('RequestError', { what: 'this is not a model source', got: JSON.stringify(text), wanted: "'Org/Repo', 'Org/Repo:Q4_0', 'Org/Repo/file.gguf', or an address" }),
  );
  if (urls.length === 0) fail('RequestError', { what: 'a model source without addresses', wanted: 'at least one' });
  return { alias: urls.join(' '), resolve: () => resolveAddresses(urls, { policy, signal }) };
}

interface Held {
  manifest: Manifest;
  cache?: Cache;
  /** lets others delete it */
  release: () => void;
}

const orRelease = <T>(work: Promise<T>, release: () => void): Promise<T> =>
  work.catch((error: unknown) => {
    release();
    throw error;
  });

/** A whole model of the cache, kept from deletion; undefined if there is none. */
async function holdComplete(cache: Cache, alias: string, signal: AbortSignal): Promise<Held | undefined> {
  const found = (await cache.manifests()).find(({ state, aliases }) => state === 'complete' && aliases.includes(alias));
  if (!found) return undefined;
  const release = await share(readers(found.id), signal);
  const manifest = await orRelease(cache.manifest(found.id), release);
  if (manifest?.state !== 'complete') return void release();
  await cache.amend(found.id, (now) => ({ ...now, lastUsed: Date.now() })).catch(() => {}); // a full disk must not keep one from reading
  return { manifest, cache, release };
}

/** What the cache has of a model, kept from deletion; files of it that changed on the server are dropped first. */
async function holdPartial(cache: Cache, resolved: Resolved, alias: string, chunkBytes: number, signal: AbortSignal): Promise<Held> {
  for (;;) {
    const release = await share(readers(resolved.id), signal);
    const there = await orRelease(cache.manifest(resolved.id), release);
    if (!there) return { manifest: blankManifest(resolved, alias, chunkBytes), cache, release };
    const changed = there.files.filter((old) => !resolved.files.some((file) => sameContent(file, old)));
    const unchanged = changed.length === 0 && resolved.files.length === there.files.length;
    const manifest: Manifest = {
      ...there,
      ...resolved,
      aliases: [...new Set([...there.aliases, alias])],
      lastUsed: Date.now(),
      state: unchanged ? there.state : 'partial',
    };
    if (unchanged) {
      await cache.amend(there.id, (now) => ({ ...manifest, state: now.state, pinned: now.pinned })).catch(() => {});
      return { manifest, cache, release };
    }
    release();
    const done = await exclusiveNow(readers(resolved.id), async () => {
      if (changed.length === there.files.length) await cache.deleteModel(there.id);
      else {
        await cache.put({ ...there, state: 'partial' }); // in this order a kill at any moment leaves no old chunk under a new name
        for (const { name } of changed) await cache.deleteFile(there.id, name);
        await cache.put(manifest);
      }
      return true;
    });
    if (!done) fail('StorageError', { what: 'another tab uses an older version of this model', cure: 'Close it to keep the new one.' });
  }
}

const blankManifest = (resolved: Resolved, alias: string, chunkBytes: number): Manifest => ({
  ...resolved,
  aliases: [alias],
  chunkBytes,
  state: 'partial',
  added: Date.now(),
  lastUsed: Date.now(),
  pinned: false,
});

const total = ({ files }: Manifest): number => files.reduce((sum, { size }) => sum + size, 0);

/** A file of the shelf as a source; what it reads is held for the reader. */
function reader(file: FileRecord, shelf: Shelf, download: Download, closed: AbortSignal): ByteSource {
  const chunk = async (index: number, signal: AbortSignal | undefined): Promise<Uint8Array> => {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      if (signal?.aborted || closed.aborted) throw abortError();
      if (!download.ready(file, index)) {
        try {
          await abortable(download.want(file, index), signal);
        } catch (error) {
          if (!shelf.wasHere(file.name, index) || error instanceof Worthless || signal?.aborted || closed.aborted) throw error;
          fail('StorageError', { what: `the cached copy of ${file.name} is damaged and cannot be fetched anew`, got: String(error), cure: 'Load it again with a connection, or delete it.' }, error);
        }
      }
      const data = await shelf.get(file.name, index);
      if (data) {
        await download.handed(file, index, data);
        for (let next = index + 1; next <= index + READ_AHEAD; next++) shelf.ahead(file.name, next);
        return data;
      }
    }
    return fail('StorageError', { what: `${file.name} cannot be read from the browser's storage`, got: `chunk ${index} damaged ${ATTEMPTS} times`, cure: 'Delete the model and load it again.' });
  };
  return {
    name: file.name,
    size: file.size,
    read: async (offset, length, signal) => {
      if (signal?.aborted || closed.aborted) throw abortError();
      checkRange(file, offset, length);
      const { chunkBytes } = shelf.manifest;
      let index = Math.floor(offset / chunkBytes);
      if (length === 0) return new Uint8Array(0);
      if (offset + length <= (index + 1) * chunkBytes) return (await chunk(index, signal)).subarray(offset - index * chunkBytes, offset - index * chunkBytes + length);
      const bytes = hold(new Uint8Array(length));
      for (let at = 0; at < length; index++) {
        const start = offset + at - index * chunkBytes;
        const data = await chunk(index, signal);
        const part = data.subarray(start, start + length - at);
        bytes.set(part, at);
        at += part.length;
        letGo(data);
      }
      return bytes;
    },
    release: letGo,
  };
}

function abortable<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work;
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(abortError());
    signal.addEventListener('abort', stop, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}
