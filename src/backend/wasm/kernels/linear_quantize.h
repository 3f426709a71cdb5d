// Activations in int8, one f32 scale for 32 values: d = max |x| / 127, q = round(x · 127 / max |x|).
//
// Tokens go in tiles of four, the last tile of a call has what is left over. In a tile of n tokens, block after block of 32 k:
//
//     | quants of token 0 … n − 1 | d × n | sum8 × n | first8 × n | dsum × n | (plain) even128 × n |
//
//   sum8     −8 Σ q over the block, first8 the same over its first sixteen: what an integer sum of unsigned weights begins with
//   dsum     d · Σ q: what a min is multiplied with
//   even128  −128 Σ q over the even k: the same for Q8_0 in the plain variant (see BIAS8)
//
// Relaxed: quants are 32 bytes. Plain: 64 bytes, 16-bit values; the four k of a quad are x0, x2, x1 − 256 x0, x3 − 256 x2 (see dot).
#pragma once
#include "linear_format.h"

#ifdef __wasm_relaxed_simd__
enum { QUANTS = 32, WORDS = 4 };
#else
enum { QUANTS = 64, WORDS = 5 };
#endif
enum { SCALE, SUM8, FIRST8, DSUM, EVEN128 };
enum { TILE_TOKENS = 4, TOKEN_BLOCK = QUANTS + 4 * WORDS };

// Block b of the tile that begins with token t, of n tokens.
INLINE const uint8_t* tile_block(const void* xq, uint32_t cols, uint32_t t, uint32_t n, uint32_t b) {
  return (const uint8_t*)xq + (t * (cols / BLOCK) + n * b) * TOKEN_BLOCK;
}

// A word of token t, in all lanes.
INLINE v128_t token_word(const uint8_t* block, uint32_t n, uint32_t t, int word) { return wasm_v128_load32_splat(block + n * QUANTS + (word * n + t) * 4); }

INLINE int32_t sum_of(v128_t v) {
  v = wasm_i32x4_add(v, wasm_i32x4_shuffle(v, v, 2, 3, 0, 1));
  return wasm_i32x4_extract_lane(v, 0) + wasm_i32x4_extract_lane(v, 1);
}

// Eight values as 16-bit integers.
INLINE v128_t round8(const float* x, v128_t inverse) {
  v128_t a = wasm_f32x4_nearest(wasm_f32x4_mul(wasm_v128_load(x), inverse)), b = wasm_f32x4_nearest(wasm_f32x4_mul(wasm_v128_load(x + 4), inverse));
  return wasm_i16x8_narrow_i32x4(wasm_i32x4_trunc_sat_f32x4(a), wasm_i32x4_trunc_sat_f32x4(b));
}

// One block of one token of a tile of n. Below 1e-30 all is zero; NaN anywhere makes d NaN.
INLINE void quantize_block(const float* x, uint8_t* block, uint32_t n, uint32_t t) {
  v128_t most = wasm_f32x4_abs(wasm_v128_load(x));
  for (int i = 1; i < 8; i++) most = wasm_f32x4_max(most, wasm_f32x4_abs(wasm_v128_load(x + 4 * i)));
  most = wasm_f32x4_max(most, wasm_i32x4_shuffle(most, most, 2, 3, 0, 1));
  most = wasm_f32x4_max(most, wasm_i32x4_shuffle(most, most, 1, 0, 3, 2));
  float largest = wasm_f32x4_extract_lane(most, 0);
  float d = largest < 1e-30f ? 0 : largest / 127, inverse = largest < 1e-30f ? 0 : 127 / largest;

  v128_t q[4];
  const v128_t ones = wasm_i16x8_splat(1);
  for (int i = 0; i < 4; i++) q[i] = round8(x + 8 * i, wasm_f32x4_splat(inverse));
  int32_t first = sum_of(wasm_i32x4_dot_i16x8(wasm_i16x8_add(q[0], q[1]), ones));
  int32_t sum = first + sum_of(wasm_i32x4_dot_i16x8(wasm_i16x8_add(q[2], q[3]), ones));
  union {
    float f;
    int32_t i;
  } words[5] = {[SCALE] = {d}, [SUM8] = {.i = -8 * sum}, [FIRST8] = {.i = -8 * first}, [DSUM] = {d * (float)sum}};

  uint8_t* out = block + t * QUANTS;
#ifdef __wasm_relaxed_simd__
  for (int i = 0; i < 2; i++) wasm_v128_store(out + 16 * i, wasm_i8x16_narrow_i16x8(q[2 * i], q[2 * i + 1]));
#else
  const v128_t even = wasm_i32x4_splat(1);
  v128_t evens = wasm_i32x4_splat(0);
  for (int i = 0; i < 4; i++) {
    evens = wasm_i32x4_add(evens, wasm_i32x4_dot_i16x8(q[i], even));
    v128_t y = wasm_i16x8_sub(q[i], wasm_i32x4_shl(q[i], 24));  // x0, x1 − 256 x0, x2, x3 − 256 x2, …
    wasm_v128_store(out + 16 * i, wasm_i16x8_shuffle(y, y, 0, 2, 1, 3, 4, 6, 5, 7));
  }
  words[EVEN128].i = -128 * sum_of(evens);
#endif
  for (uint32_t i = 0; i < WORDS; i++) *(int32_t*)(block + n * QUANTS + (i * n + t) * 4) = words[i].i;
}
