import { expect, it } from 'vitest';
import { encodeInParts } from './encode_documents';

const texts = Array.from({ length: 37 }, (_, i) => `${i}`);
const encode = async (part: readonly string[]): Promise<Float32Array[]> => part.map((text) => Float32Array.of(+text));

it.each([true, false])('gives all vectors in order, with reports: %s', async (reports) => {
  const done: number[] = [];
  const got: number[] = [];
  for await (const [v] of encodeInParts(texts, encode, reports ? (n, total) => done.push(n, total) : undefined))
    got.push(v);
  expect(got).toEqual(texts.map(Number));
  expect(done).toEqual(reports ? [16, 37, 32, 37, 37, 37] : []);
});

it('ends with the error of a part, behind the parts before it', async () => {
  const got: number[] = [];
  const failing = async (part: readonly string[]): Promise<Float32Array[]> =>
    part[0] === '32' ? Promise.reject(new Error('gone')) : encode(part);
  await expect(
    (async () => {
      for await (const [v] of encodeInParts(texts, failing)) got.push(v);
    })(),
  ).rejects.toThrow('gone');
  expect(got).toHaveLength(32);
});

it('has nothing to do for no texts', async () => {
  const vectors = encodeInParts([], () => Promise.reject(new Error('asked')));
  expect(await vectors.next()).toEqual({ done: true, value: undefined });
});
