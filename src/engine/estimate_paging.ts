/** What the estimate says of a mixture of experts that is larger than its memory budget. */
import type { Weights } from '../model/architecture';
import { mapLeaves } from '../model/weights';
import { formatMegabytes } from '../store/storage_space';
import type { CheckpointOutline } from './checkpoint';
import { pagesExperts } from './load_model';

/** The budget of a model that is larger, whose experts are read when they are needed. */
export function pagedBudget(
  outline: CheckpointOutline,
  memoryBudget: number | undefined,
  obstacles: string[],
): number | undefined {
  try {
    return pagesExperts(outline, memoryBudget) ? memoryBudget : undefined;
  } catch (error) {
    obstacles.push((error as Error).message);
  }
  return undefined;
}

/** @param factor from bytes of the file to bytes in memory */
function bytesOfExperts({ layers }: Weights, factor: number): number {
  let sum = 0;
  mapLeaves(
    layers,
    ({ experts, segments }) => experts && segments.forEach(({ tensor }) => (sum += factor * tensor.byteLength)),
    () => undefined,
  );
  return sum;
}

/**
 * @param paged the budget, if experts stay in storage
 * @param weights bytes of all weights in memory, and `context` of the rest
 * @param obstacles gets a budget that is too small
 */
export function pagedMemory(
  { weights: tree, config, bytes }: CheckpointOutline,
  paged: number | undefined,
  { weights, context }: { weights: number; context: number },
  obstacles: string[],
): { total: number; notes: string[] } {
  if (paged === undefined) return { total: weights + context, notes: [] };
  const experts = bytesOfExperts(tree, weights / bytes);
  const outside = weights + context - experts;
  const share = Math.max(0, Math.min(1, (paged - outside) / experts));
  const layers = config.layers.length - config.experts!.denseLayers;
  if (share * layers < 1)
    obstacles.push(
      `memoryBudget is ${formatMegabytes(paged)}; the model needs at least ${formatMegabytes(outside + experts / layers)}.`,
    );
  const note = `${Math.floor(100 * share)} % of the experts fit into memoryBudget. The others are read from storage when a token needs them: the answer is the same, and slower than tokensPerSecond.`;
  const copy = `What was read from the browser's storage is kept there once more, at most ${formatMegabytes(experts)}.`;
  return { total: Math.min(weights + context, paged), notes: share < 1 ? [note, copy] : [] };
}
