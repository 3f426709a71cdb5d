/** The shapes of the published models and the mixes of weight formats: what a made-up model can be. */
import type { Config } from '../../src/model/config';
import type { Dtype } from '../../src/tensor/dtype';

/** Heads are 64 wide and convolutions have 3 taps, where a shape states nothing else. */
export type Shape = Pick<Config, 'layers' | 'hiddenSize' | 'ffnSize' | 'heads' | 'kvHeads' | 'vocabSize'> &
  Partial<Pick<Config, 'headDim' | 'convLength' | 'experts' | 'sliding'>>;

const attentionAt = (count: number, at: number[]): Config['layers'] =>
  Array.from({ length: count }, (_, i) => (at.includes(i) ? 'attention' : 'conv'));
const SIXTEEN = attentionAt(16, [2, 5, 8, 10, 12, 14]);
const THIRTY = attentionAt(30, [2, 5, 9, 13, 17, 21, 24, 27]);
const V = 65536;
const EXPERTS = { top: 4, denseLayers: 2, normalise: true, scale: 1 };
const A1B = {
  layers: attentionAt(24, [2, 6, 10, 14, 18, 21]),
  hiddenSize: 2048,
  ffnSize: 7168,
  heads: 32,
  kvHeads: 8,
  experts: { ...EXPERTS, count: 32, ffnSize: 1792 },
};

/**
 * By the size in the model's name. `demo` is the model that comes with the pages; `check` is for the check of the
 * kernels. Of 24b-a2b the places of the attention layers and the width of the dense layers are assumed.
 */
export const SHAPES = {
  demo: { layers: attentionAt(6, [1, 3, 5]), hiddenSize: 256, ffnSize: 704, heads: 4, kvHeads: 2, vocabSize: 4558 },
  '230m': {
    layers: attentionAt(14, [2, 4, 6, 8, 10, 12]),
    hiddenSize: 1024,
    ffnSize: 2560,
    heads: 16,
    kvHeads: 8,
    vocabSize: V,
  },
  '350m': { layers: SIXTEEN, hiddenSize: 1024, ffnSize: 4608, heads: 16, kvHeads: 8, vocabSize: V },
  '700m': { layers: SIXTEEN, hiddenSize: 1536, ffnSize: 6912, heads: 24, kvHeads: 8, vocabSize: V },
  '1.2b': { layers: SIXTEEN, hiddenSize: 2048, ffnSize: 8192, heads: 32, kvHeads: 8, vocabSize: V },
  '2.6b': { layers: THIRTY, hiddenSize: 2048, ffnSize: 10752, heads: 32, kvHeads: 8, vocabSize: V },
  '8b-a1b': { ...A1B, vocabSize: V },
  'lfm2.5-8b-a1b': { ...A1B, vocabSize: 128_000 },
  '24b-a2b': {
    ...A1B,
    layers: attentionAt(40, [2, 6, 10, 14, 18, 22, 26, 30, 34, 38]),
    vocabSize: V,
    experts: { ...EXPERTS, count: 64, ffnSize: 1536 },
  },
  'lfm3-1.7b': {
    layers: Array.from({ length: 24 }, (_, i) => (i % 4 === 2 ? 'attention' : i && i % 4 === 0 ? 'sliding' : 'conv')),
    hiddenSize: 2048,
    ffnSize: 7680,
    heads: 16,
    kvHeads: 4,
    headDim: 128,
    convLength: 7,
    vocabSize: 128_000,
    sliding: { window: 256, ropeTheta: 10_000 },
  },
  tiny: { layers: attentionAt(4, [2]), hiddenSize: 256, ffnSize: 512, heads: 4, kvHeads: 2, vocabSize: V },
  check: { layers: attentionAt(3, [1]), hiddenSize: 256, ffnSize: 512, heads: 4, kvHeads: 2, vocabSize: 320 },
} satisfies Record<string, Shape>;

export type ShapeName = keyof typeof SHAPES;

/** The shapes that the page offers, with names to show. */
export const SHAPE_LABELS: Partial<Record<ShapeName, string>> = {
  demo: 'Demo model (6M)',
  '230m': 'LFM2.5-230M',
  '350m': 'LFM2.5-350M',
  '700m': 'LFM2-700M',
  '1.2b': 'LFM2.5-1.2B',
  'lfm3-1.7b': 'LFM3-1.7B',
  '2.6b': 'LFM2-2.6B',
  '8b-a1b': 'LFM2-8B-A1B',
};

/** The shapes of the published text models, by name. */
export const PUBLISHED = {
  'LFM2.5-230M': '230m',
  'LFM2-350M': '350m',
  'LFM2.5-350M': '350m',
  'LFM2-700M': '700m',
  'LFM2-1.2B': '1.2b',
  'LFM2.5-1.2B': '1.2b',
  'LFM2-2.6B': '2.6b',
  'LFM2-8B-A1B': '8b-a1b',
  'LFM2.5-8B-A1B': 'lfm2.5-8b-a1b',
  'LFM2-24B-A2B': '24b-a2b',
  'LFM3-1.7B': 'lfm3-1.7b',
} satisfies Record<string, ShapeName>;

export type PublishedName = keyof typeof PUBLISHED;

/** Formats of the linear maps and of the tied embedding, as llama.cpp's quantizer chooses them. */
export const QUANTIZATIONS = {
  Q4_0: ['Q4_0', 'Q6_K'],
  Q4_1: ['Q4_1', 'Q6_K'],
  Q5_0: ['Q5_0', 'Q6_K'],
  Q5_1: ['Q5_1', 'Q6_K'],
  Q8_0: ['Q8_0', 'Q8_0'],
  Q4_K: ['Q4_K', 'Q6_K'],
  Q5_K: ['Q5_K', 'Q6_K'],
  Q6_K: ['Q6_K', 'Q6_K'],
  F16: ['F16', 'F16'],
  BF16: ['BF16', 'BF16'],
  F32: ['F32', 'F32'],
} satisfies Partial<Record<Dtype, [linear: Dtype, embedding: Dtype]>>;
