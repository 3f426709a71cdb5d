/** The ops of encoders on WASM (kernels/encoders_layers.h). */
import { Activation, Convolution } from 'virtual:rivulet-kernels';
import type { EncoderOp, Lowerings } from '../plan';
import { WASM_ENCODER_ATTENTION } from './encoders_attend';
import { convolutionFields, type WasmLoweringContext, type Op } from './lower';

const MODES = { gelu: Activation.gelu, gelu_tanh: Activation.geluTanh, silu: Activation.silu, relu: Activation.relu };

export const WASM_ENCODER_LOWERINGS: Lowerings<WasmLoweringContext, Op, EncoderOp> = {
  ...WASM_ENCODER_ATTENTION,
  layerNorm: ({ weight, bias, eps }, { at }) => ({ norm: at.vector(weight), bias: bias && at.vector(bias), eps }),
  activate: ({ act, add }, { address }) => ({ mode: MODES[act], add: add && address(add) }),
  convolve(node, context) {
    const { causal, centred, centredGated } = Convolution;
    const mode = node.state ? causal : node.gated ? centredGated : centred;
    return { ...convolutionFields(node, context), mode, bounds: context.bounds };
  },
};
