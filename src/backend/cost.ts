/** The bytes of a plan on a backend, before anything is loaded. It is for the estimate, in a side file. */
import type { Matrix, Norm, Vector } from '../model/ops';
import type { Backend, CompileOptions } from './backend';
import type { Plan, PlanNode } from './plan';
import type { WasmBackend } from './wasm/backend';
import { wasmSizes } from './wasm/cost';
import type { WebGpuBackend } from './webgpu/backend';
import { webGpuSizes } from './webgpu/cost';

/** All in bytes. `weights`, `scratch` and `state` together are the `memory()` of a backend that has loaded nothing else, when the context is full. */
export interface PlanCost {
  weights: number;
  /** what does not depend on the context: activations, convolution rings, and what the backend holds without a model */
  scratch: number;
  /** what a full context holds: keys, values and tables by position */
  state: number;
  /** of the weights, what a decode step reads */
  read: number;
}

/** Bytes of the parts of a plan: what a backend tells. */
export interface PlanSizes {
  matrix(matrix: Matrix): number;
  vector(vector: Vector): number;
  /** a runner and a full context */
  runner(plan: Plan, options: CompileOptions): number | Promise<number>;
  /** what the backend holds without a model */
  empty: number;
}

/** Nothing is allocated; matrices and vectors of the plan may have names and shapes only. `reserve` must have been called. */
export async function planCost(backend: Backend, plan: Plan, options: CompileOptions): Promise<PlanCost> {
  const internals = (backend as WebGpuBackend | WasmBackend).internals();
  const sizes = 'opened' in internals ? webGpuSizes(internals) : wasmSizes(internals);
  const scratch = await sizes.runner(plan, { ...options, contextLength: 0 });
  const full = await sizes.runner(plan, options);
  const readNodes = plan.nodes.filter(({ op }) => op !== 'embed'); // an embedding reads one row
  return { weights: weightBytes(plan.nodes, sizes), scratch: sizes.empty + scratch, state: full - scratch, read: weightBytes(readNodes, sizes) };
}

/** Matrices and vectors are told by their fields, so that this holds for every op. Each counts once. */
function weightBytes(nodes: PlanNode[], { matrix, vector }: PlanSizes): number {
  const fields = nodes.flatMap((node) => Object.values(node) as (Partial<Norm & Matrix & Vector> | undefined)[]);
  const weights = new Set(fields.map((field) => field?.weight ?? field));
  let sum = 0;
  for (const weight of weights as Set<Partial<Matrix & Vector> | undefined>) {
    if (weight?.segments) sum += matrix(weight as Matrix);
    else if (weight?.name && weight.length) sum += vector(weight as Vector);
  }
  return sum;
}
