/** Minifies scripts once more after the bundler: terser finds what the bundler's minifier leaves. */
import { gzipSync } from 'node:zlib';
import { minify, type MinifyOptions } from 'terser';
import terser from 'terser/package.json' with { type: 'json' };
import type { Plugin } from 'vite';
import { cachedFile } from './src/backend/wasm/kernels/build.ts';

/** Only what leaves a script's behaviour as it is. */
async function minifyWith(code: string, options: MinifyOptions): Promise<string> {
  const all: MinifyOptions = { ecma: 2020, compress: { passes: 2 }, ...options };
  // takes seconds, and each build has the worker in it
  const bytes = await cachedFile([terser.version, JSON.stringify(all), code], 'minified', async () =>
    Buffer.from((await minify(code, all)).code!),
  );
  return bytes.toString();
}

/**
 * Of a classic script that ends up as a text in another: with one kind of quotes, the text needs few escapes in the
 * other. Large constants that move can cost more than the rest gains: then it stays as it was.
 */
export async function minifyScriptText(code: string): Promise<string> {
  const minified = await minifyWith(code, { format: { quote_style: 2 } });
  const bytes = (text: string): number => gzipSync(text, { level: 9 }).length;
  return bytes(minified) < bytes(code) ? minified : code;
}

/** A classic script that assigns a text: its quotes are those that the text needs escaped least. */
export const minifyAssignment = (code: string): Promise<string> => minifyWith(code, {});

/** Of the files of a build. Annotations for the bundlers of pages stay. */
export const minifyChunks = (): Plugin => ({
  name: 'rivulet-minify',
  apply: 'build',
  enforce: 'post',
  async generateBundle({ format }, bundle) {
    const module = format === 'es';
    for (const file of Object.values(bundle))
      if (file.type === 'chunk')
        file.code = await minifyWith(file.code, { module, format: { preserve_annotations: module } });
  },
});
