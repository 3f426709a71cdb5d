import { expect, test } from 'vitest';
import { ggufBytes, tinyModel } from '../../e2e/tools/tiny';
import { parseGguf } from '../format/gguf';
import { memorySource, type ByteSource } from '../store/byte_source';
import { openCheckpoint } from './checkpoint';
import { openCheckpointOutline } from './checkpoint_outline';
import { readHeaderWithoutVocabulary } from './partial_header';

const whole = ggufBytes(tinyModel({ hidden: 64, headDim: 16, layers: ['conv', 'attention'], vocab: 20_000 }));

/** Counts the distinct KB that are read. */
function counted(bytes: Uint8Array): { file: ByteSource; kilobytes(): number } {
  const touched = new Set<number>();
  const { read, ...source } = memorySource('a.gguf', bytes);
  const file: ByteSource = {
    ...source,
    read: (offset, length, signal) => {
      for (let at = offset >> 10; at <= (offset + length - 1) >> 10; at++) touched.add(at);
      return read(offset, length, signal);
    },
  };
  return { file, kilobytes: () => touched.size };
}

test('the tensors are found without the vocabulary', async () => {
  const header = parseGguf(whole, { name: 'a.gguf', size: whole.length });
  if ('need' in header) throw new Error('the head is the whole file');
  const { file, kilobytes } = counted(whole);
  expect(header.dataOffset).toBeGreaterThan(300 << 10);
  expect(await readHeaderWithoutVocabulary(file)).toMatchObject({
    version: header.version,
    tensors: header.tensors,
    dataOffset: header.dataOffset,
  });
  expect(kilobytes()).toBeLessThan(200);
});

test('an outline is that of the checkpoint', async () => {
  const { config, bytes, quantization, weights } = await openCheckpoint([memorySource('a.gguf', whole)]);
  for (const skim of [true, false])
    expect(await openCheckpointOutline([memorySource('a.gguf', whole)], skim)).toMatchObject({
      config,
      bytes,
      quantization,
      weights,
    });
});

test.each<[string, Uint8Array]>([
  ['bytes behind the last tensor', new Uint8Array([...whole, ...new Uint8Array(999)])],
  ['a file cut short', whole.slice(0, -4000)],
])('%s: what is not certain is not said', async (_, bytes) => {
  expect(await readHeaderWithoutVocabulary(memorySource('a.gguf', bytes))).toBeUndefined();
});

test('what load refuses is refused with the same words', async () => {
  const cut = whole.slice(0, -4000);
  const refusal = await openCheckpoint([memorySource('a.gguf', cut)]).catch((error: Error) => error);
  expect(refusal).toMatchObject({ name: 'CheckpointError' });
  await expect(openCheckpointOutline([memorySource('a.gguf', cut)], false)).rejects.toThrow((refusal as Error).message);
});
