/** The plan of a model. This is the one place that runs a forward pass. */
import type { Architecture, LoadedWeights } from '../model/architecture';
import type { Config } from '../model/config';
import { recordPlan, type Plan } from './plan';

export const recordModel = (
  { architecture, config }: { architecture: Architecture; config: Config },
  weights: LoadedWeights,
): Plan => recordPlan((op) => architecture.build(op, config, weights));
