/**
 * The service worker of the pages. It stores them for use without a network, and adds the headers that threads need.
 *
 * Each build has a cache of its own with all its files. Models are not in it: the library stores them itself. The cache
 * of an earlier build stays while one of its pages may be open, since such a page may still load a part of itself.
 */
import type { IsolationMode, WorkerMessage } from './chat/pwa/worker_messages';

declare const self: ServiceWorkerGlobalScope;
/**
 * set by the build (demo/build/service_worker.ts): the path of each file and a hash of its content, and a hash of them
 * all
 */
declare const FILES: Record<string, string>;
declare const VERSION: string;
/** files that are stored when they are first used: most visitors of the chat page never open the other page */
declare const ON_USE: string[];

const { scope } = self.registration;
/** named once: the build puts the whole list in the place of the name */
const files = FILES;
const BUILD = `rivulet ${scope} build `;
const CURRENT = BUILD + VERSION;
const SETTINGS = `rivulet ${scope} settings`;
/** header of a stored file: the hash of its content */
const HASH = 'x-rivulet-hash';
/** files with a hash in their name: an earlier build's may still be requested */
const ASSETS = 'assets/';

const urlOf = (path: string): string => new URL(path, scope).href;
/** '/assets/vision-CBWsG7h_.js' → '/assets/vision.js': the hash is another one in each build */
const withoutHash = (name: string): string => name.replace(/(\/assets\/.+)-[\w-]{8}(?=\.\w+$)/, '$1');
const earlierBuilds = async (): Promise<string[]> =>
  (await caches.keys()).filter((name) => name.startsWith(BUILD) && name !== CURRENT);

self.addEventListener('install', (event) => event.waitUntil(storeFiles()));
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));
self.addEventListener('message', (event) => event.waitUntil(obey(event.data as WorkerMessage, event.ports[0])));
self.addEventListener('fetch', (event) => {
  const path = pathOf(event.request);
  if (path !== undefined) event.respondWith(respond(event.request, path));
});

// Storing

async function storeFiles(): Promise<void> {
  const current = await caches.open(CURRENT);
  const earlier = await Promise.all((await earlierBuilds()).map((name) => caches.open(name)));
  const requests = (await Promise.all(earlier.map((cache) => cache.keys()))).flat();
  const used = new Set(requests.map(({ url }) => withoutHash(url)));
  await Promise.all(
    Object.keys(files).map(async (path) => {
      const copies = (await Promise.all(earlier.map((cache) => cache.match(urlOf(path))))).filter(
        (copy) => copy !== undefined,
      );
      if (ON_USE.includes(path) && !used.has(withoutHash(urlOf(path)))) return;
      await current.put(
        urlOf(path),
        copies.find(({ headers }) => headers.get(HASH) === files[path]) ?? (await download(path)),
      );
    }),
  );
}

/**
 * @throws if the server does not have the file, or has another build's page: the browser then installs this worker
 * later
 */
async function download(path: string): Promise<Response> {
  // a file whose name has a hash may come from the HTTP cache, which the page has just filled
  const response = await fetch(urlOf(path), { cache: path.startsWith(ASSETS) ? 'default' : 'no-cache' });
  const isPage = path.endsWith('.html');
  if (!response.ok) throw new Error(`${path}: status ${response.status}`);
  if (!isPage && response.headers.get('content-type')?.startsWith('text/html'))
    throw new Error(`${path}: the server sent a page instead`);
  const body = await response.arrayBuffer();
  if (isPage && !new TextDecoder().decode(body).includes(VERSION))
    throw new Error(`${path}: the server sent another version`);
  const headers = new Headers(response.headers);
  headers.set(HASH, files[path]);
  // the body is decoded already
  for (const name of ['content-encoding', 'content-length']) headers.delete(name);
  return new Response(body, { headers });
}

// Answering

/** The path of a stored file; undefined for requests that go their own way: to other hosts, for models, for ranges. */
function pathOf({ method, url, headers }: Request): string | undefined {
  if (method !== 'GET' || !url.startsWith(scope) || headers.has('range')) return undefined;
  const path = new URL(url).pathname.slice(new URL(scope).pathname.length) || 'index.html';
  if (path.startsWith(ASSETS)) return path;
  // some hosts leave out .html
  return [path, `${path}.html`].find((name) => Object.hasOwn(files, name));
}

async function respond(request: Request, path: string): Promise<Response> {
  if (ON_USE.includes(path)) await storeOnUse(path);
  return isolated((await stored(path)) ?? (await fetch(request)));
}

async function storeOnUse(path: string): Promise<void> {
  if (await stored(path)) return;
  // without it the page comes from the network
  await download(path)
    .then(async (response) => (await caches.open(CURRENT)).put(urlOf(path), response))
    .catch(() => undefined);
}

async function stored(path: string): Promise<Response | undefined> {
  for (const name of Object.hasOwn(files, path) ? [CURRENT] : await earlierBuilds()) {
    const found = await (await caches.open(name)).match(urlOf(path));
    if (found) return found;
  }
  return undefined;
}

// Isolation

let isolation: Promise<IsolationMode> | undefined;
const isolationMode = (): Promise<IsolationMode> => (isolation ??= readIsolationMode());

async function readIsolationMode(): Promise<IsolationMode> {
  const stored = await (await caches.open(SETTINGS)).match(urlOf('isolation'));
  return (await stored?.text()) === 'require-corp' ? 'require-corp' : 'credentialless';
}

/** The response with the headers that isolate a page, unless the host sends them itself. */
async function isolated(response: Response): Promise<Response> {
  const headers = new Headers(response.headers);
  const opener = headers.get('cross-origin-opener-policy') ?? '';
  const embedder = headers.get('cross-origin-embedder-policy') ?? '';
  if (response.type === 'opaqueredirect' || response.status === 0) return response;
  if (/^same-origin\b(?!-)/.test(opener) && /^(require-corp|credentialless)\b/.test(embedder)) return response;
  headers.set('cross-origin-opener-policy', 'same-origin');
  headers.set('cross-origin-embedder-policy', await isolationMode());
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}

// Messages

async function obey(message: WorkerMessage, port: MessagePort | undefined): Promise<void> {
  if (message.do === 'activate') await self.skipWaiting();
  else if (message.do === 'tidy') await tidy();
  else if (message.do === 'isolate') {
    isolation = Promise.resolve(message.mode);
    await (await caches.open(SETTINGS)).put(urlOf('isolation'), new Response(message.mode));
    port?.postMessage('stored');
  }
}

async function tidy(): Promise<void> {
  const { installing, waiting } = self.registration;
  const pages = await self.clients.matchAll({ type: 'window', includeUncontrolled: true });
  // a worker that waits has stored its files already
  if (installing || waiting || pages.filter(({ url }) => url.startsWith(scope)).length > 1) return;
  for (const name of await earlierBuilds()) await caches.delete(name);
}
