/**
 * The weights of bilinear resizing with antialiasing, along one side, as PyTorch computes them (UpSampleKernel.cpp): a
 * triangle that is as wide as an output step where the side shrinks.
 */
export interface AxisWeights {
  /** the most taps of an output */
  taps: number;
  /** of each output: its first input, and how many it reads */
  first: Int32Array;
  count: Int32Array;
  /** [outputs, taps]; those of an output sum to 1 */
  weights: Float64Array;
}

/** From `size` inputs to `outputs`. */
export function axisWeights(size: number, outputs: number): AxisWeights {
  const scale = size / outputs;
  const support = Math.max(scale, 1);
  const taps = 2 * Math.ceil(support) + 1;
  const [first, count] = [new Int32Array(outputs), new Int32Array(outputs)];
  const weights = new Float64Array(outputs * taps);
  for (let i = 0; i < outputs; i++) {
    const centre = scale * (i + 0.5);
    first[i] = Math.max(Math.trunc(centre - support + 0.5), 0);
    count[i] = Math.min(Math.trunc(centre + support + 0.5), size) - first[i];
    let sum = 0;
    for (let j = 0; j < count[i]; j++) {
      const distance = Math.abs((first[i] + j - centre + 0.5) / support);
      sum += weights[i * taps + j] = Math.max(1 - distance, 0);
    }
    for (let j = 0; j < count[i]; j++) weights[i * taps + j] /= sum;
  }
  return { taps, first, count, weights };
}
