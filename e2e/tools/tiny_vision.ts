/**
 * Small random vision encoders (mmproj) beside the text models of tiny.ts: GGUF files and Hugging Face directories in
 * memory. Real shapes are options, too.
 */
import { madeUpWeights, type MadeUpTensor } from '../../src/backend/made_up_weights';
import { ARRAY, BOOL, F32, STRING, U32 } from '../../src/format/gguf_writer';
import type { VisionConfig } from '../../src/model/config';
import { PREPARATION } from '../../src/model/lfm2_vl';
import { visionWeights } from '../../src/model/siglip2';
import type { Dtype } from '../../src/tensor/dtype';
import {
  encode,
  generator,
  randomRows,
  safetensorsBytes,
  tinyDirectory,
  type TinyModel,
  type TinyTensor,
} from './tiny';

export interface TinyVisionOptions {
  /** of the matrices; one for all, or by GGUF name. Patches have rows of 16 in GGUF files: they are floats */
  dtype?: Dtype | ((name: string) => Dtype);
  seed?: number;
  hidden?: number; // D
  ffn?: number; // F
  layers?: number;
  heads?: number; // H
  projector?: number;
  /** width of the text model */
  text?: number;
  /** of the projector; true by default */
  layerNorm?: boolean;
}

/** SigLIP2 base, as in LFM2-VL-450M with a text model 1024 wide. */
export const SIGLIP2_BASE: TinyVisionOptions = {
  hidden: 768, ffn: 3072, layers: 12, heads: 12, projector: 2560, text: 1024,
}; // prettier-ignore

/** SigLIP2 SO400M, as in LFM2-VL-1.6B and 3B; its widths are no multiples of 256. */
export const SIGLIP2_SO400M: TinyVisionOptions = {
  hidden: 1152, ffn: 4304, layers: 27, heads: 16, projector: 2560, text: 2048,
}; // prettier-ignore

/** @param channelsFirst the shape that patches have in GGUF files */
function layoutOf(
  options: TinyVisionOptions,
  channelsFirst: boolean,
): { config: VisionConfig; tensors: MadeUpTensor[] } {
  const { dtype = 'F32', hidden = 32, ffn = 48, layers = 2, heads = 2, projector = 40, text = 64 } = options;
  const positions: MadeUpTensor = {
    name: 'model.vision_tower.vision_model.embeddings.position_embedding.weight',
    gguf: 'v.position_embd.weight',
    shape: [256, hidden],
    dtype: 'F32',
    leaf: 'vector',
    file: 0,
    offset: 0,
    byteLength: 1024 * hidden,
  };
  const config: VisionConfig = {
    hiddenSize: hidden, ffnSize: ffn, layers, heads, normEps: 1e-6, patchSize: 16, channelsFirst, downsample: 2,
    projectorSize: projector, textSize: text, positions, preparation: PREPARATION,
  }; // prettier-ignore
  const { tensors } = madeUpWeights(
    (read) => visionWeights(config, read),
    (name) => (typeof dtype === 'function' ? dtype(name.replace(/\.weight$/, '')) : dtype),
    (name) => name.endsWith('bias') || (name === 'mm.input_norm.weight' && options.layerNorm !== false),
  );
  return { config, tensors: [...tensors, positions] };
}

/** Without the right names: `name` is that of Hugging Face files. */
function drawn(options: TinyVisionOptions, channelsFirst: boolean): (TinyTensor & { gguf: string })[] {
  const random = generator(options.seed ?? 1);
  return layoutOf(options, channelsFirst).tensors.map(({ name, gguf, shape, dtype, leaf }) => {
    const size = shape.reduce((a, b) => a * b);
    const cols = shape.at(-1)!;
    const middle = /bias$|position/.test(name) ? 0 : 1;
    const bytes =
      leaf === 'matrix'
        ? randomRows(dtype, size / cols, cols, (size / shape[0]) ** -0.5, random)
        : encode(
            'F32',
            Float32Array.from({ length: size }, () => middle + random() - 0.5),
          );
    return { name, gguf, shape, dtype, bytes };
  });
}

/** The mmproj file, to be changed before `ggufBytes` writes it. */
export function tinyEncoder(options: TinyVisionOptions = {}): TinyModel {
  const { config } = layoutOf(options, true);
  return {
    metadata: {
      'general.architecture': [STRING, 'clip'],
      'general.type': [STRING, 'mmproj'],
      'clip.has_vision_encoder': [BOOL, true],
      'clip.projector_type': [STRING, 'lfm2'],
      'clip.use_gelu': [BOOL, true],
      'clip.vision.embedding_length': [U32, config.hiddenSize],
      'clip.vision.feed_forward_length': [U32, config.ffnSize],
      'clip.vision.block_count': [U32, config.layers],
      'clip.vision.attention.head_count': [U32, config.heads],
      'clip.vision.attention.layer_norm_epsilon': [F32, config.normEps],
      'clip.vision.patch_size': [U32, config.patchSize],
      'clip.vision.image_size': [U32, 256],
      'clip.vision.projection_dim': [U32, config.textSize],
      'clip.vision.projector.scale_factor': [U32, config.downsample],
      'clip.vision.image_mean': [ARRAY, F32, [...config.preparation.mean]],
      'clip.vision.image_std': [ARRAY, F32, [...config.preparation.std]],
    },
    tensors: drawn(options, true).map(({ gguf, ...tensor }) => ({ ...tensor, name: gguf })),
  };
}

/** A text model of tiny.ts, 64 wide, with an encoder, as a Hugging Face directory, by file name. */
export function tinyVisionDirectory(options: TinyVisionOptions = {}): Record<string, Uint8Array> {
  const text = tinyDirectory({ ...TEXT, hidden: options.text ?? TEXT.hidden });
  const { config } = layoutOf(options, false);
  const tensors = drawn(options, false);
  const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
  const read = (name: string): Record<string, unknown> =>
    JSON.parse(new TextDecoder().decode(text[name])) as Record<string, unknown>;
  const { 'model.safetensors': weights, ...others } = text;
  return {
    ...others,
    'config.json': json({
      architectures: ['Lfm2VlForConditionalGeneration'],
      model_type: 'lfm2_vl',
      image_token_id: 5,
      downsample_factor: config.downsample,
      text_config: read('config.json'),
      vision_config: {
        model_type: 'siglip2_vision_model',
        hidden_size: config.hiddenSize,
        intermediate_size: config.ffnSize,
        num_hidden_layers: config.layers,
        num_attention_heads: config.heads,
        patch_size: config.patchSize,
        layer_norm_eps: config.normEps,
      },
    }),
    'text.safetensors': weights,
    'vision.safetensors': safetensorsBytes(tensors),
    'model.safetensors.index.json': json({ weight_map: { a: 'text.safetensors', b: 'vision.safetensors' } }),
  };
}

/** The text model of tests that see. */
export const TEXT = { hidden: 64, ffn: 96, heads: 4, kvHeads: 2, headDim: 16, vocab: 280 };
