/** The plans of a model's vision encoder: between them, rows are read with another width. */
import type { Architecture, LoadedWeights } from '../model/architecture';
import type { Config } from '../model/config';
import { recordPlan, type Plan } from './plan';

export interface VisionPlans {
  encoder: Plan;
  projector: Plan;
}

/** Of an architecture with vision. */
export function recordVision(
  { architecture: { vision }, config }: { architecture: Architecture; config: Config },
  weights: LoadedWeights,
): VisionPlans {
  return {
    encoder: recordPlan((op) => vision!.encode(op, config.vision!, weights.vision!)),
    projector: recordPlan((op) => vision!.project(op, config.vision!, weights.vision!)),
  };
}
