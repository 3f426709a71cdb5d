/** The cases of mixtures of experts. */
import type { Matrix } from '../model/ops';
import type { Dtype } from '../tensor/dtype';
import type { ConformanceCase } from './conformance_case';

/**
 * E experts of width I between rows of D, of which each token takes `top`.
 * @param options `bias` is the size of the numbers that are added for the choice
 */
function expertsCase(
  name: string,
  [E, top, D, I]: readonly [E: number, top: number, D: number, I: number],
  [dtype, down = dtype]: readonly [Dtype, Dtype?],
  { bias, ties, ...options }: { bias?: number; ties?: boolean; normalise?: boolean; scale?: number } = {},
): ConformanceCase {
  return {
    name: `experts ${dtype} ${top} of ${E}, ${I}×${D}${name}`,
    offGrid: true,
    build(op, make) {
      const x = make.input(op, D);
      const all = (matrix: string, type: Dtype, rows: number, cols: number): Matrix =>
        make.matrix(
          matrix,
          E * rows,
          cols,
          Array.from({ length: E }, (): [Dtype, number] => [type, rows]),
        );
      const halves: [Dtype, number, string][] = [1, 2].map(() => ['F32', E / 2, 'half']);
      return op.experts(
        make.matrix('router', E, D, ties ? halves : 'F32'),
        { w1: all('w1', dtype, I, D), w3: all('w3', dtype, I, D), w2: all('w2', down, D, I) },
        x,
        {
          norm: make.norm('n', D),
          bias: bias ? make.vector('bias', E, bias) : undefined,
          top,
          scale: 1,
          ...options,
          add: x,
        },
      );
    },
  };
}

export const EXPERT_CASES: ConformanceCase[] = [
  expertsCase('', [4, 1, 36, 48], ['F32']),
  expertsCase('', [32, 4, 64, 96], ['Q4_0'], { bias: 0.2, normalise: true }),
  expertsCase('', [64, 8, 32, 32], ['Q8_0'], { bias: 0.2, normalise: true, scale: 2.5 }),
  expertsCase('', [8, 3, 256, 256], ['Q4_K', 'Q6_K'], { bias: 0.2, normalise: true }),
  expertsCase('', [5, 2, 48, 64], ['F16', 'BF16'], { scale: 0.5 }),
  expertsCase(' all of them', [4, 4, 64, 32], ['Q4_0'], { normalise: true }),
  expertsCase(' the same for all tokens', [8, 1, 64, 64], ['Q5_0'], { bias: 100 }),
  expertsCase(' the same two for all tokens', [6, 2, 64, 32], ['Q8_0', 'F16'], { bias: 100, normalise: true }),
  expertsCase(' of equal scores the first', [8, 3, 64, 32], ['IQ4_NL'], { ties: true, normalise: true }),
];
