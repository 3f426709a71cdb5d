/** A case of the conformance table, and what it makes its plan of. */
import type { Act, LayerNorm, Matrix, Norm, Ops, Vector } from '../model/ops';
import type { Dtype } from '../tensor/dtype';

export interface ConformanceCase {
  name: string;
  build: (op: Ops, make: CaseTensorFactory) => Act | Act[];
  /** the input of a linear map is not on the int8 grid here, so that int8 activations round */
  offGrid?: boolean;
  /** run only these pieces, and compare the output of each */
  pieces?: number[];
  /** also run LONGEST tokens as sequences with these ends */
  sequences?: number[];
  /** with `sequences`: what each token sees, [T, 4], in place of its whole sequence */
  bounds?: Uint32Array<ArrayBuffer>;
  /** rows in place of those of all tokens, or of two tokens of three */
  rows?: 'all' | 'some';
  /** the output that is compared, by its index */
  output?: number;
}

/** Random weights and input; the same names give the same numbers on every backend. */
export interface CaseTensorFactory {
  /** one dtype, or [dtype, rows] for each segment; segments of one name are equal */
  matrix(name: string, rows: number, cols: number, dtype: Dtype | [Dtype, number, name?: string][]): Matrix;
  /** numbers between −size and size, 1 by default */
  vector(name: string, length: number, size?: number): Vector;
  norm(name: string, length: number): Norm;
  layerNorm(name: string, length: number, biased: boolean): LayerNorm;
  /** embeds the tokens; int8 with one scale per 16 or 32 columns represents these rows exactly */
  input(op: Ops, cols: number): Act;
}
