import type { TensorInfo } from '../tensor/tensor';

/**
 * The configuration of a model. Every number comes from the file, whose keys are those of transformers
 * (configuration_lfm2.py) or llama.cpp (gguf-py).
 */
export interface Config {
  vocabSize: number; // V
  hiddenSize: number; // D
  ffnSize: number; // F, from the shapes of the weights; 0 if all layers have experts
  /** kinds of layers; sliding: attention to the last `sliding.window` positions */
  layers: ('conv' | 'attention' | 'sliding')[];
  heads: number; // H
  kvHeads: number; // K
  headDim: number; // d
  convLength: number; // L
  normEps: number;
  /** of the layers 'attention' */
  ropeTheta: number;
  /** of the layers 'attention': what divides the angle of each pair, [d/2]; all 1 by default */
  ropeFactors?: readonly number[];
  /** in models with such layers, LFM3 */
  sliding?: { window: number; ropeTheta: number };
  /** in mixtures of experts: the layers from `denseLayers` on have `count` networks in place of one */
  experts?: {
    count: number; // E
    /** experts of a token */
    top: number;
    ffnSize: number; // I, of each
    denseLayers: number;
    /** the weights of a token's experts are divided by their sum, and then multiplied by `scale` */
    normalise: boolean;
    scale: number;
  };
  /** in models that see pictures */
  vision?: VisionConfig;
  /** in models that encode texts for a search */
  retrieval?: RetrievalConfig;
  /** positions that the model was trained for; of a text that is encoded */
  contextLength: number;
}

/** The vision encoder (SigLIP2 NaFlex), the connector, and how pictures are prepared for them. */
export interface VisionConfig {
  hiddenSize: number; // D
  ffnSize: number; // F
  layers: number;
  heads: number; // H
  normEps: number;
  /** side of a patch in pixels, P */
  patchSize: number;
  /** values of a patch are [3, P, P], as in GGUF files, and not [P, P, 3] */
  channelsFirst: boolean;
  /** patches of one image token, in each direction */
  downsample: number;
  /** between the two maps of the connector, and the text model's width */
  projectorSize: number;
  textSize: number;
  /** the table of positions [side², D], resized for each picture */
  positions: TensorInfo;
  /** the id of the token that stands for an image token; undefined: the tokenizer tells */
  imageToken?: number;
  preparation: PicturePreparation;
}

/** As the processor of transformers names it (image_processing_lfm2_vl.py). */
export interface PicturePreparation {
  /** of the values 0 … 1 of red, green and blue */
  mean: readonly number[];
  std: readonly number[];
  /** image tokens of a picture, or of its thumbnail */
  minTokens: number;
  maxTokens: number;
  /** side of a tile in pixels, and how many a large picture has; `splits` false: every picture is one */
  tileSize: number;
  minTiles: number;
  maxTiles: number;
  splits: boolean;
  thumbnail: boolean;
  /** a picture is split above maxTokens times this */
  tolerance: number;
}

/** A model that makes vectors of texts, as pylate and sentence-transformers describe it. */
export interface RetrievalConfig {
  /**
   * one for each token (ColBERT), compared by MaxSim; or one for a text, that of its first token. All have the length 1
   */
  vectors: 'tokens' | 'text';
  /** numbers of a vector */
  size: number;
  causal: boolean;
  /** most tokens of a query, the prefix among them; queries with vectors of tokens are filled up to it */
  queryLength: number;
  documentLength: number;
  /** one token behind the first with vectors of tokens, else a text in front of the text */
  queryPrefix: string;
  documentPrefix: string;
  expandQueries: boolean;
  attendExpansion: boolean;
  /** what queries are filled with: the first of these tokens that the vocabulary has, by text or id */
  fillers: (string | number)[];
  /** texts of tokens whose vectors a document leaves out */
  skipped: readonly string[];
}
