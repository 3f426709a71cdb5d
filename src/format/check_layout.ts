/** Rules of every file format: tensors lie inside the file, do not overlap, and have different names. */
import { fail } from '../errors';
import type { TensorInfo } from '../tensor/tensor';
import type { NamedFile } from './header_cursor';

/** The number of values of a shape. @throws CheckpointError beyond 2^53 */
export function valueCount(name: string, shape: number[]): number {
  const count = shape.reduce((product, n) => product * n, 1);
  if (Number.isSafeInteger(count) && shape.every((n) => Number.isSafeInteger(n) && n > 0)) return count;
  return fail('CheckpointError', {
    what: `The shape of tensor ${name} is not valid`,
    got: `[${shape.join(', ')}]`,
    wanted: 'positive lengths whose product is below 2^53',
    cure: 'The file is damaged: get it again.',
  });
}

/** @throws CheckpointError if tensors leave the file, overlap or share a name */
export function checkLayout(tensors: readonly TensorInfo[], file: NamedFile): void {
  const names = new Set<string>();
  for (const { name } of tensors) {
    if (names.has(name))
      fail('CheckpointError', {
        what: `${file.name} has two tensors with the same name`,
        got: name,
        cure: 'The file is damaged: get it again.',
      });
    names.add(name);
  }
  let end = 0;
  let before = '';
  for (const tensor of [...tensors].sort((a, b) => a.offset - b.offset)) {
    if (tensor.offset < end)
      fail('CheckpointError', {
        what: `Tensors ${before} and ${tensor.name} of ${file.name} overlap`,
        got: `byte ${tensor.offset}`,
        wanted: `at least ${end}`,
        cure: 'The file is damaged: get it again.',
      });
    end = tensor.offset + tensor.byteLength;
    before = tensor.name;
    if (end > file.size)
      fail('CheckpointError', {
        what: `${file.name} is incomplete: tensor ${tensor.name} ends after the file`,
        got: `${file.size} bytes`,
        wanted: `at least ${end}`,
        cure: 'Get the file again.',
      });
  }
}
