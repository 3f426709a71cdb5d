/**
 * The WebGPU lowerings of encoders (shaders/encoders/): attention within the rows of a call, and interleaved pairs of
 * RoPE. The import adds them to the table.
 */
import type { CachedAttend, NodeOf, SideLowerings } from '../plan';
import { reductionLibrary, type Dispatch } from './dispatch';
import { attendShape, headPreparation, LOWERINGS, type LoweringContext } from './lower';

/** Norms and rotates q and k in place; without bounds the rotation is left to the kernel that follows. */
function headRowsDispatch(node: NodeOf<'attend'>, context: LoweringContext, rotated: boolean): Dispatch {
  const { gpu, at, T, bounds } = context;
  const shape = attendShape(node);
  const { constants, bindings } = headPreparation(node, context);
  return {
    label: 'head_rows',
    sources: [reductionLibrary(gpu.features), 'lib/step', 'lib/rope', 'encoders/head_rows'],
    constants: {
      ...shape,
      ...constants,
      group_size: 2 ** Math.ceil(Math.log2(Math.max(shape.d / 2, 4))),
      interleaved: Number(node.rope?.pairs === 'interleaved'),
      rotated: Number(rotated),
    },
    bindings: { qkv: at(node.qkv), ...bindings, bounds: rotated ? bounds! : gpu.step, step: gpu.step },
    grid: [shape.H + shape.K, T, 1],
  };
}

/** The core's kernels rotate halves, so the pairs are brought into that order first: of q and k alike. */
const attendInterleaved = (node: CachedAttend, context: LoweringContext): Dispatch[] => [
  headRowsDispatch(node, context, false),
  ...LOWERINGS.attend(
    { ...node, qNorm: undefined, kNorm: undefined, rope: node.rope && { ...node.rope, pairs: 'half' } },
    context,
  ),
];

function attendWithin(node: NodeOf<'attend'>, context: LoweringContext): Dispatch[] {
  const { gpu, at, T, bounds } = context;
  const shape = attendShape(node);
  const { H, K } = shape;
  const attend: Dispatch = {
    label: 'attend_within',
    sources: ['lib/step#Step', 'lib/kv_f32#Eight', 'encoders/rows', 'attend_prefill'],
    constants: shape,
    bindings: { qkv: at(node.qkv), y: at(node.out), bounds: bounds!, step: gpu.step },
    grid: [Math.ceil(T / Math.floor(32 / (H / K))), K, 1],
  };
  return node.qNorm || node.kNorm || node.rope ? [headRowsDispatch(node, context, true), attend] : [attend];
}

Object.assign(LOWERINGS, { attendWithin, attendInterleaved } satisfies SideLowerings<LoweringContext, Dispatch[]>);
