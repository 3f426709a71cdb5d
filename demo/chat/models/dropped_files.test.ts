import { expect, test } from 'vitest';
import { kindOf, sortFiles } from './dropped_files';

const file = (name: string, ...parts: (string | number[])[]): File =>
  new File(
    parts.map((part) => (typeof part === 'string' ? part : new Uint8Array(part))),
    name,
  );
const gguf = file('m.gguf', 'GGUF', [3, 0, 0, 0]);

test.each([
  [gguf, 'model'],
  [file('no suffix', 'GGUF', [3]), 'model'],
  [file('m.rivulet', 'RIVULET1', [9, 0, 0, 0]), 'exported'],
  [file('model.safetensors', [8, 0]), 'part'],
  [file('config.json', '{}'), 'part'],
  [file('notes.txt', 'Grüße\r\n\tdort'), 'text'],
  [file('data.json', '{}'), 'text'],
  [file('cut.txt', 'a'.repeat(511), [0xc3, 0xbc]), 'text'],
  [file('cat.jpg', [0xff, 0xd8, 0xff, 0xe0]), 'other'],
  [file('m.gguf', [0, 1, 2]), 'other'],
  [file('m.gguf', 'version https://git-lfs.github.com/spec/v1'), 'other'],
  [file('empty.gguf'), 'other'],
])('%o', async (given, kind) => expect(await kindOf(given)).toBe(kind));

test('a model, a text and a picture at once', async () => {
  const [notes, cat] = [file('notes.txt', 'hello'), file('cat.jpg', [0xff, 0xd8])];
  expect(await sortFiles([notes, gguf, cat])).toEqual({
    model: [gguf],
    others: [
      { file: notes, problem: 'notes.txt is not a model file. Choose a .gguf file.', attachable: true },
      { file: cat, problem: 'cat.jpg is not a model file. Choose a .gguf file.', attachable: true },
    ],
  });
});

test('the files of a Hugging Face model belong together; without weights they are texts', async () => {
  const parts = [file('config.json', '{}'), file('tokenizer.json', '{}'), file('model.safetensors', [8, 0])];
  expect((await sortFiles(parts)).model).toEqual(parts);
  expect((await sortFiles(parts.slice(0, 1))).others).toEqual([
    { file: parts[0], problem: 'config.json is a part of a model. Choose all files of the model.', attachable: true },
  ]);
});

test('what cannot be a model nor go with a message', async () => {
  const folder = Object.assign(file('folder'), {
    slice: () => ({ arrayBuffer: () => Promise.reject(new DOMException('gone', 'NotFoundError')) }),
  });
  expect(
    (await sortFiles([file('m.gguf', [1, 2]), folder])).others.map(({ problem, attachable }) => [problem, attachable]),
  ).toEqual([
    [
      'm.gguf is not a model file: its first bytes are not those of a GGUF file. It may be damaged, or only a pointer to the real file.',
      false,
    ],
    ['folder cannot be read. It may be a folder: drop the files in it.', false],
  ]);
});
