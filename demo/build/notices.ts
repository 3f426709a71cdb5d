/**
 * Writes which libraries are in the pages or in the package, and in their workers, with their licences. Which they are
 * follows from the bundles.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Plugin } from 'vite';

export interface Library {
  name: string;
  version: string;
  /** SPDX expression */
  licence: string;
  homepage?: string;
  /** licence and notice files */
  texts: string[];
}

/** The folder of the package that a module belongs to. */
export function packageFolder(module: string): string | undefined {
  const path = module.replace(/^\0/, '').replaceAll('\\', '/');
  return /^(.*\/node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1];
}

/** @throws if a package states no licence */
export function readLibrary(folder: string): Library {
  const { name, version, license, homepage, repository } = JSON.parse(
    readFileSync(join(folder, 'package.json'), 'utf8'),
  ) as Record<string, unknown>;
  if (typeof license !== 'string')
    throw new Error(
      `${folder}/package.json states no licence, and the library is part of the page. Look up its licence before you bundle it.`,
    );
  const source =
    typeof repository === 'object' && repository !== null ? (repository as { url?: unknown }).url : repository;
  const address = [homepage, source].find((url) => typeof url === 'string' && /^(git\+)?https:/.test(url)) as
    string | undefined;
  const files = readdirSync(folder).filter((file) => /^(licen[cs]e|copying|notice)\b/i.test(file));
  return {
    name: String(name),
    version: String(version),
    licence: license,
    ...(address && { homepage: address.replace(/^git\+/, '').replace(/\.git$/, '') }),
    texts: files.map((file) => readFileSync(join(folder, file), 'utf8').trim()),
  };
}

/**
 * `collect` belongs to the plugins of a build and of its workers, `write` to those of the build.
 * `others` are packages that get into a page in another way than as modules.
 */
export function createNotices(): {
  collect(): Plugin;
  write(file: string, render: (libraries: Library[]) => string, others?: string[]): Plugin;
} {
  const folders = new Set<string>();
  return {
    collect: () => ({
      name: 'rivulet-notices-collect',
      apply: 'build',
      generateBundle(_, bundle) {
        const modules = Object.values(bundle).flatMap((file) => (file.type === 'chunk' ? file.moduleIds : []));
        // style sheets are no longer modules of a chunk
        const styles = [...this.getModuleIds()].filter((id) => /\.css(?:\?|$)/.test(id));
        for (const folder of [...modules, ...styles].map(packageFolder))
          if (folder && existsSync(join(folder, 'package.json'))) folders.add(folder);
      },
    }),
    write: (file, render, others = []) => ({
      name: 'rivulet-notices',
      apply: 'build',
      closeBundle() {
        if (folders.size === 0)
          throw new Error('No library was found in the bundles of this build. Check the plugins of the workers.');
        const all = [
          ...folders,
          ...others.map((name) => fileURLToPath(new URL(`../../node_modules/${name}`, import.meta.url))),
        ];
        writeFileSync(file, render(all.map(readLibrary).sort((a, b) => a.name.localeCompare(b.name, 'en'))));
      },
    }),
  };
}

/** For the package. */
export const noticesText = (libraries: Library[]): string =>
  [
    'Rivulet has the Apache License 2.0. Its scripts contain the libraries below.',
    ...libraries.map(({ name, version, licence, homepage, texts }) =>
      [`${name} ${version} · ${licence}`, ...(homepage ? [homepage] : []), ...texts].join('\n\n'),
    ),
  ].join(`\n\n${'-'.repeat(80)}\n\n`) + '\n';

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
const escaped = (text: string): string => text.replace(/[&<>"]/g, (character) => ENTITIES[character]);

const ownLicence = (): string => readFileSync(new URL('../../LICENSE', import.meta.url), 'utf8').trim();

/** For the pages. */
export const noticesPage = (libraries: Library[]): string => `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <meta name="color-scheme" content="light dark" />
    <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'" />
    <title>Licences · Rivulet</title>
    <link rel="icon" href="./icon.svg" type="image/svg+xml" />
    <link rel="stylesheet" href="./plain.css" />
  </head>
  <body>
    <main>
    <nav aria-label="Pages"><a href="./">Back to the chat</a></nav>
    <h1>Licences</h1>
    <p>Rivulet has the Apache License 2.0. Its pages contain the libraries below. The weights of a model have the licence of the model.</p>
    <details>
      <summary>Rivulet · Apache License 2.0</summary>
<pre>${escaped(ownLicence())}</pre>
    </details>
    <h2>Libraries</h2>
${libraries.map(section).join('\n')}
    </main>
  </body>
</html>
`;

const section = ({ name, version, licence, homepage, texts }: Library): string => `    <details>
      <summary>${escaped(`${name} ${version} · ${licence}`)}</summary>
${homepage ? `      <p><a href="${escaped(homepage)}" rel="noopener noreferrer">${escaped(homepage)}</a></p>\n` : ''}${texts.map((text) => `<pre>${escaped(text)}</pre>`).join('\n')}
    </details>`;
