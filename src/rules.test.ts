/**
 * Rules about the sources (ARCHITECTURE.md, 'Rules that are tests'). An exception has a reason, and the lists of
 * exceptions only get shorter: an entry that no longer breaks its rule fails the test.
 */
import { expect, test } from 'vitest';
import type { ESTree } from 'vite';
import { childrenOf, nodesOf, parseSource, readSource, sourceFiles } from '../e2e/sources';
import { kernelDeclarations } from './backend/wasm/kernels/build';

const isTest = (file: string): boolean => /\.(test|spec)\.ts$/.test(file);
/** Files that hold what a tool has written. */
const isData = (file: string): boolean => /\.expected\.|_golden\.ts$|e2e\/golden\//.test(file);
const typescript = sourceFiles(/\.m?ts$/).filter((file) => !isData(file));
const trees = new Map(typescript.map((file) => [file, parseSource(file)]));
const library = typescript.filter((file) => file.startsWith('src/') && !isTest(file) && !file.endsWith('.d.ts'));

/** What breaks a rule is exactly what its list of exceptions names. */
const expectOnly = (broken: string[], exceptions: Record<string, string>): void =>
  expect([...new Set(broken)].sort()).toEqual(Object.keys(exceptions).sort());

test('the lowerings are the only lists of ops: no other file asks for the op of a node', () => {
  const asking = library.filter((file) => /\.op (===|!==)|switch \(\w+\.op\)/.test(readSource(file)));
  expectOnly(asking, {
    'src/backend/wasm/lower.ts': 'the node behind a linear one decides whether a barrier is needed',
    'src/backend/webgpu/lower.ts': 'in_proj and the convolution behind it become one dispatch; `last` is an alias',
  });
});

test('fields of C structs that TypeScript names exist', () => {
  const { structs } = kernelDeclarations();
  const named = library.flatMap((file) =>
    nodesOf(trees.get(file)!).flatMap((node) => {
      if (node.type !== 'CallExpression' || node.callee.type !== 'MemberExpression') return [];
      const { object, property } = node.callee;
      const struct = object.type === 'Identifier' && /^[A-Z_]+$/.test(object.name) && cStruct(object.name);
      if (!struct || property.type !== 'Identifier' || !/^(write|offset)$/.test(property.name)) return [];
      return node.arguments
        .slice(-1)
        .flatMap(namesIn)
        .map((field) => ({ struct, field }));
    }),
  );
  expect(named.length).toBeGreaterThan(5);
  for (const { struct, field } of named)
    expect(structs.get(struct)!.fields.map(({ name }) => name), struct).toContain(snakeCase(field)); // prettier-ignore
});

/** THREAD_POOL is the layout of ThreadPool (src/backend/wasm/structs.ts). */
const cStruct = (layout: string): string =>
  layout.toLowerCase().replace(/(?:^|_)(.)/g, (_, letter: string) => letter.toUpperCase());
const snakeCase = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** The names of fields in an argument: a text, or the keys of an object. */
function namesIn(argument: ESTree.Node): string[] {
  if (argument.type === 'Literal') return typeof argument.value === 'string' ? [argument.value] : [];
  if (argument.type !== 'ObjectExpression') return [];
  return argument.properties.flatMap((one) =>
    one.type === 'Property' && one.key.type === 'Identifier' ? [one.key.name] : [],
  );
}

test('an exported name stands once in the library', () => {
  const places = new Map<string, Set<string>>();
  for (const file of library)
    for (const name of exportsOf(trees.get(file)!)) places.set(name, (places.get(name) ?? new Set()).add(file));
  expect(places.size).toBeGreaterThan(500);
  const twice = [...places].filter(([, files]) => files.size > 1);
  expectOnly(
    twice.map(([name, files]) => `${name}: ${[...files].sort().join(', ')}`),
    {
      'deleteModel: src/api/manage_models.ts, src/store/cached_models.ts': CALL_OF_THE_PAGE,
      'downloadModel: src/api/manage_models.ts, src/store/cached_models.ts': CALL_OF_THE_PAGE,
      'estimate: src/api/manage_models.ts, src/engine/estimate.ts': CALL_OF_THE_PAGE,
      'exportModel: src/api/manage_models.ts, src/store/maintain_models.ts': CALL_OF_THE_PAGE,
      'importModel: src/api/manage_models.ts, src/store/maintain_models.ts': CALL_OF_THE_PAGE,
      'modelRoom: src/api/manage_models.ts, src/store/cached_models.ts': CALL_OF_THE_PAGE,
      'verifyModel: src/api/manage_models.ts, src/store/maintain_models.ts': CALL_OF_THE_PAGE,
    },
  );
});

const CALL_OF_THE_PAGE = 'one call, on the page and in the worker';

/** The names that a file declares and exports; a name that it only passes on stands elsewhere. */
const exportsOf = (program: ESTree.Program): string[] =>
  program.body.flatMap((statement) => {
    if (statement.type !== 'ExportNamedDeclaration' || !statement.declaration) return [];
    const declared = statement.declaration;
    const names = declared.type === 'VariableDeclaration' ? declared.declarations.map(({ id }) => id) : [declared.id];
    return names.flatMap((id) => (id?.type === 'Identifier' ? [id.name] : []));
  });

const texts = sourceFiles(/\.(m?ts|wgsl|c|h|css)$/).filter((file) => !isData(file));
const WIDTH = 120;
/** Files whose lines are still to be broken, and how many lines. */
const LONG_LINES: Record<string, number> = {
  'src/backend/wasm/kernels/attend.h': 15,
  'src/backend/wasm/kernels/barrier.h': 1,
  'src/backend/wasm/kernels/interpreter.c': 9,
  'src/backend/wasm/kernels/linear.c': 24,
  'src/backend/wasm/kernels/linear.h': 1,
  'src/backend/wasm/kernels/linear_dot.h': 8,
  'src/backend/wasm/kernels/linear_format.h': 8,
  'src/backend/wasm/kernels/linear_pack.h': 4,
  'src/backend/wasm/kernels/linear_quantize.h': 8,
  'src/backend/wasm/kernels/plan.h': 2,
  'src/backend/wasm/kernels/sample.h': 3,
  'src/backend/wasm/kernels/simd.h': 1,
  'src/backend/wasm/lower.ts': 5,
};

/**
 * Lines that are too long, except those that one text, regular expression, template or address makes so: what stands
 * beside it takes at most 40 characters.
 */
function longLines(file: string): number[] {
  const text = readSource(file);
  const lines = text.split('\n');
  if (!lines.some((line) => [...line].length > WIDTH)) return [];
  const program = trees.get(file);
  const literals = program ? nodesOf(program).filter(isText) : [];
  let start = 0;
  return lines.flatMap((line, i) => {
    const [from, to] = [start, start + line.length];
    start = to + 1;
    const parts = [
      ...literals.map((literal) => Math.min(literal.end, to) - Math.max(literal.start, from)),
      ...Array.from(line.matchAll(/https?:\S+/g), ([address]) => address.length),
    ];
    return [...line].length > WIDTH && line.trim().length - Math.max(0, ...parts) > 40 ? [i + 1] : [];
  });
}

const isText = (node: ESTree.Node): boolean =>
  node.type === 'TemplateLiteral' || (node.type === 'Literal' && (typeof node.value === 'string' || 'regex' in node));

test(`lines have at most ${WIDTH} characters`, () => {
  const broken = texts.map((file) => [file, longLines(file)] as const).filter(([, lines]) => lines.length);
  expect(texts.length).toBeGreaterThan(600);
  expectOnly(
    broken.map(([file]) => file),
    Object.fromEntries(Object.keys(LONG_LINES).map((file) => [file, ''])),
  );
  for (const [file, lines] of broken) expect(lines.length, `${file}: ${lines}`).toBeLessThanOrEqual(LONG_LINES[file]);
});

test('files have at most 400 lines, tests 600', () => {
  const lines = (file: string): number => readSource(file).trimEnd().split('\n').length;
  const broken = texts.filter((file) => lines(file) > (isTest(file) ? 600 : 400));
  expectOnly(broken, {
    'demo/chat/chat.ts': 'sending, answering and waiting share the reply that is being written',
    'e2e/tools/screens.ts': 'a list of screens',
    'src/store/download.ts': 'readers, jobs and connections share the state of one download',
  });
});

interface FunctionSize {
  /** 'src/errors.ts fail'; a function without a name has that of the field or variable it is in */
  name: string;
  lines: number;
  parameters: number;
}

/** All functions and signatures of a file. A function inside another one counts as one line of it. */
function functionsOf(file: string): FunctionSize[] {
  const text = readSource(file);
  const found: FunctionSize[] = [];
  const walk = (node: ESTree.Node, name: string): number => {
    const own = nameOf(node) ?? name;
    const inner = childrenOf(node).reduce((sum, child) => sum + walk(child, own), 0);
    if (!('params' in node) || !Array.isArray(node.params) || node.type === 'TSTypeParameterInstantiation')
      return inner;
    const further = text.slice(node.start, node.end).split('\n').length - 1;
    const lines = 'body' in node && node.body ? further + 1 - inner : 0;
    found.push({ name: `${file} ${own}`, lines, parameters: node.params.length });
    return further;
  };
  walk(trees.get(file)!, '');
  return found;
}

function nameOf(node: ESTree.Node): string | undefined {
  const named = 'id' in node ? node.id : 'key' in node ? node.key : undefined;
  return named && 'name' in named && typeof named.name === 'string' ? named.name : undefined;
}

test('functions have at most 80 lines, without the functions inside them, and 5 parameters', () => {
  const functions = typescript.filter((file) => !isTest(file)).flatMap(functionsOf);
  expect(functions.length).toBeGreaterThan(5000);
  const namesOf = (broken: FunctionSize[]): string[] => broken.map(({ name }) => name);
  expectOnly(namesOf(functions.filter(({ lines }) => lines > 80)), {
    'demo/chat/chat.ts createChat': 'its parts share the reply that is being written',
    'e2e/consumer/module.ts talk': 'every call of the library once, for the compiler only',
    'e2e/pages/wasm_linear.ts measure': 'one measurement with memory that its steps share',
    'e2e/tools/drill_quota.ts drill': 'one visit told from its start to its end',
    'src/backend/webgpu/device.ts openDevice': 'what is found out about an adapter, in order',
    'src/backend/webgpu/linear.ts partDispatch': 'one dispatch: its files, constants and buffers',
    'src/engine/tokenizer_files.ts tokenizerFilesFromGguf': 'mostly the file that it writes',
  });
  expectOnly(namesOf(functions.filter(({ parameters }) => parameters > 5)), {
    'e2e/measure.ts time': 'figures that stand in this order in every tool',
    'e2e/pages/gpu.ts costs': 'called from the test over the wire',
    'e2e/pages/gpu.ts counts': 'called from the test over the wire',
    'e2e/pages/gpu_models.ts randomModel': 'the shape of a model: layers, D, F',
    'src/backend/wasm/linear_check.ts linear': 'a call of C',
    'src/backend/wasm/linear_check.ts multiply': 'a call of C',
    'src/backend/wasm/linear_check.ts quantize': 'a call of C',
    'src/backend/webgpu/lower.ts fuseConvolution': 'an object of options is still to be made',
    'src/backend/webgpu/repack.ts upload': 'an object of options is still to be made',
    'src/engine/generate.ts generate': 'an object of options is still to be made',
    'src/store/storage_space.ts makeRoom': 'an object of options is still to be made',
    'src/text/jinja/strings.ts made': 'the groups of a regular expression',
  });
});
