// Activations become int8 with one f32 scale for 32 values: d = max |x| / 127, q = round(x · 127 / max |x|).
//
// Tokens form tiles of four, and the last tile may have fewer; a single token is a tile of one. A tile of n (4 or 1)
// tokens is a sequence of blocks of 32 k:
//
//     | quants of token 0 … n − 1 | scale × n | sum8 × n | first8 × n | dsum × n | start8 × n | (relaxed) |q| of token 0 … n − 1 | signs of token 0 … n − 1 |
//
//   scale    d · TO_SCALES
//   sum8     −8 Σ q over the block, first8 the same over its first sixteen: the start of an integer sum over unsigned weights
//   dsum     scale · Σ q: the factor of a min
//   start8   the start of an integer sum over signed weights: relaxed SIMD Σ |q| over the negative q, plain SIMD −128 Σ q over the even k
//
// Relaxed: quants, |q| and signs (−1 for a negative q, else 0) are 32 bytes each.
// Plain: quants are 64 bytes of 16-bit values; the four k of a quad are x0, x2, x1 − 256 x0, x3 − 256 x2 (add_dot uses
// them).
#pragma once
#include "linear_format.h"

enum { SCALE, SUM8, FIRST8, DSUM, START8, WORDS };
#ifdef __wasm_relaxed_simd__
enum { QUANTS = 32, SIZES = QUANTS + 4 * WORDS, SIGNS = SIZES + QUANTS, TOKEN_BLOCK = SIGNS + QUANTS };
#else
enum { QUANTS = 64, TOKEN_BLOCK = QUANTS + 4 * WORDS };
#endif
enum { TILE_TOKENS = 4 };

// Block b of the tile of n that begins with token t.
INLINE const uint8_t* tile_block(const void* xq, uint32_t cols, uint32_t t, uint32_t n, uint32_t b) {
  return (const uint8_t*)xq + (t * (cols / BLOCK) + n * b) * TOKEN_BLOCK;
}

// Word i of a vector in all lanes. With one token many rows share it, and a shuffle takes fewer instructions than a
// splat from memory; with several tokens the shuffles would delay the dots.
INLINE v128_t lane(const v128_t* v, int i) {
  const v128_t w = v[i / 4];
  if (i % 4 == 0) return wasm_i32x4_shuffle(w, w, 0, 0, 0, 0);
  if (i % 4 == 1) return wasm_i32x4_shuffle(w, w, 1, 1, 1, 1);
  return i % 4 == 2 ? wasm_i32x4_shuffle(w, w, 2, 2, 2, 2) : wasm_i32x4_shuffle(w, w, 3, 3, 3, 3);
}
INLINE v128_t quant_word(const uint8_t* quants, uint32_t n, int i) { return n == 1 ? lane((const v128_t*)quants, i) : wasm_v128_load32_splat(quants + 4 * i); }

// A word of token t in all lanes.
INLINE v128_t token_word(const uint8_t* block, uint32_t n, uint32_t t, int word) {
  block += n * QUANTS;
  return n == 1 && word < 4 ? lane((const v128_t*)block, word) : wasm_v128_load32_splat(block + (word * n + t) * 4);
}

INLINE int32_t sum_of(v128_t v) {
  v = wasm_i32x4_add(v, wasm_i32x4_shuffle(v, v, 2, 3, 0, 1));
  return wasm_i32x4_extract_lane(v, 0) + wasm_i32x4_extract_lane(v, 1);
}

// Eight values as 16-bit integers.
INLINE v128_t round8(const float* x, v128_t inverse) {
  v128_t a = wasm_f32x4_nearest(wasm_f32x4_mul(wasm_v128_load(x), inverse)), b = wasm_f32x4_nearest(wasm_f32x4_mul(wasm_v128_load(x + 4), inverse));
  return wasm_i16x8_narrow_i32x4(wasm_i32x4_trunc_sat_f32x4(a), wasm_i32x4_trunc_sat_f32x4(b));
}

// Rounds the 32 values of a block to q and returns d. If all are below 1e-30 the block becomes zero; a NaN makes d NaN.
INLINE float round_block(const float* x, v128_t q[4]) {
  v128_t most = wasm_f32x4_abs(wasm_v128_load(x));
  for (int i = 1; i < 8; i++) most = wasm_f32x4_max(most, wasm_f32x4_abs(wasm_v128_load(x + 4 * i)));
  most = wasm_f32x4_max(most, wasm_i32x4_shuffle(most, most, 2, 3, 0, 1));
  most = wasm_f32x4_max(most, wasm_i32x4_shuffle(most, most, 1, 0, 3, 2));
  float largest = wasm_f32x4_extract_lane(most, 0);
  float d = largest < 1e-30f ? 0 : largest / 127, inverse = largest < 1e-30f ? 0 : 127 / largest;
  for (int i = 0; i < 4; i++) q[i] = round8(x + 8 * i, wasm_f32x4_splat(inverse));
  return d;
}

// Quantizes one block of one token in a tile of n.
INLINE void quantize_block(const float* x, uint8_t* block, uint32_t n, uint32_t t) {
  v128_t q[4];
  const float d = round_block(x, q);
  const v128_t ones = wasm_i16x8_splat(1);
  int32_t first = sum_of(wasm_i32x4_dot_i16x8(wasm_i16x8_add(q[0], q[1]), ones));
  int32_t sum = first + sum_of(wasm_i32x4_dot_i16x8(wasm_i16x8_add(q[2], q[3]), ones));
  union {
    float f;
    int32_t i;
  } words[WORDS] = {[SCALE] = {d * TO_SCALES}, [SUM8] = {.i = -8 * sum}, [FIRST8] = {.i = -8 * first}, [DSUM] = {d * (float)sum * TO_SCALES}};

  uint8_t* out = block + t * QUANTS;
  v128_t start8 = wasm_i32x4_splat(0);
#ifdef __wasm_relaxed_simd__
  for (int i = 0; i < 2; i++, out += 16) {
    v128_t bytes = wasm_i8x16_narrow_i16x8(q[2 * i], q[2 * i + 1]), negative = wasm_i8x16_shr(bytes, 7), size = wasm_i8x16_abs(bytes);
    wasm_v128_store(out, bytes);
    wasm_v128_store(out + n * SIZES, size);
    wasm_v128_store(out + n * SIGNS, negative);
    start8 = wasm_i32x4_add(start8, wasm_u32x4_extadd_pairwise_u16x8(wasm_u16x8_extadd_pairwise_u8x16(wasm_v128_and(size, negative))));
  }
  words[START8].i = sum_of(start8);
#else
  const v128_t even = wasm_i32x4_splat(1);
  for (int i = 0; i < 4; i++, out += 16) {
    v128_t y = wasm_i16x8_sub(q[i], wasm_i32x4_shl(q[i], 24));  // x0, x1 − 256 x0, x2, x3 − 256 x2, …
    wasm_v128_store(out, wasm_i16x8_shuffle(y, y, 0, 2, 1, 3, 4, 6, 5, 7));
    start8 = wasm_i32x4_add(start8, wasm_i32x4_dot_i16x8(q[i], even));
  }
  words[START8].i = -128 * sum_of(start8);
#endif
  for (uint32_t i = 0; i < WORDS; i++) *(int32_t*)(block + n * QUANTS + (i * n + t) * 4) = words[i].i;
}
