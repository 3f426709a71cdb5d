// Packs the rows of a checkpoint (ggml-common.h of llama.cpp), or what src/tensor/nibbles.ts makes of them, into the
// layout of linear_format.h, one group of 8 rows at a time.
#pragma once
#include "linear_format.h"

INLINE uint32_t u16_at(const uint8_t* p) { return p[0] | p[1] << 8; }

// The half 1024 h in the form of linear_format.h. `sign` flips the sign.
INLINE uint16_t scaled_half(uint32_t h, uint32_t sign) {
  uint32_t exponent = h >> 10 & 31, mantissa = h & 1023;
  if (exponent == 0) {
    if (mantissa == 0) return 0;
    for (exponent = 1; !(mantissa & 1024); exponent--) mantissa <<= 1;
    mantissa &= 1023;
  }
  exponent += 10;
  return ((h ^ sign) & 0x8000) | ((int32_t)exponent > 31 ? 0x7FFF : exponent << 10 | mantissa);
}

INLINE uint32_t source_bytes(uint32_t f) {
  switch (f) {
    case Q4_0: return Q4_0_BYTES;
    case Q4_1: return Q4_1_BYTES;
    case Q5_0: return Q5_0_BYTES;
    case Q5_1: return Q5_1_BYTES;
    case Q8_0: return Q8_0_BYTES;
    case Q2_K: case Q3_K: return Q2_K_BYTES;
    case Q4_K: return Q4_K_BYTES;
    case Q5_K: return Q5_K_BYTES;
    case Q6_K: return Q6_K_BYTES;
    default: return has_table(f) ? IQ4_NL_BYTES : float_bytes(f);
  }
}
INLINE uint32_t source_row_bytes(uint32_t f, uint32_t cols) { return is_float(f) ? cols * float_bytes(f) : cols / (BLOCK * subs_of(f)) * source_bytes(f); }

// Bit 16 n + i of the 32-bit word at p becomes bit 4 of byte i.
INLINE v128_t fifth_bits(const uint8_t* p, int n) {
  v128_t spread = wasm_i8x16_shuffle(wasm_v128_load16_splat(p + 2 * n), wasm_i32x4_splat(0), 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
  const v128_t bit = wasm_i64x2_splat((int64_t)0x8040201008040201);
  return wasm_v128_and(wasm_i8x16_eq(wasm_v128_and(spread, bit), bit), wasm_i8x16_splat(16));
}

// The 32 unsigned values of sub-block j of a source block, 16 in each vector.
INLINE void source_quants(uint32_t f, const uint8_t* block, uint32_t j, v128_t out[2]) {
  if (f == Q8_0) {
    for (int i = 0; i < 2; i++) out[i] = wasm_v128_xor(wasm_v128_load(block + 2 + 16 * i), wasm_i32x4_splat(BIAS8));
  } else if (f == Q6_K) {
    const uint8_t *low = block + 64 * (j / 4) + 32 * (j % 2), *high = block + 128 + 32 * (j / 4);
    for (int i = 0; i < 2; i++) {
      v128_t l = wasm_u32x4_shr(wasm_v128_load(low + 16 * i), 4 * (j / 2 % 2)), h = wasm_u32x4_shr(wasm_v128_load(high + 16 * i), 2 * (j % 4));
      out[i] = field(l, 0, 15) | field(h, -4, 0x30);
    }
  } else if (is_k(f)) {
    const uint8_t* low = block + (f == Q5_K ? 48 : in_sixteens(f) ? 20 : 16) + 32 * (j / 2);
    for (int i = 0; i < 2; i++) {
      out[i] = field(wasm_u32x4_shr(wasm_v128_load(low + 16 * i), 4 * (j % 2)), 0, 15);
      if (f == Q5_K) out[i] |= field(wasm_i32x4_shl(field(wasm_u32x4_shr(wasm_v128_load(block + 16 + 16 * i), j), 0, 1), 4), 0, 16);
    }
  } else {
    v128_t q = wasm_v128_load(block + source_bytes(f) - 16);
    for (int i = 0; i < 2; i++) {
      out[i] = field(q, 4 * i, 15);
      if (bits_of(f) == 5) out[i] |= fifth_bits(block + source_bytes(f) - 20, i);
    }
  }
}

// d and min of a source block. K-quants subtract their mins, so the sign of min flips.
INLINE void source_header(uint32_t f, const uint8_t* block, uint16_t* d, uint16_t* m) {
  *d = scaled_half(u16_at(block + (f == Q6_K ? 208 : 0)), 0);
  if (has_mins(f)) *m = scaled_half(u16_at(block + 2), is_k(f) ? 0x8000 : 0);
}

// The two bytes of small scales of sub-block j.
INLINE void source_small(uint32_t f, const uint8_t* block, uint32_t j, uint8_t out[2]) {
  if (in_sixteens(f)) {
    block += f == Q6_K ? 192 : 4;
    out[0] = block[2 * j];
    out[1] = block[2 * j + 1];
    return;
  }
  const uint8_t* s = block + 4;
  out[0] = j < 4 ? s[j] & 63 : (s[j + 4] & 15) | (s[j - 4] >> 6) << 4;
  out[1] = j < 4 ? s[j + 4] & 63 : s[j + 4] >> 4 | (s[j] >> 6) << 4;
}

// 4 × 4 words; v[i] becomes column i.
INLINE void transpose(v128_t v[4]) {
  v128_t a = wasm_i32x4_shuffle(v[0], v[1], 0, 4, 1, 5), b = wasm_i32x4_shuffle(v[2], v[3], 0, 4, 1, 5);
  v128_t c = wasm_i32x4_shuffle(v[0], v[1], 2, 6, 3, 7), d = wasm_i32x4_shuffle(v[2], v[3], 2, 6, 3, 7);
  v[0] = wasm_i64x2_shuffle(a, b, 0, 2);
  v[1] = wasm_i64x2_shuffle(a, b, 1, 3);
  v[2] = wasm_i64x2_shuffle(c, d, 0, 2);
  v[3] = wasm_i64x2_shuffle(c, d, 1, 3);
}

// One group; rows from `count` on become zero.
INLINE void pack_group(uint32_t f, uint8_t* out, const uint8_t* src, uint32_t cols, uint32_t count) {
  const uint32_t row_bytes = source_row_bytes(f, cols);
  for (uint32_t unit = 0; unit < cols / (BLOCK * subs_of(f)); unit++, out += unit_bytes(f), src += source_bytes(f)) {
    uint16_t* header = (uint16_t*)out;
    for (uint32_t r = 0; r < GROUP; r++) {
      if (has_table(f)) {
        float d = 0;
        if (r < count) __builtin_memcpy(&d, src + r * row_bytes, 4);
        ((float*)out)[r] = d / TO_SCALES;
        continue;
      }
      uint16_t d = 0, m = 0;
      if (r < count) source_header(f, src + r * row_bytes, &d, &m);
      header[r % 4 * 2 + r / 4] = d;
      if (has_mins(f)) header[GROUP + r % 4 * 2 + r / 4] = m;
    }
    uint8_t* sub = out + header_bytes(f);
#pragma clang loop unroll(disable)
    for (uint32_t j = 0; j < subs_of(f); j++, sub += sub_bytes(f))
#pragma clang loop unroll(disable)
      for (int h = 0; h < 2; h++) {
        v128_t quads[8];
        for (uint32_t i = 0; i < 4; i++) {
          v128_t q[2] = {wasm_i32x4_splat(0), wasm_i32x4_splat(0)};
          uint8_t small[2] = {0, 0};
          if (h * 4 + i < count) {
            const uint8_t* block = src + (h * 4 + i) * row_bytes;
            source_quants(f, block, j, q);
            if (is_k(f)) source_small(f, block, j, small);
          }
          quads[i] = q[0];
          quads[i + 4] = q[1];
          if (is_k(f)) {
            sub[2 * half_bytes(f) + 4 * i + h] = small[0];
            sub[2 * half_bytes(f) + 4 * i + h + 2] = small[1];
          }
        }
        transpose(quads);
        transpose(quads + 4);
        put_quads(bits_of(f), sub + h * half_bytes(f), quads);
      }
  }
}

// One group of a float format; a source row has `bytes` bytes.
static void pack_words(uint32_t* out, const uint8_t* src, uint32_t bytes, uint32_t count) {
  for (uint32_t at = 0; at < bytes; at += 16, out += 4 * GROUP) {
    const uint32_t n = bytes - at < 16 ? bytes - at : 16;
    for (uint32_t h = 0; h < 2; h++) {
      v128_t v[4] = {};
      for (uint32_t i = 0; i < 4 && h * 4 + i < count; i++) {
        const uint8_t* from = src + (h * 4 + i) * bytes + at;
        if (n == 16) v[i] = wasm_v128_load(from);
        else
          for (uint32_t b = 0; b < n; b++) ((uint8_t*)&v[i])[b] = from[b];
      }
      transpose(v);
      for (uint32_t k = 0; k < (n + 3) / 4; k++) wasm_v128_store(out + k * GROUP + 4 * h, v[k]);
    }
  }
}

// One function per format, so that the compiler specializes each.
static void pack_group_of(uint32_t f, uint8_t* out, const uint8_t* src, uint32_t cols, uint32_t count) {
  switch (f) {
    case Q4_0: return pack_group(Q4_0, out, src, cols, count);
    case Q4_1: return pack_group(Q4_1, out, src, cols, count);
    case Q5_0: return pack_group(Q5_0, out, src, cols, count);
    case Q5_1: return pack_group(Q5_1, out, src, cols, count);
    case Q8_0: return pack_group(Q8_0, out, src, cols, count);
    case Q2_K: case Q3_K: return pack_group(Q2_K, out, src, cols, count);
    case Q4_K: return pack_group(Q4_K, out, src, cols, count);
    case Q5_K: return pack_group(Q5_K, out, src, cols, count);
    case Q6_K: return pack_group(Q6_K, out, src, cols, count);
    case F32: case F16: case BF16: return pack_words((uint32_t*)out, src, cols * float_bytes(f), count);
    default: return pack_group(IQ4_NL, out, src, cols, count);
  }
}
