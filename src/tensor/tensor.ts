import type { Dtype } from './dtype';

/** Where a tensor's bytes lie. `shape` is in Hugging Face order, outermost first: a linear map is [out, in]. */
export interface TensorInfo {
  name: string;
  dtype: Dtype;
  shape: number[];
  /** index of the file among the checkpoint's shards */
  file: number;
  /** bytes from the start of that file */
  offset: number;
  byteLength: number;
}
