// Weights times activations: exact integer sums of products of bytes, and their conversion to f32.
#pragma once
#include "linear_format.h"
#include "linear_quantize.h"

// Four k of a token in all lanes. Relaxed SIMD: { q }, or { |q|, sign } for signed weights. Plain SIMD: { (x0, x2), (x1
// − 256 x0, x3 − 256 x2) }.
typedef struct {
  v128_t a, b;
} Four;

// Quad i of token t of a tile of n.
INLINE Four four_at(uint32_t f, uint32_t n, const uint8_t* block, uint32_t t, int i) {
#ifdef __wasm_relaxed_simd__
  if (!is_signed(f)) return (Four){.a = quant_word(block + t * QUANTS, n, i)};
  return (Four){quant_word(block + n * SIZES + t * QUANTS, n, i), quant_word(block + n * SIGNS + t * QUANTS, n, i)};
#else
  (void)f;
  block += t * QUANTS;
  return (Four){quant_word(block, n, 2 * i), quant_word(block, n, 2 * i + 1)};
#endif
}

// The accumulators of quads times x: 32 bits, and 16 bits for the first few products (see add_dot).
typedef struct {
  v128_t int32, int16;
} Accumulator;

// The start of the integer sums of token t, which accounts for the offset of unsigned weights. `sixteen`: with
// in_sixteens there is a sum for each half block.
INLINE v128_t initial(uint32_t f, const uint8_t* block, uint32_t n, uint32_t t, int sixteen) {
  if (is_signed(f)) return token_word(block, n, t, START8);
  if (!offset_of(f)) return wasm_i32x4_splat(0);
  v128_t s = token_word(block, n, t, in_sixteens(f) && !sixteen ? FIRST8 : SUM8);
  if (in_sixteens(f) && sixteen) s = wasm_i32x4_sub(s, token_word(block, n, t, FIRST8));
  int shift = f == Q6_K ? 2 : f == Q5_0 ? 1 : 0;
  return shift ? wasm_i32x4_shl(s, shift) : s;
}

// The relaxed dot is one instruction with ARM's dot product or AVX-VNNI, but five on other x86 processors. There it is
// faster to add the first few products in 16 bits, as many as fit: the same integers. ../accumulator_width.ts measures
// which is faster and sets it for all threads.
#ifdef __wasm_relaxed_simd__
static int32_t int16_sums;
EXPORT(use_int16_sums) void use_int16_sums(int32_t yes) { int16_sums = yes; }
#else
enum { int16_sums = 0 };
#endif
// The number of quads whose products fit into 16 bits: each quad adds 2 · 127 · (2^bits − 1), and at most 2 · 127 · 128
// with signed weights.
INLINE int quads_in_int16(uint32_t f) { return is_signed(f) ? 1 : bits_of(f) == 4 && !in_sixteens(f) ? 8 : bits_of(f) < 6 ? 4 : 2; }

// Adds quad i of a block times four k of token t to the accumulators. Worked example for plain SIMD, Q4_0 and one
// 16-bit lane: the weights w0 = 3 and w1 = 5 are the lane E = 3 + 256 · 5 = 1283, and x0 = 2, x1 = 7. Then E · x0 =
// 2566 and (E >> 8) · (x1 − 256 · x0) = 5 · (7 − 512) = −2525;
// their sum 41 is 3 · 2 + 5 · 7.
INLINE void add_dot(uint32_t f, int int16, int i, Four x, v128_t quad, const uint8_t* block, uint32_t n, uint32_t t, v128_t ones, Accumulator* s) {
  const int sixteen = in_sixteens(f) && i >= 4, at = sixteen ? i - 4 : i;
#ifdef __wasm_relaxed_simd__
  // The relaxed dot has the same result on all processors only if its second operand has 7 bits. Weights of 4 to 6 bits
  // are that operand. For signed ones it is |x|, and the weight takes the sign: w ^ −1 = −w − 1, so the sum starts with
  // Σ |x| over the negative x (start8).
  if (is_signed(f)) quad = wasm_v128_xor(quad, x.b);
  if (int16) {
    const int run = quads_in_int16(f);
    const v128_t products = is_signed(f) ? wasm_i16x8_relaxed_dot_i8x16_i7x16(quad, x.a) : wasm_i16x8_relaxed_dot_i8x16_i7x16(x.a, quad);
    s->int16 = at % run ? wasm_i16x8_add(s->int16, products) : products;
    if (at % run < run - 1) return;
    s->int32 = wasm_i32x4_add(at < run ? initial(f, block, n, t, sixteen) : s->int32, wasm_i32x4_dot_i16x8(s->int16, ones));
    return;
  }
  if (at == 0) s->int32 = initial(f, block, n, t, sixteen);
  s->int32 = is_signed(f) ? wasm_i32x4_relaxed_dot_i8x16_i7x16_add(quad, x.a, s->int32) : wasm_i32x4_relaxed_dot_i8x16_i7x16_add(x.a, quad, s->int32);
#else
  // A 16-bit lane of the quad is E = w0 + 256 w1, and E >> 8 is w1: E x0 + w1 (x1 − 256 x0) = w0 x0 + w1 x1, with one
  // shift and no masks.
  // For Q8_0 w1 is signed, and w0 is 128 too large, which start8 corrects.
  (void)int16, (void)ones;
  s->int32 = wasm_i32x4_add(at == 0 ? initial(f, block, n, t, sixteen) : s->int32, wasm_i32x4_dot_i16x8(quad, x.a));
  s->int32 = wasm_i32x4_add(s->int32, wasm_i32x4_dot_i16x8(wasm_i16x8_shr(quad, 8), x.b));
#endif
}
INLINE void in_order_of(uint32_t f, int int16, Accumulator* a, Accumulator* b) { int16 && quads_in_int16(f) > 1 ? in_order(&a->int16, &b->int16) : in_order(&a->int32, &b->int32); }

// Scales the integer sums of a block (or of its two sixteens) and adds them to y. Only here are floats added.
INLINE v128_t add_scaled(uint32_t f, v128_t y, const Accumulator* sums, const v128_t* d, v128_t m, v128_t dx, v128_t dsum) {
  v128_t first = wasm_f32x4_convert_i32x4(sums[0].int32);
  if (in_sixteens(f)) {
    v128_t both = wasm_f32x4_add(wasm_f32x4_mul(first, d[0]), wasm_f32x4_mul(wasm_f32x4_convert_i32x4(sums[1].int32), d[1]));
    return wasm_f32x4_add(y, wasm_f32x4_mul(both, dx));
  }
  y = wasm_f32x4_add(y, wasm_f32x4_mul(first, wasm_f32x4_mul(d[0], dx)));
  return has_mins(f) ? wasm_f32x4_add(y, wasm_f32x4_mul(m, dsum)) : y;
}
