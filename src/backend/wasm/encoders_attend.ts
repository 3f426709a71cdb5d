/** The attention of encoders on WASM (kernels/encoders_attend.h). */
import { Pairs } from 'virtual:rivulet-kernels';
import type { Norm } from '../../model/ops';
import type { Lowerings, NodeOf, Plan } from '../plan';
import { attentionFields, reserveCaches, type WasmLoweringContext, type Op } from './lower';

/** Whether the caller gives all rows, as those of pictures, and not tokens. */
export const givesRows = ({ nodes: [first] }: Plan): boolean => !('table' in first);

type EncoderAttention = 'attendInterleaved' | 'attendWithin';

/** What all layers of a shape use in turn: a call needs it for one layer at a time. */
const sharedOf = new WeakMap<WasmLoweringContext, Map<string, Op>>();

function shared(context: WasmLoweringContext, shape: string, make: () => Op): Op {
  const known = sharedOf.get(context) ?? new Map<string, Op>();
  sharedOf.set(context, known);
  if (!known.has(shape)) known.set(shape, make());
  return known.get(shape)!;
}

/** Keys and values of layers without a cache; a state saves none. */
const sharedPlaces = (context: WasmLoweringContext, node: NodeOf<'attendWithin'>): Op =>
  shared(context, `${node.kvHeads} ${node.headDim}`, () => reserveCaches({ ...context, cacheRows: [] }, node));

/** The scratch of plain heads, whose attention is int8 (kernels/encoders_attend_int8.h); undefined for others. */
function int8Scratch(context: WasmLoweringContext, node: NodeOf<'attendWithin'>): Op | undefined {
  const { heads, kvHeads, headDim, rope, qNorm, kNorm, gate } = node;
  const { plan, int16, scope, kernels, pool, prefillBatch } = context;
  if (!givesRows(plan) || !int16 || heads !== kvHeads || rope || qNorm || kNorm || gate) return undefined;
  return shared(context, `int8 ${headDim}`, () => {
    const length = kernels.within_bytes!(prefillBatch, headDim);
    return { taps: scope.alloc(length * pool.size, 'scratch'), length };
  });
}

/** Pairs are put in the order of halves before the norm, and so its weights are, too. */
function pairFields(node: NodeOf<EncoderAttention>, { heap, at, scope }: WasmLoweringContext): Op | undefined {
  if (node.rope?.pairs !== 'interleaved') return undefined;
  const inHalves = (norm: Norm | undefined): number | undefined => {
    if (!norm) return undefined;
    const { length } = norm.weight;
    const [to, from] = [scope.alloc(4 * length, 'norms') / 4, at.vector(norm.weight) / 4];
    for (let i = 0; i < length; i++) heap.f32[to + (i % 2) * (length / 2) + (i >> 1)] = heap.f32[from + i];
    return 4 * to;
  };
  return { norm: inHalves(node.qNorm), kNorm: inHalves(node.kNorm), mode: Pairs.interleaved };
}

export const WASM_ENCODER_ATTENTION: Lowerings<WasmLoweringContext, Op, EncoderAttention> = {
  attendInterleaved: (node, context) => ({
    ...attentionFields(node, context),
    ...reserveCaches(context, node.cache),
    ...pairFields(node, context),
  }),
  attendWithin: (node, context) => ({
    ...attentionFields(node, context),
    ...(int8Scratch(context, node) ?? sharedPlaces(context, node)),
    ...pairFields(node, context),
    bounds: context.bounds,
  }),
};
