/** LFM2-VL and LFM2.5-VL: the row of the architecture, and what files say of the vision encoder. */
import { fail, show } from '../errors';
import { LFM2, type Architecture } from './architecture';
import type { PicturePreparation, VisionConfig } from './config';
import { lfm2Weights } from './lfm2';
import { checkedNumbers, configFromJson, CURE, isRecord, LIMITS, refuseIf } from './read_config';
import { encodePatches, PATCHES, POSITIONS, PROJECTOR_IN, projectFeatures, qkvModules, visionWeights } from './siglip2';
import type { TensorIndex } from './weights';

const PREFIX = 'clip.vision.';

/** As transformers has it (Lfm2VlImageProcessor), and llama.cpp for all files. */
export const PREPARATION: PicturePreparation = {
  mean: [0.5, 0.5, 0.5],
  std: [0.5, 0.5, 0.5],
  minTokens: 64,
  maxTokens: 256,
  tileSize: 512,
  minTiles: 2,
  maxTiles: 10,
  splits: true,
  thumbnail: true,
  tolerance: 2,
};

type Read = (key: string) => unknown;
type Json = Readonly<Record<string, unknown>>;

export const LFM2VL: Architecture = {
  ...LFM2,
  name: 'lfm2vl',
  classes: ['Lfm2VlForConditionalGeneration'],
  settings: ['preprocessor_config.json', 'processor_config.json'],
  configFromGguf(metadata, tensors, notes, encoder = new Map()) {
    const config = LFM2.configFromGguf(metadata, tensors, notes);
    return { ...config, vision: visionOfGguf((key) => encoder.get(key), config.hiddenSize, tensors) };
  },
  configFromJson(json, tensors, notes) {
    const text = jsonObject(json, 'text_config');
    const tied = text.tie_embedding ?? text.tie_word_embeddings ?? json.tie_word_embeddings;
    const config = configFromJson({ ...text, tie_embedding: tied }, tensors, notes);
    return { ...config, vision: visionOfJson(json, config.hiddenSize, tensors) };
  },
  weights: (config, read) => ({ ...lfm2Weights(config, read), vision: visionWeights(config.vision!, read) }),
  vision: { encode: encodePatches, project: projectFeatures },
  // recommended by Liquid AI's documentation for its vision models
  text: { ...LFM2.text, sampling: { temperature: 0.1, minP: 0.15, repetitionPenalty: 1.05 } },
};

function visionOfGguf(get: Read, textSize: number, tensors: TensorIndex): VisionConfig {
  const kind = get(`${PREFIX}projector_type`) ?? get('clip.projector_type');
  refuseIf(kind !== 'lfm2', 'clip.projector_type', kind, 'lfm2');
  const own: Read = (key) => get(PREFIX + key);
  const { integer, number } = checkedNumbers(own, PREFIX);
  return checkedVision(
    {
      hiddenSize: integer('embedding_length', LIMITS.width),
      ffnSize: integer('feed_forward_length', LIMITS.width),
      layers: integer('block_count', LIMITS.layers),
      heads: integer('attention.head_count', LIMITS.heads),
      normEps: number('attention.layer_norm_epsilon'),
      patchSize: integer('patch_size', MAX_PATCH),
      downsample: integer('projector.scale_factor', MAX_DOWNSAMPLE),
      textSize,
      preparation: { ...PREPARATION, mean: threeOf(own, 'image_mean', PREFIX), std: threeOf(own, 'image_std', PREFIX) },
    },
    tensors,
  );
}

function visionOfJson(json: Json, textSize: number, tensors: TensorIndex): VisionConfig {
  const own = jsonObject(json, 'vision_config');
  const { integer, number } = checkedNumbers((key) => own[key], 'vision_config.');
  for (const [key, wanted] of [
    ['hidden_act', 'gelu_pytorch_tanh'],
    ['vision_use_head', false],
  ] as const)
    refuseIf((own[key] ?? wanted) !== wanted, `vision_config.${key}`, own[key], String(wanted));
  const act = json.projector_hidden_act ?? 'gelu';
  refuseIf(act !== 'gelu', 'projector_hidden_act', act, 'gelu');
  const chosen = json.vision_feature_layer ?? -1;
  refuseIf(!Number.isInteger(chosen) || Number(chosen) > -1, 'vision_feature_layer', chosen, '-1 or less');
  const more = checkedNumbers((key) => json[key], '');
  return checkedVision(
    {
      hiddenSize: integer('hidden_size', LIMITS.width),
      ffnSize: integer('intermediate_size', LIMITS.width),
      layers: integer('num_hidden_layers', LIMITS.layers) + Number(chosen) + 1,
      heads: integer('num_attention_heads', LIMITS.heads),
      normEps: own.layer_norm_eps === undefined ? 1e-6 : number('layer_norm_eps'),
      patchSize: integer('patch_size', MAX_PATCH),
      downsample: json.downsample_factor === undefined ? 2 : more.integer('downsample_factor', MAX_DOWNSAMPLE),
      textSize,
      imageToken: tokenOf(json),
      preparation: preparationOf(json),
    },
    tensors,
  );
}

const [MAX_PATCH, MAX_DOWNSAMPLE] = [64, 4];
/** Far above any model; more would not fit into memory. */
const MAX_TOKENS = 4096;

function jsonObject(json: Json, key: string): Json {
  const value = json[key];
  if (isRecord(value)) return value;
  return fail('CheckpointError', {
    what: `The model's ${key} is not valid`,
    got: show(value),
    wanted: 'an object',
    cure: CURE,
  });
}

/** Early files write image_token_index. */
function tokenOf(json: Json): number | undefined {
  const value = json.image_token_id ?? json.image_token_index;
  return typeof value === 'number' ? value : undefined;
}

/** Settings lie in a file of their own, in a part of one, or, in early files, in config.json. */
function preparationOf(json: Json): PicturePreparation {
  const [own, processor] = ['preprocessor_config.json', 'processor_config.json'].map((name) =>
    isRecord(json[name]) ? json[name] : {},
  );
  const part = isRecord(processor.image_processor) ? processor.image_processor : {};
  const get: Read = (key) => part[key] ?? own[key] ?? json[key];
  const { integer, number } = checkedNumbers(get, '');
  const whole = (key: string, otherwise: number, limit: number): number =>
    get(key) === undefined ? otherwise : integer(key, limit);
  const flag = (key: string, otherwise: boolean): boolean => (get(key) === undefined ? otherwise : get(key) === true);
  const resample = get('resample') ?? 2;
  refuseIf(resample !== 2, 'resample', resample, '2, bilinear');
  const rules = {
    mean: get('image_mean') === undefined ? PREPARATION.mean : threeOf(get, 'image_mean', ''),
    std: get('image_std') === undefined ? PREPARATION.std : threeOf(get, 'image_std', ''),
    minTokens: whole('min_image_tokens', PREPARATION.minTokens, MAX_TOKENS),
    maxTokens: whole('max_image_tokens', PREPARATION.maxTokens, MAX_TOKENS),
    tileSize: whole('tile_size', PREPARATION.tileSize, LIMITS.width),
    minTiles: whole('min_tiles', PREPARATION.minTiles, LIMITS.headDim),
    maxTiles: whole('max_tiles', PREPARATION.maxTiles, LIMITS.headDim),
    splits: flag('do_image_splitting', PREPARATION.splits),
    thumbnail: flag('use_thumbnail', PREPARATION.thumbnail),
    tolerance: get('max_pixels_tolerance') === undefined ? PREPARATION.tolerance : number('max_pixels_tolerance'),
  };
  refuseIf(rules.minTokens > rules.maxTokens, 'min_image_tokens', rules.minTokens, `at most ${rules.maxTokens}`);
  refuseIf(rules.minTiles > rules.maxTiles, 'min_tiles', rules.minTiles, `at most ${rules.maxTiles}`);
  return rules;
}

function threeOf(get: Read, key: string, prefix: string): number[] {
  const list = get(key);
  const good =
    Array.isArray(list) && list.length === 3 && list.every((v) => typeof v === 'number' && v >= 0 && v < 256);
  if (good) return list as number[];
  return fail('CheckpointError', {
    what: `The model's ${prefix}${key} is not valid`,
    got: show(list),
    wanted: 'three positive numbers',
    cure: CURE,
  });
}

type Stated = Omit<VisionConfig, 'positions' | 'projectorSize' | 'channelsFirst'>;

/** Adds what the tensors tell, and checks that the numbers fit together. */
function checkedVision(stated: Stated, tensors: TensorIndex): VisionConfig {
  const { hiddenSize: D, heads, layers, patchSize: P, downsample, preparation } = stated;
  const refusePart = (when: boolean, key: string, got: unknown, wanted: string): void => {
    if (when)
      fail('CheckpointError', { what: `The vision encoder's ${key} is not valid`, got: show(got), wanted, cure: CURE });
  };
  refusePart(D % (2 * heads) > 0, 'number of heads', heads, `a divisor of half the width, ${D / 2}`);
  refusePart(layers < 1, 'number of layers', layers, 'at least 1');
  const tile = preparation.tileSize / (P * downsample);
  refusePart(!Number.isInteger(tile), 'tile size', preparation.tileSize, `a multiple of ${P * downsample}`);
  for (const names of qkvModules(layers)) tensors.require(names, 'bias');
  const positions = tensors.require(POSITIONS);
  const side = Math.sqrt(positions.shape[0]);
  refusePart(
    positions.shape.length !== 2 || !Number.isInteger(side) || side > 256 || positions.shape[1] !== D,
    'table of positions',
    positions.shape,
    `[a square number, ${D}]`,
  );
  tensors.remove(POSITIONS);
  const { shape } = tensors.require(PROJECTOR_IN);
  return {
    ...stated,
    channelsFirst: tensors.require(PATCHES).shape.length === 4,
    projectorSize: shape[0],
    positions,
  };
}
