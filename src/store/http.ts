/** Downloads files over HTTP in ranges. After a temporary failure only the missing bytes are requested again. */
import { fail } from '../errors';
import {
  connect,
  contentRange,
  FileChangedError,
  FileContentError,
  PAGE_CURE,
  TemporaryFailure,
  validator,
  wrongSize,
  type HttpRequestOptions,
  type RemoteFile,
} from './http_connection';
import { withRetries } from './http_retries';
import type { FileRecord } from './model_cache';
import { ProgressMeter } from './progress';

/** The server sends the whole file for any range. */
export class RangesIgnoredError extends Error {}

/**
 * Fills `into` with the bytes of the file from `first` on. @throws SourceError, FileChangedError, RangesIgnoredError,
 * AbortError
 */
export async function fetchRange(
  remote: RemoteFile,
  first: number,
  into: Uint8Array,
  options: HttpRequestOptions,
): Promise<void> {
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

/**
 * The whole file from its beginning, for servers without ranges. Each attempt starts again: `restart` is called first.
 */
export async function fetchWholeFile(
  remote: RemoteFile,
  restart: () => void,
  take: (piece: Uint8Array) => Promise<void>,
  options: HttpRequestOptions,
): Promise<void> {
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
        if (text.length > 32 << 20)
          fail('SourceError', { what: `The response of ${url} is too long`, wanted: 'a list of files' });
      }
    } finally {
      connection.end();
    }
    return { more: false };
  });
  try {
    return JSON.parse(text);
  } catch (cause) {
    fail(
      'SourceError',
      { what: `${url} did not answer with JSON`, got: text.slice(0, 60), cure: 'Check the address of the hub.' },
      cause,
    );
  }
}

/**
 * Size, validator and first bytes of a file at an address. A file whose size the server does not state is read whole,
 * into a blob.
 * @param options.peek true: such a file is refused
 * @throws SourceError, AbortError
 */
export async function fetchFileInfo(
  url: string,
  name: string,
  options: HttpRequestOptions & { peek?: boolean },
): Promise<FileRecord> {
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
        else if (response.status === 200 || range === 'bytes=0-')
          file.size = Number.isSafeInteger(length) ? length : -1;
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
    fail('SourceError', {
      what: `The server does not state the size of ${name}`,
      got: 'no Content-Length',
      cure: 'Serve the file uncompressed, with its length.',
    });
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

/**
 * Rejects bytes that are clearly not the file, such as an error or sign-in page with status 200. @throws SourceError
 */
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

/** The bytes [first, end) of a file, or all of it; never more, perhaps fewer. */
async function* fetchPieces(
  remote: RemoteFile,
  range: { first: number; end: number } | undefined,
  options: HttpRequestOptions,
): AsyncGenerator<Uint8Array> {
  const { file } = remote;
  const { first, end } = range ?? { first: 0, end: file.size };
  const connection = await connect(remote, { range: range && `bytes=${first}-${end - 1}` }, options);
  try {
    const { response } = connection;
    const pinned = file.sha256 || file.gitId;
    const tag = validator(response);
    if (!pinned && file.etag && tag && tag !== file.etag)
      throw new FileChangedError(file.name, `version ${tag}`, file.etag);
    const length = Number(response.headers.get('content-length') ?? NaN);
    if (response.status === 200) {
      if (length >= 0 && length !== file.size) throw wrongSize(remote, length);
      if (first > 0 || end < file.size) throw new RangesIgnoredError();
    } else {
      const got = contentRange(response);
      if (got && got.total !== undefined && got.total !== file.size) throw wrongSize(remote, got.total);
      if (got && (got.first !== first || got.last >= end))
        throw new TemporaryFailure(`bytes ${got.first}-${got.last} instead of ${first}-${end - 1}`);
      if (length > end - first) throw new TemporaryFailure(`${length} bytes instead of ${end - first}`);
    }
    let at = first;
    for await (const piece of connection.pieces()) {
      at += piece.length;
      if (at > end) throw new TemporaryFailure('more bytes than were asked for');
      yield piece;
    }
    if (at < end && !(at - first === length && response.status === 206))
      throw new TemporaryFailure(`cut off after ${at - first} of ${end - first} bytes`);
  } finally {
    connection.end();
  }
}
