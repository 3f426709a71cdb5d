/**
 * The weights and the forward pass of the vision encoder of LFM2-VL: SigLIP2 (modeling_siglip2.py in transformers) and
 * the connector (modeling_lfm2_vl.py), which is two plans: pixels are unshuffled between them.
 *
 * Letters: N patches of all tiles, D width, F feed-forward width, H heads, P side of a patch, u patches of an image
 * token in each direction.
 */
import type { VisionConfig } from './config';
import type { Act, LayerNorm, Ops, Vector } from './ops';
import type { Loaded, MatrixSource, ModuleNames, VectorSource, WeightReader } from './weights';

/** A module of the encoder; transformers 5 leaves out the part vision_model. */
const inTower = (hf: string, gguf: string): ModuleNames => [
  `model.vision_tower.vision_model.${hf}`,
  `v.${gguf}`,
  `model.vision_tower.${hf}`,
];
const inEncoderLayer = (layer: number, hf: string, gguf: string): ModuleNames =>
  inTower(`encoder.layers.${layer}.${hf}`, `blk.${layer}.${gguf}`);

// modules that the configuration is read from, too
export const PATCHES = inTower('embeddings.patch_embedding', 'patch_embd');
export const POSITIONS = inTower('embeddings.position_embedding', 'position_embd');
export const PROJECTOR_IN: ModuleNames = ['model.multi_modal_projector.linear_1', 'mm.1'];
const PROJECTOR_NORM: ModuleNames = ['model.multi_modal_projector.layer_norm', 'mm.input_norm'];
const PROJECTOR_OUT: ModuleNames = ['model.multi_modal_projector.linear_2', 'mm.2'];
const ATTENTION = [
  ['self_attn.q_proj', 'attn_q'],
  ['self_attn.k_proj', 'attn_k'],
  ['self_attn.v_proj', 'attn_v'],
] as const;
const PROJECTOR_EPS = 1e-5; // the default of torch.nn.LayerNorm

export function visionWeights(config: VisionConfig, read: WeightReader) {
  const { hiddenSize: D, ffnSize: F, patchSize: P, downsample: u, projectorSize: I } = config;

  const layerNorm = (names: ModuleNames, width = D) => ({
    weight: read.vector(names, [width]),
    bias: read.bias(names, width),
  });
  const linear = (names: ModuleNames, rows: number, cols: number) => ({
    w: read.matrix(names, [rows, cols]),
    bias: read.bias(names, rows),
  });

  /** The map of q, k and v, one below the other, and their biases. */
  function qkv(i: number) {
    const parts = ATTENTION.map(([hf, gguf]) => inEncoderLayer(i, hf, gguf));
    const matrices = parts.map((names) => read.matrix(names, [D, D]));
    const biases = parts.map((names) => read.bias(names, D)!); // checked by visionConfig
    const name = inEncoderLayer(i, 'self_attn.qkv_proj', 'attn_qkv')[0];
    const w: MatrixSource = { name, cols: D, segments: matrices.flatMap(({ segments }) => segments) };
    const [{ tensor }, ...rest] = biases;
    const bias: VectorSource = { name: `${name}.bias`, length: 3 * D, tensor, rest: rest.map((one) => one.tensor) };
    return { w, bias };
  }

  const layer = (i: number) => ({
    norm1: layerNorm(inEncoderLayer(i, 'layer_norm1', 'ln1')),
    qkv: qkv(i),
    out: linear(inEncoderLayer(i, 'self_attn.out_proj', 'attn_out'), D, D),
    norm2: layerNorm(inEncoderLayer(i, 'layer_norm2', 'ln2')),
    fc1: linear(inEncoderLayer(i, 'mlp.fc1', 'ffn_up'), F, D),
    fc2: linear(inEncoderLayer(i, 'mlp.fc2', 'ffn_down'), D, F),
  });

  /** [D, 3, P, P] in GGUF files */
  function patches() {
    const shape = [D, 3 * P * P];
    const tensor = read.tensor(PATCHES, config.channelsFirst ? [D, 3, P, P] : shape);
    const { dtype } = tensor;
    const w: MatrixSource = {
      name: PATCHES[0],
      cols: shape[1],
      segments: [{ name: PATCHES[0], rows: D, dtype, tensor: { ...tensor, shape } }],
    };
    return { w, bias: read.bias(PATCHES, D) };
  }

  return {
    patches: patches(),
    layers: Array.from({ length: config.layers }, (_, i) => layer(i)),
    postNorm: layerNorm(inTower('post_layernorm', 'post_ln')),
    projectorNorm: read.has(PROJECTOR_NORM) ? layerNorm(PROJECTOR_NORM, u * u * D) : undefined,
    projectorIn: linear(PROJECTOR_IN, I, u * u * D),
    projectorOut: linear(PROJECTOR_OUT, config.textSize, I),
  };
}

/** Modules whose biases must be there. */
export const qkvModules = (layers: number): ModuleNames[] =>
  Array.from({ length: layers }, (_, i) => ATTENTION.map(([hf, gguf]) => inEncoderLayer(i, hf, gguf))).flat();

export type VisionSources = ReturnType<typeof visionWeights>;
export type VisionWeights = Loaded<VisionSources>;

const normOf = ({ weight, bias }: { weight: Vector; bias?: Vector }, eps: number): LayerNorm => ({
  kind: 'layer',
  weight,
  bias,
  eps,
});

/**
 * Patches of whole tiles, each a sequence, and the rows of their positions: [N, D]. Shapes at the right. Patches may
 * have any order, since attention knows none.
 */
export function encodePatches(op: Ops, { heads, normEps, ...config }: VisionConfig, m: VisionWeights): Act {
  const patches = op.input(3 * config.patchSize ** 2); //                                           [N, 3·P²]
  const positions = op.input(config.hiddenSize); //                                                 [N, D]
  let x = op.linear(m.patches.w, patches, { bias: m.patches.bias, add: positions }); //             [N, D]
  for (const { norm1, qkv, out, norm2, fc1, fc2 } of m.layers) {
    const rows = op.linear(qkv.w, x, { norm: normOf(norm1, normEps), bias: qkv.bias }); //          [N, 3·D]
    x = op.linear(out.w, op.attend(rows, undefined, { heads }), { bias: out.bias, add: x }); //     [N, D]
    const h = op.linear(fc1.w, x, { norm: normOf(norm2, normEps), bias: fc1.bias, act: 'gelu_tanh' }); // [N, F]
    x = op.linear(fc2.w, h, { bias: fc2.bias, add: x }); //                                         [N, D]
  }
  return op.norm(x, normOf(m.postNorm, normEps)); //                                                [N, D]
}

/**
 * Features, of u·u patches side by side, in place of token rows: [N / u², text width]. The rows of `encodePatches` are
 * these, read with another width, where the patches of an image token come one after the other.
 */
export function projectFeatures(op: Ops, { downsample: u, hiddenSize: D }: VisionConfig, m: VisionWeights): Act {
  const { projectorNorm, projectorIn, projectorOut } = m;
  const x = op.input(u * u * D); //                                                                 [N / u², u²·D]
  const norm = projectorNorm && normOf(projectorNorm, PROJECTOR_EPS);
  const h = op.linear(projectorIn.w, x, { norm, bias: projectorIn.bias, act: 'gelu' }); //          [N / u², I]
  return op.linear(projectorOut.w, h, { bias: projectorOut.bias });
}
