/** Writes the service worker of a built site: demo/service_worker.ts with the list of the site's files. */
import { createHash, type Hash } from 'node:crypto';
import { createReadStream, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { build, type Plugin } from 'vite';

const WORKER = 'service_worker.js';
/**
 * Models are stored by the library. The others are not needed without a network: screenshots of the installation
 * dialog, older forms of fonts.
 */
const NOT_STORED = [/^models\//, /^screenshots\//, /\.(?:ttf|woff|txt|map)$/];
/**
 * Stored when they are first used: they belong to the other pages or to models that see, and would be a large part of a
 * first visit to the chat page.
 */
const ON_USE = [
  /^rivulet(?:-\w+)?\.js$/,
  /^(?:bench|element|inside|script-tag)\.html$/,
  /^assets\/(?:bench|inside|vision|encoders)[-_]/,
];
const VERSION_TAG = /<meta name="rivulet-version" content="[^"]*" \/>\n?/;

export function serviceWorkerPlugin(site: string): Plugin {
  return {
    name: 'rivulet-service-worker',
    apply: 'build',
    closeBundle: { order: 'post', sequential: true, handler: async () => void (await writeServiceWorker(site)) },
  };
}

/** Marks each page of the folder with its version, and writes the worker. Call it again after a change of any file. */
export async function writeServiceWorker(folder: string): Promise<{ version: string; files: Record<string, string> }> {
  const paths = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((path) => path.replaceAll('\\', '/'))
    .filter((path) => path !== WORKER && statSync(join(folder, path)).isFile())
    .sort();
  const hashes: Record<string, string> = {};
  for (const path of paths)
    hashes[path] = isPage(path)
      ? shortHash(createHash('sha256').update(pageOf(join(folder, path))))
      : await hashOf(join(folder, path));
  const version = shortHash(createHash('sha256').update(JSON.stringify(hashes)));
  for (const path of paths.filter(isPage)) {
    const page = pageOf(join(folder, path));
    if (!page.includes('</head>'))
      throw new Error(`${path} has no </head>. The version of the page is written before it.`);
    writeFileSync(
      join(folder, path),
      page.replace('</head>', `<meta name="rivulet-version" content="${version}" />\n</head>`),
    );
  }
  const files = Object.fromEntries(
    Object.entries(hashes).filter(([path]) => !NOT_STORED.some((pattern) => pattern.test(path))),
  );
  await build({
    configFile: false,
    publicDir: false,
    logLevel: 'warn',
    define: {
      FILES: JSON.stringify(files),
      VERSION: JSON.stringify(version),
      ON_USE: JSON.stringify(Object.keys(files).filter((path) => ON_USE.some((pattern) => pattern.test(path)))),
    },
    build: {
      target: 'es2022',
      outDir: folder,
      emptyOutDir: false,
      reportCompressedSize: false,
      lib: {
        entry: resolve(fileURLToPath(import.meta.url), '../../service_worker.ts'),
        name: 'rivuletServiceWorker',
        formats: ['iife'],
        fileName: () => WORKER,
      },
    },
  });
  return { version, files };
}

const isPage = (path: string): boolean => path.endsWith('.html');

/** The text of a page, without its version. */
const pageOf = (file: string): string => readFileSync(file, 'utf8').replace(VERSION_TAG, '');

const shortHash = (hash: Hash): string => hash.digest('hex').slice(0, 16);

/** Models are too large for one buffer. */
async function hashOf(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return shortHash(hash);
}
