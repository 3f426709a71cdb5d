// Grouped-query attention over paged keys and values with an online softmax (Milakov & Gimelshein 2018; Dao et al.
// 2022).
//
// Keys and values are f32 (`exact`), or int16 with a scale for each row: V8 widens four of them in two instructions, a
// third of what halves take.
// For each query and head, a page gives one partial result (maximum, sum, weighted values), in blocks of 64 positions.
// Pages are merged in order.
// So a token has the same bits alone or in a batch, however the threads share heads and pages.
#pragma once
#include "simd.h"
#include "plan.h"

#define KV_BLOCK 64      // positions whose keys and values stay in the L1 cache for all queries
#define QUERY_TOKENS 8  // tokens per unit of work

// The running softmax of one query: the result so far is values / sum; both are scaled by e^−max.
typedef struct {
  float max, sum;
  float* values;  // [stride]
} Partial;

typedef struct {
  const Op* op;
  uint32_t d, stride, group;  // group: query heads of one kv head
  float* q;                   // [QUERY_TOKENS · group, stride], scaled
  float* scores;              // [2, KV_BLOCK]
  float* new_rows;            // [2, stride]: key and value of one token
  Partial* page_parts;        // results of this page, [QUERY_TOKENS · group]
  Partial* merged;            // results of all pages so far
  uint32_t hidden;            // the first positions of a block that are before the window
} Attention;

static inline uint32_t stride_of(uint32_t d) { return (d + 15) & ~15u; }

// Bytes of a thread's scratch for attention; attention_of defines its layout.
static uint32_t attention_bytes(uint32_t heads, uint32_t kv_heads, uint32_t head_dim) {
  uint32_t rows = QUERY_TOKENS * (heads / kv_heads), stride = stride_of(head_dim);
  return 3 * rows * stride * 4 + 2 * KV_BLOCK * 4 + 2 * stride * 4 + 2 * rows * (uint32_t)sizeof(Partial);
}

static Attention attention_of(const Op* op, uint8_t* scratch) {
  Attention a = {.op = op, .d = op->head_dim, .stride = stride_of(op->head_dim), .group = op->heads / op->kv_heads};
  uint32_t rows = QUERY_TOKENS * a.group;
  a.q = (float*)scratch;
  a.scores = a.q + 3 * rows * a.stride;
  a.new_rows = a.scores + 2 * KV_BLOCK;
  a.page_parts = (Partial*)(a.new_rows + 2 * a.stride);
  a.merged = a.page_parts + rows;
  for (uint32_t i = 0; i < 2 * rows; i++) a.page_parts[i].values = a.q + (rows + i) * a.stride;
  return a;
}

// A token at `position` attends to the positions from first_visible to before end_visible.
static inline uint32_t window_begin(const Op* op, uint32_t position) {
  return op->window && position >= op->window ? position + 1 - op->window : 0;
}

#ifdef ENCODERS
#include "encoders_attend.h"
#else
static inline uint32_t first_visible(const Op* op, uint32_t position) { return window_begin(op, position); }
static inline uint32_t end_visible(const Op* op, uint32_t position) { return (void)op, position + 1; }
static inline uint32_t rope_position(const Op* op, uint32_t position) { return (void)op, position; }
static inline uint32_t first_position(const Op* op, uint32_t position) { return (void)op, position; }
static inline const float* in_halves(const Op* op, const float* x, float* y) { return (void)op, (void)y, x; }
#endif

// Norm, if there is a weight, and half-split RoPE of one head, times `scale`. `table` holds cos and sin [d/2] of the
// position. Values from d to the stride become 0.
static void rotate(const Op* op, const float* x, const float* weight, float eps, const float* table,
                   float scale, float* y) {
  const uint32_t d = op->head_dim, half = d / 2;
  uint32_t i = 0;
  x = in_halves(op, x, y);
  if (weight) rms_norm(x, weight, y, d, eps);
  else if (x != y) __builtin_memcpy(y, x, d * 4);
  const v128_t s = SPLAT(scale);
  for (; i + 4 <= half; i += 4) {
    v128_t a = MUL(LOAD(y + i), s), b = MUL(LOAD(y + i + half), s), cos = LOAD(table + i), sin = LOAD(table + half + i);
    STORE(y + i, SUB(MUL(a, cos), MUL(b, sin)));
    STORE(y + i + half, ADD(MUL(b, cos), MUL(a, sin)));
  }
  for (; i < half; i++) {
    float a = y[i] * scale, b = y[i + half] * scale;
    y[i] = a * table[i] - b * table[half + i];
    y[i + half] = b * table[i] + a * table[half + i];
  }
  for (i = d; i < stride_of(d); i++) y[i] = 0;
}

static inline const float* rope_row(const Op* op, uint8_t* const* pages, uint32_t position) {
  position = rope_position(op, position);
  return (const float*)(pages[position / KV_PAGE_POSITIONS] + op->rope) + (position % KV_PAGE_POSITIONS) * op->head_dim;
}

// The row of a position in the keys or values, f32 or int16.
static inline uint8_t* cache_row(const Op* op, uint8_t* const* pages, uint32_t offset, uint32_t head, uint32_t position) {
  return pages[position / KV_PAGE_POSITIONS] + offset + (head * KV_PAGE_POSITIONS + position % KV_PAGE_POSITIONS) * stride_of(op->head_dim) * (op->int16 ? 2 : 4);
}

// The scale of an int16 row; scales [K, KV_PAGE_POSITIONS] follow the rows of a page.
static inline float* scale_of(const Op* op, uint8_t* const* pages, uint32_t offset, uint32_t head, uint32_t position) {
  return (float*)cache_row(op, pages, offset, op->kv_heads, position - position % KV_PAGE_POSITIONS) + head * KV_PAGE_POSITIONS + position % KV_PAGE_POSITIONS;
}

// Rounds n values (a multiple of 16) to int16 and returns the scale. The error is at most max |x| / 65534. If all are
// below 1e-30 the row becomes zero; a NaN or infinity makes the row NaN.
static float to_int16(const float* x, int16_t* y, uint32_t n) {
  v128_t most = SPLAT(0);
  for (uint32_t i = 0; i < n; i += 4) most = wasm_f32x4_max(most, wasm_f32x4_abs(LOAD(x + i)));
  most = wasm_f32x4_max(most, wasm_i32x4_shuffle(most, most, 2, 3, 0, 1));
  most = wasm_f32x4_max(most, wasm_i32x4_shuffle(most, most, 1, 0, 3, 2));
  const float max = wasm_f32x4_extract_lane(most, 0);
  const v128_t inverse = SPLAT(max < 1e-30f ? 0 : 32767 / max);
  for (uint32_t i = 0; i < n; i += 8) {
    v128_t a = wasm_f32x4_nearest(MUL(LOAD(x + i), inverse)), b = wasm_f32x4_nearest(MUL(LOAD(x + i + 4), inverse));
    STORE(y + i, wasm_i16x8_narrow_i32x4(wasm_i32x4_trunc_sat_f32x4(a), wasm_i32x4_trunc_sat_f32x4(b)));
  }
  return max < 1e-30f ? 0 : max / 32767;
}

// Four values of a row from value i on; int16 values are not yet scaled.
INLINE v128_t four_of(const uint8_t* row, uint32_t i, int int16) {
  return int16 ? wasm_f32x4_convert_i32x4(wasm_i32x4_load16x4(row + 2 * i)) : LOAD(row + 4 * i);
}

// Appends key and value of one token and kv head to the cache. qkv is the token's row.
static void append(const Attention* a, uint8_t* const* pages, const float* qkv, uint32_t head, uint32_t position) {
  const Op* op = a->op;
  const uint32_t d = a->d, stride = a->stride;
  const float* k = qkv + (op->heads + head) * d;
  const float* v = k + op->kv_heads * d;
  uint8_t *keys = cache_row(op, pages, op->keys, head, position), *values = cache_row(op, pages, op->values, head, position);
  float *key = op->int16 ? a->new_rows : (float*)keys, *value = op->int16 ? a->new_rows + stride : (float*)values;
  rotate(op, k, op->k_norm, op->k_eps, rope_row(op, pages, position), 1, key);
  for (uint32_t i = 0; i < stride; i++) value[i] = i < d ? v[i] : 0;
  if (!op->int16) return;
  *scale_of(op, pages, op->keys, head, position) = to_int16(key, (int16_t*)keys, stride);
  *scale_of(op, pages, op->values, head, position) = to_int16(value, (int16_t*)values, stride);
}

// Loads the queries of `count` tokens that read kv head `head` into a->q.
static void load_queries(Attention* a, uint8_t* const* pages, const float* qkv, uint32_t count, uint32_t head, uint32_t position) {
  const Op* op = a->op;
  float scale = 1 / __builtin_sqrtf((float)a->d);
  for (uint32_t t = 0; t < count; t++)
    for (uint32_t g = 0; g < a->group; g++)
      rotate(op, qkv + t * op->cols + (head * a->group + g) * a->d, op->norm, op->eps,
             rope_row(op, pages, position + t), scale, a->q + (t * a->group + g) * a->stride);
}

// Keys or values of a block, and the scales of int16 rows.
typedef struct {
  const uint8_t* rows;
  const float* scales;
} KvBlock;

static KvBlock block_of(const Op* op, uint8_t* const* pages, uint32_t offset, uint32_t head, uint32_t position) {
  return (KvBlock){cache_row(op, pages, offset, head, position), scale_of(op, pages, offset, head, position)};
}

// Prefetches by loads whose values are not used: WASM has no prefetch instruction.
INLINE void prefetch(const uint8_t* at, uint32_t bytes) {
  for (uint32_t i = 0; i < bytes; i += 64) {
    uint8_t byte = *(const volatile uint8_t*)(at + i);
    __asm__ volatile("" ::"r"(byte));
  }
}

// Scores of `rows` (1 or 2) queries for n positions; up to three further scores are set to −∞. It prefetches the values
// of these positions.
INLINE void score(const Attention* a, int int16, const float* q, int rows, KvBlock keys, KvBlock values, uint32_t n) {
  const uint32_t stride = a->stride, row = stride * (int16 ? 2 : 4);
  const float *q0 = q, *q1 = rows == 2 ? q + stride : q;
  for (uint32_t j = 0; j < n; j += 4) {
    const uint8_t *k0 = keys.rows + j * row, *k1 = k0 + row, *k2 = k1 + row, *k3 = k2 + row;
    v128_t s0 = SPLAT(0), s1 = s0, s2 = s0, s3 = s0, u0 = s0, u1 = s0, u2 = s0, u3 = s0;
    prefetch(values.rows + j * row, 4 * row);
    for (uint32_t i = 0; i < stride; i += 4) {
      v128_t x = LOAD(q0 + i), y = rows == 2 ? LOAD(q1 + i) : x, c;
      c = four_of(k0, i, int16), s0 = MADD(c, x, s0), u0 = rows == 2 ? MADD(c, y, u0) : u0;
      c = four_of(k1, i, int16), s1 = MADD(c, x, s1), u1 = rows == 2 ? MADD(c, y, u1) : u1;
      c = four_of(k2, i, int16), s2 = MADD(c, x, s2), u2 = rows == 2 ? MADD(c, y, u2) : u2;
      c = four_of(k3, i, int16), s3 = MADD(c, x, s3), u3 = rows == 2 ? MADD(c, y, u3) : u3;
    }
    const v128_t scale = int16 ? LOAD(keys.scales + j) : SPLAT(1);
    STORE(a->scores + j, MUL(sum_lanes4(s0, s1, s2, s3), scale));
    if (rows == 2) STORE(a->scores + KV_BLOCK + j, MUL(sum_lanes4(u0, u1, u2, u3), scale));
  }
  for (int r = 0; r < rows; r++)
    for (uint32_t j = n; j & 3; j++) a->scores[r * KV_BLOCK + j] = -__builtin_inff();
}

// Turns n scores into softmax weights relative to the new maximum, times the scales of the values. Returns the factor
// for the values so far.
INLINE float softmax_weights(Partial* p, int int16, float* scores, uint32_t n, const float* scales) {
  v128_t top = SPLAT(p->max), sum = SPLAT(0);
  for (uint32_t j = 0; j < n; j += 4) top = wasm_f32x4_pmax(top, LOAD(scores + j));
  float max = max_lanes(top), shrink = exp_one(p->max - max);
  for (uint32_t j = 0; j < n; j += 4) {
    v128_t w = exp_lanes(SUB(LOAD(scores + j), SPLAT(max)));
    STORE(scores + j, int16 ? MUL(w, LOAD(scales + j)) : w);
    sum = ADD(sum, w);
  }
  p->max = max;
  p->sum = p->sum * shrink + sum_lanes(sum);
  return shrink;
}

// values = values · shrink + Σ_j weights[j] · v[j], for `rows` (1 or 2) queries
INLINE void add_values(const Attention* a, int int16, Partial* p, int rows, const float* shrink, const uint8_t* v, uint32_t n) {
  const uint32_t stride = a->stride, row = stride * (int16 ? 2 : 4);
  for (uint32_t i = 0; i < stride; i += 16, v += 16 * (int16 ? 2 : 4)) {
    v128_t s[8];
    for (int r = 0; r < rows; r++)
      for (int c = 0; c < 4; c++) s[4 * r + c] = MUL(LOAD(p[r].values + i + 4 * c), SPLAT(shrink[r]));
    const uint8_t* at = v;
    for (const float *w = a->scores, *end = w + n; w < end; w++, at += row) {
      v128_t w0 = wasm_v128_load32_splat(w), w1 = rows == 2 ? wasm_v128_load32_splat(w + KV_BLOCK) : w0;
      for (int c = 0; c < 4; c++) {
        v128_t x = four_of(at, 4 * c, int16);
        s[c] = MADD(w0, x, s[c]);
        if (rows == 2) s[4 + c] = MADD(w1, x, s[4 + c]);
      }
    }
    for (int r = 0; r < rows; r++)
      for (int c = 0; c < 4; c++) STORE(p[r].values + i + 4 * c, s[4 * r + c]);
  }
}

static __attribute__((noinline)) void hide(float* scores, uint32_t n) {
  for (uint32_t j = 0; j < n; j++) scores[j] = scores[KV_BLOCK + j] = -__builtin_inff();
}

INLINE void attend_rows(Attention* a, int int16, uint32_t row, int rows, KvBlock keys, KvBlock values, uint32_t n) {
  float shrink[2];
  score(a, int16, a->q + row * a->stride, rows, keys, values, n);
  if (a->hidden) hide(a->scores, a->hidden);
  for (int r = 0; r < rows; r++) shrink[r] = softmax_weights(a->page_parts + row + r, int16, a->scores + r * KV_BLOCK, n, values.scales);
  add_values(a, int16, a->page_parts + row, rows, shrink, values.rows, n);
}

// Attention of the queries of one token over n positions of a block.
INLINE void attend_block(Attention* a, int int16, uint32_t row, KvBlock keys, KvBlock values, uint32_t n) {
  const uint32_t end = row + a->group;
  for (; row + 2 <= end; row += 2) attend_rows(a, int16, row, 2, keys, values, n);
  if (row < end) attend_rows(a, int16, row, 1, keys, values, n);
}

static inline void clear(Partial* p, uint32_t rows, uint32_t stride) {
  for (uint32_t r = 0; r < rows; r++) {
    p[r].max = -__builtin_inff(), p[r].sum = 0;
    for (uint32_t i = 0; i < stride; i += 4) STORE(p[r].values + i, SPLAT(0));
  }
}

// The partial results of one page for `count` tokens from `position` on.
static void attend_page(Attention* a, uint8_t* const* pages, uint32_t page, uint32_t head, uint32_t count,
                        uint32_t position) {
  const uint32_t stride = a->stride;
  const uint32_t end = least((page + 1) * KV_PAGE_POSITIONS, end_visible(a->op, position + count - 1));
  clear(a->page_parts, count * a->group, stride);
  for (uint32_t first = page * KV_PAGE_POSITIONS; first < end; first += KV_BLOCK) {
    const KvBlock keys = block_of(a->op, pages, a->op->keys, head, first), values = block_of(a->op, pages, a->op->values, head, first);
    for (uint32_t t = 0; t < count; t++) {
      const uint32_t from = first_visible(a->op, position + t), to = end_visible(a->op, position + t);
      if (first >= to || first + KV_BLOCK <= from) continue;
      const uint32_t n = least(to - first, KV_BLOCK);
      a->hidden = from > first ? from - first : 0;
      if (a->op->int16) attend_block(a, 1, t * a->group, keys, values, n);
      else attend_block(a, 0, t * a->group, keys, values, n);
    }
  }
}

static void merge(Partial* into, const Partial* p, uint32_t stride) {
  if (p->sum == 0) return;
  float max = into->max > p->max ? into->max : p->max;
  float a = exp_one(into->max - max), b = exp_one(p->max - max);
  into->max = max, into->sum = into->sum * a + p->sum * b;
  for (uint32_t i = 0; i < stride; i += 4) STORE(into->values + i, MADD(LOAD(into->values + i), SPLAT(a), MUL(LOAD(p->values + i), SPLAT(b))));
}

// Writes the output of a head. qkv and y are the token's rows.
static void finish(const Op* op, const Partial* p, const float* qkv, uint32_t head, float* y) {
  const uint32_t d = op->head_dim;
  uint32_t i = 0;
  float scale = 1 / p->sum;
  if (op->gate) scale /= 1 + exp_one(-qkv[op->cols - op->heads + head]);
  y += head * d;
  for (; i + 4 <= d; i += 4) STORE(y + i, MUL(LOAD(p->values + i), SPLAT(scale)));
  for (; i < d; i++) y[i] = p->values[i] * scale;
}

// Attention of `count` ≤ QUERY_TOKENS tokens from `position` on, for one kv head. y is the first token's row.
static void attend_head(Attention* a, uint8_t* const* pages, const float* qkv, float* y, uint32_t count, uint32_t head, uint32_t position) {
  uint32_t rows = count * a->group;
  load_queries(a, pages, qkv, count, head, position);
  clear(a->merged, rows, a->stride);
  const uint32_t end = end_visible(a->op, position + count - 1);
  for (uint32_t page = first_visible(a->op, position) / KV_PAGE_POSITIONS; page * KV_PAGE_POSITIONS < end; page++) {
    attend_page(a, pages, page, head, count, position);
    for (uint32_t r = 0; r < rows; r++) merge(a->merged + r, a->page_parts + r, a->stride);
  }
  for (uint32_t t = 0; t < count; t++)
    for (uint32_t g = 0; g < a->group; g++)
      finish(a->op, a->merged + t * a->group + g, qkv + t * a->op->cols, head * a->group + g, y + t * a->op->rows);
}

// The partial result of a query head and page, kept for the merge when threads share pages: maximum, sum, values.
static inline float* partial_of(uint8_t* const* pages, const Op* op, uint32_t page, uint32_t head) {
  return (float*)(pages[page] + op->partials) + head * (stride_of(op->head_dim) + 16);
}
