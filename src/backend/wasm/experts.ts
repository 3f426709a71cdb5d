/** The ops of a mixture of experts on WASM (kernels/experts.h). */
import type { Matrix } from '../../model/ops';
import type { ExpertOp, Lowerings, PlanActivation } from '../plan';
import { normFields, type Op, type WasmLoweringContext } from './lower';

const expertFields = (w: Matrix, chosen: PlanActivation, { at, address }: WasmLoweringContext): Op => ({
  w: at.matrix(w),
  segments: w.segments.length,
  top: chosen.cols / 2,
  chosen: address(chosen),
});

export const WASM_EXPERT_LOWERINGS: Lowerings<WasmLoweringContext, Op, ExpertOp> = {
  selectExperts: ({ bias, top, normalise, scale }, { at }) => ({
    bias: bias && at.vector(bias), top, normalise: Number(!!normalise), scale,
  }), // prettier-ignore
  expertsSwiglu: ({ w1, w3, chosen, norm }, context) => ({
    ...expertFields(w1, chosen, context), w3: context.at.matrix(w3), ...normFields(norm, context.at),
    lastUsed: context.at.paged(w1) && context.scope.alloc(4 * w1.segments.length, w1.name),
  }), // prettier-ignore
  expertsLinear: ({ w, chosen, add }, context) => ({ ...expertFields(w, chosen, context), add: context.address(add) }),
};
