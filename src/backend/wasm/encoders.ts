/**
 * The WASM lowerings of encoders (kernels/encoders.h): attention within the rows of a call, and interleaved pairs of
 * RoPE. The import adds them to the table.
 */
import type { Norm } from '../../model/ops';
import { headsOf, type CachedAttend, type NodeOf, type SideLowerings } from '../plan';
import { headNorms, LOWERINGS, type LoweringContext, type Op } from './lower';

/** All layers of a shape share the place of keys and values: a call needs them for one layer at a time. */
const shapes = new WeakMap<LoweringContext, Map<string, Op>>();

/** Interleaved pairs are put in the order of halves before the norm, so the norm's weights are, too. */
function normsInHalves(node: NodeOf<'attend'>, { heap, at, alloc }: LoweringContext): Op {
  const inHalves = (norm: Norm | undefined): number | undefined => {
    if (!norm) return undefined;
    const { length } = norm.weight;
    const [to, from] = [alloc(4 * length, 'norms') / 4, at.vector(norm.weight) / 4];
    for (let i = 0; i < length; i++) heap.f32[to + (i % 2) * (length / 2) + (i >> 1)] = heap.f32[from + i];
    return 4 * to;
  };
  return { ...headNorms(node, at), norm: inHalves(node.qNorm), kNorm: inHalves(node.kNorm), interleaved: 1 };
}

const attendInterleaved = (node: CachedAttend, context: LoweringContext): Op => ({
  ...LOWERINGS.attend(node, context),
  ...normsInHalves(node, context),
});

function attendWithin(node: NodeOf<'attend'>, context: LoweringContext): Op {
  const { heads, rope, gate } = node;
  const { kvHeads, headDim } = headsOf(node);
  const shape = JSON.stringify([heads, kvHeads, headDim, rope, gate]);
  const known = shapes.get(context) ?? new Map<string, Op>();
  shapes.set(context, known);
  if (!known.has(shape))
    known.set(
      shape,
      LOWERINGS.attend({ ...node, window: undefined, cache: { kind: 'kv', layer: -1, kvHeads, headDim } }, context),
    );
  const norms = rope?.pairs === 'interleaved' ? normsInHalves(node, context) : headNorms(node, context.at);
  return { ...known.get(shape), ...norms, bounds: context.bounds };
}

Object.assign(LOWERINGS, { attendWithin, attendInterleaved } satisfies SideLowerings<LoweringContext, Op>);
