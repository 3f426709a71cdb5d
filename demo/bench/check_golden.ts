/** Results of the check model (check.ts) on the reference backend: for each quantization and each prompt, projections of the logits. A unit test computes them again. */
export const CHECK_GOLDEN: Record<string, number[][]> = {};
