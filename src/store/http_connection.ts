/**
 * One request over HTTP. The headers of its response are checked before the bytes are used.
 *
 * Requests carry Range, so browsers ask for the identity encoding by themselves (Fetch standard); `Range: bytes=a-b`
 * needs no CORS preflight, If-Range would. Content-Range and ETag of other origins can be read only where the server
 * exposes them; Content-Length and Last-Modified always.
 */
import { abortError, fail, RivuletError, type ErrorParts } from '../errors';
import { freeBufferNow } from './buffer_references';
import type { FileRecord } from './model_cache';
import type { Progress } from './progress';

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
const MAX_READ_BYTES = 256 << 10; // per read of a response body
const EXPIRED_STATUSES = [401, 403, 404, 410, 416]; // from a signed URL: request a new one from the original URL
export const PAGE_CURE = 'It may be an error or sign-in page: open the URL in a browser.';
const MAX_RETRY_AFTER_MS = 300_000;

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
export class TemporaryFailure extends Error {
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
    super({
      what: `${name} changed on the server during the download`,
      got,
      wanted,
      cure: 'Load it again: the download starts from the beginning.',
    });
  }
}

/**
 * The error for a wrong size. A file with a known hash cannot have changed, so the server is wrong; any other file may
 * be a new version.
 */
export const wrongSize = ({ file }: RemoteFile, size: number): Error =>
  file.sha256 || file.gitId
    ? new RivuletError('SourceError', {
        what: `The server sent something else instead of ${file.name}`,
        got: `${size} bytes`,
        wanted: `${file.size}`,
        cure: 'Try again later, or use another hub.',
      })
    : new FileChangedError(file.name, `${size} bytes`, `${file.size}`);

interface Connection {
  response: Response;
  /** the body; each piece is valid until the next is requested */
  pieces(): AsyncGenerator<Uint8Array>;
  /** closes the connection, even if the body was not read */
  end(): void;
}

/** Sends one request and checks the headers of the response: status 200 or 206, identity encoding, not a web page. */
export async function connect(
  remote: RemoteFile,
  request: { range?: string; small?: boolean; fromStart?: boolean; text?: boolean },
  options: HttpRequestOptions,
): Promise<Connection> {
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
  const aborted = new Promise<never>((_, reject) =>
    controller.signal.addEventListener('abort', () => reject(abortError()), { once: true }),
  );
  aborted.catch(() => undefined);
  const withTimeout = async <T>(work: Promise<T>, url?: string): Promise<T> => {
    const timer = setTimeout(stop, policy.stall);
    try {
      return await Promise.race([work, aborted]);
    } catch (error) {
      if (signal.aborted) throw abortError();
      const reason = controller.signal.aborted
        ? `no byte for ${policy.stall / 1000} s`
        : String(error instanceof Error ? error.message : error);
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
    const response = await withTimeout(
      fetch(url, { headers, signal: controller.signal, cache: 'no-store', referrerPolicy: 'no-referrer' }),
      url,
    );
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

/**
 * Reuses one buffer if the body is a byte stream: one buffer for each piece would stay in memory until garbage
 * collection.
 */
async function* readBody(
  body: Response['body'],
  withTimeout: <T>(work: Promise<T>) => Promise<T>,
): AsyncGenerator<Uint8Array> {
  if (!body) return;
  const reader = byobReader(body);
  if (!reader) {
    for (const plain = body.getReader(); ;) {
      const { done, value } = await withTimeout(plain.read());
      if (done) return;
      yield value;
    }
  }
  for (let into = new Uint8Array(MAX_READ_BYTES); ;) {
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
        : 'Check the name or address of the model, and the revision after its @ if it has one.';
    fail('SourceError', { what: `${name} cannot be downloaded`, got: `status ${status}`, wanted: '200 or 206', cure });
  }
  const encoding = response.headers.get('content-encoding');
  if (encoding && encoding !== 'identity' && !text)
    fail('SourceError', {
      what: `${name} was sent compressed`,
      got: encoding,
      wanted: 'uncompressed bytes',
      cure: 'Turn compression off for this file on the server.',
    });
  if (/^text\/html/i.test(response.headers.get('content-type') ?? ''))
    fail('SourceError', {
      what: `The server sent something else instead of ${name}`,
      got: 'text/html',
      wanted: 'model data',
      cure: PAGE_CURE,
    });
}

/** ETag without its weak prefix, else Last-Modified. */
export const validator = (response: Response): string | undefined =>
  response.headers.get('etag')?.replace(/^W\//, '') ?? response.headers.get('last-modified') ?? undefined;

export function contentRange(response: Response): { first: number; last: number; total?: number } | undefined {
  const [, first, last, total] =
    /^bytes (?:(\d+)-(\d+)|\*)\/(\d+|\*)$/.exec(response.headers.get('content-range') ?? '') ?? [];
  if (total === undefined) return undefined;
  return { first: Number(first ?? 0), last: Number(last ?? -1), ...(total !== '*' && { total: Number(total) }) };
}

/** Milliseconds; seconds or a date in the header (RFC 9110 10.2.3). */
function retryAfter(response: Response): number {
  const text = response.headers.get('retry-after') ?? '';
  const wait = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return wait > 0 ? Math.min(wait, MAX_RETRY_AFTER_MS) : 0;
}
