// Helpers for four f32 lanes, for all kernels except linear. Sums have one fixed order, so that results do not depend
// on threads or batches.
#pragma once
#include <stdint.h>
#include <wasm_simd128.h>

#define INLINE static inline __attribute__((always_inline))
#define EXPORT(name) __attribute__((export_name(#name)))
#define SPLAT wasm_f32x4_splat
#define ADD wasm_f32x4_add
#define SUB wasm_f32x4_sub
#define MUL wasm_f32x4_mul
#define LOAD wasm_v128_load
#define STORE wasm_v128_store

// a · b + c; relaxed SIMD may fuse it, but always in the same way on one device
#ifdef __wasm_relaxed_simd__
#define MADD wasm_f32x4_relaxed_madd
#else
#define MADD(a, b, c) ADD(MUL(a, b), c)
#endif

static inline uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }

static inline float sum_lanes(v128_t v) {
  return (wasm_f32x4_extract_lane(v, 0) + wasm_f32x4_extract_lane(v, 2)) + (wasm_f32x4_extract_lane(v, 1) + wasm_f32x4_extract_lane(v, 3));
}

// The sums of the lanes of a, b, c, d, in the order of sum_lanes.
static inline v128_t sum_lanes4(v128_t a, v128_t b, v128_t c, v128_t d) {
  v128_t ab = ADD(wasm_i32x4_shuffle(a, b, 0, 4, 1, 5), wasm_i32x4_shuffle(a, b, 2, 6, 3, 7));  // a02 b02 a13 b13
  v128_t cd = ADD(wasm_i32x4_shuffle(c, d, 0, 4, 1, 5), wasm_i32x4_shuffle(c, d, 2, 6, 3, 7));
  return ADD(wasm_i64x2_shuffle(ab, cd, 0, 2), wasm_i64x2_shuffle(ab, cd, 1, 3));
}

static inline float max_lanes(v128_t v) {
  v = wasm_f32x4_pmax(v, wasm_i32x4_shuffle(v, v, 2, 3, 0, 1));
  v = wasm_f32x4_pmax(v, wasm_i32x4_shuffle(v, v, 1, 0, 3, 2));
  return wasm_f32x4_extract_lane(v, 0);
}

// e^x to 2 ulp: 2^n · e^r with |r| ≤ ln 2 / 2 and the series to r^7. 0 below the normal range, its largest value above.
static inline v128_t exp_lanes(v128_t x) {
  const v128_t shift = SPLAT(12582912.f);  // 1.5 · 2^23: adding it rounds to an integer, which is then in the low bits
  v128_t normal = wasm_f32x4_gt(x, SPLAT(-87.3f));
  x = wasm_f32x4_pmax(SPLAT(-87.3f), wasm_f32x4_pmin(SPLAT(88.3f), x));
  v128_t bits = ADD(MUL(x, SPLAT(1.44269504f)), shift);
  v128_t n = SUB(bits, shift);
  v128_t r = MADD(n, SPLAT(-0.693145752f), x);  // ln 2 in two parts; the first has 15 bits, so that n times it is exact
  r = MADD(n, SPLAT(-1.42860677e-6f), r);
  v128_t p = MADD(SPLAT(1.f / 5040), r, SPLAT(1.f / 720));
  p = MADD(p, r, SPLAT(1.f / 120));
  p = MADD(p, r, SPLAT(1.f / 24));
  p = MADD(p, r, SPLAT(1.f / 6));
  p = MADD(p, r, SPLAT(0.5f));
  p = MADD(MUL(r, r), p, r);
  v128_t power = wasm_i32x4_add(wasm_i32x4_shl(bits, 23), wasm_i32x4_splat(127 << 23));
  return wasm_v128_and(ADD(MUL(p, power), power), normal);
}

static inline float exp_one(float x) { return wasm_f32x4_extract_lane(exp_lanes(SPLAT(x)), 0); }

// y = weight · x / sqrt(mean(x²) + eps), n values
static void rms_norm(const float* x, const float* weight, float* y, uint32_t n, float eps) {
  v128_t s0 = SPLAT(0), s1 = s0, s2 = s0, s3 = s0;
  uint32_t i = 0;
  for (; i + 16 <= n; i += 16) {
    v128_t a = LOAD(x + i), b = LOAD(x + i + 4), c = LOAD(x + i + 8), d = LOAD(x + i + 12);
    s0 = MADD(a, a, s0), s1 = MADD(b, b, s1), s2 = MADD(c, c, s2), s3 = MADD(d, d, s3);
  }
  float sum = sum_lanes(ADD(ADD(s0, s1), ADD(s2, s3)));
  for (uint32_t j = i; j < n; j++) sum += x[j] * x[j];
  float scale = 1 / __builtin_sqrtf(sum / (float)n + eps);
  for (i = 0; i + 4 <= n; i += 4) STORE(y + i, MUL(LOAD(weight + i), MUL(LOAD(x + i), SPLAT(scale))));
  for (; i < n; i++) y[i] = weight[i] * (x[i] * scale);
}
