/** The bytes of a plan on a backend, before anything is loaded. It is for the estimate, in a side file. */
import type { Matrix, Vector } from '../model/ops';
import type { Backend, CompileOptions } from './backend';
import { matricesOf, vectorsOf, weightsOf, type Plan, type PlanNode } from './plan';
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
  /** what one state holds when its context is full: keys, values and convolution rings */
  state: number;
  /** of the weights, what a decode step reads */
  read: number;
}

/** Bytes of the parts of a plan: what a backend tells. */
export interface PlanSizes {
  matrix(matrix: Matrix): number;
  vector(vector: Vector): number;
  /** a program, and one state of it with a full context */
  compiled(plan: Plan, options: CompileOptions): Promise<Pick<PlanCost, 'scratch' | 'state'>>;
  /** what the backend holds without a model */
  empty: number;
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
  const [vectors, read] = [sum(vectorsOf, sizes.vector), sum(matricesOf, sizes.matrix)];
  return {
    weights: sum(weightsOf, sizes.matrix) + vectors,
    scratch: sizes.empty + scratch,
    state,
    read: read + vectors,
  };
}
