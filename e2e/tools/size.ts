/**
 * What a page loads, in bytes:  npm run size [-- --json]
 *
 * `files` are the files of a page with `<script src="rivulet.js">`, which is one: library, worker, shaders and WASM are inlined in it. `total`
 * is their sum. The file holds both WASM variants (a page uses one), so the total is above what the limit counts. `parts` says what the
 * shaders and each WASM variant would weigh alone.
 */
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { build } from 'vite';
import { readShaders } from '../../shaders/link';
import { compileKernels } from '../../src/backend/wasm/kernels/build';

export interface Size {
  raw: number;
  gzip: number;
  brotli: number;
}

export interface Sizes {
  files: (Size & { name: string })[];
  parts: (Size & { name: string })[];
  total: Size;
}

/** Library, worker, shaders and a WASM variant, gzip */
export const LIMIT = 150_000;

const measure = (bytes: Uint8Array): Size => ({
  raw: bytes.length,
  gzip: gzipSync(bytes, { level: 9 }).length,
  brotli: brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }).length,
});

/** Sizes of dist/rivulet.js as it was built last. */
export async function sizes(): Promise<Sizes> {
  const files = [{ name: 'rivulet.js', ...measure(readFileSync(new URL('../../dist/rivulet.js', import.meta.url))) }];
  const sum = (key: keyof Size): number => files.reduce((total, file) => total + file[key], 0);
  return {
    files,
    parts: [
      { name: 'shaders (WGSL)', ...measure(new TextEncoder().encode(JSON.stringify(readShaders()))) },
      { name: 'kernels (WASM, SIMD)', ...measure(await compileKernels('simd')) },
      { name: 'kernels (WASM, relaxed SIMD)', ...measure(await compileKernels('relaxed')) },
    ],
    total: { raw: sum('raw'), gzip: sum('gzip'), brotli: sum('brotli') },
  };
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  console.error('building dist/rivulet.js …');
  await build({ mode: 'script', logLevel: 'silent' });
  const { files, parts, total } = await sizes();
  if (process.argv.includes('--json')) console.log(JSON.stringify({ files, parts, total }));
  else {
    const row = (name: string, { raw, gzip, brotli }: Size): string => name.padEnd(32) + [raw, gzip, brotli].map((n) => n.toLocaleString('en').padStart(12)).join('');
    console.log(`${' '.repeat(32)}${['raw', 'gzip -9', 'brotli'].map((head) => head.padStart(12)).join('')}`);
    for (const file of files) console.log(row(file.name, file));
    console.log(row('total', total));
    console.log(`\nof which, weighed alone:`);
    for (const part of parts) console.log(row(`  ${part.name}`, part));
  }
}
