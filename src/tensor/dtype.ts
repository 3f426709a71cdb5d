/**
 * Element types of checkpoint tensors: ggml type id, values per block, bytes per block (ggml.h and ggml-common.h of
 * llama.cpp).
 */
export const DTYPES = {
  F32: { ggml: 0, blockLength: 1, blockBytes: 4 },
  F16: { ggml: 1, blockLength: 1, blockBytes: 2 },
  BF16: { ggml: 30, blockLength: 1, blockBytes: 2 },
  Q4_0: { ggml: 2, blockLength: 32, blockBytes: 18 },
  Q4_1: { ggml: 3, blockLength: 32, blockBytes: 20 },
  Q5_0: { ggml: 6, blockLength: 32, blockBytes: 22 },
  Q5_1: { ggml: 7, blockLength: 32, blockBytes: 24 },
  Q8_0: { ggml: 8, blockLength: 32, blockBytes: 34 },
  Q2_K: { ggml: 10, blockLength: 256, blockBytes: 84 },
  Q3_K: { ggml: 11, blockLength: 256, blockBytes: 110 },
  Q4_K: { ggml: 12, blockLength: 256, blockBytes: 144 },
  Q5_K: { ggml: 13, blockLength: 256, blockBytes: 176 },
  Q6_K: { ggml: 14, blockLength: 256, blockBytes: 210 },
  IQ4_NL: { ggml: 20, blockLength: 32, blockBytes: 18 },
  IQ3_S: { ggml: 21, blockLength: 256, blockBytes: 110 },
  IQ4_XS: { ggml: 23, blockLength: 256, blockBytes: 136 },
  MXFP4: { ggml: 39, blockLength: 32, blockBytes: 17 },
} as const;

export type Dtype = keyof typeof DTYPES;

const BY_GGML = new Map<number, Dtype>(Object.entries(DTYPES).map(([name, { ggml }]) => [ggml, name as Dtype]));

/** The dtype of a ggml type id; undefined when it is not one of ours. */
export const dtypeOfGgml = (id: number): Dtype | undefined => BY_GGML.get(id);

/** Bytes of one row of `cols` values; `cols` must be a multiple of the block length. */
export const rowBytes = (dtype: Dtype, cols: number): number =>
  (cols / DTYPES[dtype].blockLength) * DTYPES[dtype].blockBytes;
