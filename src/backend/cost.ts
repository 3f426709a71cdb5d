/** The bytes of a plan on a backend, before anything is loaded. It is for the estimate, in a side file. */
import type { Backend, CompileOptions } from './backend';
import { matricesOf, shareRead, vectorsOf, weightsOf, type Plan, type PlanNode } from './plan';
import type { WasmBackend } from './wasm/backend';
import { wasmSizes } from './wasm/cost';
import type { WebGpuBackend } from './webgpu/backend';
import { webGpuSizes } from './webgpu/cost';

/**
 * All in bytes. `weights`, `scratch` and `state` together are the `memory()` of a backend that has loaded nothing else,
 * when the context is full.
 */
export interface PlanCost {
  weights: number;
  /** what all states share: activations, and what the backend holds without a model */
  scratch: number;
  /** of that, what the backend holds without a model */
  empty: number;
  /** what one state holds when its context is full: keys, values and convolution rings */
  state: number;
  /** of the weights, what a decode step reads */
  read: number;
}

/**
 * Nothing is allocated; matrices and vectors of the plan may have names and shapes only. `reserve` must have been
 * called.
 */
export async function planCost(backend: Backend, plan: Plan, options: CompileOptions): Promise<PlanCost> {
  const internals = (backend as WebGpuBackend | WasmBackend).internals();
  const sizes = 'opened' in internals ? webGpuSizes(internals) : wasmSizes(internals);
  const { scratch, state } = await sizes.compiled(plan, options);
  const sum = <T>(of: (node: PlanNode) => T[], bytes: (one: T) => number): number =>
    [...new Set(plan.nodes.flatMap(of))].reduce((all, one) => all + bytes(one), 0);
  const vectors = sum(vectorsOf, sizes.vector);
  const shares = new Map(plan.nodes.flatMap((node) => matricesOf(node).map((matrix) => [matrix, shareRead(node)])));
  const read = [...shares].reduce((all, [matrix, share]) => all + share * sizes.matrix(matrix), 0);
  return {
    weights: sum(weightsOf, sizes.matrix) + vectors,
    scratch: sizes.empty + scratch,
    empty: sizes.empty,
    state,
    read: read + vectors,
  };
}
