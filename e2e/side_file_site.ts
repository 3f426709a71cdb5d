/** A folder that a static host serves: the library, its side files, and a page under the policy of docs/hosting.md. */
import { cpSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build, type Plugin } from 'vite';
import { scriptTexts } from '../script_texts';
import { wgslShadersPlugin } from '../shaders/plugin';
import { SIDE_FILES } from '../side_files';
import { wasmKernelsPlugin } from '../src/backend/wasm/kernels/build';

const repository = join(import.meta.dirname, '..');
export const HOSTING_POLICY = /default-src 'none'; .*/.exec(
  readFileSync(join(repository, 'docs/hosting.md'), 'utf8'),
)![0];

/** An empty folder, with a front page and the module that puts the library into `window.rivulet`. */
export function createSideFileSite(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `rivulet-${name}-`));
  writeFileSync(join(folder, 'index.html'), '');
  writeFileSync(join(folder, 'module.js'), "import * as rivulet from './rivulet.mjs'; window.rivulet = rivulet;");
  writePage(folder);
  return folder;
}

/** page.html, which loads the library. */
export function writePage(folder: string, policy = HOSTING_POLICY): void {
  writeFileSync(
    join(folder, 'page.html'),
    `<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}; img-src data:">
<title>Test</title><link rel="icon" href="data:,"><script type="module" src="module.js"></script></head></html>`,
  );
}

/** The library as it was built last. */
export function copyLibrary(folder: string): void {
  const dist = join(repository, 'dist');
  for (const name of readdirSync(dist))
    if (/^rivulet(-\w+)?\.mjs$/.test(name)) cpSync(join(dist, name), join(folder, name));
}

/** The library from sources that a plugin changes. */
export async function buildLibrary(folder: string, changed: Plugin): Promise<void> {
  const scriptPlugins = (): Plugin[] => [wasmKernelsPlugin(), wgslShadersPlugin(), changed];
  const sideFiles = SIDE_FILES.map((name) => [`rivulet-${name}`, `src/modules/${name}.ts?script`]);
  const entries = [['rivulet', 'src/index.ts'], ...sideFiles].map(([name, path]) => [name, join(repository, path)]);
  await build({
    configFile: false,
    publicDir: false,
    logLevel: 'error',
    root: repository,
    plugins: [wasmKernelsPlugin(), wgslShadersPlugin(), scriptTexts(scriptPlugins)],
    build: {
      target: 'es2022',
      outDir: folder,
      emptyOutDir: false,
      lib: {
        entry: Object.fromEntries(entries) as Record<string, string>,
        formats: ['es'],
        fileName: (_, name) => `${name}.mjs`,
      },
    },
  });
}
