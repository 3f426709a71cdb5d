// The memory layout of packed weights, and how kernels read it.
//
// Rows form groups of 8, so that a vector lane is a row and no sum crosses lanes. Four rows are a half. Its unit is the
// quad: one vector with 4 successive k of 4 rows,
//
//     byte        0    4    8    12
//     quad i    | r0 | r1 | r2 | r3 |     r0 = row 0, k = 4i … 4i + 3
//
// Eight quads are the 32 values of a block. They are stored as `bits`-bit values in `bits` vectors (4, 5, 6 or 8).
// Values of 8 bits are signed, all others unsigned:
//
//     4 bits    S0–S3: low nibble quad i, high nibble quad i + 4
//     5 bits    S0–S4: low 5 bits quads 0–4, the 15 bits above quads 5–7 (see quad5)
//     6 bits    S0–S2: low 6 bits quads 0–2, the bits above quad 3; S3–S5 the same with quads 4–7
//     8 bits    S0–S7: quad i (see BIAS8)
//
// A group of 8 rows is a row of units, one unit for each 32 (or, K-quants, 256) values of k:
//
//     | d: 16 bits × 8 | min: 16 bits × 8 (Q4_1, Q5_1, K-quants but Q3_K, Q6_K) | sub-block |    one sub-block,    K-quants eight
//     sub-block = | half 0: bits × 16 bytes | half 1 | small scales: 16 bytes (K-quants) |
//
// d and min are halves of 1024 times their value, rows r and r + 4 in lane r. In checkpoints most are below 2^-14,
// where halves are subnormal and slow to convert; times 1024 they are normal. The exponent 31 is a number too: values
// below 128 are exact, larger ones become almost 128.
//
// Lane r of the small scales holds four bytes: the scales of rows r and r + 4, then their mins. Q2_K, Q3_K and Q6_K
// have two scales for 32 values:
// the first scales of r and r + 4, then their second ones. In Q2_K a byte has a scale below and a min above. Mins have
// the sign with which they are added; Q2_K has no kernels for int8 activations. Q3_K is packed like Q2_K, with mins
// that nobody reads.
//
// Formats with a table (IQ4_NL, IQ4_XS, IQ3_S, MXFP4) come in one layout (src/tensor/nibbles.ts) and share their
// kernels, named IQ4_NL. Their 4-bit values are indices of the table, which holds int8; d is an f32 (see Scales), 32
// bits × 8 rows in order, and there are no mins.
//
// Floats are stored in words of 32 bits, 8 rows side by side. A word holds one k of F32, or two of F16 and BF16, the
// lower k in the low half.
// The last word of a row is padded with zero.
#pragma once
#include "simd.h"
#include "dtypes.h"  // made by build.ts from src/tensor/dtype.ts: F32, F16, Q4_0 … are ggml type ids, F32_BYTES … bytes of a block
#include "linear.h"

// Hides from the compiler where a pointer comes from, so that loads use constant offsets from it. Otherwise the
// compiler makes an induction variable, and an addition, of every offset.
INLINE const void* opaque(const void* p) {
  __asm__("" : "+r"(p));
  return p;
}

// Keeps a constant in a register: V8 rebuilds a constant at every use, in three instructions.
INLINE v128_t held(v128_t v) {
  __asm__("" : "+r"(v));
  return v;
}

// An order barrier for the compiler: it keeps few vectors alive at a time, because x86 has sixteen registers.
INLINE void in_order(v128_t* a, v128_t* b) { __asm__ volatile("" : "+r"(*a), "+r"(*b)); }

// rows of a group; columns of a block
enum { GROUP = 8, BLOCK = 32 };

INLINE int is_float(uint32_t f) { return f == F32 || f == F16 || f == BF16; }
INLINE int is_k(uint32_t f) { return f >= Q2_K && f <= Q6_K; }
INLINE int has_table(uint32_t f) { return f >= IQ4_NL && f != BF16; }
INLINE int has_mins(uint32_t f) { return f == Q4_1 || f == Q5_1 || f == Q2_K || f == Q4_K || f == Q5_K; }
// a scale for 16 values, not 32
INLINE int in_sixteens(uint32_t f) { return f == Q2_K || f == Q3_K || f == Q6_K; }
// values of 8 bits with a sign
INLINE int is_signed(uint32_t f) { return f == Q8_0 || has_table(f); }
INLINE int bits_of(uint32_t f) { return f == Q8_0 ? 8 : f == Q6_K ? 6 : f == Q5_0 || f == Q5_1 || f == Q5_K ? 5 : 4; }
INLINE int float_bytes(uint32_t f) { return f == F32 ? 4 : 2; }

// The offset that was added to a value to make it unsigned.
INLINE int offset_of(uint32_t f) { return f == Q4_0 || f == Q3_K ? 8 : f == Q5_0 ? 16 : f == Q6_K ? 32 : 0; }

// Q8_0 is stored as w ^ BIAS8: unchanged for relaxed SIMD, with 128 added in the even bytes for plain SIMD (see
// add_dot).
#ifdef __wasm_relaxed_simd__
enum { BIAS8 = 0 };
#define LOOK_UP wasm_i8x16_relaxed_swizzle
#else
enum { BIAS8 = 0x00800080 };
#define LOOK_UP wasm_i8x16_swizzle
#endif

INLINE uint32_t subs_of(uint32_t f) { return is_k(f) ? 8 : 1; }
INLINE uint32_t header_bytes(uint32_t f) { return has_mins(f) || has_table(f) || f == Q3_K ? 32 : 16; }
INLINE uint32_t half_bytes(uint32_t f) { return bits_of(f) * 16; }
INLINE uint32_t sub_bytes(uint32_t f) { return 2 * half_bytes(f) + (is_k(f) ? 16 : 0); }
INLINE uint32_t unit_bytes(uint32_t f) { return header_bytes(f) + subs_of(f) * sub_bytes(f); }

INLINE uint32_t words_of(uint32_t f, uint32_t cols) { return (cols * float_bytes(f) + 3) / 4; }
INLINE uint32_t group_bytes(uint32_t f, uint32_t cols) {
  return is_float(f) ? words_of(f, cols) * GROUP * 4 : cols / (BLOCK * subs_of(f)) * unit_bytes(f);
}

// (v >> n) & mask; the mask removes bits of the neighbouring byte
INLINE v128_t masked(v128_t v, int n, v128_t mask) { return wasm_v128_and(n < 0 ? wasm_i32x4_shl(v, -n) : n ? wasm_u32x4_shr(v, n) : v, mask); }
INLINE v128_t field(v128_t v, int n, int mask) { return masked(v, n, wasm_i8x16_splat(mask)); }

// Stores the quads v[0..7] of one half.
INLINE void put_quads(int bits, uint8_t* s, const v128_t* v) {
  v128_t out[8];
  if (bits == 4)
    for (int i = 0; i < 4; i++) out[i] = v[i] | field(v[i + 4], -4, 0xF0);
  if (bits == 5) {
    out[0] = v[0] | field(v[5], -3, 0xE0);
    out[1] = v[1] | field(v[5], -6, 0xC0) | field(v[7], -4, 0x20);
    out[2] = v[2] | field(v[6], -3, 0xE0);
    out[3] = v[3] | field(v[6], -6, 0xC0) | field(v[7], -5, 0x20);
    out[4] = v[4] | field(v[7], -3, 0xE0);
  }
  if (bits == 6)
    for (int i = 0; i < 2; i++) {
      out[3 * i] = v[4 * i] | field(v[4 * i + 3], -2, 0xC0);
      out[3 * i + 1] = v[4 * i + 1] | field(v[4 * i + 3], -4, 0xC0);
      out[3 * i + 2] = v[4 * i + 2] | field(v[4 * i + 3], -6, 0xC0);
    }
  if (bits == 8)
    for (int i = 0; i < 8; i++) out[i] = v[i];
  for (int i = 0; i < bits; i++) wasm_v128_store(s + 16 * i, out[i]);
}

// The values of the indices 0 … 15: src/tensor/nibbles.ts has them too.
static const int8_t tables[3][16] = {
  {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113},
  {-15, -13, -11, -9, -7, -5, -3, -1, 1, 3, 5, 7, 9, 11, 13, 15},
  {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12},
};

// The masks for reading quads and scales.
typedef struct {
  v128_t low, mask[3], half, byte, ones, table;
} Masks;
INLINE v128_t half_mask(void) { return wasm_i32x4_splat((int)0x8FFFE000); }
INLINE Masks masks_of(uint32_t f, uint32_t format) {
  const int bits = bits_of(f);
  Masks m = {.low = held(wasm_i8x16_splat((1 << (bits & 7)) - 1)), .half = held(half_mask()), .byte = held(wasm_i32x4_splat(255)), .ones = held(wasm_i16x8_splat(1))};
  if (has_table(f)) m.table = held(wasm_v128_load(tables[format == IQ3_S ? 1 : format == MXFP4 ? 2 : 0]));
  const int six = bits == 6;
  if (six || bits == 5)
    m.mask[0] = held(wasm_i8x16_splat(six ? 0x30 : 0x1C)), m.mask[1] = held(wasm_i8x16_splat(six ? 0x0C : 2)), m.mask[2] = held(wasm_i8x16_splat(six ? 3 : 1));
  return m;
}

// Quads that share vectors are read together: a part of a half is quads_of quads in vectors_of vectors.
INLINE int quads_of(int bits) { return bits == 4 ? 2 : bits == 5 ? 8 : bits == 6 ? 4 : 1; }
INLINE int vectors_of(int bits) { return quads_of(bits) * bits / 8; }
INLINE int quad_index(int bits, int part, int q) { return bits == 4 ? part + 4 * q : part * quads_of(bits) + q; }

// Quad q of the part in S. With 5 bits, quads 5 and 6 have their upper three bits above quad 0 or 2 and their lower two
// above quad 1 or 3;
// quad 7 uses the remaining bits.
INLINE v128_t quad(uint32_t f, const v128_t* S, int q, const Masks* m) {
  const int bits = bits_of(f);
  if (has_table(f)) return wasm_v128_xor(LOOK_UP(m->table, masked(S[0], 4 * q, m->low)), wasm_i32x4_splat(BIAS8));
  if (bits == 8) return S[0];
  if (bits == 4) return masked(S[0], 4 * q, m->low);
  if (q < (bits == 5 ? 5 : 3)) return wasm_v128_and(S[q], m->low);
  if (bits == 6) return masked(S[0], 2, m->mask[0]) | masked(S[1], 4, m->mask[1]) | masked(S[2], 6, m->mask[2]);
  if (q == 7) return masked(S[4], 3, m->mask[0]) | masked(S[1], 4, m->mask[1]) | masked(S[3], 5, m->mask[2]);
  return masked(S[2 * (q - 5)], 3, m->mask[0]) | masked(S[2 * (q - 5) + 1], 6, m->mask[1] | m->mask[2]);
}

// The f32 scales of 32 values of 8 rows, divided by TO_SCALES; the scales of activations are multiplied by it.
#define TO_SCALES 0x1p102f
typedef struct {
  v128_t d[2][2];  // [half][sixteen]; the second sixteen with in_sixteens
  v128_t m[2][2];  // with has_mins
} Scales;

INLINE v128_t signed_byte(v128_t v, int i) { return wasm_i32x4_shr(i < 3 ? wasm_i32x4_shl(v, 24 - 8 * i) : v, 24); }
INLINE v128_t unsigned_byte(v128_t v, int i, v128_t mask) {
  v = i ? wasm_u32x4_shr(v, 8 * i) : v;
  return i < 3 ? wasm_v128_and(v, mask) : v;
}

// The halves in the upper (or lower) 16 bits of the lanes, divided by 2^112: their exponent and mantissa bits are those
// of an f32.
// Infinity and NaN become values from 65536 on.
INLINE v128_t half_lanes(v128_t v, int upper, v128_t mask) { return wasm_v128_and(wasm_i32x4_shr(upper ? v : wasm_i32x4_shl(v, 16), 3), mask); }

// d and min of a unit; for K-quants those of the 256 values.
INLINE Scales header_of(uint32_t f, const uint8_t* unit, const Masks* masks) {
  Scales s = {};
  if (has_table(f)) {
    for (int h = 0; h < 2; h++) s.d[h][0] = wasm_v128_load(unit + 16 * h);
    return s;
  }
  const v128_t d = wasm_v128_load(unit), m = has_mins(f) ? wasm_v128_load(unit + 16) : d;
  for (int h = 0; h < 2; h++) {
    s.d[h][0] = half_lanes(d, h, masks->half);
    if (has_mins(f)) s.m[h][0] = half_lanes(m, h, masks->half);
  }
  return s;
}

INLINE Scales scales_of(uint32_t f, Scales header, const uint8_t* sub, const Masks* masks) {
  if (!is_k(f)) return header;
  Scales s = {};
  const v128_t small = wasm_v128_load(sub + 2 * half_bytes(f));
  for (int h = 0; h < 2; h++)
    if (in_sixteens(f))
      for (int i = 0; i < 2; i++) {
        const v128_t byte = f == Q2_K ? unsigned_byte(small, h + 2 * i, masks->byte) : signed_byte(small, h + 2 * i);
        s.d[h][i] = wasm_f32x4_mul(header.d[h][0], wasm_f32x4_convert_i32x4(f == Q2_K ? wasm_v128_and(byte, wasm_i32x4_splat(15)) : byte));
        if (f == Q2_K) s.m[h][i] = wasm_f32x4_mul(header.m[h][0], wasm_f32x4_convert_i32x4(wasm_u32x4_shr(byte, 4)));
      }
    else {
      s.d[h][0] = wasm_f32x4_mul(header.d[h][0], wasm_f32x4_convert_i32x4(unsigned_byte(small, h, masks->byte)));
      s.m[h][0] = wasm_f32x4_mul(header.m[h][0], wasm_f32x4_convert_i32x4(unsigned_byte(small, h + 2, masks->byte)));
    }
  return s;
}

// Converts halves among which are subnormals or zeros. half_lanes is right for them too, but subnormal floats are a
// hundred times slower on many processors.
static __attribute__((noinline)) void store_small_halves(v128_t halves, float* out) {
  for (int upper = 0; upper < 2; upper++, out += GROUP) {
    v128_t v = upper ? halves : wasm_i32x4_shl(halves, 16);
    v128_t magnitude = wasm_u32x4_shr(wasm_v128_and(v, wasm_i32x4_splat(0x7FFF0000)), 16);
    v128_t small = wasm_f32x4_mul(wasm_f32x4_convert_i32x4(magnitude), wasm_f32x4_splat(0x1p-24f));
    v128_t normal = wasm_i32x4_add(wasm_i32x4_shl(magnitude, 13), wasm_i32x4_splat(112 << 23));
    v128_t value = wasm_v128_bitselect(small, normal, wasm_i32x4_lt(magnitude, wasm_i32x4_splat(1024)));
    wasm_v128_store(out, wasm_v128_or(value, wasm_v128_and(v, wasm_i32x4_splat((int)0x80000000))));
  }
}
INLINE v128_t bfloat_lanes(v128_t v, int upper) {
  return upper ? wasm_v128_and(v, wasm_i32x4_splat((int)0xFFFF0000)) : wasm_i32x4_shl(v, 16);
}

// Decodes `count` k of 8 rows to f32, out[k * 8 + row]. An odd count writes one k more.
INLINE void decode_words(uint32_t f, const uint8_t* words, uint32_t count, float* out) {
  const v128_t exponent = wasm_i16x8_splat(0x7C00);
  for (uint32_t k = 0; k < count; k += 2, words += GROUP * 4)
    for (int h = 0; h < 2; h++) {
      v128_t v = wasm_v128_load(words + 16 * h);
      if (f == F16 && !wasm_i16x8_all_true(wasm_v128_and(v, exponent))) {
        store_small_halves(v, out + k * GROUP + 4 * h);
        continue;
      }
      for (int upper = 0; upper < 2; upper++)
        wasm_v128_store(out + (k + upper) * GROUP + 4 * h, f == BF16 ? bfloat_lanes(v, upper) : wasm_f32x4_mul(half_lanes(v, upper, half_mask()), wasm_f32x4_splat(0x1p112f)));
    }
}
