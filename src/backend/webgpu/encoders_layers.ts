/** The ops of encoders on WebGPU (shaders/encoders/). */
import { CONV_RING_POSITIONS } from 'virtual:rivulet-kernels';
import type { EncoderOp, Lowerings, NodeOf } from '../plan';
import { reductionLibrary, type Dispatch } from './dispatch';
import { WEBGPU_ENCODER_ATTENTION } from './encoders_attend';
import { convolutionRing, weightVectorRegion, type WebGpuLoweringContext } from './lower';

export const WEBGPU_ENCODER_LOWERINGS: Lowerings<WebGpuLoweringContext, Dispatch[], EncoderOp> = {
  ...WEBGPU_ENCODER_ATTENTION,
  layerNorm: ({ x, weight, bias, eps, out }, { gpu, at, T }) => [
    {
      label: 'layer_norm',
      sources: [reductionLibrary(gpu.features), 'lib/step', 'encoders/layer_norm'],
      constants: { cols: x.cols, eps, biased: Number(!!bias), group_size: 256 },
      bindings: {
        x: at(x),
        weight: weightVectorRegion(weight),
        bias: weightVectorRegion(bias ?? weight),
        y: at(out),
        step: gpu.step,
      },
      grid: [T, 1, 1],
    },
  ],
  activate: ({ act, add, out }, { gpu, at, T }) => [
    {
      label: `activate.${act}`,
      sources: ['lib/step', `encoders/${act}`, `encoders/add${add ? '' : '_none'}`, 'encoders/activate'],
      constants: { cols: out.cols },
      bindings: { ...(add && { add: at(add) }), y: at(out), step: gpu.step }, // y is the input, in place
      grid: [Math.ceil(out.cols / 256), T, 1],
    },
  ],
  convolve: convolveDispatches,
};

function convolveDispatches(
  { x, taps, bias, state, gated, causal, out }: NodeOf<'convolve'>,
  { gpu, state: { rings }, at, T, bounds }: WebGpuLoweringContext,
): Dispatch[] {
  const { cols: D } = out;
  const L = taps.length / D;
  const ring = state && convolutionRing(rings, state);
  const grid: Dispatch['grid'] = [Math.ceil(D / 64), T, 1];
  const convolve: Dispatch = {
    label: `convolve.${ring ? 'causal' : causal ? 'causal_within' : 'centred'}`,
    sources: ['lib/step', 'encoders/convolve'],
    constants: {
      D,
      L,
      R: CONV_RING_POSITIONS,
      before: ring || causal ? L - 1 : (L - 1) >> 1,
      biased: Number(!!bias),
      gated: Number(gated),
      causal: Number(!!ring),
    },
    bindings: {
      x: at(x),
      taps: weightVectorRegion(taps),
      bias: weightVectorRegion(bias ?? taps),
      ring: ring ?? weightVectorRegion(taps),
      bounds: ring ? gpu.step : bounds!,
      y: at(out),
      step: gpu.step,
    },
    grid,
  };
  if (!ring) return [convolve];
  const append: Dispatch = {
    label: 'append',
    sources: ['lib/step', 'encoders/append'],
    constants: { D, R: CONV_RING_POSITIONS },
    bindings: { x: at(x), ring, step: gpu.step },
    grid,
  };
  return [convolve, append];
}
