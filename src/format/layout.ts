/** What every container must hold to: tensors lie inside the file, apart from each other, under different names. */
import { fail } from '../errors';
import type { TensorInfo } from '../tensor/tensor';
import type { HeadFile } from './cursor';

/** The number of values of a shape. @throws CheckpointError beyond 2^53 */
export function valueCount(name: string, shape: number[]): number {
  const count = shape.reduce((product, n) => product * n, 1);
  if (Number.isSafeInteger(count) && shape.every((n) => Number.isSafeInteger(n) && n > 0)) return count;
  return fail('CheckpointError', {
    what: `the shape of tensor ${name} makes no sense`,
    got: `[${shape.join(', ')}]`,
    wanted: 'positive lengths whose product is below 2^53',
    cure: 'The file is damaged: get it again.',
  });
}

/** @throws CheckpointError when tensors leave the file, overlap or share a name */
export function checkLayout(tensors: readonly TensorInfo[], file: HeadFile): void {
  const names = new Set<string>();
  for (const { name } of tensors) {
    if (names.has(name)) fail('CheckpointError', { what: `${file.name} has two tensors of one name`, got: name, cure: 'The file is damaged: get it again.' });
    names.add(name);
  }
  let end = 0;
  let before = '';
  for (const tensor of [...tensors].sort((a, b) => a.offset - b.offset)) {
    if (tensor.offset < end)
      fail('CheckpointError', {
        what: `tensors ${before} and ${tensor.name} of ${file.name} overlap`,
        got: `byte ${tensor.offset}`,
        wanted: `at least ${end}`,
        cure: 'The file is damaged: get it again.',
      });
    end = tensor.offset + tensor.byteLength;
    before = tensor.name;
    if (end > file.size)
      fail('CheckpointError', {
        what: `${file.name} is cut short: tensor ${tensor.name} leaves the file`,
        got: `${file.size} bytes`,
        wanted: `at least ${end}`,
        cure: 'Get the file again.',
      });
  }
}
