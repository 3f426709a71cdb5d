/** The ops of encoders on WASM (kernels/encoders_layers.h). */
import { Activation, Convolution } from 'virtual:rivulet-kernels';
import type { EncoderOp, Lowerings, NodeOf } from '../plan';
import type { Matrix } from '../../model/ops';
import { givesRows, WASM_ENCODER_ATTENTION } from './encoders_attend';
import { convolutionFields, linearFields, type WasmLoweringContext, type Op } from './lower';

const MODES = { gelu: Activation.gelu, gelu_tanh: Activation.geluTanh, silu: Activation.silu, relu: Activation.relu };

/** The buffer of int8 activations has room for the form of kernels/encoders_int8.h. */
const fits = ({ cols }: Matrix, prefillBatch: number): boolean => prefillBatch > 1 && (cols % 32 === 0 || cols > 192);

/**
 * A linear map of an encoder whose rows the caller gives. Without `exact` its activations are int8, also for weights in
 * floats, which are rounded to Q8_0 in their place.
 */
function encoderLinear(node: NodeOf<'linear'>, context: WasmLoweringContext): Op {
  const fields = linearFields(node, context);
  const { plan, prefillBatch, int16, kernels, heap } = context;
  const { w } = node;
  if (!givesRows(plan) || !int16 || node.norm || !fits(w, prefillBatch)) return fields;
  const { bytes } = heap.build.structs.WEIGHT;
  const rounded = w.segments.every((_, i) => kernels.round_to_q8!(fields.w! + i * bytes));
  return rounded ? { ...fields, mode: 1 } : fields;
}

export const WASM_ENCODER_LOWERINGS: Lowerings<WasmLoweringContext, Op, EncoderOp | 'linear'> = {
  ...WASM_ENCODER_ATTENTION,
  linear: encoderLinear,
  layerNorm: ({ weight, bias, eps }, { at }) => ({ norm: at.vector(weight), bias: bias && at.vector(bias), eps }),
  activate: ({ act, add }, { address }) => ({ mode: MODES[act], add: add && address(add) }),
  convolve(node, context) {
    const { causal, centred, centredGated } = Convolution;
    const mode = node.state ? causal : node.gated ? centredGated : centred;
    const L = node.taps.length / node.out.cols;
    const window = node.causal ? L - 1 : (L - 1) >> 1;
    return { ...convolutionFields(node, context), mode, window, bounds: context.bounds };
  },
};
