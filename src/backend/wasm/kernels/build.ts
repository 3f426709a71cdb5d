/**
 * Compiles the C kernels with clang from the npm package @yowasp/clang, and provides them to the bundle as raw deflate in base64. Without
 * deflate the base64 text would be half as large again after the compression of the server. Both variants are in one stream, in pieces by
 * turns: a piece is near its like in the other variant, so that deflate, which looks back 32 KB, stores most of it once (PERF.md).
 *
 *   import { modules, KV_PAGE_POSITIONS } from 'virtual:rivulet-kernels'
 *
 * The same module has what plan.h and linear.h declare (headers.ts). In the other direction, the kernels get the table of dtypes as dtypes.h.
 * Both modules import a shared memory; without threads the host clears the shared flag of the import (module.ts).
 * Run on its own (`npx tsx src/backend/wasm/kernels/build.ts`) it prints sizes.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync, existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { deflateRawSync, gzipSync } from 'node:zlib';
import type { Plugin } from 'vite';
import { DTYPES, type Dtype } from '../../../tensor/dtype.ts';
import { simpleRowBytes } from '../../../tensor/nibbles.ts';
import type { SimdVariant } from '../module';
import { declarationsModule, layoutAssertions, readDeclarations, type Declarations } from './headers.ts';

const here = dirname(fileURLToPath(import.meta.url));
const cache = join(here, '../../../../node_modules/.cache/rivulet');
const EXPORTS_STACK = '-Wl,--export=__stack_pointer,--export=__heap_base';
/** Loops of a known length become straight code, as the kernels need it; -O3, and a loop repeated inside a longer one, only make the file larger (PERF.md). */
const OPTIMIZATION = ['-O2', '-mllvm', '-unroll-threshold=300', '-mllvm', '-unroll-runtime=false'];
const FLAGS = [
  '--target=wasm32-unknown-unknown', ...OPTIMIZATION, '-nostdlib', '-ffreestanding', '-fno-math-errno', '-fno-vectorize', '-fno-slp-vectorize',
  '-Wall', '-Wextra', '-msimd128', '-mbulk-memory', '-matomics', '-mmutable-globals', '-Wl,--no-entry', '-Wl,-z,stack-size=65536',
  '-Wl,--strip-all', '-Wl,--import-memory', '-Wl,--shared-memory', '-Wl,--max-memory=4294967296', EXPORTS_STACK,
]; // prettier-ignore

/** ggml type ids, and the bytes of a block as pack_rows gets it */
const dtypesHeader = (): string =>
  (Object.keys(DTYPES) as Dtype[]).map((dtype) => `enum { ${dtype} = ${DTYPES[dtype].ggml}, ${dtype}_BYTES = ${simpleRowBytes(dtype, DTYPES[dtype].blockLength)} };\n`).join('');

/** What the headers of the kernels declare. */
export const kernelDeclarations = (pointerBytes?: 4 | 8): Declarations =>
  readDeclarations(['linear.h', 'plan.h'].map((file) => readFileSync(join(here, file), 'utf8')).join(''), pointerBytes);

/** Compiles a variant, or takes it from the cache if no source and no flag has changed. */
export async function compileKernels(variant: SimdVariant): Promise<Uint8Array> {
  const sources: Record<string, string> = { 'dtypes.h': dtypesHeader() };
  for (const file of readdirSync(here)) if (/\.[ch]$/.test(file)) sources[file] = readFileSync(join(here, file), 'utf8');
  sources['kernels.c'] += layoutAssertions(kernelDeclarations());
  const flags = variant === 'relaxed' ? [...FLAGS, '-mrelaxed-simd'] : FLAGS;
  const key = createHash('sha256').update(JSON.stringify([flags, sources])).digest('hex').slice(0, 16);
  const cached = join(cache, `${variant}-${key}.wasm`);
  if (existsSync(cached)) return readFileSync(cached);

  const { commands } = await import('@yowasp/clang');
  const messages: Uint8Array[] = [];
  const collect = (bytes: Uint8Array | null): void => void (bytes && messages.push(bytes));
  let out;
  try {
    out = await commands.clang([...flags, '-o', 'kernels.wasm', 'kernels.c'], sources, { stdout: collect, stderr: collect, fetchProgress: () => undefined });
  } catch (cause) {
    throw new Error(`the WASM kernels (${variant}) do not compile:\n${Buffer.concat(messages)}`, { cause });
  }
  if (messages.length) process.stderr.write(Buffer.concat(messages));
  const wasm = (out as Record<string, Uint8Array>)['kernels.wasm'];
  mkdirSync(cache, { recursive: true });
  writeFileSync(cached, wasm);
  return wasm;
}

/** Raw deflate in base64, made once for the same bytes: zopfli takes seconds. */
export async function deflateToBase64(bytes: Uint8Array): Promise<string> {
  const cached = join(cache, `${createHash('sha256').update(bytes).digest('hex').slice(0, 16)}.deflate`);
  if (!existsSync(cached)) {
    const { deflateAsync } = await import('@gfx/zopfli');
    mkdirSync(cache, { recursive: true });
    writeFileSync(cached, await deflateAsync(bytes, { numiterations: 15 }));
  }
  return readFileSync(cached).toString('base64');
}

/** Where piece `i` of a module begins. */
const pieceStart = (bytes: number, i: number, pieces: number): number => Math.floor((bytes * i) / pieces);

/** Both variants by turns, in as many pieces as compress best. */
async function interleaveVariants(): Promise<{ bytes: Uint8Array; pieces: number; simd: number; relaxed: number }> {
  const variants = [await compileKernels('simd'), await compileKernels('relaxed')];
  const interleaved = (pieces: number): Uint8Array =>
    Buffer.concat(Array.from({ length: pieces }, (_, i) => variants.map((wasm) => wasm.subarray(pieceStart(wasm.length, i, pieces), pieceStart(wasm.length, i + 1, pieces)))).flat());
  const sizes = Array.from({ length: 48 }, (_, i) => deflateRawSync(interleaved(i + 1)).length);
  const pieces = sizes.indexOf(Math.min(...sizes)) + 1;
  return { bytes: interleaved(pieces), pieces, simd: variants[0].length, relaxed: variants[1].length };
}

/** Both modules in the form of the bundle. */
export async function packKernels(): Promise<{ text: string; pieces: number; simd: number; relaxed: number }> {
  const { bytes, ...lengths } = await interleaveVariants();
  return { text: await deflateToBase64(bytes), ...lengths };
}

const NAME = 'virtual:rivulet-kernels';

export function wasmKernelsPlugin(): Plugin {
  return {
    name: 'rivulet-kernels',
    resolveId: (id) => (id === NAME ? `\0${NAME}` : undefined),
    async load(id) {
      if (id !== `\0${NAME}`) return;
      return `export const modules = ${JSON.stringify(await packKernels())};\n${declarationsModule(kernelDeclarations())}`;
    },
  };
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  for (const variant of ['simd', 'relaxed'] as const) {
    const wasm = await compileKernels(variant);
    console.log(`${variant}: ${wasm.length} bytes, ${gzipSync(wasm, { level: 9 }).length} gzip`);
  }
  const { text, pieces } = await packKernels();
  console.log(`both, ${pieces} pieces by turns: ${Buffer.from(text, 'base64').length} bytes of deflate`);
}
