import { expect, test } from 'vitest';
import { bestOf, listFiles, repoIn } from './repo_files';
import type { Device } from './recommend';

const at = { repo: 'Org/LFM-GGUF', revision: '' };
const siblings = (sizes: Record<string, number>): object => ({
  siblings: Object.entries(sizes).map(([rfilename, size]) => ({ rfilename, size })),
});
const device: Device = { mobile: false, saveData: false, backend: 'wasm', threads: 4, throughput: 8e9 };

test.each([
  ['Org/Repo', { repo: 'Org/Repo', revision: '' }],
  ['Org/Repo@v1', { repo: 'Org/Repo', revision: '@v1' }],
  ['https://huggingface.co/Org/Repo', { repo: 'Org/Repo', revision: '' }],
  ['https://huggingface.co/Org/Repo/tree/main', { repo: 'Org/Repo', revision: '' }],
  ['Org/Repo:Q4_0', undefined],
  ['Org/Repo/file.gguf', undefined],
  ['models/tiny.gguf', undefined],
  ['./models', undefined],
  ['https://other.example/Org/Repo', undefined],
  ['', undefined],
])('%j', (text, wanted) => expect(repoIn(text)).toEqual(wanted));

test('GGUF files with their size and quantisation, the smallest first; parts are one model', () => {
  const { files, foreign } = listFiles(
    siblings({
      'LFM-Q8_0.gguf': 380e6,
      'LFM-Q4_0.gguf': 219e6,
      'README.md': 900,
      'mmproj-F16.gguf': 5e6,
      'LFM-F16-00001-of-00002.gguf': 400e6,
      'LFM-F16-00002-of-00002.gguf': 300e6,
      'more/LFM-Q4_K_M.gguf': 230e6,
    }),
    at,
  );
  expect(foreign).toBeUndefined();
  expect(files).toEqual([
    { source: 'Org/LFM-GGUF:Q4_0', name: 'LFM-Q4_0.gguf', quantization: 'Q4_0', bytes: 219e6, parts: 1 },
    {
      source: 'Org/LFM-GGUF/more/LFM-Q4_K_M.gguf',
      name: 'more/LFM-Q4_K_M.gguf',
      quantization: 'Q4_K_M',
      bytes: 230e6,
      parts: 1,
    },
    { source: 'Org/LFM-GGUF:Q8_0', name: 'LFM-Q8_0.gguf', quantization: 'Q8_0', bytes: 380e6, parts: 1 },
    { source: 'Org/LFM-GGUF:F16', name: 'LFM-F16-00001-of-00002.gguf', quantization: 'F16', bytes: 700e6, parts: 2 },
  ]);
});

test('two files of one quantisation are told apart by their names, a revision too', () => {
  const sources = (revision: string): string[] =>
    listFiles(siblings({ 'a-Q4_0.gguf': 1, 'b-Q4_0.gguf': 2 }), { ...at, revision }).files.map(({ source }) => source);
  expect(sources('')).toEqual(['Org/LFM-GGUF/a-Q4_0.gguf', 'Org/LFM-GGUF/b-Q4_0.gguf']);
  expect(sources('@v1')).toEqual(['Org/LFM-GGUF/a-Q4_0.gguf@v1', 'Org/LFM-GGUF/b-Q4_0.gguf@v1']);
});

test('what the page cannot run says so, and is never the best', () => {
  const { files } = listFiles(
    siblings({
      'm-IQ3_XXS.gguf': 1e8,
      'm-IQ2_S.gguf': 1e8,
      'm-IQ4_XS.gguf': 1e8,
      'm-Q2_K.gguf': 1e8,
      'm-Q8_0-00001-of-00002.gguf': 1e8,
      'm-Q4_0.gguf': 2e8,
      'm.gguf': 3e8,
    }),
    at,
  );
  expect(Object.fromEntries(files.map(({ name, problem }) => [name, problem]))).toEqual({
    'm-IQ3_XXS.gguf': 'This page cannot run IQ3_XXS files.',
    'm-IQ2_S.gguf': 'This page cannot run IQ2_S files.',
    'm-IQ4_XS.gguf': undefined,
    'm-Q2_K.gguf': undefined,
    'm-Q8_0-00001-of-00002.gguf': 'A part of it is missing.',
    'm-Q4_0.gguf': undefined,
    'm.gguf': undefined,
  });
  expect(
    bestOf(
      files.filter(({ problem }) => problem),
      device,
    ),
  ).toBeUndefined();
});

test('the best is the largest that fits and is fast enough', () => {
  const { files } = listFiles(siblings({ 'm-Q4_0.gguf': 219e6, 'm-Q8_0.gguf': 380e6, 'm-F16.gguf': 710e6 }), at);
  expect(bestOf(files, device)?.name).toBe('m-Q8_0.gguf'); // 21 tok/s; F16 has 11
  expect(bestOf(files, { ...device, throughput: 4e9 })?.name).toBe('m-Q4_0.gguf');
  expect(bestOf(files, { ...device, mobile: true })?.name).toBe('m-Q4_0.gguf');
  expect(bestOf(files, { ...device, throughput: undefined, memory: 2 ** 26 })).toBeUndefined();
  // of a mixture of experts a token reads a part
  expect(bestOf(files, { ...device, throughput: 4e9 }, 0.2)?.name).toBe('m-F16.gguf');
});

test('a model of another kind is named, and what is no list of files is refused', () => {
  expect(listFiles({ siblings: [], gguf: { architecture: 'qwen3' } }, at)).toEqual({ files: [], foreign: 'qwen3' });
  for (const architecture of ['lfm2', 'lfm2moe', 'lfm3'])
    expect(listFiles({ siblings: [], gguf: { architecture } }, at)).toEqual({ files: [] });
  for (const answer of [null, 'x', {}, { siblings: 'x' }])
    expect(() => listFiles(answer, at)).toThrow('is not a list of files');
  expect(
    listFiles(
      {
        siblings: [
          null,
          7,
          { rfilename: 5 },
          { rfilename: 'a.gguf' },
          { rfilename: 'a.gguf', size: -1 },
          { rfilename: 'a\u202e.gguf', size: 1 },
        ],
      },
      at,
    ).files,
  ).toEqual([]);
});
