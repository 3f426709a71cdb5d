/**
 * One configuration, twelve builds:
 *   --mode module   dist/rivulet.mjs and its types, and its side files, as rivulet-tools.mjs: the library for bundlers and <script type="module">
 *   --mode all      dist/rivulet-all.mjs: the same in one file
 *   --mode script   dist/rivulet.js and its types, and its side files: the same as classic scripts; rivulet.js sets the global `rivulet`. All in one file: rivulet-all.js. The demo model in dist/models
 *   --mode element  dist/rivulet-element.js: the element <rivulet-chat> as a classic script, which loads rivulet.js. After `script`, whose hash it holds
 *   --mode inspect  dist/rivulet-inspect.mjs and its types: looks inside a model, with the reference backend
 *   --mode openai   dist/rivulet-openai.mjs and its types: OpenAI's interfaces over loaded models
 *   --mode prompt-api  dist/rivulet-prompt-api.mjs and its types: the Prompt API over loaded models
 *   --mode router   dist/rivulet-router.mjs and its types: routes between the device and the cloud
 *   --mode search-index  dist/rivulet-search-index.mjs and its types: a search index in the page
 *   --mode session  dist/rivulet-session.mjs and its types: a conversation as an object
 *   --mode site     dist/site: the pages of demo/ with public/ and rivulet.js beside them, the notices of their libraries, and their service worker
 *   --mode dawn     dist/dawn: the WebGPU backend's benchmark for Node (e2e/dawn)
 * Worker, WGSL and WASM are inlined in each. Any other mode (tests, tools) serves the sources of the whole repository.
 */
import { createHash } from 'node:crypto';
import { copyFileSync, cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defineConfig, type Plugin, type UserConfig } from 'vite';
import { declarations, globalDeclaration } from './declarations.ts';
import { createNotices, noticesPage, noticesText } from './demo/build/notices.ts';
import { projectLinks } from './demo/build/project_links.ts';
import { serviceWorkerPlugin } from './demo/build/service_worker.ts';
import { iconSprite } from './demo/icon_sprite.ts';
import { minifyAssignment, minifyChunks } from './minify.ts';
import { bundleScript, scriptTexts } from './script_texts.ts';
import { wgslShadersPlugin } from './shaders/plugin.ts';
import { SIDE_FILES } from './side_files.ts';
import { maxSimPlugin, wasmKernelsPlugin } from './src/backend/wasm/kernels/build.ts';

const isolation = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' };
const here = dirname(fileURLToPath(import.meta.url));
const dist = resolve(here, 'dist');
const site = resolve(dist, 'site');
const notices = createNotices();

/** The classic scripts, for pages without a bundler. */
const SCRIPTS = ['rivulet.js', ...SIDE_FILES.map((name) => `rivulet-${name}.js`), 'rivulet-element.js'];
/** The library and its side files in one. */
const ALL = 'rivulet-all';

const sideFile = (name: string): string => resolve(here, `src/modules/${name}.ts`);

/** The library's files by their names, without suffix. */
const entries = { rivulet: resolve(here, 'src/index.ts'), 'rivulet-element': resolve(here, 'src/element/module.ts') };
const inspect = { 'rivulet-inspect': resolve(here, 'src/inspect/index.ts') };
const openai = { 'rivulet-openai': resolve(here, 'src/openai/index.ts') };
const router = { 'rivulet-router': resolve(here, 'src/router/index.ts') };
const searchIndex = { 'rivulet-search-index': resolve(here, 'src/search_index/index.ts') };
const session = { 'rivulet-session': resolve(here, 'src/session/index.ts') };
const promptApi = { 'rivulet-prompt-api': resolve(here, 'src/prompt_api/index.ts') };

const library = (format: 'es' | 'iife', entry: Record<string, string>, suffix: string): UserConfig => ({
  publicDir: false,
  build: {
    lib: { entry, name: 'rivulet', formats: [format], fileName: (_, name) => name + suffix },
    outDir: dist,
    emptyOutDir: false,
  },
});

const builds: Record<string, UserConfig> = {
  module: {
    ...library(
      'es',
      { ...entries, ...Object.fromEntries(SIDE_FILES.map((name) => [`rivulet-${name}`, `${sideFile(name)}?script`])) },
      '.mjs',
    ),
    // of rivulet-search-index.mjs, a build of its own
    plugins: [
      notices.collect(),
      notices.write(join(dist, 'notices.txt'), noticesText, ['minisearch']),
      declarations(entries, dist),
    ],
  },
  all: allInOne(library('es', { [ALL]: entries.rivulet }, '.mjs')),
  script: {
    ...library('iife', { rivulet: entries.rivulet }, '.js'),
    plugins: [globalDeclaration('rivulet', dist), sideFileScripts(), demoModel()],
  },
  // builds of their own: modules of one build would share a third file
  inspect: { ...library('es', inspect, '.mjs'), plugins: [declarations(inspect, dist)] },
  openai: { ...library('es', openai, '.mjs'), plugins: [declarations(openai, dist)] },
  'prompt-api': { ...library('es', promptApi, '.mjs'), plugins: [declarations(promptApi, dist)] },
  router: { ...library('es', router, '.mjs'), plugins: [declarations(router, dist)] },
  'search-index': { ...library('es', searchIndex, '.mjs'), plugins: [declarations(searchIndex, dist)] },
  session: { ...library('es', session, '.mjs'), plugins: [declarations(session, dist)] },
  element: {
    ...library('iife', { 'rivulet-element': resolve(here, 'src/element/script.ts') }, '.js'),
    plugins: [subresourceIntegrity()],
  },
  site: {
    root: resolve(here, 'demo'),
    publicDir: resolve(here, 'public'),
    base: './',
    appType: 'mpa',
    build: {
      outDir: site,
      emptyOutDir: true,
      rolldownOptions: {
        input: [
          'index.html',
          'script-tag.html',
          'element.html',
          'inside.html',
          'delete.html',
          'help.html',
          'bench.html',
        ].map((page) => resolve(here, 'demo', page)),
      },
    },
    // the service worker lists all other files, so it comes last
    // the icons are no modules: they become part of the HTML
    plugins: [
      iconSprite('index.html'),
      projectLinks(),
      notices.collect(),
      besideThePages(),
      notices.write(join(site, 'notices.html'), noticesPage, ['@iconify-json/lucide']),
      serviceWorkerPlugin(site),
    ],
  },
  dawn: {
    publicDir: false,
    build: {
      ssr: resolve(here, 'e2e/dawn/bench.ts'),
      outDir: resolve(dist, 'dawn'),
      emptyOutDir: true,
      rolldownOptions: { output: { entryFileNames: 'bench.mjs' } },
    },
    ssr: { noExternal: true, external: ['webgpu'] },
  },
};

/** The texts of the side files become part of the module. */
function allInOne({ build, ...rest }: UserConfig): UserConfig {
  return { ...rest, build: { ...build, rolldownOptions: { output: { codeSplitting: false } } } };
}

/** of scripts that end up inside others: workers and side files */
const scriptPlugins = (): Plugin[] => [wasmKernelsPlugin(), wgslShadersPlugin(), notices.collect()];

export default defineConfig(({ mode }) => {
  const { plugins = [], build, ...rest } = builds[mode] ?? {};
  return {
    ...rest,
    build: { target: 'es2022', reportCompressedSize: false, chunkSizeWarningLimit: 1024, ...build },
    plugins: [
      maxSimPlugin(),
      wasmKernelsPlugin(),
      wgslShadersPlugin(),
      scriptTexts(scriptPlugins),
      ...(build?.lib ? [minifyChunks()] : []),
      ...plugins,
    ],
    // the workers end up inside a script, where annotations for bundlers are of no use
    worker: {
      format: 'iife',
      rolldownOptions: { output: { comments: { annotation: false } } },
      plugins: scriptPlugins,
    },
    // not an ES module
    optimizeDeps: { noDiscovery: true, include: ['highlight.js/lib/core'] },
    server: { host: '127.0.0.1', headers: isolation },
    preview: { host: '127.0.0.1', headers: isolation },
  };
});

/** The pages with script tags load the scripts as their users do, from beside the page. */
function besideThePages(): Plugin {
  return {
    name: 'rivulet-beside-the-pages',
    apply: 'build',
    closeBundle: () => SCRIPTS.forEach((name) => copyFileSync(join(dist, name), join(site, name))),
  };
}

/**
 * Writes the side files of the script, before the script, which holds their hashes. Each leaves its text in
 * `rivuletSideFiles` under a key that changes with it: the script takes no side file of another version. After the
 * script it writes all in one.
 */
function sideFileScripts(): Plugin {
  return {
    name: 'rivulet-side-files',
    apply: 'build',
    async config() {
      const known: Record<string, { key: string; integrity: string }> = {};
      mkdirSync(dist, { recursive: true });
      for (const name of SIDE_FILES) {
        const { code } = await bundleScript(sideFile(name), scriptPlugins());
        const key = `${name} ${createHash('sha384').update(code).digest('hex').slice(0, 8)}`;
        const assignment = `(globalThis.rivuletSideFiles??={})[${JSON.stringify(key)}]=${JSON.stringify(code)};`;
        writeFileSync(join(dist, `rivulet-${name}.js`), `${await minifyAssignment(assignment)}\n`);
        known[name] = { key, integrity: hashOf(`rivulet-${name}.js`) };
      }
      return { define: { RIVULET_SIDE_FILES: JSON.stringify(known) } };
    },
    closeBundle() {
      const files = [...SIDE_FILES.map((name) => `rivulet-${name}.js`), 'rivulet.js'];
      writeFileSync(join(dist, `${ALL}.js`), files.map((name) => readFileSync(join(dist, name), 'utf8')).join(''));
    },
  };
}

/** of a file in dist, for the attribute `integrity`; rivulet.js holds those of the side files, so they are short */
const hashOf = (name: string): string =>
  `sha256-${createHash('sha256')
    .update(readFileSync(join(dist, name)))
    .digest('base64')}`;

/**
 * The element's script holds the hash of the engine's, which it loads; all hashes are printed and written to
 * dist/integrity.json for pages that name them.
 */
function subresourceIntegrity(): Plugin {
  return {
    name: 'rivulet-subresource-integrity',
    apply: 'build',
    config: () => ({ define: { RIVULET_INTEGRITY: JSON.stringify(hashOf('rivulet.js')) } }),
    closeBundle() {
      const hashes = Object.fromEntries([...SCRIPTS, `${ALL}.js`].map((name) => [name, hashOf(name)]));
      writeFileSync(join(dist, 'integrity.json'), `${JSON.stringify(hashes, null, 2)}\n`);
      for (const [name, value] of Object.entries(hashes)) console.log(`integrity of ${name}: ${value}`);
    },
  };
}

/** The package brings the demo model along, so that the first example of the README works from it. */
function demoModel(): Plugin {
  return {
    name: 'rivulet-demo-model',
    apply: 'build',
    closeBundle: () => cpSync(resolve(here, 'public/models'), join(dist, 'models'), { recursive: true }),
  };
}
