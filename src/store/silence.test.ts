/** Addresses from which nothing comes, or nothing of known length. */
import 'fake-indexeddb/auto';
import { IDBFactory } from 'fake-indexeddb';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { modelBytes } from '../../e2e/hub';
import { openModel, type OpenedModel, type OpenOptions } from './open_model';
import type { Progress } from './progress';

const bytes = modelBytes(300_000, 5);
let server: Server | undefined;
let origin: string;

async function listen(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<void> {
  server = createServer(answer);
  await new Promise<void>((ready) => server!.listen(0, '127.0.0.1', ready));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
async function close(): Promise<void> {
  server?.closeAllConnections();
  await new Promise((closed) => (server ? server.close(closed) : closed(undefined)));
  server = undefined;
}
/** An address where nobody listens. */
async function nobody(): Promise<string> {
  await listen(() => undefined);
  await close();
  return `${origin}/m.gguf`;
}

beforeEach(() => void (globalThis.indexedDB = new IDBFactory()));
afterEach(async () => {
  vi.unstubAllGlobals();
  await close();
});

const refusal = async (
  source: string,
  options: OpenOptions = {},
): Promise<{ name: string; message: string; causes: string[]; ms: number }> => {
  const causes: string[] = [];
  const began = performance.now();
  const onProgress = ({ cause }: Progress): void => void (cause && causes.push(cause));
  const { name, message } = await openModel(source, { ...options, onProgress }).then(
    () => new Error('taken'),
    (error: Error) => error,
  );
  return { name, message, causes, ms: performance.now() - began };
};

it('where nobody listens it gives up within 10 s, and tells the causes before and at the end', async () => {
  const { name, message, causes, ms } = await refusal(await nobody());
  expect([name, message]).toEqual([
    'SourceError',
    expect.stringMatching(
      /^m\.gguf cannot be downloaded: got .*Check the address and the connection.*connect-src.*CORS/,
    ),
  ]);
  expect(causes.length).toBeGreaterThan(1);
  expect(causes[0]).toMatch(/The next attempt is in \d+ s\.$/);
  expect(ms).toBeGreaterThan(1000); // a server may be starting
  expect(ms).toBeLessThan(10_000);
});

it('a device that is offline is told so after one request', async () => {
  vi.stubGlobal('navigator', { onLine: false });
  const { message, causes, ms } = await refusal(await nobody());
  expect(message).toContain('no connection: this device is offline');
  expect(causes).toEqual([]);
  expect(ms).toBeLessThan(400); // less than the wait before a second request
});

it.each([
  ['file:///m.gguf', /let the user choose the file, or serve the folder/],
  ['app://local/m.gguf', /Check the address/],
])('%s, which is on no server, is asked for once', async (address, cure) => {
  const { name, message, causes, ms } = await refusal(address);
  expect([name, message]).toEqual(['SourceError', expect.stringMatching(cure)]);
  expect(causes).toEqual([]);
  expect(ms).toBeLessThan(400);
});

it('a device that calls itself offline reads from the servers that it reaches', async () => {
  vi.stubGlobal('navigator', { onLine: false });
  await listen((_, response) => response.writeHead(200, { 'content-length': bytes.length }).end(bytes));
  await (await openModel(`${origin}/m.gguf`)).close();
});

it('a server that answers no requests for ranges compresses, probably', async () => {
  await listen((request, response) => void (request.headers.range ? request.socket.destroy() : response.end(bytes)));
  expect((await refusal(`${origin}/m.gguf`, { policy: { backoff: 10, attempts: 3 } })).message).toMatch(
    /no answer to a request for a range\. Turn compression off/,
  );
});

it('an abort ends the attempts at once', async () => {
  const controller = new AbortController();
  const url = await nobody();
  const began = performance.now();
  const opened = openModel(url, {
    signal: controller.signal,
    onProgress: ({ cause }) => void (cause && controller.abort()),
  });
  await expect(opened).rejects.toMatchObject({ name: 'AbortError' });
  expect(performance.now() - began).toBeLessThan(1000);
});

it('a busy server is told of before the wait', async () => {
  let asked = 0;
  await listen((_, response) => response.writeHead(asked++ ? 404 : 429, { 'retry-after': '1' }).end());
  const { message, causes } = await refusal(`${origin}/m.gguf`);
  expect(causes).toEqual(['status 429. The next attempt is in 1 s.']);
  expect(message).toContain('status 404');
});

it('a connection that breaks after an answer is tried as long as before', async () => {
  let asked = 0;
  await listen((request, response) => {
    if (request.headers.range !== 'bytes=0-15' && asked++ < 5) return void request.socket.destroy();
    const [, first, last] = /bytes=(\d+)-(\d+)/.exec(request.headers.range!)!.map(Number);
    const part = bytes.subarray(first, last + 1);
    response
      .writeHead(206, {
        'content-range': `bytes ${first}-${first + part.length - 1}/${bytes.length}`,
        'content-length': part.length,
        etag: '"1"',
      })
      .end(part);
  });
  const model = await openModel(`${origin}/m.gguf`, { policy: { backoff: 1 } });
  expect(await model.files[0].read(0, 4)).toEqual(bytes.slice(0, 4));
  expect(asked).toBeGreaterThan(5);
  await model.close();
});

it.each([['http://name:secret@127.0.0.1:9/m.gguf'], ['http://:secret@127.0.0.1:9/m.gguf']])(
  'an address with a password is refused without a request',
  async (address) => {
    const { name, message } = await refusal(address);
    expect([name, message]).toEqual([
      'RequestError',
      expect.stringContaining('The address at 127.0.0.1:9 has a user name or password'),
    ]);
    expect(message).not.toContain('secret');
  },
);

it.each(['m.gguf', 'models/m.gguf', 'models/'])('%s is asked of no hub: the error says what to write', async (path) => {
  const { name, message } = await refusal(path, { hub: 'http://127.0.0.1:9' });
  expect([name, message]).toEqual([
    'RequestError',
    expect.stringContaining(`For a file of this site write './${path}'`),
  ]);
});

const readAll = async ({ files: [file] }: OpenedModel): Promise<Buffer> => Buffer.from(await file.read(0, file.size));

it.each([true, false])('a file of unknown length is read as it comes, once (cache: %s)', async (cache) => {
  const asked: (string | undefined)[] = [];
  await listen((request, response) => {
    asked.push(request.headers.range);
    response.write(bytes.subarray(0, 1000)); // without Content-Length
    response.end(bytes.subarray(1000));
  });
  const told: Progress[] = [];
  const model = await openModel(`${origin}/m.gguf`, {
    cache,
    onProgress: (progress) => told.push(progress),
    policy: { chunkBytes: 65536 },
  });
  expect(await readAll(model)).toEqual(Buffer.from(bytes));
  expect(asked.filter((range) => !range)).toHaveLength(1);
  expect(told.some(({ phase, bytes, total }) => phase === 'download' && bytes > 0 && total === 0)).toBe(true);
  await model.finish();
  await model.close();
  const again = await openModel(`${origin}/m.gguf`, { cache });
  expect(again.cached).toBe(cache);
  await again.close();
});

it('a file of unknown length is not read before a download', async () => {
  await listen((_, response) => {
    response.write(bytes.subarray(0, 1000));
    response.end(bytes.subarray(1000));
  });
  await expect(openModel(`${origin}/m.gguf`, { peek: true })).rejects.toMatchObject({
    name: 'SourceError',
    message: expect.stringContaining('does not state the size'),
  });
});

it('an error page of unknown length is refused at its beginning', async () => {
  let sent = 0;
  await listen((_, response) => {
    const more = (): void =>
      void (
        response.destroyed ||
        (sent++ < 1000 && (response.write('<!doctype html>'.padEnd(65536)), setTimeout(more, 1)))
      );
    more();
  });
  expect((await refusal(`${origin}/m.gguf`)).message).toContain('something else instead of m.gguf');
  expect(sent).toBeLessThan(500);
});
