import { describe, expect, test } from 'vitest';
import { safetensorsBytes, tinyDirectory } from '../../e2e/tools/tiny';
import type { TensorInfo } from '../tensor/tensor';
import { parseSafetensors } from './safetensors';

function parse(bytes: Uint8Array, size = bytes.length): TensorInfo[] {
  const tensors = parseSafetensors(bytes, { name: 'a.safetensors', size });
  if ('need' in tensors) throw new Error(`needs ${tensors.need}`);
  return tensors;
}

/** A file with this header and 64 bytes of data. */
function file(header: unknown, length?: bigint): Uint8Array {
  const json = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
  const bytes = new Uint8Array(8 + json.length + 64);
  new DataView(bytes.buffer).setBigUint64(0, length ?? BigInt(json.length), true);
  bytes.set(json, 8);
  return bytes;
}

const good = { dtype: 'F32', shape: [2, 4], data_offsets: [0, 32] };
const deep = '['.repeat(100_000) + ']'.repeat(100_000);

describe('parseSafetensors', () => {
  test('tensors with their place in the file', () => {
    const bytes = safetensorsBytes([
      { name: 'a', shape: [3], dtype: 'BF16', bytes: new Uint8Array([1, 2, 3, 4, 5, 6]) },
      { name: 'b', shape: [1, 1], dtype: 'F32', bytes: new Uint8Array([7, 8, 9, 10]) },
    ]);
    const [a, b] = parse(bytes);
    expect(a).toMatchObject({ name: 'a', dtype: 'BF16', shape: [3], file: 0, byteLength: 6 });
    expect([...bytes.subarray(b.offset, b.offset + b.byteLength)]).toEqual([7, 8, 9, 10]);
  });

  test('asks for more until the header is whole', () => {
    const bytes = tinyDirectory({ hidden: 64, headDim: 16 })['model.safetensors'];
    const size = bytes.length;
    expect(parseSafetensors(bytes.subarray(0, 3), { name: 'a', size })).toEqual({ need: 8 });
    const { need } = parseSafetensors(bytes.subarray(0, 8), { name: 'a', size }) as { need: number };
    expect(parseSafetensors(bytes.subarray(0, need), { name: 'a', size })).toEqual(parse(bytes));
    for (let n = 0; n < need; n++) expect(() => parse(bytes.subarray(0, n))).toThrow(/incomplete/);
    expect(() => parse(bytes, size - 1)).toThrow(/incomplete: tensor .* ends after the file/);
  });

  test.each<[string, Uint8Array, RegExp]>([
    ['a length of 2^64', file({ good }, 2n ** 64n - 1n), /incomplete: got a header of 18446744073709552000 bytes/],
    ['a length of zero', file({ good }, 0n), /incomplete/],
    ['not JSON', file('{"a": '), /is not JSON/],
    ['a list', file([good]), /is not valid: got a list of 1, wanted a JSON object/],
    ['a tensor that is null', file({ a: null }), /Tensor a is not valid: got null/],
    ['nested without end', file(`{"a":${deep}}`), /Tensor a is not valid|is not JSON/],
    [
      'a shape nested without end',
      file(`{"a":{"dtype":"F32","shape":${deep},"data_offsets":[0,4]}}`),
      /an invalid description|is not JSON/,
    ],
    [
      'unknown type',
      file({ a: { ...good, dtype: 'F8_E4M3' } }),
      /type that is not supported: got "F8_E4M3", wanted F32, F16, BF16/,
    ],
    ['a type that is an object', file({ a: { ...good, dtype: { toString: 1 } } }), /got an object/],
    ['a negative length', file({ a: { ...good, shape: [-2, 4] } }), /an invalid description: got shape \[-2, 4\]/],
    ['a length of zero', file({ a: { ...good, shape: [0] } }), /shape of tensor a is not valid/],
    ['a shape beyond 2^53', file({ a: { ...good, shape: [2 ** 40, 2 ** 40] } }), /shape of tensor a is not valid/],
    ['falling offsets', file({ a: { ...good, data_offsets: [32, 0] } }), /an invalid description/],
    ['no offsets', file({ a: { dtype: 'F32', shape: [1] } }), /data_offsets nothing/],
    [
      'bytes that do not fit the shape',
      file({ a: { ...good, data_offsets: [0, 31] } }),
      /do not fit its shape: got 31, wanted 32/,
    ],
    ['beyond the file', file({ a: { ...good, data_offsets: [48, 80] } }), /ends after the file/],
    ['overlap', file({ a: good, b: { ...good, data_offsets: [16, 48] } }), /Tensors a and b of a.safetensors overlap/],
  ])('%s', (_, bytes, expected) => {
    expect(() => parse(bytes)).toThrow(expected);
    expect(() => parse(bytes)).toThrow(expect.objectContaining({ name: 'CheckpointError' }));
  });
});
