/**
 * What a page loads, in bytes:  npm run size [-- --json]
 *
 * `files` are the files of a page with `<script src="rivulet.js">`, which is one: library, worker, shaders and WASM are
 * inlined in it, the WASM in two variants, of which a page uses one. `total` is what it takes to run: the file with the
 * larger variant alone. `parts` says what shaders and kernels weigh by themselves. `sideFiles` are loaded by the calls
 * or models that need them; `all` is the library and its side files in one. `entries` are the interfaces beside it.
 */
import { existsSync, readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { build } from 'vite';
import { readShaders } from '../../shaders/plugin';
import { SIDE_FILES } from '../../side_files';
import { compileKernels, packToBase64, packKernels } from '../../src/backend/wasm/kernels/build';
import { flag, startTool } from './options';

export interface Size {
  raw: number;
  gzip: number;
  brotli: number;
}

type NamedSize = Size & { name: string };

export interface Sizes {
  files: NamedSize[];
  sideFiles: NamedSize[];
  all: NamedSize;
  /** interfaces with a file of their own, where they were built */
  entries: NamedSize[];
  parts: NamedSize[];
  total: Size;
}

/** Library, worker, shaders and a WASM variant, gzip */
export const LIMIT = 150_000;
/** The side file `grammar`, gzip */
export const GRAMMAR_LIMIT = 30_000;

const measure = (content: string | Uint8Array): Size => ({
  raw: Buffer.byteLength(content),
  gzip: gzipSync(content, { level: 9 }).length,
  brotli: brotliCompressSync(content, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }).length,
});

const read = (name: string): string => readFileSync(new URL(`../../dist/${name}`, import.meta.url), 'utf8');
const ENTRIES = ['openai', 'prompt-api', 'router', 'search-index', 'session'].map((name) => `rivulet-${name}.mjs`);
const isBuilt = (name: string): boolean => existsSync(new URL(`../../dist/${name}`, import.meta.url));
const sizeOf = (name: string): NamedSize => ({ name, ...measure(read(name)) });

/** Sizes of dist/rivulet.js and the scripts beside it as they were built last. */
export async function sizes(): Promise<Sizes> {
  const script = read('rivulet.js');
  const variants = await Promise.all([compileKernels('simd'), compileKernels('relaxed')]);
  const alone = await Promise.all(variants.map(packToBase64));
  const larger = alone[0].length > alone[1].length ? alone[0] : alone[1];
  const { text } = await packKernels();
  if (!script.includes(text))
    throw new Error('dist/rivulet.js was built from other kernels. Run `npm run build` first.');
  return {
    files: [sizeOf('rivulet.js')],
    sideFiles: SIDE_FILES.map((name) => sizeOf(`rivulet-${name}.js`)),
    all: sizeOf('rivulet-all.js'),
    entries: ENTRIES.filter(isBuilt).map(sizeOf),
    parts: [
      { name: 'shaders (WGSL)', ...measure(JSON.stringify(readShaders())) },
      { name: 'kernels (WASM, SIMD)', ...measure(variants[0]) },
      { name: 'kernels (WASM, relaxed SIMD)', ...measure(variants[1]) },
      { name: 'kernels, both packed', ...measure(Buffer.from(text, 'base64')) },
    ],
    total: measure(script.replace(text, larger)),
  };
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { json } = startTool('npm run size --', 'Builds dist/rivulet.js and prints its size.', {
    json: flag('prints one JSON object'),
  });
  console.error('Building dist/rivulet.js …');
  await build({ mode: 'script', logLevel: 'silent' });
  const result = await sizes();
  if (json) console.log(JSON.stringify(result));
  else {
    const { files, sideFiles, all, entries, parts, total } = result;
    const row = (name: string, { raw, gzip, brotli }: Size): string =>
      name.padEnd(32) + [raw, gzip, brotli].map((n) => n.toLocaleString('en').padStart(12)).join('');
    console.log(`${' '.repeat(32)}${['raw', 'gzip -9', 'brotli'].map((head) => head.padStart(12)).join('')}`);
    for (const file of files) console.log(row(file.name, file));
    console.log(row('total, with one WASM variant', total));
    console.log(`\nbeside it:`);
    for (const file of [...sideFiles, all]) console.log(row(`  ${file.name}`, file));
    if (entries.length) console.log(`\nentries of their own, as they were built last:`);
    for (const entry of entries) console.log(row(`  ${entry.name}`, entry));
    console.log(`\nparts, each measured alone:`);
    for (const part of parts) console.log(row(`  ${part.name}`, part));
  }
}
