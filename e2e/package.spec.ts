/**
 * The package as it is published: its files, its types and the examples of its documents in strict projects, and what
 * two checkers say of it.
 */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { runInNewContext } from 'node:vm';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import ts from 'typescript-5.6';
import { installPackage, runOffline } from './fixtures/install_package';

const root = resolve(import.meta.dirname, '..');
const folder = mkdtempSync(join(tmpdir(), 'rivulet-package-'));
const installed = join(folder, 'node_modules/rivulet');
const require = createRequire(import.meta.url);
const bin = (name: string, path: string): string => join(dirname(require.resolve(`${name}/package.json`)), path);
let tarball: string;

const run = (file: string, ...args: string[]): Promise<string> => runOffline(folder, file, ...args);

beforeAll(async () => {
  ({ tarball } = await installPackage(folder));
  cpSync(join(root, 'e2e/consumer'), folder, { recursive: true });
  const texts = ['README.md', ...readdirSync(join(root, 'docs')).map((name) => `docs/${name}`)].map((path) =>
    readFileSync(join(root, path), 'utf8'),
  );
  const examples = texts
    .flatMap((text) => [...text.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => code))
    .filter((code) => /from 'rivulet(?:\/[\w-]+)?'/.test(code));
  if (!examples.length)
    throw new Error('README.md and docs/ have no block of ts that imports rivulet, and should have one.');
  examples.forEach((code, i) => writeFileSync(join(folder, `example_${i}.ts`), code));
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('the tarball holds the library, its side files, all in one, the element, inspect, the interfaces, their types, the demo model, licence, notices and README, nothing else', async () => {
  const files = (await run('tar', '-tzf', tarball))
    .trim()
    .split('\n')
    .map((path) => path.replace('package/', ''));
  expect(files.sort()).toEqual([
    'LICENSE',
    'README.md',
    'dist/integrity.json',
    'dist/models/rivulet-tiny.gguf',
    'dist/notices.txt',
    'dist/rivulet-all.js',
    'dist/rivulet-all.mjs',
    'dist/rivulet-conversations.js',
    'dist/rivulet-conversations.mjs',
    'dist/rivulet-element.d.mts',
    'dist/rivulet-element.js',
    'dist/rivulet-element.mjs',
    'dist/rivulet-encoders.js',
    'dist/rivulet-encoders.mjs',
    'dist/rivulet-experts.js',
    'dist/rivulet-experts.mjs',
    'dist/rivulet-grammar.js',
    'dist/rivulet-grammar.mjs',
    'dist/rivulet-inspect.d.mts',
    'dist/rivulet-inspect.mjs',
    'dist/rivulet-memory64.js',
    'dist/rivulet-memory64.mjs',
    'dist/rivulet-openai.d.mts',
    'dist/rivulet-openai.mjs',
    'dist/rivulet-prompt-api.d.mts',
    'dist/rivulet-prompt-api.mjs',
    'dist/rivulet-retrieval.js',
    'dist/rivulet-retrieval.mjs',
    'dist/rivulet-router.d.mts',
    'dist/rivulet-router.mjs',
    'dist/rivulet-search-index.d.mts',
    'dist/rivulet-search-index.mjs',
    'dist/rivulet-session.d.mts',
    'dist/rivulet-session.mjs',
    'dist/rivulet-speculation.js',
    'dist/rivulet-speculation.mjs',
    'dist/rivulet-tools.js',
    'dist/rivulet-tools.mjs',
    'dist/rivulet-vision.js',
    'dist/rivulet-vision.mjs',
    'dist/rivulet.d.mts',
    'dist/rivulet.d.ts',
    'dist/rivulet.js',
    'dist/rivulet.mjs',
    'package.json',
  ]);
  const notices = readFileSync(join(installed, 'dist/notices.txt'), 'utf8');
  for (const name of ['comlink', 'idb-keyval', '@huggingface/tokenizers', 'marked', 'dompurify', 'minisearch'])
    expect(notices).toMatch(new RegExp(`^${name} \\d`, 'm'));
});

test('the element is imported where there is no page, as a server does', async () => {
  expect(Object.keys(await import(pathToFileURL(join(installed, 'dist/rivulet-element.mjs')).href))).toEqual([
    'RivuletChat',
  ]);
});

test('publint and arethetypeswrong find nothing', async () => {
  const content = readFileSync(tarball);
  const { messages, pkg } = await publint({
    pack: { tarball: content.buffer.slice(content.byteOffset, content.byteOffset + content.length) },
    strict: true,
  });
  expect(messages.map((message) => formatMessage(message, pkg!, { color: false }))).toEqual([]);
  await run(
    process.execPath,
    bin('@arethetypeswrong/cli', 'dist/index.js'),
    tarball,
    '--profile',
    'esm-only',
    '--no-definitely-typed',
    '--no-emoji',
    '--no-color',
  );
});

test('the types name the exports that are there, every function with a docstring, and the consumer uses all of them', async () => {
  const program = ts.createProgram({
    rootNames: [join(folder, 'module.ts')],
    options: {
      module: ts.ModuleKind.NodeNext,
      moduleResolution: ts.ModuleResolutionKind.NodeNext,
      types: [],
      noLib: true,
    },
  });
  const checker = program.getTypeChecker();
  const [{ importClause, moduleSpecifier }] = program
    .getSourceFile(join(folder, 'module.ts'))!
    .statements.filter(ts.isImportDeclaration);
  const exported = checker.getExportsOfModule(checker.getSymbolAtLocation(moduleSpecifier)!);
  const names = (flags: ts.SymbolFlags): string[] =>
    exported
      .filter((symbol) => symbol.flags & flags)
      .map((symbol) => symbol.name)
      .sort();
  const values = names(ts.SymbolFlags.Value);
  expect(values).toContain('load');
  for (const name of ['rivulet', 'rivulet-all']) {
    const file = join(installed, `dist/${name}`);
    expect(Object.keys(await import(pathToFileURL(`${file}.mjs`).href)).sort()).toEqual(values);
    const script = runInNewContext(`${readFileSync(`${file}.js`, 'utf8')}; rivulet`) as object;
    expect(Object.keys(script).sort()).toEqual(values);
  }
  const bare = exported.filter(
    (symbol) => symbol.flags & ts.SymbolFlags.Value && !symbol.getDocumentationComment(checker).length,
  );
  expect(bare.map(({ name }) => name)).toEqual([]);

  const used = (importClause!.namedBindings as ts.NamedImports).elements.map(({ name }) => name.text);
  expect(used.sort()).toEqual(exported.map(({ name }) => name).sort());
});

const more = { exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true };
describe.concurrent('a strict project without any types but those of a page compiles', () => {
  test.each([
    { compiler: 'typescript', moduleResolution: 'bundler', module: 'ESNext' },
    { compiler: 'typescript', moduleResolution: 'nodenext', module: 'NodeNext', ...more },
    { compiler: 'typescript-5.6', moduleResolution: 'bundler', module: 'ESNext', ...more },
    { compiler: 'typescript-5.6', moduleResolution: 'nodenext', module: 'NodeNext' },
  ])('$compiler, $moduleResolution', async ({ compiler, ...options }) => {
    const compilerOptions = {
      target: 'ES2022',
      lib: ['ES2022', 'DOM'],
      types: [],
      strict: true,
      skipLibCheck: false,
      noEmit: true,
      ...options,
    };
    const config = join(folder, `tsconfig.${compiler}.${options.moduleResolution}.json`);
    writeFileSync(config, JSON.stringify({ compilerOptions, include: ['*.ts'] }));
    await run(process.execPath, bin(compiler, 'bin/tsc'), '-p', config, '--pretty', 'false');
  });
});
