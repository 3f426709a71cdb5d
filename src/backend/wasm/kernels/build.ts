/**
 * Compiles the C kernels with clang from the npm package @yowasp/clang, and provides them to the bundle packed
 * (pack.ts), in base64. Both variants are in one text: the second repeats most of the first.
 *
 *   import { modules, KV_PAGE_POSITIONS } from 'virtual:rivulet-kernels'
 *
 * 'virtual:rivulet-kernels/encoders' has a second build of the same sources, with -DENCODERS: it runs the ops that only
 * encoders use, too. 'virtual:rivulet-kernels/memory64' has the ops of both for 64-bit memory, in the relaxed variant
 * alone, and what the headers declare for pointers of 8 bytes.
 *
 * The first module has what plan.h and linear.h declare for both builds with pointers of 4 bytes (headers.ts). In the
 * other direction, the kernels get the table of dtypes as dtypes.h.
 * All kernels import a shared memory; without threads the host clears the shared flag of the import (module.ts).
 * Run on its own (`npx tsx src/backend/wasm/kernels/build.ts`) it prints sizes.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import type { Plugin } from 'vite';
import { KERNEL_SIDE_FILES, sideFileOf, type KernelSideFile } from '../../../../side_files.ts';
import { DTYPES, type Dtype } from '../../../tensor/dtype.ts';
import { simpleRowBytes } from '../../../tensor/nibbles.ts';
import type { PackedKernels, SimdVariant } from '../module';
import { declarationsModule, layoutAssertions, readDeclarations, type Declarations } from './headers.ts';
import { pack } from './pack.ts';

const here = dirname(fileURLToPath(import.meta.url));
const cache = join(here, '../../../../node_modules/.cache/rivulet');
const EXPORTS_STACK = '-Wl,--export=__stack_pointer,--export=__heap_base';
/**
 * Loops of a known length become straight code, as the kernels need it; -O3, and a loop repeated inside a longer one,
 * only make the file larger (PERF.md).
 */
const OPTIMIZATION = ['-O2', '-mllvm', '-unroll-threshold=300', '-mllvm', '-unroll-runtime=false'];
const FLAGS = [
  ...OPTIMIZATION, '-nostdlib', '-ffreestanding', '-fno-math-errno',
  '-fno-vectorize', '-fno-slp-vectorize',
  '-Wall', '-Wextra', '-msimd128', '-mbulk-memory', '-matomics', '-mmutable-globals', '-Wl,--no-entry',
  '-Wl,-z,stack-size=65536',
  '-Wl,--strip-all', '-Wl,--import-memory', '-Wl,--shared-memory', EXPORTS_STACK,
]; // prettier-ignore

interface Target {
  flags: string[];
  pointerBytes: 4 | 8;
  /** the relaxed one first */
  variants: SimdVariant[];
}

const narrow = (...macros: string[]): Target => ({
  flags: ['--target=wasm32-unknown-unknown', '-Wl,--max-memory=4294967296', ...macros],
  pointerBytes: 4,
  variants: ['relaxed', 'simd'],
});

const ENGINE = narrow();
const TARGETS: Record<KernelSideFile, Target> = {
  encoders: narrow('-DENCODERS'),
  // 16 GiB, the most that Chromium takes
  memory64: {
    flags: ['--target=wasm64-unknown-unknown', '-Wl,--max-memory=17179869184', '-DENCODERS'],
    pointerBytes: 8,
    variants: ['relaxed'],
  },
};
const targetOf = (sideFile?: KernelSideFile): Target => (sideFile ? TARGETS[sideFile] : ENGINE);

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

/**
 * Compiles a variant of the engine's kernels or of a side file's, or takes it from the cache if no source and no flag
 * has changed.
 */
export async function compileKernels(variant: SimdVariant, sideFile?: KernelSideFile): Promise<Uint8Array> {
  const sources: Record<string, string> = { 'dtypes.h': dtypesHeader() };
  for (const file of readdirSync(here))
    if (/\.[ch]$/.test(file)) sources[file] = readFileSync(join(here, file), 'utf8');
  const { flags: ofTarget, pointerBytes } = targetOf(sideFile);
  sources['kernels.c'] += layoutAssertions(kernelDeclarations(pointerBytes));
  const flags = [...FLAGS, ...ofTarget, ...(variant === 'relaxed' ? ['-mrelaxed-simd'] : [])];
  return cachedFile([JSON.stringify([flags, sources])], `${variant}.wasm`, () => compile(flags, sources));
}

/** @throws Error with the messages of clang */
async function compile(flags: string[], sources: Record<string, string>, main = 'kernels.c'): Promise<Uint8Array> {
  const { commands } = await import('@yowasp/clang');
  const messages: Uint8Array[] = [];
  const collect = (bytes: Uint8Array | null): void => void (bytes && messages.push(bytes));
  let out;
  try {
    out = await commands.clang([...flags, '-o', 'kernels.wasm', main], sources, {
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

/** A file of the cache in node_modules, which is made once for what the key holds. */
export async function cachedFile(
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

/** In base64, what src/backend/unpack.ts unpacks. Packing takes seconds. */
export async function packToBase64(bytes: Uint8Array): Promise<string> {
  const packer = ['pack.ts', '../../unpack.ts'].map((file) => readFileSync(join(here, file)));
  return (await cachedFile([bytes, ...packer], 'packed', async () => pack(bytes))).toString('base64');
}

/** All modules of the engine or of a side file. */
export async function packKernels(sideFile?: KernelSideFile): Promise<PackedKernels> {
  const { variants } = targetOf(sideFile);
  const modules = await Promise.all(variants.map((variant) => compileKernels(variant, sideFile)));
  const [relaxed, simd] = modules.map(({ length }) => length);
  return { text: await packToBase64(Buffer.concat(modules)), relaxed, simd: simd ?? 0 };
}

const NAME = 'virtual:rivulet-kernels';

export function wasmKernelsPlugin(): Plugin {
  return {
    name: 'rivulet-kernels',
    resolveId: (id) => (sideFileOf(id, NAME, KERNEL_SIDE_FILES) === null ? undefined : `\0${id}`),
    async load(id) {
      const sideFile = id.startsWith('\0') ? sideFileOf(id.slice(1), NAME, KERNEL_SIDE_FILES) : null;
      if (sideFile === null) return;
      const packed = await packKernels(sideFile);
      // no second copy where the sources do not ask for the macro
      const modules = sideFile && packed.text === (await packKernels()).text ? {} : packed;
      const declared =
        sideFile === 'encoders' ? '' : declarationsModule(kernelDeclarations(targetOf(sideFile).pointerBytes));
      return `export const modules = ${JSON.stringify(modules)};\n${declared}`;
    },
  };
}

/** The kernel of the index, with a memory of its own that starts at 1 MiB and grows: the module in base64. */
export async function packMaxSim(): Promise<string> {
  const main = 'max_sim.c';
  const sources = { [main]: readFileSync(join(here, '../../../search_index/kernels', main), 'utf8') };
  const flags = [
    ...OPTIMIZATION, '-nostdlib', '-ffreestanding', '-fno-vectorize', '-fno-slp-vectorize', '-Wall', '-Wextra',
    '-msimd128', '--target=wasm32-unknown-unknown', '-Wl,--no-entry', '-Wl,--strip-all', '-Wl,-z,stack-size=16384',
    '-Wl,--initial-memory=1048576', '-Wl,--max-memory=4294967296', '-Wl,--export=__heap_base',
  ]; // prettier-ignore
  const wasm = await cachedFile([JSON.stringify([flags, sources])], 'max_sim.wasm', () =>
    compile(flags, sources, main),
  );
  return wasm.toString('base64');
}

const MAX_SIM = 'virtual:rivulet-max-sim';

export function maxSimPlugin(): Plugin {
  return {
    name: 'rivulet-max-sim',
    resolveId: (id) => (id === MAX_SIM ? `\0${id}` : undefined),
    load: async (id) => (id === `\0${MAX_SIM}` ? `export const wasm = '${await packMaxSim()}';` : undefined),
  };
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  for (const sideFile of [undefined, ...KERNEL_SIDE_FILES]) {
    for (const variant of targetOf(sideFile).variants) {
      const wasm = await compileKernels(variant, sideFile);
      console.log(
        `${sideFile ?? 'engine'}, ${variant}: ${wasm.length} bytes, ${gzipSync(wasm, { level: 9 }).length} gzip`,
      );
    }
    const { text } = await packKernels(sideFile);
    console.log(`together: ${Buffer.from(text, 'base64').length} bytes packed`);
  }
}
