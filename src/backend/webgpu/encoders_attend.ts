/** The attention of encoders on WebGPU (shaders/encoders/). */
import type { Lowerings, NodeOf } from '../plan';
import { reductionLibrary, type Dispatch } from './dispatch';
import { attendCached, attendShape, headPreparation, type WebGpuLoweringContext } from './lower';

type EncoderAttention = 'attendInterleaved' | 'attendWithin';

/**
 * Norms q and k in place, puts their pairs in the order of halves, and rotates them; over a cache the kernel that
 * follows rotates.
 */
function headRowsDispatch(node: NodeOf<EncoderAttention>, context: WebGpuLoweringContext): Dispatch {
  const { gpu, at, T, bounds } = context;
  const rotated = !('cache' in node);
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

export const WEBGPU_ENCODER_ATTENTION: Lowerings<WebGpuLoweringContext, Dispatch[], EncoderAttention> = {
  attendInterleaved: (node, context) => [
    headRowsDispatch(node, context),
    ...attendCached({ ...node, op: 'attend', qNorm: undefined, kNorm: undefined }, context),
  ],
  attendWithin(node, context) {
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
    return node.qNorm || node.kNorm || node.rope ? [headRowsDispatch(node, context), attend] : [attend];
  },
};
