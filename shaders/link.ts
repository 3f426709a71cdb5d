/**
 * Hands the WGSL files to the bundle:  import { shaders, build } from 'virtual:rivulet-shaders'  is { 'lib/q4_0': text, matvec: text, … } and their version.
 * Every .wgsl file is plain WGSL. A kernel is linked at run time by joining files, libraries first (src/backend/webgpu/gpu.ts, Step.sources);
 * variation is which file is joined, numbers are `override`s.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Plugin } from 'vite';

const NAME = 'virtual:rivulet-shaders';
const here = dirname(fileURLToPath(import.meta.url));

/** Comments, indentation, space around brackets, stops and operators, and long names of types are for readers of the source; `enable` lines are still found, as a file begins with them. */
export const strip = (code: string): string =>
  code
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/\/\/.*$/gm, '')
    .replace(/^\s+/gm, '')
    .replace(/[ \t]+$/gm, '')
    .replace(/[ \t]*([,;:{}()[\]])\s*/g, '$1')
    .replace(/ (->|<<|>>|[=!<>]=|&&|\|\||[-+*/|&]=|[=*/+<>|^%&]) /g, '$1')
    .replace(/\b(vec\d|mat\dx\d)<([fui])32>/g, '$1$2');

export function readShaders(): Record<string, string> {
  const shaders: Record<string, string> = {};
  for (const file of readdirSync(here, { recursive: true, encoding: 'utf8' }).sort())
    if (file.endsWith('.wgsl')) shaders[file.slice(0, -'.wgsl'.length).replaceAll('\\', '/')] = strip(readFileSync(join(here, file), 'utf8'));
  return shaders;
}

/** Changes with the kernels and with what makes dispatches of them: what was found out about a device holds for one build. */
function buildOf(shaders: Record<string, string>): string {
  const backend = join(here, '../src/backend/webgpu');
  const hash = createHash('sha256').update(JSON.stringify(shaders));
  for (const file of readdirSync(backend).sort()) if (file.endsWith('.ts') && !file.endsWith('.test.ts')) hash.update(readFileSync(join(backend, file)));
  return hash.digest('hex').slice(0, 12);
}

export function wgslKernels(): Plugin {
  return {
    name: 'rivulet-shaders',
    resolveId: (id) => (id === NAME ? `\0${NAME}` : undefined),
    load(id) {
      if (id !== `\0${NAME}`) return undefined;
      const shaders = readShaders();
      return `export const shaders = ${JSON.stringify(shaders)}; export const build = '${buildOf(shaders)}';`;
    },
  };
}
