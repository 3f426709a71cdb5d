/** Pipelines of a plan whose weights are still on their way: what a kernel is made of are shapes and formats, and those are known before. */
import type { Matrix } from '../../model/ops';
import type { CompileOptions } from '../backend';
import type { Node, Plan } from '../plan';
import type { OpenedDevice } from './device';
import type { Region } from './gpu';
import { lower, spanOf } from './lower';
import { bindingLimit, packedParts, type GpuMatrix } from './repack';
import { bucketsOf } from './runner';
import { attends, reachOf, ropeKey, type State } from './state';

/** bound to nothing: pipelines do not look at buffers */
const nowhere = (): Region => ({ buffer: {} as GPUBuffer, offset: 0, size: 0 });

/** @throws DeviceError when a kernel does not compile */
export async function compileAhead(opened: OpenedDevice, plan: Plan, { contextLength, chunk }: CompileOptions, halves: boolean): Promise<void> {
  const limit = bindingLimit(opened);
  const matrix = (spec: Matrix): GpuMatrix => ({ ...spec, parts: packedParts(spec, limit, nowhere), bytes: 0 });
  const nodes = plan.nodes.map((node): Node => {
    if (node.op === 'embed') return { ...node, table: matrix(node.table) };
    if (node.op === 'linear') return { ...node, w: matrix(node.w) };
    if (node.op === 'swiglu') return { ...node, w1: matrix(node.w1), w3: matrix(node.w3) };
    return node;
  });
  const state: State = {
    slots: plan.slots.map(nowhere),
    rings: new Map(nodes.flatMap((node) => (node.op === 'shortConv' ? [[node.state.layer, nowhere()]] : []))),
    caches: new Map(attends(plan).map(({ cache }) => [cache.layer, { keys: nowhere(), values: nowhere() }])),
    ropes: new Map(attends(plan).map(({ ropeTheta, cache }) => [ropeKey(ropeTheta, cache.headDim), nowhere()])),
    spans: nowhere(),
    capacity: contextLength,
    halves,
  };
  const shapes = bucketsOf(chunk).map((T) => [T, 1]);
  const span = spanOf(opened, plan, state);
  for (let reach = 2 * span; reach <= reachOf(contextLength, span); reach *= 2) shapes.push([1, reach]);
  await Promise.all(shapes.flatMap(([T, reach]) => lower(opened, { ...plan, nodes }, state, T, reach).flat().map(opened.pipeline)));
}
