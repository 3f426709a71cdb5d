/** The attention of encoders on WASM (kernels/encoders_attend.h). */
import { Pairs } from 'virtual:rivulet-kernels';
import type { Norm } from '../../model/ops';
import type { Lowerings, NodeOf } from '../plan';
import { attentionFields, reserveCaches, type WasmLoweringContext, type Op } from './lower';

type EncoderAttention = 'attendInterleaved' | 'attendWithin';

/** Where layers without a cache have keys and values, by shape: a call needs them for one layer at a time. */
const placesOf = new WeakMap<WasmLoweringContext, Map<string, Op>>();

function sharedPlaces(context: WasmLoweringContext, node: NodeOf<'attendWithin'>): Op {
  const known = placesOf.get(context) ?? new Map<string, Op>();
  placesOf.set(context, known);
  const shape = `${node.kvHeads} ${node.headDim}`;
  if (!known.has(shape)) known.set(shape, reserveCaches({ ...context, cacheRows: [] }, node)); // a state saves none
  return known.get(shape)!;
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
    ...sharedPlaces(context, node),
    ...pairFields(node, context),
    bounds: context.bounds,
  }),
};
