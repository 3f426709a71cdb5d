/** The prompt of all speed measurements: the same on every machine. */
export const promptTokens = (length: number, vocabSize: number): number[] =>
  Array.from({ length }, (_, i) => (i * 7919 + 257) % vocabSize);
