/** What the tokens of encoders see of each other (PrefillOptions.bounds): masks, padding and sequences in one table. */

/** A sequence of a call. The rows behind the first `attended` ones are padding: no row attends to them. */
export interface PaddedSequence {
  length: number;
  attended: number;
}

export interface Sight {
  /** a row attends to no later one */
  causal: boolean;
  /** the padding is zero before every convolution, as transformers has it from version 5 on; else it is read */
  zeroed: boolean;
}

/** @returns [T, 4], for the sequences one after the other */
export function visibleRows(sequences: readonly PaddedSequence[], { causal, zeroed }: Sight): Uint32Array<ArrayBuffer> {
  const T = sequences.reduce((sum, { length }) => sum + length, 0);
  const bounds = new Uint32Array(4 * T);
  let begin = 0;
  for (const { length, attended } of sequences) {
    const keys = begin + attended;
    for (let t = begin; t < begin + length; t++)
      bounds.set([begin, causal ? Math.min(t + 1, keys) : keys, begin, zeroed ? keys : begin + length], 4 * t);
    begin += length;
  }
  return bounds;
}
