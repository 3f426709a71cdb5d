/** What every browser test and tool needs: a Chromium, and a server of this repository with COOP/COEP. */
import { createReadStream, existsSync, readdirSync, statSync } from 'node:fs';
import type { ServerResponse, IncomingMessage } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { chromium, type Browser, type CDPSession, type Page } from 'playwright';
import { createServer, type Plugin } from 'vite';
import { findChromium } from './system';

export { findChromium };

export interface LaunchOptions {
  /** WebGPU on Chromium's software adapter (subgroups of 4, no shader-f16) */
  webgpu?: boolean;
  /** 'hardware' leaves the adapter to the browser */
  adapter?: 'swiftshader' | 'hardware';
  args?: string[];
}

export function launchChromium({
  webgpu = false,
  adapter = 'swiftshader',
  args = [],
}: LaunchOptions = {}): Promise<Browser> {
  return chromium.launch({
    executablePath: findChromium(),
    headless: true,
    args: chromiumArgs({ webgpu, adapter, args }),
  });
}

/**
 * Playwright's, since a second list replaces the first, and the pages of the address bar: each new window loaded them,
 * a third of what a visit of the chat page costs.
 */
const DISABLED_FEATURES = [
  'AvoidUnnecessaryBeforeUnloadCheckSync',
  'DestroyProfileOnBrowserClose',
  'HttpsUpgrades',
  'HttpsFirstBalancedModeAutoEnable',
  'LensOverlay',
  'MediaRouter',
  'PaintHolding',
  'ThirdPartyStoragePartitioning',
  'AvoidCorsURLLoaderRestartOnRedirect',
  'OptimizationHints',
  'NetworkTimeServiceQuerying',
  'AimEnabled',
  'PreconnectToSearch',
  'WebUIOmniboxPopup',
  'WebUIOmniboxAimPopup',
];

/** $CHROMIUM_ARGS are added: a GPU may need some that others do not. */
export const chromiumArgs = ({ webgpu = false, adapter = 'swiftshader', args = [] }: LaunchOptions): string[] => [
  '--no-sandbox',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  `--disable-features=${DISABLED_FEATURES.join(',')}`,
  ...(webgpu ? ['--enable-unsafe-webgpu'] : []),
  // zeroing workgroup memory by Vulkan's extension makes SwiftShader compile a kernel in seconds; by the shader itself,
  // 10 times faster
  ...(webgpu && adapter === 'swiftshader'
    ? [
        '--use-webgpu-adapter=swiftshader',
        '--disable-dawn-features=use_vulkan_zero_initialize_workgroup_memory_extension',
      ]
    : []),
  ...(process.env.CHROMIUM_ARGS?.split(' ').filter(Boolean) ?? []),
  ...args,
];

export interface ServeOptions {
  /** directories served under a prefix, with byte ranges: { '/model': '…/gguf' } */
  mounts?: Record<string, string>;
  /** COOP/COEP headers; without them a page has no threads */
  isolated?: boolean;
  /** asked before all else; what it ends is answered */
  answer?: (request: IncomingMessage, response: ServerResponse) => unknown;
}

export interface Served {
  origin: string;
  close(): Promise<void>;
}

/** Serves the sources of this repository (through Vite, so that pages may import TypeScript) and the mounts. */
export async function serve({ mounts = {}, isolated = true, answer }: ServeOptions = {}): Promise<Served> {
  // named also when off: they are merged with those of the configuration
  const headers = {
    'Cross-Origin-Opener-Policy': isolated ? 'same-origin' : 'unsafe-none',
    'Cross-Origin-Embedder-Policy': isolated ? 'require-corp' : 'unsafe-none',
  };
  const server = await createServer({
    appType: 'mpa',
    logLevel: 'error',
    clearScreen: false,
    plugins: [mount(mounts, answer), quiet],
    server: { host: '127.0.0.1', port: 0, strictPort: false, headers, hmr: false, ws: false, watch: null },
  });
  await server.listen();
  const address = server.httpServer?.address();
  if (!address || typeof address === 'string') throw new Error('the test server did not get a port');
  return { origin: `http://127.0.0.1:${address.port}`, close: () => server.close() };
}

/** Pages of tests need no reloading: without Vite's client they do not look for its socket. */
const quiet: Plugin = {
  name: 'rivulet-quiet',
  transformIndexHtml: {
    order: 'post',
    handler: (html) => html.replace(/<script[^>]*src="\/@vite\/client"[^>]*><\/script>/, ''),
  },
};

function mount(mounts: Record<string, string>, answer?: ServeOptions['answer']): Plugin {
  return {
    name: 'rivulet-mounts',
    configureServer(server) {
      if (answer)
        server.middlewares.use((request, response, next) => {
          if (answer(request, response) === undefined) next();
        });
      for (const [prefix, directory] of Object.entries(mounts))
        server.middlewares.use(prefix, (request, response) => sendFile(directory, request, response));
    },
  };
}

const TYPES: Record<string, string> = {
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.wasm': 'application/wasm',
  '.json': 'application/json',
  '.html': 'text/html',
  '.css': 'text/css',
};

/** A file with byte ranges; a directory as a JSON list of its files. */
export function sendFile(directory: string, request: IncomingMessage, response: ServerResponse): void {
  const path = join(directory, normalize(`/${decodeURIComponent((request.url ?? '/').split('?')[0])}`));
  if (!existsSync(path)) return void response.writeHead(404).end(`no such file: ${request.url}`);
  const { size, mtimeMs } = statSync(path);
  if (statSync(path).isDirectory())
    return void response.setHeader('content-type', 'application/json').end(JSON.stringify(readdirSync(path)));
  response
    .setHeader('accept-ranges', 'bytes')
    .setHeader('etag', `"${size}-${mtimeMs}"`)
    .setHeader('content-type', TYPES[extname(path)] ?? 'application/octet-stream');
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
  const first = range ? Number(range[1]) : 0;
  const last = range?.[2] ? Math.min(Number(range[2]), size - 1) : size - 1;
  if (range && first > last) return void response.writeHead(416, { 'content-range': `bytes */${size}` }).end();
  if (range)
    response.writeHead(206, { 'content-range': `bytes ${first}-${last}/${size}`, 'content-length': last - first + 1 });
  else response.writeHead(200, { 'content-length': size });
  if (request.method === 'HEAD' || size === 0) return void response.end();
  createReadStream(path, { start: first, end: last })
    .on('error', () => response.destroy())
    .pipe(response);
}

/** An empty page of the server, its console and errors copied to stderr. */
export async function openPage(browser: Browser, origin: string, path = '/e2e/pages/blank.html'): Promise<Page> {
  const page = await browser.newPage();
  page.on('console', (message) => console.error(`page: ${message.text()}`));
  page.on('pageerror', (error) => console.error(`page: ${error.stack ?? error}`));
  await page.goto(origin + path);
  return page;
}

/** CPU seconds of the pages of a browser so far, their workers among them. */
export async function cpuSeconds(session: CDPSession): Promise<number> {
  const { processInfo } = await session.send('SystemInfo.getProcessInfo');
  return processInfo.filter(({ type }) => type === 'renderer').reduce((sum, { cpuTime }) => sum + cpuTime, 0);
}
