/**
 * Scripts as texts: import text from './worker?script' gives worker.ts and all that it imports as one classic script,
 * from which the page makes a worker.
 *
 * A side file (src/modules/) is a script that runs in the worker after the engine's. It holds no copy of what
 * src/engine/exports.ts lists: the engine's script leaves those in the list `rivuletEngine`, and the side file imports
 * them from there by their number.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type Plugin, type Rolldown } from 'vite';
import { minifyScriptText } from './minify.ts';

const here = dirname(fileURLToPath(import.meta.url));
const sideFiles = resolve(here, 'src/modules');
const engine = resolve(here, 'src/worker.ts');
const exportList = resolve(here, 'src/engine/exports.ts');
const QUERY = '?script';
const ENGINE = '\0rivulet-engine:';
/** Kernels and shaders in the engine's script: they compress best apart from code, at the beginning of the library. */
const PACKED = 'virtual:rivulet-packed';
const PACKED_TEXT = /([\w+/=]{3000,})/;

export interface ScriptText {
  code: string;
  /** its sources */
  files: string[];
}

/**
 * @param plugins of the bundle
 * @param minifies with `minifyScriptText`, as in what is published
 * @throws if a side file imports a name that the engine does not export
 */
export async function bundleScript(file: string, plugins: Plugin[], minifies = true): Promise<ScriptText> {
  const output = await build({
    configFile: false,
    publicDir: false,
    logLevel: 'warn',
    root: here,
    plugins: [...plugins, dirname(file) === sideFiles ? importFromEngine() : exportFromEngine()],
    build: {
      write: false,
      target: 'es2022',
      reportCompressedSize: false,
      lib: { entry: file, name: 'script', formats: ['iife'] },
      // annotations for bundlers are of no use in a script
      rolldownOptions: { output: { comments: { annotation: false } } },
    },
  });
  const [{ output: [chunk] }] = output as Rolldown.RolldownOutput[]; // prettier-ignore
  const code = minifies ? await minifyScriptText(chunk.code) : chunk.code;
  return { code: `${code.trim()}\n`, files: chunk.moduleIds.filter((id) => !id.startsWith('\0')) };
}

/**
 * Answers imports with the query `?script`. The engine and the side files also export the `version` of the engine, a
 * hash of its script: a side file runs with this one alone.
 * @param plugins of the scripts; a build bundles each script once
 */
export function scriptTexts(plugins: () => Plugin[]): Plugin {
  const bundled = new Map<string, Promise<ScriptText>>();
  let serves = false;
  function bundle(file: string): Promise<ScriptText> {
    if (serves || !bundled.has(file)) bundled.set(file, bundleScript(file, plugins(), !serves));
    return bundled.get(file)!;
  }
  return {
    name: 'rivulet-script-texts',
    enforce: 'pre',
    configResolved: ({ command }) => void (serves = command === 'serve'),
    async resolveId(source, importer) {
      if (source === PACKED) return `\0${PACKED}`;
      if (!source.endsWith(QUERY)) return undefined;
      const found = await this.resolve(source.slice(0, -QUERY.length), importer, { skipSelf: true });
      return found && `\0${found.id}${QUERY}`;
    },
    async load(id) {
      const packs = id === `\0${PACKED}`;
      if (!packs && (!id.startsWith('\0') || !id.endsWith(QUERY))) return undefined;
      const file = packs ? engine : id.slice(1, -QUERY.length);
      const { code, files } = await bundle(file);
      for (const source of files) this.addWatchFile(source);
      if (packs) return `export const packed = ${JSON.stringify(piecesOf(code).packed)};`;
      const text = file === engine ? engineText(code) : `export default ${JSON.stringify(code)};`;
      if (file !== engine && dirname(file) !== sideFiles) return text;
      const hash = createHash('sha256').update(file === engine ? code : (await bundle(engine)).code);
      return `${text} export const version = '${hash.digest('hex').slice(0, 12)}';`;
    },
  };
}

/** A script, cut at the packed texts in it. */
function piecesOf(code: string): { code: string[]; packed: string[] } {
  const pieces = code.split(PACKED_TEXT);
  return { code: pieces.filter((_, i) => i % 2 === 0), packed: pieces.filter((_, i) => i % 2 === 1) };
}

const engineText = (script: string): string => {
  const { code, packed } = piecesOf(script);
  const texts = code.flatMap((text, i) => [JSON.stringify(text), ...(i < packed.length ? [`packed[${i}]`] : [])]);
  return `import { packed } from '${PACKED}'; export default ${texts.join(' + ')};`;
};

/** The names that the engine exports, in the order of their numbers. */
function engineExports(): { name: string; file: string }[] {
  const lines = readFileSync(exportList, 'utf8').matchAll(/^export \{([^}]*)\} from '(.*)';$/gm);
  return [...lines].flatMap(([, names, path]) =>
    names.match(/\w+/g)!.map((name) => ({ name, file: `${resolve(dirname(exportList), path)}.ts` })),
  );
}

/** For the engine's script. */
const exportFromEngine = (): Plugin => ({
  name: 'rivulet-export-from-engine',
  enforce: 'pre',
  load(id) {
    if (id !== exportList) return undefined;
    const names = engineExports();
    const imports = names.map(({ name, file }) => `import { ${name} } from ${JSON.stringify(file)};\n`);
    return `${imports.join('')}globalThis.rivuletEngine = [${names.map(({ name }) => name).join(', ')}];`;
  },
});

/** For a side file: a file of that list has the listed names alone. */
function importFromEngine(): Plugin {
  const exports = engineExports().map(({ name, file }, i) => ({
    file,
    code: `export const ${name} = rivuletEngine[${i}];\n`,
  }));
  return {
    name: 'rivulet-import-from-engine',
    enforce: 'pre',
    async resolveId(source, importer) {
      const found = await this.resolve(source, importer, { skipSelf: true });
      return found && exports.some(({ file }) => file === found.id)
        ? { id: ENGINE + found.id, moduleSideEffects: false }
        : undefined;
    },
    load: (id) =>
      id.startsWith(ENGINE)
        ? exports.flatMap(({ file, code }) => (file === id.slice(ENGINE.length) ? code : [])).join('')
        : undefined,
  };
}
