// MaxSim over int8 vectors: the score of a document is Σ over the vectors of the query of the largest product with one
// of its vectors. A query has 14 bits, so that only the rounding of documents counts.
#include <stdint.h>
#include <wasm_simd128.h>

// Four lanes of sums, one for each of four queries.
static inline v128_t sums4(v128_t a, v128_t b, v128_t c, v128_t d) {
  const v128_t ab = wasm_i32x4_add(wasm_i32x4_shuffle(a, b, 0, 4, 1, 5), wasm_i32x4_shuffle(a, b, 2, 6, 3, 7));
  const v128_t cd = wasm_i32x4_add(wasm_i32x4_shuffle(c, d, 0, 4, 1, 5), wasm_i32x4_shuffle(c, d, 2, 6, 3, 7));
  return wasm_i32x4_add(wasm_i64x2_shuffle(ab, cd, 0, 2), wasm_i64x2_shuffle(ab, cd, 1, 3));
}

// The products of a vector with four queries, times its scale.
static inline v128_t products(const int8_t* vector, float scale, const int16_t* query, uint32_t size) {
  v128_t acc[4] = {wasm_i32x4_splat(0), wasm_i32x4_splat(0), wasm_i32x4_splat(0), wasm_i32x4_splat(0)};
  for (uint32_t i = 0; i < size; i += 16) {
    const v128_t bytes = wasm_v128_load(vector + i);
    const v128_t low = wasm_i16x8_extend_low_i8x16(bytes), high = wasm_i16x8_extend_high_i8x16(bytes);
    for (int q = 0; q < 4; q++) {
      const int16_t* own = query + q * size + i;
      acc[q] = wasm_i32x4_add(acc[q], wasm_i32x4_add(wasm_i32x4_dot_i16x8(low, wasm_v128_load(own)),
                                                     wasm_i32x4_dot_i16x8(high, wasm_v128_load(own + 8))));
    }
  }
  return wasm_f32x4_mul(wasm_f32x4_convert_i32x4(sums4(acc[0], acc[1], acc[2], acc[3])), wasm_f32x4_splat(scale));
}

// vector_store.ts writes it as words, in this order.
typedef struct {
  const uint32_t* ranges;      // [documents, 2], first and end vector of each
  uint32_t documents;
  const int8_t* vectors;       // [n, size]
  const float* scales;         // [n]
  const int16_t* queries;      // [count, size]
  const float* query_scales;   // [count]
  uint32_t count, size;        // multiples of 4 and of 16
  float* scores;               // [documents]; −inf for one without vectors
} Search;

__attribute__((export_name("max_sim"))) void max_sim(const Search* search) {
  const Search s = *search;
  for (uint32_t d = 0; d < s.documents; d++) {
    const uint32_t first = s.ranges[2 * d], end = s.ranges[2 * d + 1];
    v128_t sum = wasm_f32x4_splat(0);
    for (uint32_t q = 0; q < s.count; q += 4) {
      v128_t best = wasm_f32x4_splat(-__builtin_inff());
      for (uint32_t v = first; v < end; v++)
        best = wasm_f32x4_pmax(best, products(s.vectors + v * s.size, s.scales[v], s.queries + q * s.size, s.size));
      sum = wasm_f32x4_add(sum, wasm_f32x4_mul(best, wasm_v128_load(s.query_scales + q)));
    }
    s.scores[d] = first == end ? -__builtin_inff()
        : (wasm_f32x4_extract_lane(sum, 0) + wasm_f32x4_extract_lane(sum, 1)) +
          (wasm_f32x4_extract_lane(sum, 2) + wasm_f32x4_extract_lane(sum, 3));
  }
}
