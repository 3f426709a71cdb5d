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
  /** positions that the model was trained for */
  contextLength: number;
}
