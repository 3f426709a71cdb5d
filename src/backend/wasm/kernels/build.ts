/**
 * Compiles the C kernels with the clang of npm package @yowasp/clang, and hands them to the bundle as base64 of raw deflate: base64 alone
 * would be half as large again after the page's own compression.
 *
 *   import { simd, relaxed } from 'virtual:rivulet-kernels'
 *
 * Both modules import a shared memory; where threads are not to be had the host clears the import's shared flag (module.ts).
 * Run by itself (`npx tsx src/backend/wasm/kernels/build.ts`) it prints sizes.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync, existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { deflateRawSync, gzipSync } from 'node:zlib';
import type { Plugin } from 'vite';

const here = dirname(fileURLToPath(import.meta.url));
const cache = join(here, '../../../../node_modules/.cache/rivulet');
const EXPORTS_STACK = '-Wl,--export=__stack_pointer,--export=__heap_base';
const FLAGS = [
  '--target=wasm32-unknown-unknown', '-O3', '-nostdlib', '-ffreestanding', '-fno-math-errno', '-fno-vectorize', '-fno-slp-vectorize',
  '-Wall', '-Wextra', '-msimd128', '-mbulk-memory', '-matomics', '-mmutable-globals', '-Wl,--no-entry', '-Wl,-z,stack-size=65536',
  '-Wl,--strip-all', '-Wl,--import-memory', '-Wl,--shared-memory', '-Wl,--max-memory=4294967296', EXPORTS_STACK,
]; // prettier-ignore

export type Variant = 'simd' | 'relaxed';

/** The module of a variant; compiled when a source or flag changed since the last time. */
export async function compileKernels(variant: Variant): Promise<Uint8Array> {
  const sources: Record<string, string> = {};
  for (const file of readdirSync(here)) if (/\.[ch]$/.test(file)) sources[file] = readFileSync(join(here, file), 'utf8');
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

/** The module as the bundle holds it; shorter blocks of deflate (memLevel) make it 1 % smaller. */
export const packKernels = async (variant: Variant): Promise<string> =>
  deflateRawSync(await compileKernels(variant), { level: 9, memLevel: 7 }).toString('base64');

const NAME = 'virtual:rivulet-kernels';

export function wasmKernels(): Plugin {
  return {
    name: 'rivulet-kernels',
    resolveId: (id) => (id === NAME ? `\0${NAME}` : undefined),
    async load(id) {
      if (id !== `\0${NAME}`) return;
      const line = async (variant: Variant): Promise<string> =>
        `export const ${variant} = ${JSON.stringify(await packKernels(variant))};\n`;
      return (await line('simd')) + (await line('relaxed'));
    },
  };
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href)
  for (const variant of ['simd', 'relaxed'] as const) {
    const wasm = await compileKernels(variant);
    console.log(`${variant}: ${wasm.length} bytes, ${gzipSync(wasm, { level: 9 }).length} gzip`);
  }
