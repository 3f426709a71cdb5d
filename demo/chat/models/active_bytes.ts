/** The weights that a token reads: of a mixture of experts, those of its experts only. */
import type { ModelInfo } from '../../../src/index';

/** In bytes, about: it takes all weights to have as many bits as the average. */
export function activeBytes({ config, bytes }: Pick<ModelInfo, 'config' | 'bytes'>): number {
  const { experts, layers, hiddenSize: D, ffnSize, heads, kvHeads, headDim, vocabSize } = config;
  if (!experts) return bytes;
  const count = (wanted: boolean): number => layers.filter((kind) => (kind === 'conv') === wanted).length;
  const operators = count(true) * 4 * D * D + count(false) * 2 * D * headDim * (heads + kvHeads);
  const dense = experts.denseLayers * 3 * D * ffnSize;
  const expert = (layers.length - experts.denseLayers) * 3 * D * experts.ffnSize;
  const shared = vocabSize * D + operators + dense;
  return (bytes * (shared + experts.top * expert)) / (shared + experts.count * expert);
}
