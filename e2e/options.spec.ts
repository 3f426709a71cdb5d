/** The command line of the tools: what is wrong is said in a line or two, without a stack. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import {
  explainFailure,
  file,
  flag,
  oneOf,
  readOptions,
  someOf,
  text,
  texts,
  usage,
  whole,
  wholes,
} from './tools/options';

const HERE = fileURLToPath(import.meta.url);
const OPTIONS = {
  model: file('a GGUF file'),
  backend: oneOf(['wasm', 'webgpu'], 'the backend', 'wasm'),
  dtypes: someOf(['F16', 'Q4_0'], 'formats', 'F16'),
  out: text('PATH', 'a folder', 'dist'),
  name: texts('NAME', 'a name'),
  runs: whole('how often', 3, 1),
  prompt: wholes('lengths', '1,2'),
  threads: whole('threads'),
  json: flag('prints JSON'),
};

test('defaults, and what is given in their place', () => {
  expect(readOptions(OPTIONS, ['--model', HERE])).toEqual({
    model: HERE,
    backend: 'wasm',
    dtypes: ['F16'],
    out: 'dist',
    name: undefined,
    runs: 3,
    prompt: [1, 2],
    threads: undefined,
    json: false,
  });
  const given = [
    '--model',
    HERE,
    '--backend=webgpu',
    '--dtypes',
    'Q4_0,F16',
    '--out',
    'x',
    '--name',
    'a',
    '--name',
    'b',
    '--runs',
    '1',
    '--prompt',
    '7',
    '--threads',
    '2',
    '--json',
  ];
  expect(readOptions(OPTIONS, given)).toEqual({
    model: HERE,
    backend: 'webgpu',
    dtypes: ['Q4_0', 'F16'],
    out: 'x',
    name: ['a', 'b'],
    runs: 1,
    prompt: [7],
    threads: 2,
    json: true,
  });
});

test.each([
  [[], '--model is missing. Pass --model PATH: a GGUF file.'],
  [['--model', 'missing.gguf'], '--model: missing.gguf does not exist. Pass a GGUF file.'],
  [['--model'], '--model needs a value.'],
  [
    ['--modle', HERE],
    '--modle is not an option. The options are --model, --backend, --dtypes, --out, --name, --runs, --prompt, --threads, --json.',
  ],
  [['--model', HERE, '--backend', 'cuda'], '--backend: "cuda" is not one of wasm, webgpu.'],
  [['--model', HERE, '--dtypes', 'F16,Q9'], '--dtypes: "Q9" is not one of F16, Q4_0.'],
  [['--model', HERE, '--runs', '0'], '--runs: "0" is not a whole number of at least 1.'],
  [['--model', HERE, '--prompt', '1,x'], '--prompt: "x" is not a whole number of at least 0.'],
  [['model.gguf'], /^"model.gguf" belongs to no option\. The options are --model, /],
])('%j', (args, message) => expect(() => readOptions(OPTIONS, args)).toThrow(message));

test('the help names every option, its values and its default', () => {
  const lines = usage('npm run x --', 'Does x.', OPTIONS).split('\n');
  expect(lines.slice(0, 4)).toEqual([
    'npm run x -- [options]',
    'Does x.',
    '',
    '  --model PATH           a GGUF file (required)',
  ]);
  expect(lines).toContain('  --backend wasm|webgpu  the backend (default wasm)');
  expect(lines).toContain('  --name NAME            a name; may be repeated');
  expect(lines).toHaveLength(3 + Object.keys(OPTIONS).length);
});

test('a failure is its message; a mistake in the code keeps its stack', () => {
  expect(
    explainFailure(
      new Error(
        'page.evaluate: CheckpointError: a.gguf is empty. Get it again.\n    at fail (http://127.0.0.1/src/errors.ts:1:1)',
      ),
    ),
  ).toBe('CheckpointError: a.gguf is empty. Get it again.');
  expect(explainFailure(new TypeError('x is not a function'))).toMatch(/x is not a function\n\s+at /);
});

const run = (...args: string[]): Promise<{ code: unknown; stdout: string; stderr: string }> =>
  new Promise((resolve) => {
    const tsx = fileURLToPath(new URL('../node_modules/tsx/dist/cli.mjs', import.meta.url));
    execFile(
      process.execPath,
      [tsx, ...args],
      { cwd: fileURLToPath(new URL('..', import.meta.url)) },
      (error, stdout, stderr) => resolve({ code: error?.code ?? 0, stdout, stderr }),
    );
  });

/** the tools that package.json runs as they are */
const { scripts } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  scripts: Record<string, string>;
};
const TOOLS = Object.entries(scripts).flatMap(([name, command]) =>
  /^tsx e2e\/tools\/\w+\.ts$/.test(command) ? [{ name, path: command.slice('tsx '.length) }] : [],
);

test.each(TOOLS)('npm run $name -- --help', async ({ name, path }) => {
  const { code, stdout, stderr } = await run(path, '--help');
  expect([code, stderr]).toEqual([0, '']);
  expect(stdout).toMatch(new RegExp(`^npm run ${name} -- \\[options\\]\\n.+\\n\\n  --`));
});

test('a tool: a wrong call', async () => {
  expect(TOOLS.length).toBeGreaterThan(10);
  expect(await run('e2e/tools/bench.ts', '--model', 'missing.gguf')).toEqual({
    code: 2,
    stdout: '',
    stderr:
      '--model: missing.gguf does not exist. Pass a GGUF file or a Hugging Face directory.\nnpm run bench -- --help explains the options.\n',
  });
});

test('a tool: a failure on the way', { tags: 'chromium' }, async () => {
  const failed = await run('e2e/tools/bench.ts', '--model', 'package.json');
  expect(failed).toMatchObject({ code: 1, stdout: '' });
  expect(failed.stderr).toMatch(/^CheckpointError: package\.json .*\n$/);
});
