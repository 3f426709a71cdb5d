/**
 * Bytes over HTTP, one range at a time: every answer is checked before a byte of it is kept, what is kept is never fetched again, and
 * whatever may pass (a cut, a stall, a busy server, an address that expired) is tried again.
 *
 * Requests carry Range, so browsers ask for the identity encoding by themselves (Fetch standard); `Range: bytes=a-b` needs no CORS preflight,
 * If-Range would. Content-Range and ETag of other origins can be read only where the server exposes them; Content-Length and Last-Modified always.
 */
import { abortError, fail, RivuletError, type ErrorParts } from '../errors';
import type { FileRecord } from './database';
import { free } from './loan';

export interface Policy {
  /** ranges in flight to begin with; up to two more while all goes well, fewer when the server is busy */
  connections: number;
  /** failures in a row, without a single new byte, before giving up */
  attempts: number;
  /** milliseconds before the second attempt, doubled from then on to at most 30 s, with jitter */
  backoff: number;
  /** milliseconds without a byte after which a connection counts as dead */
  stall: number;
  /** bytes of a chunk, of what is downloaded anew; measured sizes unless given */
  chunkBytes?: number;
}

export const POLICY: Policy = { connections: 4, attempts: 8, backoff: 500, stall: 30_000 };
const LONGEST_PAUSE = 30_000;
const PIECE = 256 << 10; // bytes read from a body at a time, at most
const EXPIRED = [401, 403, 404, 410, 416]; // from a signed address: asked for once more from where it came
const LONGEST_RETRY_AFTER = 300_000;

/** A file on a server, with what was learnt about the server on the way. */
export interface Remote {
  file: FileRecord;
  token?: string;
  /** where redirects led: signed, expires */
  signed?: string;
}

export interface Transport {
  policy: Policy;
  signal: AbortSignal;
  onBytes?: (bytes: number) => void;
  /** the server said 429 or 503 */
  onBusy?: () => void;
}

/** Worth another attempt. */
class Passing extends Error {
  constructor(
    what: string,
    readonly pause = 0,
    readonly busy = false,
  ) {
    super(what);
  }
}

/** What is already here of a file is of no use. */
export class Worthless extends RivuletError {
  constructor(failure: ErrorParts) {
    super('SourceError', failure);
  }
}

/** The file on the server is no longer the one whose bytes we have. */
export class Changed extends Worthless {
  constructor(name: string, got: string, wanted: string) {
    super({ what: `${name} changed on the server during the download`, got, wanted, cure: 'Load it again: the download starts anew.' });
  }
}

/** The server answers with the whole file whatever range it is asked for. */
export class NoRanges extends Error {}

/** Fills `into` with the bytes of the file from `first` on. @throws SourceError, Changed, NoRanges, AbortError */
export async function fetchRange(remote: Remote, first: number, into: Uint8Array, transport: Transport): Promise<void> {
  let got = 0;
  await persist(remote.file.name, transport, async () => {
    const before = got;
    try {
      for await (const piece of request(remote, { first: first + got, end: first + into.length }, transport)) {
        into.set(piece, got);
        got += piece.length;
        transport.onBytes?.(piece.length);
      }
    } catch (error) {
      if (error instanceof Passing && got > before) return { more: true, failed: error };
      throw error;
    }
    if (got === before) throw new Passing('an empty answer');
    return { more: got < into.length };
  });
}

/** The whole file from its beginning, for servers without ranges. Each attempt starts again: `restart` is called first. */
export async function fetchWhole(remote: Remote, restart: () => void, take: (piece: Uint8Array) => Promise<void>, transport: Transport): Promise<void> {
  await persist(remote.file.name, transport, async () => {
    restart();
    for await (const piece of request(remote, undefined, transport)) {
      await take(piece);
      transport.onBytes?.(piece.length);
    }
    return { more: false };
  });
}

/** @throws SourceError, AbortError */
export async function fetchJson(url: string, { token, ...transport }: Transport & { token?: string }): Promise<unknown> {
  let text = '';
  await persist(url, transport, async () => {
    const connection = await connect({ file: { name: url, size: 0, url }, token }, { text: true }, transport);
    try {
      const decoder = new TextDecoder();
      text = '';
      for await (const piece of connection.pieces()) {
        text += decoder.decode(piece, { stream: true });
        if (text.length > 32 << 20) fail('SourceError', { what: `the answer of ${url} is too long`, wanted: 'a list of files' });
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

/** Size, validator and first bytes of a file at an address. @throws SourceError, AbortError */
export async function probe(url: string, name: string, transport: Transport & { token?: string }): Promise<FileRecord> {
  const file: FileRecord = { name, size: -1, url };
  let head = new Uint8Array(0);
  // 'bytes=0-' is for servers of other origins that hide Content-Range: of an answer to it, Content-Length is the size
  for (const range of ['bytes=0-15', 'bytes=0-']) {
    await persist(name, transport, async () => {
      const connection = await connect({ file, token: transport.token }, { range, small: true }, transport);
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
  if (file.size < 0)
    fail('SourceError', { what: `the server of ${name} does not say how large it is`, got: 'no Content-Length', cure: 'Serve the file uncompressed, with its length.' });
  sniff(name, head);
  return file;
}

/** Refuses what is plainly not the file, above all an error page or sign-in page sent with status 200. @throws SourceError */
export function sniff(name: string, head: Uint8Array): void {
  const text = String.fromCharCode(...head.subarray(0, 16));
  const wrong = /\.gguf$/i.test(name) ? !text.startsWith('GGUF') : /^\s*<(!doctype|html|\?xml|head)/i.test(text);
  if (wrong)
    throw new Worthless({
      what: `what the server sent as ${name} is not that file`,
      got: JSON.stringify(text.slice(0, 12)),
      wanted: /\.gguf$/i.test(name) ? 'GGUF' : 'model data',
      cure: 'It may be an error or sign-in page: open the address in a browser and look.',
    });
}

/** Runs `attempt` until it says there is no more to do; failures that may pass are followed by a pause. */
async function persist(name: string, { policy, signal, onBusy }: Transport, attempt: () => Promise<{ more: boolean; failed?: Passing }>): Promise<void> {
  for (let failures = 0; ; ) {
    if (signal.aborted) throw abortError();
    let failed: Passing | undefined;
    try {
      const result = await attempt();
      if (!result.more) return;
      failures = 0;
      failed = result.failed;
    } catch (error) {
      if (signal.aborted) throw abortError();
      if (!(error instanceof Passing)) throw error;
      failed = error;
    }
    if (!failed) continue;
    if (failed.busy) onBusy?.();
    if (++failures >= policy.attempts)
      fail('SourceError', {
        what: `${name} cannot be downloaded`,
        got: failed.message,
        cure: 'Check the connection and load again: what has arrived is kept. (A server of another origin must allow it by CORS.)',
      });
    await pause(Math.max(failed.pause, Math.min(LONGEST_PAUSE, policy.backoff * 2 ** (failures - 1)) * (0.5 + Math.random() / 2)), signal);
  }
}

/** Waits; ends early when the device comes back online. */
function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
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
async function* request(remote: Remote, range: { first: number; end: number } | undefined, transport: Transport): AsyncGenerator<Uint8Array> {
  const { file } = remote;
  const { first, end } = range ?? { first: 0, end: file.size };
  const connection = await connect(remote, { range: range && `bytes=${first}-${end - 1}` }, transport);
  try {
    const { response } = connection;
    const pinned = file.sha256 || file.gitId;
    const tag = validator(response);
    if (!pinned && file.etag && tag && tag !== file.etag) throw new Changed(file.name, `version ${tag}`, file.etag);
    const length = Number(response.headers.get('content-length') ?? NaN);
    if (response.status === 200) {
      if (length >= 0 && length !== file.size) throw unlike(remote, length);
      if (first > 0 || end < file.size) throw new NoRanges();
    } else {
      const got = contentRange(response);
      if (got && got.total !== undefined && got.total !== file.size) throw unlike(remote, got.total);
      if (got && (got.first !== first || got.last >= end)) throw new Passing(`bytes ${got.first}-${got.last} instead of ${first}-${end - 1}`);
      if (length > end - first) throw new Passing(`${length} bytes instead of ${end - first}`);
    }
    let at = first;
    for await (const piece of connection.pieces()) {
      at += piece.length;
      if (at > end) throw new Passing('more bytes than were asked for');
      yield piece;
    }
    if (at < end && !(at - first === length && response.status === 206)) throw new Passing(`cut off after ${at - first} of ${end - first} bytes`);
  } finally {
    connection.end();
  }
}

/** A size that does not fit: a plain address may have a new file; a file whose hash is known cannot have changed, so the server is wrong. */
const unlike = ({ file }: Remote, size: number): Error =>
  file.sha256 || file.gitId
    ? new RivuletError('SourceError', { what: `the server sent something else than ${file.name}`, got: `${size} bytes`, wanted: `${file.size}`, cure: 'Try another hub address, or later.' })
    : new Changed(file.name, `${size} bytes`, `${file.size}`);

interface Connection {
  response: Response;
  /** the body; each piece is good until the next is asked for */
  pieces(): AsyncGenerator<Uint8Array>;
  /** lets go of the connection, the body read or not */
  end(): void;
}

/** Sends one request and checks the head of the answer: status 200 or 206, identity encoding, not a web page. */
async function connect(remote: Remote, ask: { range?: string; small?: boolean; fromStart?: boolean; text?: boolean }, transport: Transport): Promise<Connection> {
  const { range, small, fromStart } = ask;
  const { policy, signal } = transport;
  const controller = new AbortController();
  const stop = (): void => controller.abort();
  signal.addEventListener('abort', stop);
  const end = (): void => {
    signal.removeEventListener('abort', stop);
    controller.abort();
  };
  // a platform may leave a read that was aborted unsettled (as Node's fetch may do): the signal itself ends the wait
  const cut = new Promise<never>((_, reject) => controller.signal.addEventListener('abort', () => reject(abortError()), { once: true }));
  cut.catch(() => undefined);
  const alive = async <T>(work: Promise<T>): Promise<T> => {
    const timer = setTimeout(stop, policy.stall);
    try {
      return await Promise.race([work, cut]);
    } catch (error) {
      if (signal.aborted) throw abortError();
      throw new Passing(controller.signal.aborted ? `no byte for ${policy.stall / 1000} s` : String(error instanceof Error ? error.message : error));
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
    const response = await alive(fetch(signed ?? remote.file.url, { headers, signal: controller.signal, cache: 'no-store', referrerPolicy: 'no-referrer' }));
    if (response.redirected && response.ok && response.url && !small) remote.signed = response.url;
    if (signed && EXPIRED.includes(response.status)) {
      if (remote.signed === signed) remote.signed = undefined;
      end();
      return await connect(remote, { ...ask, fromStart: true }, transport);
    }
    checkHead(response, remote, ask.text);
    return { response, pieces: () => readBody(response.body, alive), end };
  } catch (error) {
    end();
    throw error;
  }
}

/** Into one buffer over and over where the body is a stream of bytes: a buffer for every piece would lie about until it is collected. */
async function* readBody(body: Response['body'], alive: <T>(work: Promise<T>) => Promise<T>): AsyncGenerator<Uint8Array> {
  if (!body) return;
  const reader = byteReader(body);
  if (!reader) {
    for (const plain = body.getReader(); ; ) {
      const { done, value } = await alive(plain.read());
      if (done) return;
      yield value;
    }
  }
  for (let into = new Uint8Array(PIECE); ; ) {
    const { done, value } = await alive(reader.read(into));
    if (done) return void (value && free(value));
    yield value;
    into = new Uint8Array(value.buffer);
  }
}

/** Undefined in browsers whose bodies are no streams of bytes: Chromium before 115, Safari. */
function byteReader(body: NonNullable<Response['body']>): ReadableStreamBYOBReader | undefined {
  try {
    return body.getReader({ mode: 'byob' });
  } catch {
    return undefined;
  }
}

/** @param text it may come compressed: its length does not matter */
function checkHead(response: Response, remote: Remote, text = false): void {
  const { name } = remote.file;
  const { status } = response;
  if (status !== 200 && status !== 206) {
    if (status === 403 && response.redirected) throw new Passing('status 403 from a signed address that is new');
    if (status === 408 || status === 425 || status === 429 || status >= 500)
      throw new Passing(`status ${status}`, retryAfter(response), status === 429 || status === 503);
    if (status === 416) throw unlike(remote, contentRange(response)?.total ?? 0);
    const cure =
      status === 401 || status === 403
        ? 'It may be private or gated: accept its terms on the hub and give a token.'
        : 'Check the name of the model and its revision.';
    fail('SourceError', { what: `${name} is not to be had`, got: `status ${status}`, wanted: '200 or 206', cure });
  }
  const encoding = response.headers.get('content-encoding');
  if (encoding && encoding !== 'identity' && !text)
    fail('SourceError', { what: `${name} was sent compressed`, got: encoding, wanted: 'the bytes as they are', cure: 'Turn compression off for this file on the server.' });
  if (/^text\/html/i.test(response.headers.get('content-type') ?? ''))
    fail('SourceError', { what: `a web page was sent as ${name}`, got: 'text/html', wanted: 'model data', cure: 'It may be an error or sign-in page: open the address in a browser and look.' });
}

/** ETag without its weakness mark, else Last-Modified. */
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
  return wait > 0 ? Math.min(wait, LONGEST_RETRY_AFTER) : 0;
}
