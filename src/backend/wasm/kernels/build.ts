/**
 * Compiles the C kernels with clang from the npm package @yowasp/clang, and provides them to the bundle as raw deflate
 * in base64. Without deflate the base64 text would be half as large again after the compression of the server. Both
 * variants are in one stream, in pieces by turns: a piece is near its like in the other variant, so that deflate, which
 * looks back 32 KB, stores most of it once (PERF.md).
 *
 *   import { modules, KV_PAGE_POSITIONS } from 'virtual:rivulet-kernels'
 *
 * The same module has what plan.h and linear.h declare (headers.ts). In the other direction, the kernels get the table
 * of dtypes as dtypes.h.
 * Both modules import a shared memory; without threads the host clears the shared flag of the import (module.ts).
 * Run on its own (`npx tsx src/backend/wasm/kernels/build.ts`) it prints sizes.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
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
/**
 * Loops of a known length become straight code, as the kernels need it; -O3, and a loop repeated inside a longer one,
 * only make the file larger (PERF.md).
 */
const OPTIMIZATION = ['-O2', '-mllvm', '-unroll-threshold=300', '-mllvm', '-unroll-runtime=false'];
const FLAGS = [
  '--target=wasm32-unknown-unknown', ...OPTIMIZATION, '-nostdlib', '-ffreestanding', '-fno-math-errno', '-fno-vectorize', '-fno-slp-vectorize',
  '-Wall', '-Wextra', '-msimd128', '-mbulk-memory', '-matomics', '-mmutable-globals', '-Wl,--no-entry', '-Wl,-z,stack-size=65536',
  '-Wl,--strip-all', '-Wl,--import-memory', '-Wl,--shared-memory', '-Wl,--max-memory=4294967296', EXPORTS_STACK,
  '-DENCODERS', // until the encoders have a module of their own
]; // prettier-ignore

/** ggml type ids, and the bytes of a block as pack_rows gets it */
const dtypesHeader = (): string =>
  (Object.keys(DTYPES) as Dtype[])
    .map(
      (dtype) =>
        `enum { ${dtype} = ${DTYPES[dtype].ggml}, ${dtype}_BYTES = ${simpleRowBytes(dtype, DTYPES[dtype].blockLength)} };\n`,
    )
    .join('');

/** What the headers of the kernels declare. */
export const kernelDeclarations = (pointerBytes?: 4 | 8): Declarations =>
  readDeclarations(['linear.h', 'plan.h'].map((file) => readFileSync(join(here, file), 'utf8')).join(''), pointerBytes);

/** Compiles a variant, or takes it from the cache if no source and no flag has changed. */
export async function compileKernels(variant: SimdVariant): Promise<Uint8Array> {
  const sources: Record<string, string> = { 'dtypes.h': dtypesHeader() };
  for (const file of readdirSync(here))
    if (/\.[ch]$/.test(file)) sources[file] = readFileSync(join(here, file), 'utf8');
  sources['kernels.c'] += layoutAssertions(kernelDeclarations());
  const flags = variant === 'relaxed' ? [...FLAGS, '-mrelaxed-simd'] : FLAGS;
  return cachedFile([JSON.stringify([flags, sources])], `${variant}.wasm`, () => compile(flags, sources));
}

/** @throws Error with the messages of clang */
async function compile(flags: string[], sources: Record<string, string>): Promise<Uint8Array> {
  const { commands } = await import('@yowasp/clang');
  const messages: Uint8Array[] = [];
  const collect = (bytes: Uint8Array | null): void => void (bytes && messages.push(bytes));
  let out;
  try {
    out = await commands.clang([...flags, '-o', 'kernels.wasm', 'kernels.c'], sources, {
      stdout: collect,
      stderr: collect,
      fetchProgress: () => undefined,
    });
  } catch (cause) {
    throw new Error(`the WASM kernels do not compile:\n${Buffer.concat(messages)}`, { cause });
  }
  if (messages.length) process.stderr.write(Buffer.concat(messages));
  return (out as Record<string, Uint8Array>)['kernels.wasm'];
}

/** A file of the cache, which is made once for what the key holds. */
async function cachedFile(
  key: (string | Uint8Array)[],
  suffix: string,
  make: () => Promise<Uint8Array>,
): Promise<Buffer> {
  const hash = createHash('sha256');
  for (const part of key) hash.update(part);
  const file = join(cache, `${hash.digest('hex').slice(0, 16)}.${suffix}`);
  if (!existsSync(file)) {
    const bytes = await make();
    mkdirSync(cache, { recursive: true });
    // whole, because another build may read it at the same time
    writeFileSync(`${file}.${process.pid}`, bytes);
    renameSync(`${file}.${process.pid}`, file);
  }
  return readFileSync(file);
}

/** Raw deflate in base64. zopfli takes seconds. */
export async function deflateToBase64(bytes: Uint8Array): Promise<string> {
  const { deflateAsync } = await import('@gfx/zopfli');
  return (await cachedFile([bytes], 'deflate', () => deflateAsync(bytes, { numiterations: 15 }))).toString('base64');
}

/** Where piece `i` of a module begins. */
const pieceStart = (bytes: number, i: number, pieces: number): number => Math.floor((bytes * i) / pieces);

/** Both modules in the form of the bundle: by turns, in as many pieces as compress best, and the length of each. */
export interface PackedKernels {
  text: string;
  pieces: number;
  simd: number;
  relaxed: number;
}

export async function packKernels(): Promise<PackedKernels> {
  const variants = [await compileKernels('simd'), await compileKernels('relaxed')];
  const pack = async (): Promise<Uint8Array> => {
    const byTurns = (pieces: number): Uint8Array =>
      Buffer.concat(
        Array.from({ length: pieces }, (_, i) =>
          variants.map((wasm) =>
            wasm.subarray(pieceStart(wasm.length, i, pieces), pieceStart(wasm.length, i + 1, pieces)),
          ),
        ).flat(),
      );
    const sizes = Array.from({ length: 48 }, (_, i) => deflateRawSync(byTurns(i + 1)).length);
    const pieces = sizes.indexOf(Math.min(...sizes)) + 1;
    const packed: PackedKernels = {
      text: await deflateToBase64(byTurns(pieces)),
      pieces,
      simd: variants[0].length,
      relaxed: variants[1].length,
    };
    return Buffer.from(JSON.stringify(packed));
  };
  return JSON.parse((await cachedFile(variants, 'packed', pack)).toString()) as PackedKernels;
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
