/**
 * The dispatches of a state with pipelines and bind groups: of a plan for each bucket of T and, for one token, for each
 * bucket of the context, and of the draws. Those that bind no buffer of the state are prepared once for all states.
 */
import type { Plan } from '../plan';
import type { BufferGroup } from './buffer_group';
import type { OpenedDevice, PreparedDispatch } from './device';
import type { Dispatch, DispatchContext } from './dispatch';
import { lowerPlanToDispatches, shortestTunedSpan } from './lower';
import type { DrawDispatches } from './sampler';
import { contextBucket } from './scratch';
import type { PlanBuffers } from './state_buffers';

export interface PreparedPlan extends Record<keyof DrawDispatches, PreparedDispatch[]> {
  /** T → dispatches, for T > 1 */
  prefill: Map<number, PreparedDispatch[]>;
  /** context bucket → dispatches of one token, its embedding first */
  decode: Map<number, PreparedDispatch[]>;
  /** the smallest context bucket */
  span: number;
}

/**
 * The numbers of tokens for which dispatches are prepared, ascending; a batch takes the smallest bucket that holds it.
 */
export const prefillBuckets = (prefillBatch: number): number[] =>
  [...new Set([1, 8, 64, prefillBatch].filter((T) => T <= prefillBatch))].sort((a, b) => a - b);

/** T and context of every list of dispatches that a state of so many positions runs. */
export function listSizes(
  gpu: DispatchContext,
  plan: Plan,
  prefillBatch: number,
  { capacity, f16Cache }: Pick<PlanBuffers, 'capacity' | 'f16Cache'>,
): { span: number; sizes: (readonly [T: number, context: number])[] } {
  const span = shortestTunedSpan(gpu, plan, f16Cache);
  const sizes = prefillBuckets(prefillBatch).map((T) => [T, span] as const);
  for (let context = 2 * span; context <= contextBucket(capacity, span); context *= 2) sizes.push([1, context]);
  return { span, sizes };
}

/** Prepared dispatches, by what tells them from others of the same buffers. */
export type PreparedDispatches = Map<string, PreparedDispatch>;

/**
 * @param shared dispatches of all states, to which new ones are added
 * @param own the buffers of the state
 * @throws DeviceError when a kernel does not compile
 */
export async function preparePlan(
  gpu: Pick<OpenedDevice, 'prepare'> & DispatchContext,
  { plan, prefillBatch, shared }: { plan: Plan; prefillBatch: number; shared: PreparedDispatches },
  buffers: PlanBuffers,
  own: BufferGroup,
  draws?: DrawDispatches,
): Promise<PreparedPlan> {
  const mine: PreparedDispatches = new Map();
  const missing = new Map<string, { dispatch: Dispatch; known: PreparedDispatches }>();
  const request = (list: string | number, nodes: Dispatch[][]): (() => PreparedDispatch[]) => {
    const wanted = nodes.flatMap((dispatches, i) =>
      dispatches.map((dispatch, j) => {
        const { sources, constants, grid, bindings } = dispatch;
        const key = JSON.stringify([list, i, j, sources, constants, grid]);
        const known = Object.values(bindings).some(({ buffer }) => own.has(buffer)) ? mine : shared;
        if (!known.has(key)) missing.set(key, { dispatch, known });
        return () => known.get(key)!;
      }),
    );
    return () => wanted.map((take) => take());
  };
  const { span, sizes } = listSizes(gpu, plan, prefillBatch, buffers);
  const lists = sizes.map(([T, context]) => request(T, lowerPlanToDispatches(gpu, plan, buffers, T, context)));
  const drawn = Object.entries(draws ?? {}).map(([name, list]) => [name, request(name, [list])] as const);
  const made = await gpu.prepare([...missing.values()].map(({ dispatch }) => dispatch));
  [...missing].forEach(([key, { known }], i) => known.set(key, made[i]));

  const prepared = { prefill: new Map(), decode: new Map(), span } as PreparedPlan;
  sizes.forEach(([T, context], i) =>
    T > 1 ? prepared.prefill.set(T, lists[i]()) : prepared.decode.set(context, lists[i]()),
  );
  return Object.assign(prepared, Object.fromEntries(drawn.map(([name, list]) => [name, list()])));
}
