/** LFM2 and LFM2.5 with a mixture of experts: the row of the architecture, and what files say of their experts. */
import { fail, show } from '../errors';
import { LFM2, type Architecture } from './architecture';
import type { Config } from './config';
import { inLayer, lfm2Weights, type ExpertWeights } from './lfm2';
import {
  checkedNumbers,
  configFromGguf,
  configFromJson,
  CURE,
  LIMITS,
  positive,
  refuseIf,
  type ReadExperts,
} from './read_config';
import { rowBytes } from '../tensor/dtype';
import type { MatrixSource, ModuleNames, WeightReader } from './weights';

const EXPERT_BIAS: ModuleNames = ['feed_forward.expert_bias', 'exp_probs_b'];
const PREFIX = 'lfm2moe.';
/** MAX_EXPERTS of the kernels (plan.h), and the most of a token */
const [MAX_EXPERTS, MAX_TOP] = [256, 8];

export const LFM2MOE: Architecture = {
  ...LFM2,
  name: 'lfm2moe',
  classes: ['Lfm2MoeForCausalLM', 'Lfm2MoeModel'],
  configFromGguf: (metadata, tensors, notes) =>
    configFromGguf(PREFIX, metadata, tensors, notes, { experts: expertsOfGguf }),
  configFromJson(json, tensors, notes) {
    const config = configFromJson(json, tensors, notes, expertsOfJson);
    if (json.use_expert_bias === true)
      for (let i = config.experts!.denseLayers; i < config.layers.length; i++)
        tensors.require(inLayer(i)(...EXPERT_BIAS), 'bias');
    return config;
  },
  weights: (config, read) => lfm2Weights(config, read, (at) => expertWeights(config, read, at)),
};

/** llama.cpp has sigmoid as 2, and divides by the sum unless the file says otherwise. */
const expertsOfGguf: ReadExperts = (get, layerCount) => {
  const { integer, number } = checkedNumbers(get, PREFIX);
  refuseIf(get('expert_gating_func') !== 2, `${PREFIX}expert_gating_func`, get('expert_gating_func'), '2, sigmoid');
  refuseIf(positive(get('expert_shared_count')), `${PREFIX}expert_shared_count`, get('expert_shared_count'), 'none');
  return checkedExperts(
    {
      count: integer('expert_count', MAX_EXPERTS),
      top: integer('expert_used_count', MAX_EXPERTS),
      ffnSize: integer('expert_feed_forward_length', LIMITS.width),
      denseLayers: layersBefore(get('leading_dense_block_count'), `${PREFIX}leading_dense_block_count`, layerCount),
      normalise: get('expert_weights_norm') !== false,
      // 0 stands for none
      scale: get('expert_weights_scale') ? number('expert_weights_scale') : 1,
    },
    `${PREFIX}expert_used_count`,
  );
};

const expertsOfJson: ReadExperts = (get, layerCount) => {
  const { integer, number } = checkedNumbers(get, '');
  return checkedExperts(
    {
      count: integer('num_experts', MAX_EXPERTS),
      top: integer('num_experts_per_tok', MAX_EXPERTS),
      ffnSize: integer('moe_intermediate_size', LIMITS.width),
      denseLayers: layersBefore(get('num_dense_layers'), 'num_dense_layers', layerCount),
      normalise: get('norm_topk_prob') !== false,
      scale: (get('routed_scaling_factor') ?? null) === null ? 1 : number('routed_scaling_factor'),
    },
    'num_experts_per_tok',
  );
};

function checkedExperts(experts: NonNullable<Config['experts']>, key: string): Config['experts'] {
  const { count, top } = experts;
  if (top <= Math.min(count, MAX_TOP)) return experts;
  return fail('CheckpointError', {
    what: `The model's ${key} is not valid`,
    got: top,
    wanted: `at most ${MAX_TOP}, and no more than the ${count} experts`,
    cure: CURE,
  });
}

/** The number of leading layers without experts. */
function layersBefore(value: unknown, key: string, layerCount: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= layerCount) return value;
  return fail('CheckpointError', {
    what: `The model's ${key} is not valid`,
    got: show(value),
    wanted: `a whole number from 0 to ${layerCount}`,
    cure: CURE,
  });
}

/** gate_up_proj holds W1 above W3 of each expert. */
function expertWeights(
  { hiddenSize: D, experts }: Config,
  read: WeightReader,
  at: ReturnType<typeof inLayer>,
): ExpertWeights {
  const { count: E, ffnSize: I } = experts!;
  type Fused = [name: string, rows: number, first?: number];
  const of = (name: string, gguf: string, shape: [number, number], [fused, rows, first = 0]: Fused): MatrixSource =>
    readExperts(
      read,
      at(`feed_forward.experts.${name}`, `${gguf}_exps`),
      [E, ...shape],
      (e) => at(`feed_forward.experts.${e}.${name}`, `${gguf}.${e}`),
      { names: at(`feed_forward.experts.${fused}`, fused), rows, first },
    );
  return {
    router: read.matrix(at('feed_forward.gate', 'ffn_gate_inp'), [E, D]),
    expertBias: read.bias(at(...EXPERT_BIAS), E),
    w1: of('w1', 'ffn_gate', [I, D], ['gate_up_proj', 2 * I]),
    w3: of('w3', 'ffn_up', [I, D], ['gate_up_proj', 2 * I, I]),
    w2: of('w2', 'ffn_down', [D, I], ['down_proj', D]),
  };
}

/**
 * The matrices of E experts, one below the other, with a segment each: of a tensor of all, of a tensor for each, or
 * from row `first` on of each matrix of a tensor that holds more rows of every expert.
 */
function readExperts(
  read: WeightReader,
  names: ModuleNames,
  [E, rows, cols]: readonly [number, number, number],
  one: (expert: number) => ModuleNames,
  fused: { names: ModuleNames; rows: number; first: number },
): MatrixSource {
  const each = Array.from({ length: E }, (_, e) => e);
  const [name] = names;
  if (read.has(one(0)))
    return { name, cols, segments: each.flatMap((e) => read.matrix(one(e), [rows, cols]).segments), experts: true };
  const { names: from, rows: stride, first } = read.has(fused.names) ? fused : { names, rows, first: 0 };
  const tensor = read.tensor(from, [E, stride, cols]);
  const { dtype, offset } = tensor;
  const row = rowBytes(dtype, cols);
  const segments = each.map((e) => ({
    name: `${name}.${e}`,
    rows,
    dtype,
    tensor: { ...tensor, shape: [rows, cols], offset: offset + (e * stride + first) * row, byteLength: rows * row },
  }));
  return { name, cols, segments, experts: true };
}
