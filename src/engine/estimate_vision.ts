/** What a vision encoder takes beside its text model, for the estimate. */
import type { Backend } from '../backend/backend';
import { planCost } from '../backend/cost';
import { recordVision } from '../backend/vision_plan';
import { shapesOf } from '../model/weights';
import type { CheckpointOutline } from './checkpoint';
import { patchesOfCall } from './vision_encoder';

/** Bytes of its weights, and of all else that it holds once it has read a picture; none without vision. */
export async function visionMemory(
  backend: Backend,
  outline: Pick<CheckpointOutline, 'architecture' | 'config' | 'weights'>,
): Promise<{ weights: number; context: number }> {
  const { vision } = outline.config;
  if (!vision) return { weights: 0, context: 0 };
  const plans = recordVision(outline, shapesOf(outline.weights));
  const most = patchesOfCall(vision);
  const cost = (plan: typeof plans.encoder, rows: number) =>
    planCost(backend, plan, { contextLength: rows, prefillBatch: rows });
  const costs = [await cost(plans.encoder, most), await cost(plans.projector, most / vision.downsample ** 2)];
  const sum = (of: (one: (typeof costs)[number]) => number): number => of(costs[0]) + of(costs[1]);
  return {
    weights: sum(({ weights }) => weights),
    context: sum(({ scratch, empty, state }) => scratch - empty + state),
  };
}
