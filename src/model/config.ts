/**
 * The configuration of a model. Every number comes from the file, whose keys are those of transformers
 * (configuration_lfm2.py) or llama.cpp (gguf-py).
 */
export interface Config {
  vocabSize: number; // V
  hiddenSize: number; // D
  ffnSize: number; // F, from the shapes of the weights
  layers: ('conv' | 'attention')[];
  heads: number; // H
  kvHeads: number; // K
  headDim: number; // d
  convLength: number; // L
  normEps: number;
  ropeTheta: number;
  /** positions that the model was trained for */
  contextLength: number;
}
