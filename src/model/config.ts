/** What a checkpoint says of its model. Every number comes from the file (spec sections 1.1, 1.2, 1.6). */
export interface Config {
  vocabSize: number; // V
  hiddenSize: number; // D
  ffnSize: number; // F, as the weights have it
  layers: ('conv' | 'attention')[];
  heads: number; // H
  kvHeads: number; // K
  headDim: number; // d
  convLength: number; // L
  normEps: number;
  ropeTheta: number;
  /** positions the model was made for */
  contextLength: number;
}
