/**
 * Provides the WGSL files to the bundle: import { packed, build } from 'virtual:rivulet-shaders' gives the JSON of {
 * 'lib/rope': text, matvec: text, … } packed (src/backend/unpack.ts), and a version. Every .wgsl file is plain WGSL. A
 * kernel is linked at run time from several files, libraries first (src/backend/webgpu/dispatch.ts, Dispatch.sources):
 * the choice of files makes the variants, numbers are `override`s.
 *
 * The files in the folder of a side file are apart and plain: 'virtual:rivulet-shaders/encoders' has those of encoders/
 * as `shaders`.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Plugin } from 'vite';
import { packToBase64 } from '../src/backend/wasm/kernels/build.ts';
import { SHADER_SIDE_FILES, sideFileOf, type ShaderSideFile } from '../side_files.ts';
import { shortenNames } from './shorten_names.ts';

const NAME = 'virtual:rivulet-shaders';
const here = dirname(fileURLToPath(import.meta.url));

/**
 * Removes comments, indentation and spaces around punctuation, and shortens type names. `enable` lines stay at the
 * start of a file.
 */
export const minifyWgsl = (code: string): string =>
  code
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/\/\/.*$/gm, '')
    .replace(/^\s+/gm, '')
    .replace(/[ \t]+$/gm, '')
    .replace(/ (->|<<|>>|[=!<>]=|&&|\|\||[-+*/|&]=|[=*/+<>|^%&]|-(?! -)) /g, '$1')
    .replace(/[ \t]*([,;:{}()[\]])\s*/g, '$1')
    .replace(/\b(vec\d|mat\dx\d)<([fui])32>/g, '$1$2');

function readMinified(): Record<string, string> {
  const files = readdirSync(here, { recursive: true, encoding: 'utf8' }).sort();
  const wgsl = files.map((file) => file.replaceAll('\\', '/')).filter((file) => file.endsWith('.wgsl'));
  return Object.fromEntries(
    wgsl.map((file) => [file.slice(0, -'.wgsl'.length), minifyWgsl(readFileSync(join(here, file), 'utf8'))]),
  );
}

/** A piece of a shader file as it stands in the bundle. */
export const bundledWgsl = (code: string): string => shortenNames(Object.values(readMinified()))(minifyWgsl(code));

/** The shader files of the engine, or of a side file, by name, the shortest first: so the bundle compresses best. */
export function readShaders(sideFile?: ShaderSideFile): Record<string, string> {
  const minified = readMinified();
  const shorten = shortenNames(Object.values(minified));
  const own = Object.entries(minified).filter(
    ([file]) => SHADER_SIDE_FILES.find((name) => file.startsWith(`${name}/`)) === sideFile,
  );
  const shaders = own.map(([file, text]) => [file, shorten(text)] as const);
  return Object.fromEntries(shaders.sort(([, a], [, b]) => a.length - b.length));
}

/**
 * A version that changes with the kernels and with the code of the backends: saved results of a device, and saved
 * states, apply to one build only.
 */
function buildVersion(shaders: Record<string, string>): string {
  const backend = join(here, '../src/backend');
  const hash = createHash('sha256').update(JSON.stringify(shaders));
  for (const file of readdirSync(backend, { recursive: true, encoding: 'utf8' }).sort())
    if (/\.([ch]|ts)$/.test(file) && !file.endsWith('.test.ts')) hash.update(readFileSync(join(backend, file)));
  return hash.digest('hex').slice(0, 12);
}

export function wgslShadersPlugin(): Plugin {
  return {
    name: 'rivulet-shaders',
    resolveId: (id) => (sideFileOf(id, NAME, SHADER_SIDE_FILES) === null ? undefined : `\0${id}`),
    async load(id) {
      const sideFile = id.startsWith('\0') ? sideFileOf(id.slice(1), NAME, SHADER_SIDE_FILES) : null;
      if (sideFile === null) return undefined;
      const shaders = readShaders(sideFile);
      const json = JSON.stringify(shaders);
      const bytes = Buffer.from(json);
      const texts = sideFile
        ? `shaders = ${json}`
        : `packed = ${JSON.stringify({ text: await packToBase64(bytes), bytes: bytes.length })}`;
      return `export const ${texts}; export const build = '${buildVersion(shaders)}';`;
    },
  };
}
