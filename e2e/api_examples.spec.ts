// @module-tag chromium
/**
 * Every example of docs/api.md runs in Chromium with the demo model and prints what its comments say; together they use
 * every function and option.
 */
import { copyFileSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Browser } from 'playwright';
import ts from 'typescript-5.6';
import { transformWithOxc } from 'vite';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { expectPrints, markPrints, runAndPrint, type Print } from './example_prints';
import { launchChromium } from './harness';
import { createHub, type Hub } from './hub';
import { BUILT_SITE, serveSite, type Site } from './site';
import { GOLDEN_DIRECTORY } from './tools/golden';

const root = resolve(import.meta.dirname, '..');
const dist = resolve(BUILT_SITE, '..');
/** what the examples import */
const MODULES = {
  rivulet: 'rivulet.mjs',
  'rivulet/inspect': 'rivulet-inspect.mjs',
  'rivulet/session': 'rivulet-session.mjs',
};
const model = join(root, 'public/models/rivulet-tiny.gguf');
const document = readFileSync(join(root, 'docs/api.md'), 'utf8');
const examples = document
  .split(/^### /m)
  .slice(1)
  .map((section) => ({
    title: section.split('\n')[0],
    blocks: [...section.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => code),
  }));

const folder = mkdtempSync(join(tmpdir(), 'rivulet-examples-'));
let browser: Browser;
let site: Site;
let hub: Hub;

beforeAll(async () => {
  cpSync(join(root, 'public/models'), join(folder, 'models'), { recursive: true });
  // a random model for retrieval
  for (const part of ['dense/model', 'retrieval/causal/model'])
    cpSync(join(GOLDEN_DIRECTORY, part), join(folder, 'models/colbert'), { recursive: true });
  for (const file of [
    ...Object.values(MODULES),
    'rivulet-encoders.mjs',
    'rivulet-retrieval.mjs',
    'rivulet-tools.mjs',
    'rivulet-conversations.mjs',
    'rivulet-grammar.mjs',
    'rivulet-speculation.mjs',
  ])
    copyFileSync(join(dist, file), join(folder, file));
  const imports = Object.fromEntries(Object.entries(MODULES).map(([name, file]) => [name, `./${file}`]));
  const head = `<title>Examples</title><link rel="icon" href="data:,"><script type="importmap">${JSON.stringify({ imports })}</script>`;
  writeFileSync(
    join(folder, 'index.html'),
    `<!doctype html><html lang="en"><head><meta charset="utf-8">${head}</head><body></body></html>`,
  );
  site = await serveSite({ root: folder });
  hub = await createHub({ repos: { 'Org/Model': { 'model-Q8_0.gguf': readFileSync(model) } } });
  browser = await launchChromium({ webgpu: true });
});
afterAll(async () => {
  await browser?.close();
  await site?.close();
  await hub?.close();
  rmSync(folder, { recursive: true, force: true });
});

test('they are numbered, one block each, of at most 20 lines', () => {
  expect(examples.length).toBeGreaterThan(20);
  examples.forEach(({ title, blocks }, i) => {
    expect(title).toMatch(new RegExp(`^${i + 1}\\. `));
    expect(blocks.length, title).toBe(1);
    expect(blocks[0].trim().split('\n').length, title).toBeLessThanOrEqual(20);
  });
});

test('they use every function, every member of a model and every option', () => {
  const entries = Object.values(MODULES).map((file) => join(dist, file.replace('.mjs', '.d.mts')));
  const program = ts.createProgram({
    rootNames: entries,
    options: {
      moduleResolution: ts.ModuleResolutionKind.Bundler,
      module: ts.ModuleKind.ESNext,
      types: [],
      target: ts.ScriptTarget.ES2022,
    },
  });
  const checker = program.getTypeChecker();
  const exported = new Map(
    entries
      .flatMap((entry) => checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(entry)!)!))
      .map((symbol) => [symbol.name, symbol]),
  );
  const functions = [...exported].filter(([, symbol]) => symbol.flags & ts.SymbolFlags.Value);
  expect(functions.length).toBeGreaterThan(10);
  const wanted = new Set(functions.map(([name]) => name));
  const addMembers = (type: ts.Type): void =>
    type
      .getNonNullableType()
      .getProperties()
      .forEach(({ name }) => wanted.add(name));
  const addOptions = (type: ts.Type): void => {
    for (const signature of type.getCallSignatures())
      for (const parameter of signature.parameters.slice(1)) {
        const option = checker.getTypeOfSymbol(parameter).getNonNullableType();
        if (option.getProperties().every((property) => property.flags & ts.SymbolFlags.Optional)) addMembers(option);
      }
  };
  for (const [, symbol] of functions) addOptions(checker.getTypeOfSymbol(symbol));
  const members = checker.getDeclaredTypeOfSymbol(exported.get('Model')!);
  addMembers(members);
  for (const member of members.getProperties()) addOptions(checker.getTypeOfSymbol(member));
  for (const name of [
    'logprobs',
    'makeRoom',
    'policy',
    'exact',
    'check',
    'refresh',
    'bias',
    'continueFinalMessage',
    'variables',
    'skipSpecial',
  ])
    expect([...wanted]).toContain(name);
  const code = examples.flatMap(({ blocks }) => blocks).join('\n');
  expect([...wanted].filter((name) => !new RegExp(`\\b${name}\\b`).test(code))).toEqual([]);
});

test.each(examples)('$title', async ({ title, blocks: [example] }) => {
  const file = `example_${parseInt(title)}.mjs`;
  const own = example.replace('https://hub.example.com', hub.origin);
  const { code } = await transformWithOxc(markPrints(own), 'example.ts');
  writeFileSync(join(folder, file), code);
  const context = await browser.newContext();
  const page = await context.newPage();
  try {
    const problems: string[] = [];
    page.on('pageerror', (error) => problems.push(String(error)));
    page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
    await page.goto(site.url);
    expectPrints(own, (await page.evaluate(runAndPrint(file))) as Print[]);
    expect(problems).toEqual([]);
  } finally {
    await context.close();
  }
});
