/**
 * The places where a script may stand, in one Chromium: pages under policies, frames, workers, a page on disk, an
 * extension. Each has the built library as the global `rivulet`.
 */
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium, type Page, type Worker } from 'playwright';
import { chromiumArgs, findChromium } from './harness';

const root = new URL('../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8');
const hosting = read('docs/hosting.md');

/** The policy of docs/hosting.md, and what it says of Trusted Types and extensions. */
export const POLICY = /default-src 'none'; .*/.exec(hosting)![0];
const [, TRUSTED] = /`(trusted-types .*?)`/.exec(hosting)!;
const [, EXTENSION_POLICY] = /"extension_pages": "(.*)"/.exec(hosting)!;

const SCRIPT = '<script src="/rivulet.js"></script>';
const ENFORCED = "require-trusted-types-for 'script'";
const PAGES: Record<string, { policy?: string; isolated?: boolean; body?: string }> = {
  page: {},
  'isolated page': { isolated: true },
  'documented policy': { policy: POLICY },
  'nonce policy': {
    policy: "script-src 'nonce-n' 'strict-dynamic' 'wasm-unsafe-eval'; worker-src blob:",
    body: '<script nonce="n" src="/rivulet.js"></script>',
  },
  'trusted types': { policy: `${POLICY}; ${ENFORCED}`, isolated: true },
  'trusted types, listed': { policy: `${POLICY}; ${ENFORCED}; ${TRUSTED}` },
  'trusted types, by default': {
    policy: `${POLICY}; ${ENFORCED}; trusted-types default`,
    body: `<script src="/default_policy.js"></script>${SCRIPT}`,
  },
  'trusted types, others': { policy: `${POLICY}; ${ENFORCED}; trusted-types some-app` },
  'no blob policy': { policy: "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'" },
  'no WASM policy': { policy: "default-src 'self'; worker-src blob:; script-src 'self'" },
};
const FRAMES: Record<string, string> = {
  'sandboxed frame': '<iframe sandbox="allow-scripts" src="/page"></iframe>',
  'sandboxed frame with srcdoc': `<iframe sandbox="allow-scripts" srcdoc='${SCRIPT}'></iframe>`,
  'frame with srcdoc': `<iframe srcdoc='${SCRIPT}'></iframe>`,
};
const ANSWER =
  'async (code) => { try { return { value: await (0, eval)(code) }; } catch (error) { return { failed: String(error) }; } }';
/** scripts of workers that run code which they are sent, and how a page starts each as `port` */
const WORKERS: Record<string, { script: string; start: string }> = {
  worker: {
    script: `onmessage = async ({ data, ports: [port] }) => port.postMessage(await (${ANSWER})(data))`,
    start: "port = new Worker('/worker.js')",
  },
  'worker from a blob': {
    script: '',
    start:
      "port = new Worker(URL.createObjectURL(new Blob([(await (await fetch('/worker.js')).text()).replaceAll(\"'/\", `'${location.origin}/`)])))",
  },
  'shared worker': {
    script: `onconnect = ({ ports: [page] }) => (page.onmessage = async ({ data, ports: [port] }) => port.postMessage(await (${ANSWER})(data)))`,
    start: "({ port } = new SharedWorker('/shared_worker.js'))",
  },
  'service worker': {
    script: `oninstall = () => skipWaiting(); onmessage = ({ data, ports: [port] }) => void (${ANSWER})(data).then((said) => port.postMessage(said))`,
    start:
      "await navigator.serviceWorker.register('/service_worker.js', { scope: '/served/' }).then(({ installing, waiting, active }) => (port = installing ?? waiting ?? active))",
  },
};

export const PLACES = [
  ...Object.keys(PAGES),
  ...Object.keys(FRAMES),
  ...Object.keys(WORKERS),
  'page on disk',
  'extension page',
  "extension's service worker",
];
/** Where browsers start no workers. */
export const WITHOUT_WORKERS = ['shared worker', 'service worker', "extension's service worker"];

export interface Place {
  /** the value of an expression, which may be a promise; plain data */
  run(code: string): Promise<unknown>;
  close(): Promise<void>;
}

export interface Places {
  /** of the server of the pages, without a slash at the end */
  origin: string;
  open(name: string): Promise<Place>;
  close(): Promise<void>;
}

export interface PlacesOptions {
  /** files of the server, of the page on disk and of the extension: they stand beside every page */
  files: Record<string, Uint8Array>;
  /** asked before all else; what it ends is answered */
  answer?: (request: IncomingMessage, response: ServerResponse) => unknown;
}

const library = (): Buffer => readFileSync(new URL('dist/rivulet.js', root));

function answerer({ files, answer }: PlacesOptions): (request: IncomingMessage, response: ServerResponse) => void {
  const scripts: Record<string, string | Buffer> = {
    '/rivulet.js': library(),
    '/rivulet-tools.js': read('dist/rivulet-tools.js'),
    '/default_policy.js':
      "trustedTypes.createPolicy('default', { createScriptURL: (url) => (url.startsWith('blob:') ? url : null) })",
    ...Object.fromEntries(
      Object.entries(WORKERS).map(([name, { script }]) => [
        `/${name.replaceAll(' ', '_')}.js`,
        `importScripts('/rivulet.js'); ${script}`,
      ]),
    ),
  };
  return (request, response) => {
    if (answer?.(request, response) !== undefined) return;
    const path = decodeURIComponent(request.url!.split('?')[0]);
    const name = path.slice(1);
    const page = PAGES[name];
    response.setHeader('access-control-allow-origin', '*');
    if (page?.policy) response.setHeader('content-security-policy', page.policy);
    if (page?.isolated)
      response
        .setHeader('cross-origin-opener-policy', 'same-origin')
        .setHeader('cross-origin-embedder-policy', 'require-corp');
    response.setHeader('cross-origin-resource-policy', 'cross-origin');
    const html = page ? (page.body ?? SCRIPT) : FRAMES[name];
    if (html !== undefined)
      return void response
        .setHeader('content-type', 'text/html')
        .end(`<!doctype html><html lang="en"><title>Place</title><link rel="icon" href="data:,">${html}</html>`);
    if (scripts[path]) return void response.setHeader('content-type', 'text/javascript').end(scripts[path]);
    sendBytes(files[name], request, response);
  };
}

/** Bytes with ranges; without bytes the status 404. */
export function sendBytes(bytes: Uint8Array | undefined, request: IncomingMessage, response: ServerResponse): void {
  if (!bytes) return void response.writeHead(404).end('not here');
  const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
  const first = Number(from ?? 0);
  const last = to ? Math.min(Number(to), bytes.length - 1) : bytes.length - 1;
  response.setHeader('content-type', 'application/octet-stream').setHeader('content-length', last - first + 1);
  if (from !== undefined) response.writeHead(206, { 'content-range': `bytes ${first}-${last}/${bytes.length}` });
  response.end(bytes.subarray(first, last + 1));
}

export async function openPlaces(options: PlacesOptions): Promise<Places> {
  const folder = mkdtempSync(join(tmpdir(), 'rivulet-places-'));
  const server = createServer(answerer(options));
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  for (const name of ['disk', 'extension']) {
    mkdirSync(join(folder, name));
    copyFileSync(new URL('dist/rivulet.js', root), join(folder, name, 'rivulet.js'));
    writeFileSync(join(folder, name, 'page.html'), '<!doctype html><script src="rivulet.js"></script>');
    for (const [file, bytes] of Object.entries(options.files)) writeFileSync(join(folder, name, file), bytes);
  }
  writeFileSync(join(folder, 'extension/background.js'), "importScripts('rivulet.js');");
  const manifest = {
    manifest_version: 3,
    name: 'Places',
    version: '1',
    background: { service_worker: 'background.js' },
    content_security_policy: { extension_pages: EXTENSION_POLICY },
    host_permissions: ['http://127.0.0.1/*'],
  };
  writeFileSync(join(folder, 'extension/manifest.json'), JSON.stringify(manifest));
  const extension = join(folder, 'extension');
  const context = await chromium.launchPersistentContext(join(folder, 'profile'), {
    executablePath: findChromium(),
    headless: false,
    args: chromiumArgs({
      args: ['--headless=new', `--disable-extensions-except=${extension}`, `--load-extension=${extension}`],
    }),
  });
  let background: Worker | undefined;
  const ofExtension = async (): Promise<Worker> => {
    const found = (): Worker | undefined =>
      context.serviceWorkers().find((worker) => worker.url().startsWith('chrome-extension:'));
    return (background ??=
      found() ??
      (await context.waitForEvent('serviceworker', {
        predicate: (worker) => worker.url().startsWith('chrome-extension:'),
        timeout: 20_000,
      })));
  };

  async function open(name: string): Promise<Place> {
    if (name === "extension's service worker") {
      const worker = await ofExtension();
      return { run: (code) => worker.evaluate(code), close: async () => undefined };
    }
    const tab = await context.newPage();
    const close = (): Promise<void> => tab.close();
    if (name === 'page on disk') await tab.goto(`file://${folder}/disk/page.html`);
    else if (name === 'extension page')
      await tab.goto(`chrome-extension://${new URL((await ofExtension()).url()).host}/page.html`);
    else await tab.goto(`${origin}/${encodeURIComponent(WORKERS[name] ? 'page' : name)}`);
    if (FRAMES[name]) {
      const frame = (await (await tab.waitForSelector('iframe')).contentFrame())!;
      await frame.waitForFunction('typeof rivulet === "object"');
      return { run: (code) => frame.evaluate(code), close };
    }
    if (!WORKERS[name]) return { run: (code) => tab.evaluate(code), close };
    await tab.evaluate(`(async () => { let port; ${WORKERS[name].start}; globalThis.port = port; })()`);
    return { run: (code) => inWorker(tab, code), close };
  }

  const closeAll = async (): Promise<void> => {
    await context.close();
    server.closeAllConnections();
    await new Promise((closed) => server.close(closed));
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  return { origin, open, close: closeAll };
}

async function inWorker(tab: Page, code: string): Promise<unknown> {
  const answer = (await tab.evaluate(
    (code) =>
      new Promise((resolve) => {
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = ({ data }) => resolve(data);
        (globalThis as unknown as { port: MessagePort }).port.postMessage(code, [port2]);
      }),
    code,
  )) as { value?: unknown; failed?: string };
  if (answer.failed) throw new Error(answer.failed);
  return answer.value;
}
