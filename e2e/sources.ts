/** The project's own source files and their syntax trees, for tests of rules about the sources. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseSync, type ESTree } from 'vite';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Paths from the root, as 'src/errors.ts', of all files in src, demo, shaders and e2e with one of these endings. */
export const sourceFiles = (endings: RegExp): string[] =>
  ['src', 'demo', 'shaders', 'e2e'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .map((file) => `${folder}/${file.replaceAll('\\', '/')}`)
      .filter((file) => endings.test(file)),
  );

export const readSource = (file: string): string => readFileSync(join(root, file), 'utf8');

/** @throws Error if the file is no TypeScript */
export function parseSource(file: string): ESTree.Program {
  const { program, errors } = parseSync(file, readSource(file), { lang: 'ts' });
  if (errors.length) throw new Error(`${file}: ${errors[0].message}`);
  return program;
}

/** The nodes directly below a node, in the order of the text. */
export const childrenOf = (node: ESTree.Node): ESTree.Node[] =>
  Object.values(node)
    .flat()
    .filter((value): value is ESTree.Node => typeof (value as ESTree.Node | null)?.type === 'string');

/** The node and all nodes below it. */
export const nodesOf = (node: ESTree.Node): ESTree.Node[] => [node, ...childrenOf(node).flatMap(nodesOf)];
