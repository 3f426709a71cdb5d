/**
 * A model hub on two ports: lists and redirects on one, signed addresses that expire on the other, plain files beside
 * them. It breaks on demand, every request by its own rule or by a seeded draw.
 */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { gzipSync } from 'node:zlib';

export const FAULTS = [
  'cut', // the connection breaks in the middle of the body
  'truncate', // the body ends early, in good order, for the headers say so
  'stall', // the body stops and the connection stays open
  'shifted', // 206 with another range than was asked for
  '403',
  '416',
  '429',
  '500',
  '503',
  'flip', // one bit of the body is another
  'etag', // the validator of another version
  'size', // the total of another version
  'whole', // 200 and the whole file whatever was asked for
  'trickle', // a few bytes at a time
  'html', // 200 and a web page
  'gzip', // the body compressed
] as const;
export type Fault = (typeof FAULTS)[number];

export interface Request {
  path: string;
  kind: 'api' | 'resolve' | 'file';
  range?: { first: number; last: number };
  authorization?: string;
  fault?: Fault;
  /** body bytes handed to the socket */
  sent: number;
}

export interface HubOptions {
  /**
   * { 'Org/Repo': { 'model.gguf': bytes } }; large files are stated with their SHA-256, small ones with their git id
   */
  repos?: Record<string, Record<string, Uint8Array>>;
  /** decides about each request; `n` counts those of its kind */
  fault?: (request: Request, n: number) => Fault | undefined;
  /** other origins may read Content-Range and ETag */
  exposed?: boolean;
  /** how many requests a signed address serves before it expires */
  signedUses?: number;
  /** answers carry ETag and Last-Modified; without, nothing tells one version from another */
  validators?: boolean;
  /** files of this many bytes on are stated with their SHA-256: 65536 unless given */
  lfsFrom?: number;
  /** milliseconds between the pieces of 64 KB of a body: a slow line */
  pace?: number;
  /** asked before each piece of a body, which waits for what it gives */
  hold?: () => Promise<void> | undefined;
}

export interface Hub {
  origin: string;
  cdn: string;
  /** all requests so far */
  log: Request[];
  repos: Record<string, Record<string, Uint8Array>>;
  options: HubOptions;
  /** body bytes of files sent so far */
  sent(): number;
  close(): Promise<void>;
}

/** Numbers in [0, 1) by seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** Bytes by seed that begin as a GGUF file does. */
export function modelBytes(size: number, seed: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size);
  const words = new Uint32Array(bytes.buffer, 0, size >> 2);
  let x = seed * 2654435761 + 1;
  for (let i = 0; i < words.length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    words[i] = x;
  }
  bytes.set(new TextEncoder().encode('GGUF').subarray(0, size));
  return bytes;
}

/**
 * Bytes of files that were asked for by range, from entry `from` of the log on. What was sent says less: sockets take
 * what no browser reads.
 */
export const requested = ({ log }: Hub, from = 0): number =>
  log
    .slice(from)
    .reduce((sum, { kind, range }) => sum + (kind === 'file' && range ? range.last - range.first + 1 : 0), 0);

export const sha256Of = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

const hashes = new WeakMap<Uint8Array, string>();
function hashOf(bytes: Uint8Array): string {
  if (!hashes.has(bytes)) hashes.set(bytes, sha256Of(bytes));
  return hashes.get(bytes)!;
}
const gitIdOf = (bytes: Uint8Array): string =>
  createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');
const commitOf = (files: Record<string, Uint8Array>): string =>
  createHash('sha1')
    .update(
      Object.entries(files)
        .map(([name, bytes]) => name + hashOf(bytes))
        .join(),
    )
    .digest('hex');

export async function createHub(options: HubOptions = {}): Promise<Hub> {
  const repos = options.repos ?? {};
  const log: Request[] = [];
  const signatures = new Map<string, number>();
  const isLarge = (bytes: Uint8Array): boolean => bytes.length >= (options.lfsFrom ?? 65536);
  const counts = { api: 0, resolve: 0, file: 0 };
  let nextSignature = 1;

  const note = (request: IncomingMessage, kind: Request['kind']): Request => {
    const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
    const entry: Request = {
      path: request.url!,
      kind,
      sent: 0,
      ...(first && { range: { first: Number(first), last: last ? Number(last) : Infinity } }),
      ...(request.headers.authorization && { authorization: request.headers.authorization }),
    };
    entry.fault = options.fault?.(entry, counts[kind]++);
    log.push(entry);
    return entry;
  };

  const cors = (response: ServerResponse): void => {
    response
      .setHeader('access-control-allow-origin', '*')
      .setHeader('access-control-allow-headers', '*')
      .setHeader('cross-origin-resource-policy', 'cross-origin');
    if (options.exposed ?? true)
      response.setHeader(
        'access-control-expose-headers',
        'ETag, Accept-Ranges, Content-Range, X-Repo-Commit, X-Linked-Size, X-Linked-ETag, Retry-After, Content-Encoding',
      );
  };

  const status = (entry: Request, response: ServerResponse): boolean => {
    const code = Number(entry.fault);
    if (!(code >= 400)) return false;
    response.writeHead(code, code === 429 ? { 'retry-after': '0' } : {}).end(`status ${code}`);
    return true;
  };

  const front = (request: IncomingMessage, response: ServerResponse): void => {
    cors(response);
    if (request.method === 'OPTIONS') return void response.writeHead(204).end();
    const path = decodeURIComponent(request.url!.split('?')[0]);
    const [, , , repo, revision] = /^\/api(\/)(models)\/([^/]+\/[^/]+)\/revision\/(.+)$/.exec(path) ?? [];
    if (repo) {
      const entry = note(request, 'api');
      if (status(entry, response)) return;
      if (entry.fault === 'html')
        return void response.setHeader('content-type', 'text/html').end('<!doctype html><title>sign in</title>');
      const files = repos[repo];
      if (!files || !['main', commitOf(files)].includes(revision))
        return void response.writeHead(404).end('{"error":"Repository not found"}');
      const siblings = Object.entries(files).map(([rfilename, bytes]) => ({
        rfilename,
        size: bytes.length,
        blobId: gitIdOf(isLarge(bytes) ? new TextEncoder().encode(rfilename) : bytes),
        ...(isLarge(bytes) && { lfs: { sha256: hashOf(bytes), size: bytes.length, pointerSize: 134 } }),
      }));
      const answer = JSON.stringify({ id: repo, sha: commitOf(files), siblings });
      if (entry.fault === 'gzip') response.setHeader('content-encoding', 'gzip');
      return void response
        .setHeader('content-type', 'application/json')
        .end(entry.fault === 'gzip' ? gzipSync(answer) : answer);
    }
    const [, from, commit, name] = /^\/([^/]+\/[^/]+)\/resolve\/([^/]+)\/(.+)$/.exec(path) ?? [];
    if (from) {
      const entry = note(request, 'resolve');
      if (status(entry, response)) return;
      const bytes = repos[from]?.[name];
      if (!bytes || ![commitOf(repos[from]), 'main'].includes(commit))
        return void response.writeHead(404).end('Entry not found');
      const signature = String(nextSignature++);
      signatures.set(signature, options.signedUses ?? Infinity);
      response.writeHead(302, {
        location: `${hub.cdn}/${from}/${encodeURIComponent(name)}?signature=${signature}`,
        'x-repo-commit': commit,
        'x-linked-size': bytes.length,
        'x-linked-etag': `"${hashOf(bytes)}"`,
      });
      return void response.end();
    }
    const [, plain, file] = /^\/plain\/([^/]+\/[^/]+)\/(.+)$/.exec(path) ?? [];
    if (repos[plain]?.[file]) return send(repos[plain][file], note(request, 'file'), response);
    response.writeHead(404).end('not found');
  };

  const back = (request: IncomingMessage, response: ServerResponse): void => {
    cors(response);
    if (request.method === 'OPTIONS') return void response.writeHead(204).end();
    const url = new URL(request.url!, hub.cdn);
    const [, repo, name] = /^\/([^/]+\/[^/]+)\/(.+)$/.exec(decodeURIComponent(url.pathname)) ?? [];
    const entry = note(request, 'file');
    const uses = signatures.get(url.searchParams.get('signature') ?? '') ?? 0;
    if (uses <= 0)
      return void response
        .writeHead(403)
        .end('<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>');
    signatures.set(url.searchParams.get('signature')!, uses - 1);
    const bytes = repos[repo]?.[name];
    if (!bytes) return void response.writeHead(404).end('not found');
    send(bytes, entry, response);
  };

  const send = (bytes: Uint8Array, entry: Request, response: ServerResponse): void => {
    if (entry.fault === '416')
      return void response.writeHead(416, { 'content-range': `bytes */${bytes.length >> 1}` }).end();
    if (status(entry, response)) return;
    if (entry.fault === 'html')
      return void response
        .setHeader('content-type', 'text/html; charset=utf-8')
        .end('<!doctype html><title>Sign in to this network</title>');
    if (options.validators ?? true) {
      response.setHeader('etag', `"${hashOf(bytes).slice(0, 32)}${entry.fault === 'etag' ? '-2' : ''}"`);
      response.setHeader('last-modified', new Date(entry.fault === 'etag' ? 2e12 : 1e12).toUTCString());
    }
    response.setHeader('content-type', 'application/octet-stream');
    const size = bytes.length;
    const whole = entry.fault === 'whole' || !entry.range;
    let first = whole ? 0 : entry.range!.first;
    let last = whole ? size - 1 : Math.min(entry.range!.last, size - 1);
    if (first > last) return void response.writeHead(416, { 'content-range': `bytes */${size}` }).end();
    if (entry.fault === 'shifted') [first, last] = first > 0 ? [first - 1, last - 1] : [first, last];
    if (entry.fault === 'truncate') last = first + ((last - first) >> 1);
    let body = bytes.subarray(first, last + 1);
    if (entry.fault === 'flip') {
      body = body.slice();
      body[body.length >> 1] ^= 4;
    }
    if (entry.fault === 'gzip') {
      body = gzipSync(body, { level: 1 });
      response.setHeader('content-encoding', 'gzip');
    }
    response.setHeader('accept-ranges', 'bytes').setHeader('content-length', body.length);
    if (whole) response.writeHead(200);
    else
      response.writeHead(206, {
        'content-range': `bytes ${first}-${last}/${entry.fault === 'size' ? size + 1 : size}`,
      });
    void pour(body, entry, response);
  };

  const pour = async (body: Uint8Array, entry: Request, response: ServerResponse): Promise<void> => {
    const stop = entry.fault === 'cut' || entry.fault === 'stall' ? body.length >> 1 : body.length;
    const piece = entry.fault === 'trickle' ? Math.max(1, body.length >> 6) : 65536;
    const pace = entry.fault === 'trickle' ? 2 : (options.pace ?? 0);
    for (let at = 0; at < stop; at += piece) {
      await options.hold?.();
      if (response.destroyed) return;
      const part = body.subarray(at, Math.min(at + piece, stop));
      entry.sent += part.length;
      if (!response.write(part)) await drained(response);
      if (pace > 0) await new Promise((go) => setTimeout(go, pace));
    }
    if (entry.fault === 'cut') response.destroy();
    else if (entry.fault !== 'stall') response.end();
  };

  const servers: Server[] = [];
  const listen = async (handler: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> => {
    const server = createServer(handler);
    servers.push(server);
    await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
    return `http://127.0.0.1:${(server.address() as { port: number }).port}`;
  };
  const hub: Hub = {
    origin: await listen(front),
    cdn: await listen(back),
    log,
    repos,
    options,
    sent: () => log.reduce((sum, { kind, sent }) => sum + (kind === 'file' ? sent : 0), 0),
    close: async () => {
      for (const server of servers) server.closeAllConnections();
      await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
    },
  };
  return hub;
}

const drained = (response: ServerResponse): Promise<void> =>
  new Promise((resolve) => {
    const go = (): void => {
      response.off('drain', go).off('close', go);
      resolve();
    };
    response.on('drain', go).on('close', go);
  });
