// Weights times activations: products of bytes added up as integers, which is exact, and what the sums become.
#pragma once
#include "linear_format.h"
#include "linear_quantize.h"

// Four k of a token in all lanes: relaxed { q } or, for Q8_0, { |q|, sign }, plain { (x0, x2), (x1 − 256 x0, x3 − 256 x2) }.
typedef struct {
  v128_t a, b;
} Four;

// Quad i of token t of a tile of n.
INLINE Four four_at(uint32_t f, uint32_t n, const uint8_t* block, uint32_t t, int i) {
#ifdef __wasm_relaxed_simd__
  if (f != Q8_0) return (Four){.a = quant_word(block + t * QUANTS, n, i)};
  return (Four){quant_word(block + n * SIZES + t * QUANTS, n, i), quant_word(block + n * SIGNS + t * QUANTS, n, i)};
#else
  (void)f;
  block += t * QUANTS;
  return (Four){quant_word(block, n, 2 * i), quant_word(block, n, 2 * i + 1)};
#endif
}

// An integer sum of quads times x. `brief`: as yet in 16 bits, see add_dot.
typedef struct {
  v128_t sum, brief;
} Sum;

// What the integer sums of token t begin with, so that weights may be taken without their offset. `sixteen`: Q6_K has a sum for each half block.
INLINE v128_t initial(uint32_t f, const uint8_t* block, uint32_t n, uint32_t t, int sixteen) {
  if (f == Q8_0) return token_word(block, n, t, START8);
  if (!offset_of(f)) return wasm_i32x4_splat(0);
  v128_t s = token_word(block, n, t, f == Q6_K && !sixteen ? FIRST8 : SUM8);
  if (f == Q6_K && sixteen) s = wasm_i32x4_sub(s, token_word(block, n, t, FIRST8));
  int shift = f == Q6_K ? 2 : f == Q5_0 ? 1 : 0;
  return shift ? wasm_i32x4_shl(s, shift) : s;
}

// The relaxed dot is one instruction with ARM's dot product or AVX-VNNI, and five on other x86 processors. There, of weights of few bits, products are better
// added up in 16 bits, as many as these hold: the same integers. Which is faster is measured (../dots.ts) and said here for all threads.
#ifdef __wasm_relaxed_simd__
static int32_t briefly;
EXPORT(sum_briefly) void sum_briefly(int32_t yes) { briefly = yes; }
#else
enum { briefly = 0 };
#endif
// 16 bits hold the products of so many quads: 2 · 127 · (2^bits − 1) each.
INLINE int quads_in_brief(uint32_t f) { return bits_of(f) == 4 ? 8 : bits_of(f) == 5 ? 4 : 2; }

// Adds quad i of a block times four k to a sum; block, n and t say where the token stands.
INLINE void add_dot(uint32_t f, int brief, int i, Four x, v128_t quad, const uint8_t* block, uint32_t n, uint32_t t, v128_t ones, Sum* s) {
  const int sixteen = f == Q6_K && i >= 4, at = sixteen ? i - 4 : i;
#ifdef __wasm_relaxed_simd__
  // The second operand of the relaxed dot has 7 bits, so that there is one result everywhere. Weights of 4 to 6 bits are it themselves. For Q8_0 it is |x|,
  // and the weight takes the sign: w ^ −1 = −w − 1, so that the sum lacks Σ |x| over the negative x, with which it begins (start8).
  if (brief) {
    const int run = quads_in_brief(f);
    const v128_t products = wasm_i16x8_relaxed_dot_i8x16_i7x16(x.a, quad);
    s->brief = at % run ? wasm_i16x8_add(s->brief, products) : products;
    if (at % run < run - 1) return;
    s->sum = wasm_i32x4_add(at < run ? initial(f, block, n, t, sixteen) : s->sum, wasm_i32x4_dot_i16x8(s->brief, ones));
    return;
  }
  if (at == 0) s->sum = initial(f, block, n, t, sixteen);
  s->sum = f == Q8_0 ? wasm_i32x4_relaxed_dot_i8x16_i7x16_add(wasm_v128_xor(quad, x.b), x.a, s->sum) : wasm_i32x4_relaxed_dot_i8x16_i7x16_add(x.a, quad, s->sum);
#else
  // A 16-bit lane of the quad is E = w0 + 256 w1, and E >> 8 is w1: E x0 + w1 (x1 − 256 x0) = w0 x0 + w1 x1, with one shift and no masks.
  // For Q8_0 w1 is signed, and w0 is 128 too large, which start8 takes away.
  (void)brief, (void)ones;
  s->sum = wasm_i32x4_add(at == 0 ? initial(f, block, n, t, sixteen) : s->sum, wasm_i32x4_dot_i16x8(quad, x.a));
  s->sum = wasm_i32x4_add(s->sum, wasm_i32x4_dot_i16x8(wasm_i16x8_shr(quad, 8), x.b));
#endif
}
INLINE void in_order_of(int brief, Sum* a, Sum* b) { brief ? in_order(&a->brief, &b->brief) : in_order(&a->sum, &b->sum); }

// Adds the integer sums of a block (Q6_K: of its two sixteens) to y. The one place where floats are added up.
INLINE v128_t settle(uint32_t f, v128_t y, const Sum* sums, const v128_t* d, v128_t m, v128_t dx, v128_t dsum) {
  v128_t first = wasm_f32x4_convert_i32x4(sums[0].sum);
  if (f == Q6_K) {
    v128_t both = wasm_f32x4_add(wasm_f32x4_mul(first, d[0]), wasm_f32x4_mul(wasm_f32x4_convert_i32x4(sums[1].sum), d[1]));
    return wasm_f32x4_add(y, wasm_f32x4_mul(both, dx));
  }
  y = wasm_f32x4_add(y, wasm_f32x4_mul(first, wasm_f32x4_mul(d[0], dx)));
  return has_mins(f) ? wasm_f32x4_add(y, wasm_f32x4_mul(m, dsum)) : y;
}
