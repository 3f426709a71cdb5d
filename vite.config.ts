/**
 * One configuration, four builds:
 *   --mode module   dist/rivulet.mjs and dist/types: the library for bundlers and <script type="module">
 *   --mode script   dist/rivulet.js: the same as one classic script that sets the global `rivulet`
 *   --mode site     dist/site: the pages of demo/ with public/ and rivulet.js beside them
 *   --mode dawn     dist/dawn: the WebGPU backend's benchmark for Node (e2e/dawn)
 * Worker, WGSL and WASM are inlined in each. Any other mode (tests, tools) serves the sources of the whole repository.
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defineConfig, type Plugin, type UserConfig } from 'vite';
import { wgslKernels } from './shaders/link.ts';
import { wasmKernels } from './src/backend/wasm/kernels/build.ts';

const isolation = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' };
const here = dirname(fileURLToPath(import.meta.url));
const dist = resolve(here, 'dist');

const library = (format: 'es' | 'iife', file: string): UserConfig => ({
  publicDir: false,
  build: {
    lib: { entry: resolve(here, 'src/index.ts'), name: 'rivulet', formats: [format], fileName: () => file },
    outDir: dist,
    emptyOutDir: false,
  },
});

const builds: Record<string, UserConfig> = {
  module: { ...library('es', 'rivulet.mjs'), plugins: [declarations()] },
  script: library('iife', 'rivulet.js'),
  site: {
    root: resolve(here, 'demo'),
    publicDir: resolve(here, 'public'),
    base: './',
    appType: 'mpa',
    build: {
      outDir: resolve(dist, 'site'),
      emptyOutDir: true,
      rolldownOptions: { input: ['index.html', 'script-tag.html'].map((page) => resolve(here, 'demo', page)) },
    },
    plugins: [besideThePages()],
  },
  dawn: {
    publicDir: false,
    build: { ssr: resolve(here, 'e2e/dawn/bench.ts'), outDir: resolve(dist, 'dawn'), emptyOutDir: true, rolldownOptions: { output: { entryFileNames: 'bench.mjs' } } },
    ssr: { noExternal: true, external: ['webgpu'] },
  },
};

export default defineConfig(({ mode }) => {
  const { plugins = [], build, ...rest } = builds[mode] ?? {};
  return {
    ...rest,
    build: { target: 'es2022', reportCompressedSize: false, chunkSizeWarningLimit: 1024, ...build },
    plugins: [wasmKernels(), wgslKernels(), ...plugins],
    worker: { format: 'es', plugins: () => [wasmKernels(), wgslKernels()] },
    optimizeDeps: { noDiscovery: true, include: [] },
    server: { host: '127.0.0.1', headers: isolation },
    preview: { host: '127.0.0.1', headers: isolation },
  };
});

/** dist/types, with the suffixes that Node's resolution wants on relative imports. */
function declarations(): Plugin {
  return {
    name: 'rivulet-declarations',
    closeBundle() {
      const types = join(dist, 'types');
      rmSync(types, { recursive: true, force: true });
      const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin/tsc');
      execFileSync(process.execPath, [tsc, '-p', join(here, 'tsconfig.types.json'), '--outDir', types], { stdio: 'inherit' });
      for (const file of readdirSync(types, { recursive: true, encoding: 'utf8' })) {
        if (!file.endsWith('.d.ts')) continue;
        const path = join(types, file);
        writeFileSync(path, readFileSync(path, 'utf8').replace(/(\bfrom |\bimport |\bimport\()(['"])(\.{1,2}\/[^'"]+?)(?:\.js)?\2/g, '$1$2$3.js$2'));
      }
    },
  };
}

/** The script-tag page loads the script as its users do, from beside the page. */
function besideThePages(): Plugin {
  return {
    name: 'rivulet-beside-the-pages',
    apply: 'build',
    closeBundle: () => copyFileSync(join(dist, 'rivulet.js'), join(dist, 'site/rivulet.js')),
  };
}
