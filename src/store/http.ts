/**
 * Downloads bytes over HTTP in ranges. Every response is checked before its bytes are used. After a temporary failure (a cut, a stall, a busy
 * server, an expired URL) only the missing bytes are requested again.
 *
 * Requests carry Range, so browsers ask for the identity encoding by themselves (Fetch standard); `Range: bytes=a-b` needs no CORS preflight,
 * If-Range would. Content-Range and ETag of other origins can be read only where the server exposes them; Content-Length and Last-Modified always.
 */
import { abortError, fail, RivuletError, type ErrorParts } from '../errors';
import type { FileRecord } from './model_cache';
import { freeBufferNow } from './buffer_references';
import { ProgressMeter, type Progress } from './progress';

export interface DownloadPolicy {
  /** parallel requests at the start; up to two more without errors, fewer when the server is busy */
  connections: number;
  /** consecutive failures without a new byte before the download fails */
  attempts: number;
  /** milliseconds before the second attempt; doubled each time up to 30 s, with jitter */
  backoff: number;
  /** milliseconds without a byte after which a connection counts as dead */
  stall: number;
  /** bytes of a chunk for new downloads; the default was measured */
  chunkBytes?: number;
}

export const DEFAULT_DOWNLOAD_POLICY: DownloadPolicy = { connections: 4, attempts: 8, backoff: 500, stall: 30_000 };
const MAX_RETRY_WAIT_MS = 30_000;
const MAX_READ_BYTES = 256 << 10; // per read of a response body
const EXPIRED_STATUSES = [401, 403, 404, 410, 416]; // from a signed URL: request a new one from the original URL
const PAGE_CURE = 'It may be an error or sign-in page: open the URL in a browser.';
const MAX_RETRY_AFTER_MS = 300_000;
const MAX_SILENCE_MS = 8000; // a server that never answered is given up
const PROBE_MS = 3000;

/** A file on a server, with what earlier responses told about it. */
export interface RemoteFile {
  file: FileRecord;
  token?: string;
  /** the URL that redirects led to; signed, expires */
  signed?: string;
  /** the whole file, if it was read already */
  blob?: Blob;
  /** a response came, or `why` none does */
  answered?: boolean;
  why?: Pick<ErrorParts, 'got' | 'cure'>;
}

export interface HttpRequestOptions {
  policy: DownloadPolicy;
  signal: AbortSignal;
  onBytes?: (bytes: number) => void;
  /** the server answered 429 or 503 */
  onBusy?: () => void;
  /** a request failed and is repeated after a while: the reason */
  onWait?: (cause: string) => void;
  onProgress?: (progress: Progress) => void;
  token?: string;
}

/** A failure after which another attempt may succeed. */
class TemporaryFailure extends Error {
  constructor(
    what: string,
    readonly waitMs = 0,
    readonly busy = false,
    /** set if no response came: the URL */
    readonly url?: string,
  ) {
    super(what);
  }
}

/** The bytes of a file, stored or just received, are not those of the file that was asked for. They cannot be used. */
export class FileContentError extends RivuletError {
  constructor(failure: ErrorParts) {
    super('SourceError', failure);
  }
}

/** The file on the server is no longer the one that was partly downloaded. */
export class FileChangedError extends FileContentError {
  constructor(name: string, got: string, wanted: string) {
    super({ what: `${name} changed on the server during the download`, got, wanted, cure: 'Load it again: the download starts from the beginning.' });
  }
}

/** The server sends the whole file for any range. */
export class RangesIgnoredError extends Error {}

/** Fills `into` with the bytes of the file from `first` on. @throws SourceError, FileChangedError, RangesIgnoredError, AbortError */
export async function fetchRange(remote: RemoteFile, first: number, into: Uint8Array, options: HttpRequestOptions): Promise<void> {
  let got = 0;
  if (remote.blob) return into.set(new Uint8Array(await remote.blob.slice(first, first + into.length).arrayBuffer()));
  await withRetries(remote, options, async () => {
    const before = got;
    try {
      for await (const piece of fetchPieces(remote, { first: first + got, end: first + into.length }, options)) {
        into.set(piece, got);
        got += piece.length;
        options.onBytes?.(piece.length);
      }
    } catch (error) {
      if (error instanceof TemporaryFailure && got > before) return { more: true, failed: error };
      throw error;
    }
    if (got === before) throw new TemporaryFailure('an empty response');
    return { more: got < into.length };
  });
}

/** The whole file from its beginning, for servers without ranges. Each attempt starts again: `restart` is called first. */
export async function fetchWholeFile(remote: RemoteFile, restart: () => void, take: (piece: Uint8Array) => Promise<void>, options: HttpRequestOptions): Promise<void> {
  await withRetries(remote, options, async () => {
    restart();
    for await (const piece of fetchPieces(remote, undefined, options)) {
      await take(piece);
      options.onBytes?.(piece.length);
    }
    return { more: false };
  });
}

/** @throws SourceError, AbortError */
export async function fetchJson(url: string, options: HttpRequestOptions): Promise<unknown> {
  let text = '';
  const remote: RemoteFile = { file: { name: url, size: 0, url }, token: options.token };
  await withRetries(remote, options, async () => {
    const connection = await connect(remote, { text: true }, options);
    try {
      const decoder = new TextDecoder();
      text = '';
      for await (const piece of connection.pieces()) {
        text += decoder.decode(piece, { stream: true });
        if (text.length > 32 << 20) fail('SourceError', { what: `The response of ${url} is too long`, wanted: 'a list of files' });
      }
    } finally {
      connection.end();
    }
    return { more: false };
  });
  try {
    return JSON.parse(text);
  } catch (cause) {
    fail('SourceError', { what: `${url} did not answer with JSON`, got: text.slice(0, 60), cure: 'Check the address of the hub.' }, cause);
  }
}

/**
 * Size, validator and first bytes of a file at an address. A file whose size the server does not state is read whole, into a blob.
 * @param options.peek true: such a file is refused
 * @throws SourceError, AbortError
 */
export async function fetchFileInfo(url: string, name: string, options: HttpRequestOptions & { peek?: boolean }): Promise<FileRecord> {
  const file: FileRecord = { name, size: -1, url };
  const remote: RemoteFile = { file, token: options.token };
  let head = new Uint8Array(0);
  // servers of other origins may hide Content-Range; the Content-Length of a response to 'bytes=0-' is the size
  for (const range of ['bytes=0-15', 'bytes=0-']) {
    await withRetries(remote, options, async () => {
      const connection = await connect(remote, { range, small: true }, options);
      try {
        const { response } = connection;
        const length = Number(response.headers.get('content-length') ?? NaN);
        const total = contentRange(response)?.total;
        if (response.status === 206 && total !== undefined) file.size = total;
        else if (response.status === 200 || range === 'bytes=0-') file.size = Number.isSafeInteger(length) ? length : -1;
        file.etag = validator(response);
        head = new Uint8Array(16);
        let got = 0;
        for await (const piece of connection.pieces()) {
          head.set(piece.subarray(0, 16 - got), got);
          got += Math.min(piece.length, 16 - got);
          if (got === 16) break;
        }
        head = head.subarray(0, got);
      } finally {
        connection.end();
      }
      return { more: false };
    });
    if (file.size >= 0) break;
  }
  if (file.size < 0 && options.peek)
    fail('SourceError', { what: `The server does not state the size of ${name}`, got: 'no Content-Length', cure: 'Serve the file uncompressed, with its length.' });
  checkFirstBytes(name, head);
  if (file.size < 0) await readWhole(remote, options);
  return file;
}

/** Reads a file of unknown size into a blob, which browsers keep on disk. */
async function readWhole(remote: RemoteFile, options: HttpRequestOptions): Promise<void> {
  const { file } = remote;
  const meter = new ProgressMeter('download', 0, options.onProgress);
  await withRetries(remote, options, async () => {
    const connection = await connect(remote, {}, options);
    const parts: Blob[] = [];
    file.size = 0;
    try {
      for await (const piece of connection.pieces()) {
        parts.push(new Blob([piece as Uint8Array<ArrayBuffer>]));
        meter.update((file.size += piece.length), file.name);
      }
    } finally {
      connection.end();
    }
    file.blob = new Blob(parts);
    return { more: false };
  });
}

/** Rejects bytes that are clearly not the file, such as an error or sign-in page with status 200. @throws SourceError */
export function checkFirstBytes(name: string, head: Uint8Array): void {
  const text = String.fromCharCode(...head.subarray(0, 16));
  const wrong = /\.gguf$/i.test(name) ? !text.startsWith('GGUF') : /^\s*<(!doctype|html|\?xml|head)/i.test(text);
  if (wrong)
    throw new FileContentError({
      what: `The server sent something else instead of ${name}`,
      got: JSON.stringify(text.slice(0, 12)),
      wanted: /\.gguf$/i.test(name) ? 'GGUF' : 'model data',
      cure: PAGE_CURE,
    });
}

/** Runs `attempt` until it has no more to do. Waits after a temporary failure. */
async function withRetries(remote: RemoteFile, { policy, signal, onBusy, onWait }: HttpRequestOptions, attempt: () => Promise<{ more: boolean; failed?: TemporaryFailure }>): Promise<void> {
  const begun = performance.now();
  for (let failures = 0; ; ) {
    if (signal.aborted) throw abortError();
    let failed: TemporaryFailure | undefined;
    try {
      const result = await attempt();
      if (!result.more) return;
      failures = 0;
      failed = result.failed;
    } catch (error) {
      if (signal.aborted) throw abortError();
      if (!(error instanceof TemporaryFailure)) throw error;
      failed = error;
    }
    if (!failed) continue;
    if (failed.busy) onBusy?.();
    const wait = Math.max(failed.waitMs, Math.min(MAX_RETRY_WAIT_MS, policy.backoff * 2 ** failures) * (0.5 + Math.random() / 2));
    const why = failed.url ? (remote.why ??= await explainSilence(failed.url, failed.message)) : { got: failed.message, cure: 'Check the connection and load again: the downloaded part is kept.' };
    if (signal.aborted) throw abortError();
    const hopeless = failed.url && (isOffline() || performance.now() - begun + wait > MAX_SILENCE_MS);
    if (++failures >= policy.attempts || hopeless) fail('SourceError', { what: `${remote.file.name} cannot be downloaded`, ...why });
    onWait?.(`${why.got}. The next attempt is in ${Math.ceil(wait / 1000)} s.`);
    await waitToRetry(wait, signal);
  }
}

const isOffline = (): boolean => globalThis.navigator?.onLine === false;

/** Why a server does not answer. Browsers do not tell; requests of other kinds do, as far as they can. */
async function explainSilence(url: string, message: string): Promise<Pick<ErrorParts, 'got' | 'cure'>> {
  const answer = (mode: RequestMode): Promise<ResponseType | undefined> =>
    fetch(url, { mode, method: 'HEAD', signal: AbortSignal.timeout(PROBE_MS), cache: 'no-store', referrerPolicy: 'no-referrer' }).then(({ type }) => type, () => undefined);
  if (isOffline()) return { got: 'no connection: this device is offline', cure: 'Load again when it is online.' };
  const [readable, any] = await Promise.all([answer('cors'), answer('no-cors')]);
  if (readable || (any && any !== 'opaque')) return { got: 'no answer to a request for a range', cure: 'Turn compression off for this file on the server.' };
  if (any) return { got: 'an answer that this page may not read', cure: 'The server must send Access-Control-Allow-Origin (CORS).' };
  const cure = "Check the address and the connection. The page's Content Security Policy must allow the host in connect-src, and a server of another origin must send Access-Control-Allow-Origin (CORS).";
  return { got: message, cure };
}

/** Waits, at most until the device is online again. */
function waitToRetry(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      globalThis.removeEventListener?.('online', done);
      if (signal.aborted) reject(abortError());
      else resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener('abort', done);
    globalThis.addEventListener?.('online', done);
  });
}

/** The bytes [first, end) of a file, or all of it; never more, perhaps fewer. */
async function* fetchPieces(remote: RemoteFile, range: { first: number; end: number } | undefined, options: HttpRequestOptions): AsyncGenerator<Uint8Array> {
  const { file } = remote;
  const { first, end } = range ?? { first: 0, end: file.size };
  const connection = await connect(remote, { range: range && `bytes=${first}-${end - 1}` }, options);
  try {
    const { response } = connection;
    const pinned = file.sha256 || file.gitId;
    const tag = validator(response);
    if (!pinned && file.etag && tag && tag !== file.etag) throw new FileChangedError(file.name, `version ${tag}`, file.etag);
    const length = Number(response.headers.get('content-length') ?? NaN);
    if (response.status === 200) {
      if (length >= 0 && length !== file.size) throw wrongSize(remote, length);
      if (first > 0 || end < file.size) throw new RangesIgnoredError();
    } else {
      const got = contentRange(response);
      if (got && got.total !== undefined && got.total !== file.size) throw wrongSize(remote, got.total);
      if (got && (got.first !== first || got.last >= end)) throw new TemporaryFailure(`bytes ${got.first}-${got.last} instead of ${first}-${end - 1}`);
      if (length > end - first) throw new TemporaryFailure(`${length} bytes instead of ${end - first}`);
    }
    let at = first;
    for await (const piece of connection.pieces()) {
      at += piece.length;
      if (at > end) throw new TemporaryFailure('more bytes than were asked for');
      yield piece;
    }
    if (at < end && !(at - first === length && response.status === 206)) throw new TemporaryFailure(`cut off after ${at - first} of ${end - first} bytes`);
  } finally {
    connection.end();
  }
}

/** The error for a wrong size. A file with a known hash cannot have changed, so the server is wrong; any other file may be a new version. */
const wrongSize = ({ file }: RemoteFile, size: number): Error =>
  file.sha256 || file.gitId
    ? new RivuletError('SourceError', { what: `The server sent something else instead of ${file.name}`, got: `${size} bytes`, wanted: `${file.size}`, cure: 'Try again later, or use another hub.' })
    : new FileChangedError(file.name, `${size} bytes`, `${file.size}`);

interface Connection {
  response: Response;
  /** the body; each piece is valid until the next is requested */
  pieces(): AsyncGenerator<Uint8Array>;
  /** closes the connection, even if the body was not read */
  end(): void;
}

/** Sends one request and checks the headers of the response: status 200 or 206, identity encoding, not a web page. */
async function connect(remote: RemoteFile, request: { range?: string; small?: boolean; fromStart?: boolean; text?: boolean }, options: HttpRequestOptions): Promise<Connection> {
  const { range, small, fromStart } = request;
  const { policy, signal } = options;
  const controller = new AbortController();
  const stop = (): void => controller.abort();
  signal.addEventListener('abort', stop);
  const end = (): void => {
    signal.removeEventListener('abort', stop);
    controller.abort();
  };
  // an aborted read may never settle (in Node's fetch), so the signal itself ends the wait
  const aborted = new Promise<never>((_, reject) => controller.signal.addEventListener('abort', () => reject(abortError()), { once: true }));
  aborted.catch(() => undefined);
  const withTimeout = async <T>(work: Promise<T>, url?: string): Promise<T> => {
    const timer = setTimeout(stop, policy.stall);
    try {
      return await Promise.race([work, aborted]);
    } catch (error) {
      if (signal.aborted) throw abortError();
      const reason = controller.signal.aborted ? `no byte for ${policy.stall / 1000} s` : String(error instanceof Error ? error.message : error);
      throw new TemporaryFailure(reason, 0, false, remote.answered ? undefined : url);
    } finally {
      clearTimeout(timer);
    }
  };
  try {
    if (signal.aborted) throw abortError();
    const signed = fromStart ? undefined : remote.signed;
    const headers = new Headers({ 'Accept-Encoding': 'identity' });
    if (range) headers.set('Range', range);
    if (remote.token && !signed) headers.set('Authorization', `Bearer ${remote.token}`);
    const url = signed ?? remote.file.url;
    const response = await withTimeout(fetch(url, { headers, signal: controller.signal, cache: 'no-store', referrerPolicy: 'no-referrer' }), url);
    remote.answered = true;
    if (response.redirected && response.ok && response.url && !small) remote.signed = response.url;
    if (signed && EXPIRED_STATUSES.includes(response.status)) {
      if (remote.signed === signed) remote.signed = undefined;
      end();
      return await connect(remote, { ...request, fromStart: true }, options);
    }
    checkResponse(response, remote, request.text);
    return { response, pieces: () => readBody(response.body, withTimeout), end };
  } catch (error) {
    end();
    throw error;
  }
}

/** Reuses one buffer if the body is a byte stream: one buffer for each piece would stay in memory until garbage collection. */
async function* readBody(body: Response['body'], withTimeout: <T>(work: Promise<T>) => Promise<T>): AsyncGenerator<Uint8Array> {
  if (!body) return;
  const reader = byobReader(body);
  if (!reader) {
    for (const plain = body.getReader(); ; ) {
      const { done, value } = await withTimeout(plain.read());
      if (done) return;
      yield value;
    }
  }
  for (let into = new Uint8Array(MAX_READ_BYTES); ; ) {
    const { done, value } = await withTimeout(reader.read(into));
    if (done) return void (value && freeBufferNow(value));
    yield value;
    into = new Uint8Array(value.buffer);
  }
}

/** Undefined in browsers whose bodies are not byte streams: Chromium before 115, Safari. */
function byobReader(body: NonNullable<Response['body']>): ReadableStreamBYOBReader | undefined {
  try {
    return body.getReader({ mode: 'byob' });
  } catch {
    return undefined;
  }
}

/** @param text a text may be compressed, since its length does not matter */
function checkResponse(response: Response, remote: RemoteFile, text = false): void {
  const { name } = remote.file;
  const { status } = response;
  if (status !== 200 && status !== 206) {
    if (status === 403 && response.redirected) throw new TemporaryFailure('status 403 from a new signed URL');
    if (status === 408 || status === 425 || status === 429 || status >= 500)
      throw new TemporaryFailure(`status ${status}`, retryAfter(response), status === 429 || status === 503);
    if (status === 416) throw wrongSize(remote, contentRange(response)?.total ?? 0);
    const cure =
      status === 401 || status === 403
        ? 'It may be private or gated: accept its terms on the hub and pass a token.'
        : 'Check the name of the model and its revision.';
    fail('SourceError', { what: `${name} cannot be downloaded`, got: `status ${status}`, wanted: '200 or 206', cure });
  }
  const encoding = response.headers.get('content-encoding');
  if (encoding && encoding !== 'identity' && !text)
    fail('SourceError', { what: `${name} was sent compressed`, got: encoding, wanted: 'uncompressed bytes', cure: 'Turn compression off for this file on the server.' });
  if (/^text\/html/i.test(response.headers.get('content-type') ?? ''))
    fail('SourceError', { what: `The server sent something else instead of ${name}`, got: 'text/html', wanted: 'model data', cure: PAGE_CURE });
}

/** ETag without its weak prefix, else Last-Modified. */
const validator = (response: Response): string | undefined => response.headers.get('etag')?.replace(/^W\//, '') ?? response.headers.get('last-modified') ?? undefined;

function contentRange(response: Response): { first: number; last: number; total?: number } | undefined {
  const [, first, last, total] = /^bytes (?:(\d+)-(\d+)|\*)\/(\d+|\*)$/.exec(response.headers.get('content-range') ?? '') ?? [];
  if (total === undefined) return undefined;
  return { first: Number(first ?? 0), last: Number(last ?? -1), ...(total !== '*' && { total: Number(total) }) };
}

/** Milliseconds; seconds or a date in the header (RFC 9110 10.2.3). */
function retryAfter(response: Response): number {
  const text = response.headers.get('retry-after') ?? '';
  const wait = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return wait > 0 ? Math.min(wait, MAX_RETRY_AFTER_MS) : 0;
}
