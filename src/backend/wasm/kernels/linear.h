// The quantized linear map: the interface of linear.c.
#pragma once
#include <stddef.h>
#include <stdint.h>

// One segment of a weight matrix, packed by pack_rows. TypeScript writes it.
typedef struct {
  uint32_t format;  // ggml type id (src/tensor/dtype.ts)
  uint32_t rows, cols;
  const uint8_t* data;  // 64-byte aligned
} Weight;

// Bytes of a packed matrix [rows, cols], less than 4 GiB: the host asks for parts of larger ones.
uint32_t packed_bytes(uint32_t format, uint32_t rows, uint32_t cols);

// Packs `count` rows in checkpoint format into w->data. `first` is a multiple of 16, and so is `count` except at the
// end.
void pack_rows(const Weight* w, const uint8_t* src, uint32_t first, uint32_t count);

// Bytes of the int8 form of T rows of `cols` activations.
uint32_t quantized_bytes(uint32_t T, uint32_t cols);

// x [T, cols] f32 → int8 with one scale per 32, for the tokens [t0, t1). cols is a multiple of 32. Rounds to nearest.
void quantize(const float* x, void* xq, uint32_t cols, uint32_t T, uint32_t t0, uint32_t t1);

// Whether a format reads int8 activations (quantized formats) or f32 (F32, F16, BF16, Q2_K).
int wants_int8(uint32_t format);

// y[t * ldy + r] = W[r] · x[t] for the rows [r0, r1) and all T tokens. r0 is a multiple of 16, and so is r1 except at
// the last row.
// xq is null for exact results or float formats: then x (leading dimension cols) is read in f32.
void linear(const Weight* w, const float* x, const void* xq, uint32_t T, float* y, uint32_t ldy, uint32_t r0, uint32_t r1);

// Decodes one row of a packed matrix to f32 [cols].
void unpack_row(const Weight* w, uint32_t row, float* out);
