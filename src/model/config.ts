/**
 * The configuration of a model. Every number comes from the file, whose keys are those of transformers
 * (configuration_lfm2.py) or llama.cpp (gguf-py).
 */
export interface Config {
  vocabSize: number; // V
  hiddenSize: number; // D
  ffnSize: number; // F, from the shapes of the weights
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
  /** positions that the model was trained for */
  contextLength: number;
}
