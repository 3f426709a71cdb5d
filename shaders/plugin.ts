/**
 * Provides the WGSL files to the bundle: import { shaders, build } from 'virtual:rivulet-shaders' gives { 'lib/rope':
 * text, matvec: text, … } and a version. Every .wgsl file is plain WGSL. A kernel is linked at run time from several
 * files, libraries first (src/backend/webgpu/dispatch.ts, Dispatch.sources): the choice of files makes the variants,
 * numbers are `override`s.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Plugin } from 'vite';

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
    .replace(/[ \t]*([,;:{}()[\]])\s*/g, '$1')
    .replace(/ (->|<<|>>|[=!<>]=|&&|\|\||[-+*/|&]=|[=*/+<>|^%&]) /g, '$1')
    .replace(/\b(vec\d|mat\dx\d)<([fui])32>/g, '$1$2');

/** All shader files by name, the shortest first: in that order the bundle compresses best. */
export function readShaders(): Record<string, string> {
  const files = readdirSync(here, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.wgsl'));
  const shaders = files
    .sort()
    .map((file) => [
      file.slice(0, -'.wgsl'.length).replaceAll('\\', '/'),
      minifyWgsl(readFileSync(join(here, file), 'utf8')),
    ]);
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
    resolveId: (id) => (id === NAME ? `\0${NAME}` : undefined),
    load(id) {
      if (id !== `\0${NAME}`) return undefined;
      const shaders = readShaders();
      return `export const shaders = ${JSON.stringify(shaders)}; export const build = '${buildVersion(shaders)}';`;
    },
  };
}
