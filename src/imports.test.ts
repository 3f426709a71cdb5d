/** Imports go one way (ARCHITECTURE.md): this table is the rule. The linter refuses circles, types included. */
import { posix } from 'node:path';
import { expect, test } from 'vitest';
import { readSource, sourceFiles } from '../e2e/sources';

/** What a part may import of the others; everything may import src/errors.ts and src/other_kinds.ts. */
const MAY: Record<string, string[]> = {
  'src/errors.ts': [],
  'src/other_kinds.ts': [],
  'src/tensor': [],
  'src/format': ['src/tensor'],
  'src/model': ['src/tensor'],
  'src/vision': ['src/model'],
  'src/backend': ['src/tensor', 'src/model'],
  'src/store': [],
  'src/text': [],
  'src/engine': ['src/tensor', 'src/format', 'src/model', 'src/vision', 'src/backend', 'src/store', 'src/text'],
  'src/worker.ts': ['src/engine'],
  'src/modules': ['src/engine', 'src/store', 'src/backend', 'src/model'],
  'src/script_beside.ts': [],
  'src/api': [
    'src/engine',
    'src/store',
    'src/text',
    'src/backend',
    'src/worker.ts',
    'src/modules',
    'src/script_beside.ts',
  ],
  'src/index.ts': ['src/api', 'src/engine', 'src/store', 'src/text', 'src/backend'],
  'src/inspect': ['src/api', 'src/engine', 'src/store', 'src/text', 'src/backend', 'src/model'],
  'src/openai': ['src/index.ts', 'src/text'],
  'src/prompt_api': ['src/index.ts'],
  'src/router': ['src/index.ts', 'src/api', 'src/openai', 'src/store'],
  'src/session': ['src/index.ts'],
  'src/search_index': ['src/index.ts'],
  'src/element': ['src/index.ts', 'src/script_beside.ts'],
  // makes up weights and measures kernels
  'demo/bench': [
    'src/index.ts',
    'src/tensor',
    'src/format',
    'src/model',
    'src/backend',
    'src/store',
    'src/engine',
    'src/modules',
    'demo',
    'docs/benchmark.schema.json',
    'package.json',
  ],
  demo: ['src/index.ts', 'src/element', 'src/inspect', 'package.json'],
};

const EVERYWHERE = ['src/errors.ts', 'src/other_kinds.ts'];

const part = (path: string): string =>
  Object.keys(MAY).find((name) => path === name || path.startsWith(`${name}/`)) ?? path;

// the build's own files and tests stand outside
const files = sourceFiles(/\.ts$/).filter(
  (file) => /^(src|demo)\//.test(file) && !/\.(test|d)\.ts$/.test(file) && !file.endsWith('kernels/build.ts'),
);

function imports(file: string): string[] {
  return [...readSource(file).matchAll(/(?:\bfrom|\bimport\(?)\s*'(\.[^']+)'/g)].map(([, path]) => {
    const target = posix.join(posix.dirname(file), path.replace(/\?.*/, ''));
    return [`${target}.ts`, target].find((name) => files.includes(name)) ?? target;
  });
}

test('imports go one way', () => {
  expect(files.length).toBeGreaterThan(20);
  const wrong = files.flatMap((file) =>
    imports(file)
      .filter(
        (target) =>
          part(target) !== part(file) && !EVERYWHERE.includes(part(target)) && !MAY[part(file)]?.includes(part(target)),
      )
      .map((target) => `${file} → ${target}`),
  );
  expect(wrong).toEqual([]);
});

test('the engine reaches no side file, nor what only side files, the page, tools and tests need', () => {
  const reached = new Set(['src/worker.ts']);
  for (const file of reached) for (const target of imports(file)) reached.add(target);
  expect(reached).toContain('src/backend/webgpu/tune.ts');
  const apart = [
    'src/engine/estimate.ts',
    'src/engine/saved_conversations.ts',
    'src/engine/checkpoint_outline.ts',
    'src/engine/partial_header.ts',
    'src/format/gguf_partial.ts',
    'src/store/maintain_models.ts',
    'src/store/saved_states.ts',
    'src/backend/saved_state.ts',
    'src/backend/saved_pieces.ts',
    'src/backend/webgpu/saved.ts',
    'src/backend/wasm/saved.ts',
    'src/backend/cost.ts',
    'src/backend/webgpu/cost.ts',
    'src/backend/wasm/cost.ts',
    'src/backend/webgpu/profile.ts',
    'src/backend/describe_program.ts',
    'src/backend/conformance.ts',
    'src/backend/made_up_weights.ts',
    'src/backend/reference/backend.ts',
    'src/backend/wasm/linear_check.ts',
    'src/backend/wasm/memory64.ts',
    'src/format/gguf_writer.ts',
    'src/engine/decode_picture.ts',
    'src/engine/pictures.ts',
    'src/engine/vision_calls.ts',
    'src/engine/encode_texts.ts',
    'src/backend/visible_rows.ts',
    'src/model/lfm2_retrieval.ts',
    'src/engine/vision_encoder.ts',
    'src/backend/vision_plan.ts',
    'src/model/lfm2_vl.ts',
    'src/vision/antialias.ts',
    'src/vision/layout.ts',
    'src/vision/patches.ts',
    'src/vision/picture_file.ts',
    'src/vision/resize.ts',
    'src/vision/tiles.ts',
    'src/text/tool_calls.ts',
    'src/text/tool_call_stream.ts',
    'src/text/grammar/index.ts',
  ];
  expect(files).toEqual(expect.arrayContaining(apart));
  expect([...reached].filter((file) => file.startsWith('src/modules/') || apart.includes(file))).toEqual([]);
});

/** Code without comments and the paths of imports. */
const codeOf = (file: string): string =>
  readSource(file).replace(/\/\*[\s\S]*?\*\/|\/\/.*|(?:\bfrom|\bimport\(?)\s*'\.[^']+'/g, '');
const sources = files.filter((name) => name.startsWith('src/'));

test('one forward pass: a plan of a model is recorded in one place', () => {
  expect(sources.filter((file) => /\.build\(|\bforward\(/.test(codeOf(file).replace('function forward(', '')))).toEqual(
    ['src/backend/model_plan.ts'],
  );
});

test('the name of an architecture stands in its files only', () => {
  const named = sources.filter((file) => /[lL]fm\d/.test(codeOf(file)));
  expect(named.sort()).toEqual([
    'src/engine/exports.ts', // what lfm2_moe.ts takes, in a side file
    'src/model/architecture.ts',
    'src/model/lfm2.ts',
    'src/model/lfm2_moe.ts',
    'src/model/lfm2_retrieval.ts',
    'src/model/lfm2_vl.ts',
    'src/other_kinds.ts',
  ]);
});

test('the engine compares no name of a backend, and has no number of its layout: it asks the backend', () => {
  for (const file of files.filter((name) => name.startsWith('src/engine/') && !name.endsWith('/exports.ts')))
    expect(readSource(file), file).not.toMatch(/\binfo\.name(\]| [!=]==)|(RING|PAGE)_POSITIONS|2 \*\* 32/);
});

test('the model mentions no GPU, no fetch and no await', () => {
  for (const file of files.filter((name) => name.startsWith('src/model/')))
    expect(codeOf(file), file).not.toMatch(/\bGPU|\bfetch\b|\bawait\b/);
});
