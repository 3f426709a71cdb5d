/**
 * The built site on a plain static server, as a user's host would serve it: any sub-path, with or without COOP/COEP.
 */
import { createReadStream, existsSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import type { Socket } from 'node:net';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

export const BUILT_SITE = fileURLToPath(new URL('../dist/site/', import.meta.url));

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.webmanifest': 'application/manifest+json',
  '.json': 'application/json',
};

export interface SiteOptions {
  /** the path that the site lies under */
  base?: string;
  /** COOP/COEP headers */
  isolated?: boolean;
  /** every origin may read the files, also that of a sandboxed frame */
  shared?: boolean;
  /** the browser may keep pages that were left, and go back to them as they were */
  kept?: boolean;
  /** another folder than dist/site */
  root?: string;
  /** the port of a server that was closed */
  port?: number;
}

export interface Site {
  /** the address of the site's root, with a slash */
  url: string;
  /** paths asked for, in order */
  asked: string[];
  /** paths that get 503 instead of the file */
  refuse: RegExp | undefined;
  /** bytes sent so far, headers among them, without compression */
  sent(): number;
  port: number;
  close(): Promise<void>;
}

export async function serveSite({
  base = '/',
  isolated = true,
  shared = false,
  kept = false,
  root = BUILT_SITE,
  port = 0,
}: SiteOptions = {}): Promise<Site> {
  if (!existsSync(join(root, 'index.html'))) throw new Error(`${root} has no built site. Run \`npm run build\` first.`);
  const server = createServer((request, response) => {
    const path = decodeURIComponent((request.url ?? '/').split('?')[0]);
    site.asked.push(path);
    if (isolated)
      response
        .setHeader('Cross-Origin-Opener-Policy', 'same-origin')
        .setHeader('Cross-Origin-Embedder-Policy', 'require-corp');
    if (shared) response.setHeader('Access-Control-Allow-Origin', '*');
    if (!kept) response.setHeader('Cache-Control', 'no-store');
    if (site.refuse?.test(path)) return void response.writeHead(503).end('refused by the test');
    const file = join(root, normalize(`/${path.startsWith(base) ? path.slice(base.length) : '?'}`));
    const found = existsSync(file) && statSync(file).isDirectory() ? join(file, 'index.html') : file;
    if (!existsSync(found)) return void response.writeHead(404).end(`no such file: ${path}`);
    const { size } = statSync(found);
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
    const first = range ? Number(range[1]) : 0;
    const last = range?.[2] ? Math.min(Number(range[2]), size - 1) : size - 1;
    response
      .setHeader('Content-Type', TYPES[extname(found)] ?? 'application/octet-stream')
      .setHeader('Content-Length', last - first + 1);
    response.setHeader('Accept-Ranges', 'bytes');
    if (range) response.writeHead(206, { 'Content-Range': `bytes ${first}-${last}/${size}` });
    if (request.method === 'HEAD') return void response.end();
    createReadStream(found, { start: first, end: last })
      .on('error', () => response.destroy())
      .pipe(response);
  });
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => sockets.add(socket));
  await new Promise<void>((listening) => server.listen(port, '127.0.0.1', listening));
  const address = server.address();
  if (!address || typeof address === 'string') throw new Error('the static server did not get a port');
  const site: Site = {
    url: `http://127.0.0.1:${address.port}${base}`,
    asked: [],
    refuse: undefined,
    sent: () => [...sockets].reduce((sum, { bytesWritten }) => sum + bytesWritten, 0),
    port: address.port,
    async close() {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    },
  };
  return site;
}
