/**
 * The tensors that a model of any configuration would find in a file: for tests and measurements with random weights.
 */
import { createWeightReader, type TensorSupply, type WeightReader } from '../model/weights';
import { rowBytes, type Dtype } from '../tensor/dtype';
import type { TensorInfo } from '../tensor/tensor';

/** A tensor of a model that is made up; `name` is that of Hugging Face files. */
export interface MadeUpTensor extends TensorInfo {
  gguf: string;
  leaf: 'matrix' | 'vector';
}

/**
 * The weights that a model would read from a file, and the file's tensors in the same order. The shapes are the first
 * that the model accepts.
 * @param dtype of a matrix, by its GGUF name; vectors are F32
 * @param has true for a tensor, by its GGUF name, that is there although the model may lack it
 */
export function madeUpWeights<T>(
  build: (read: WeightReader) => T,
  dtype: (gguf: string, cols: number) => Dtype,
  has: (gguf: string) => boolean = () => false,
): { weights: T; tensors: MadeUpTensor[] } {
  const tensors: MadeUpTensor[] = [];
  const take: TensorSupply['take'] = ([hf, module], kind, [shape], leaf) => {
    const gguf = `${module}.${kind}`;
    const cols = shape.at(-1)!;
    const type = leaf === 'matrix' ? dtype(gguf, cols) : 'F32';
    const rows = shape.slice(0, -1).reduce((a, b) => a * b, 1);
    const tensor: MadeUpTensor = {
      name: `${hf}.${kind}`,
      gguf,
      shape,
      dtype: type,
      leaf,
      file: 0,
      offset: 0,
      byteLength: rows * rowBytes(type, cols),
    };
    tensors.push(tensor);
    return tensor;
  };
  return { weights: build(createWeightReader({ has: ([, module], kind) => has(`${module}.${kind}`), take })), tensors };
}
