// Grouped-query attention over paged keys and values with an online softmax (Milakov & Gimelshein 2018; Dao et al. 2022).
//
// For each query and head, a page gives one partial (maximum, sum, weighted values), in blocks of 64 positions; pages are merged in order.
// So the same token gets the same bits whether it came alone or in a chunk, and however heads and pages are shared out.
#pragma once
#include "lanes.h"
#include "plan.h"

#define BLOCK 64  // positions whose keys and values stay in the first-level cache over the queries
#define TOKENS 8  // tokens of one unit of work

// Running softmax of one query: what was seen so far is values / sum, at scale e^max.
typedef struct {
  float max, sum;
  float* values;  // [stride]
} Partial;

typedef struct {
  const Op* op;
  uint32_t d, stride, group;  // group: query heads of one kv head
  float lift;                 // what widened halves lack, see from_half
  float* q;                   // [TOKENS · group, stride], scaled
  float* scores;              // [2, BLOCK]
  float* wide;                // [2, BLOCK, stride]: keys and values of a block in f32
  Partial* parts;             // of this page, [TOKENS · group]
  Partial* whole;             // of all pages so far
} Attention;

static inline uint32_t stride_of(uint32_t d) { return (d + 15) & ~15u; }

// Bytes of the scratch of a thread; Attention is laid out in it by attention_of.
static uint32_t attention_bytes(const Op* op) {
  uint32_t rows = TOKENS * (op->heads / op->kv_heads), stride = stride_of(op->head_dim);
  return 3 * rows * stride * 4 + 2 * BLOCK * 4 + 2 * BLOCK * stride * 4 + 2 * rows * (uint32_t)sizeof(Partial);
}

static Attention attention_of(const Op* op, uint8_t* scratch) {
  Attention a = {.op = op, .d = op->head_dim, .stride = stride_of(op->head_dim), .group = op->heads / op->kv_heads};
  uint32_t rows = TOKENS * a.group;
  a.lift = op->half ? 0x1p112f : 1;
  a.q = (float*)scratch;
  a.scores = a.q + 3 * rows * a.stride;
  a.wide = a.scores + 2 * BLOCK;
  a.parts = (Partial*)(a.wide + 2 * BLOCK * a.stride);
  a.whole = a.parts + rows;
  for (uint32_t i = 0; i < 2 * rows; i++) a.parts[i].values = a.q + (rows + i) * a.stride;
  return a;
}

// Norm and half-split RoPE of one head, times `scale`; `table` has cos and sin [d/2] of the position. The stride beyond d becomes 0.
static void rotate(const float* x, const float* weight, float eps, const float* table, float scale, uint32_t d, float* y) {
  uint32_t half = d / 2, i = 0;
  rms_norm(x, weight, y, d, eps);
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
  return (const float*)(pages[position / PAGE] + op->rope) + (position % PAGE) * op->head_dim;
}

// The row of a position in the keys or values of a page, f32 or f16.
static inline uint8_t* cache_row(const Op* op, uint8_t* const* pages, uint32_t offset, uint32_t head, uint32_t position) {
  return pages[position / PAGE] + offset + (head * PAGE + position % PAGE) * stride_of(op->head_dim) * (op->half ? 2 : 4);
}

// f32 → f16, n a multiple of 8, nearest even. Beyond ±65504 it is clamped, below 2^-14 it becomes 0: from_half has no subnormals then.
static void to_half(const float* x, uint16_t* y, uint32_t n) {
  const v128_t most = SPLAT(65504), sign = wasm_i32x4_splat((int)0x80000000);
  for (uint32_t i = 0; i < n; i += 8) {
    v128_t half[2];
    for (int j = 0; j < 2; j++) {
      v128_t v = LOAD(x + i + 4 * j), magnitude = wasm_f32x4_pmin(wasm_f32x4_abs(v), most);
      v128_t even = wasm_v128_and(wasm_u32x4_shr(magnitude, 13), wasm_i32x4_splat(1));
      v128_t bits = wasm_u32x4_shr(wasm_i32x4_add(wasm_i32x4_add(magnitude, wasm_i32x4_splat(0xfff)), even), 13);
      bits = wasm_v128_and(wasm_i32x4_sub(bits, wasm_i32x4_splat(112 << 10)), wasm_f32x4_ge(magnitude, SPLAT(0x1p-14f)));
      half[j] = wasm_v128_or(bits, wasm_u32x4_shr(wasm_v128_and(v, sign), 16));
    }
    STORE(y + i, wasm_u16x8_narrow_i32x4(half[0], half[1]));
  }
}

// f16 → f32 · 2^-112, n a multiple of 8: the bits only move. Queries and weights carry the 2^112 (`lift`).
static void from_half(const uint16_t* x, float* y, uint32_t n) {
  const v128_t zero = wasm_i32x4_splat(0), mask = wasm_i32x4_splat((int)0x8fffffff);
  for (uint32_t i = 0; i < n; i += 8) {
    v128_t v = LOAD(x + i);
    STORE(y + i, wasm_v128_and(wasm_i32x4_shr(wasm_i16x8_shuffle(zero, v, 0, 8, 1, 9, 2, 10, 3, 11), 3), mask));
    STORE(y + i + 4, wasm_v128_and(wasm_i32x4_shr(wasm_i16x8_shuffle(zero, v, 4, 12, 5, 13, 6, 14, 7, 15), 3), mask));
  }
}

// Writes key and value of one token and kv head. qkv is the token's row.
static void append(const Attention* a, uint8_t* const* pages, const float* qkv, uint32_t head, uint32_t position) {
  const Op* op = a->op;
  const uint32_t d = a->d, stride = a->stride;
  const float* k = qkv + (op->heads + head) * d;
  const float* v = k + op->kv_heads * d;
  uint8_t *keys = cache_row(op, pages, op->keys, head, position), *values = cache_row(op, pages, op->values, head, position);
  float *key = op->half ? a->wide : (float*)keys, *value = op->half ? a->wide + stride : (float*)values;
  rotate(k, op->k_norm, op->k_eps, rope_row(op, pages, position), 1, d, key);
  for (uint32_t i = 0; i < stride; i++) value[i] = i < d ? v[i] : 0;
  if (op->half) to_half(key, (uint16_t*)keys, stride), to_half(value, (uint16_t*)values, stride);
}

// The queries of `count` tokens that read kv head `head`, into a->q.
static void take_queries(Attention* a, uint8_t* const* pages, const float* qkv, uint32_t count, uint32_t head, uint32_t position) {
  const Op* op = a->op;
  float scale = a->lift / __builtin_sqrtf((float)a->d);
  for (uint32_t t = 0; t < count; t++)
    for (uint32_t g = 0; g < a->group; g++)
      rotate(qkv + t * op->cols + (head * a->group + g) * a->d, op->norm, op->eps, rope_row(op, pages, position + t), scale, a->d,
             a->q + (t * a->group + g) * a->stride);
}

// Scores of `rows` (1 or 2) queries against n positions; up to three positions more are computed and become −∞.
static inline void score(const Attention* a, const float* q, int rows, const float* keys, uint32_t n) {
  const uint32_t stride = a->stride;
  const float *q0 = q, *q1 = rows == 2 ? q + stride : q;
  for (uint32_t j = 0; j < n; j += 4) {
    const float* k = keys + j * stride;
    v128_t s0 = SPLAT(0), s1 = s0, s2 = s0, s3 = s0, u0 = s0, u1 = s0, u2 = s0, u3 = s0;
    for (uint32_t i = 0; i < stride; i += 4) {
      v128_t x = LOAD(q0 + i), y = rows == 2 ? LOAD(q1 + i) : x, c;
      c = LOAD(k + i), s0 = MADD(c, x, s0), u0 = rows == 2 ? MADD(c, y, u0) : u0;
      c = LOAD(k + stride + i), s1 = MADD(c, x, s1), u1 = rows == 2 ? MADD(c, y, u1) : u1;
      c = LOAD(k + 2 * stride + i), s2 = MADD(c, x, s2), u2 = rows == 2 ? MADD(c, y, u2) : u2;
      c = LOAD(k + 3 * stride + i), s3 = MADD(c, x, s3), u3 = rows == 2 ? MADD(c, y, u3) : u3;
    }
    STORE(a->scores + j, sum_lanes4(s0, s1, s2, s3));
    if (rows == 2) STORE(a->scores + BLOCK + j, sum_lanes4(u0, u1, u2, u3));
  }
  for (int r = 0; r < rows; r++)
    for (uint32_t j = n; j & 3; j++) a->scores[r * BLOCK + j] = -__builtin_inff();
}

// Turns n scores into weights at the scale of the new maximum; returns by what the values so far shrink.
static inline float weigh(Partial* p, float* scores, uint32_t n, float lift) {
  v128_t top = SPLAT(p->max), sum = SPLAT(0);
  for (uint32_t j = 0; j < n; j += 4) top = wasm_f32x4_pmax(top, LOAD(scores + j));
  float max = max_lanes(top), shrink = exp_one(p->max - max);
  for (uint32_t j = 0; j < n; j += 4) {
    v128_t w = exp_lanes(SUB(LOAD(scores + j), SPLAT(max)));
    STORE(scores + j, MUL(w, SPLAT(lift)));
    sum = ADD(sum, w);
  }
  p->max = max;
  p->sum = p->sum * shrink + sum_lanes(sum);
  return shrink;
}

// values = values · shrink + Σ_j weights[j] · v[j], for `rows` (1 or 2) queries
static inline void gather(const Attention* a, Partial* p, int rows, const float* shrink, const float* v, uint32_t n) {
  const uint32_t stride = a->stride;
  const float* w = a->scores;
  for (uint32_t i = 0; i < stride; i += 16) {
    v128_t s[8];
    for (int r = 0; r < rows; r++)
      for (int c = 0; c < 4; c++) s[4 * r + c] = MUL(LOAD(p[r].values + i + 4 * c), SPLAT(shrink[r]));
    for (uint32_t j = 0; j < n; j++) {
      const float* row = v + j * stride + i;
      v128_t w0 = wasm_v128_load32_splat(w + j), w1 = rows == 2 ? wasm_v128_load32_splat(w + BLOCK + j) : w0;
      for (int c = 0; c < 4; c++) {
        v128_t x = LOAD(row + 4 * c);
        s[c] = MADD(w0, x, s[c]);
        if (rows == 2) s[4 + c] = MADD(w1, x, s[4 + c]);
      }
    }
    for (int r = 0; r < rows; r++)
      for (int c = 0; c < 4; c++) STORE(p[r].values + i + 4 * c, s[4 * r + c]);
  }
}

static inline void attend_block(Attention* a, uint32_t row, int rows, const float* keys, const float* values, uint32_t n) {
  float shrink[2];
  score(a, a->q + row * a->stride, rows, keys, n);
  for (int r = 0; r < rows; r++) shrink[r] = weigh(a->parts + row + r, a->scores + r * BLOCK, n, a->lift);
  gather(a, a->parts + row, rows, shrink, values, n);
}

static inline void clear(Partial* p, uint32_t rows, uint32_t stride) {
  for (uint32_t r = 0; r < rows; r++) {
    p[r].max = -__builtin_inff(), p[r].sum = 0;
    for (uint32_t i = 0; i < stride; i += 4) STORE(p[r].values + i, SPLAT(0));
  }
}

// The partials of one page for `count` tokens; token t sees the positions up to and with last + t.
static void attend_page(Attention* a, uint8_t* const* pages, uint32_t page, uint32_t head, uint32_t count, uint32_t last) {
  const uint32_t stride = a->stride;
  clear(a->parts, count * a->group, stride);
  for (uint32_t first = page * PAGE; first < page * PAGE + PAGE && first < last + count; first += BLOCK) {
    const void *k = cache_row(a->op, pages, a->op->keys, head, first), *v = cache_row(a->op, pages, a->op->values, head, first);
    const float *keys = k, *values = v;
    if (a->op->half) {
      uint32_t n = (least(last + count - first, BLOCK) + 3 & ~3u) * stride;  // score takes positions by fours
      keys = a->wide, values = a->wide + BLOCK * stride;
      from_half(k, a->wide, n), from_half(v, a->wide + BLOCK * stride, n);
    }
    for (uint32_t t = 0; t < count; t++) {
      if (first > last + t) continue;
      uint32_t n = least(last + t + 1 - first, BLOCK), row = t * a->group, end = row + a->group;
      for (; row + 2 <= end; row += 2) attend_block(a, row, 2, keys, values, n);
      if (row < end) attend_block(a, row, 1, keys, values, n);
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

static void finish(const Partial* p, uint32_t d, float* y) {
  uint32_t i = 0;
  float scale = 1 / p->sum;
  for (; i + 4 <= d; i += 4) STORE(y + i, MUL(LOAD(p->values + i), SPLAT(scale)));
  for (; i < d; i++) y[i] = p->values[i] * scale;
}

// Attention of `count` ≤ TOKENS tokens from `position` on, over one kv head. y is the first token's row.
static void attend_head(Attention* a, uint8_t* const* pages, const float* qkv, float* y, uint32_t count, uint32_t head, uint32_t position) {
  uint32_t rows = count * a->group;
  take_queries(a, pages, qkv, count, head, position);
  clear(a->whole, rows, a->stride);
  for (uint32_t page = 0; page * PAGE < position + count; page++) {
    attend_page(a, pages, page, head, count, position);
    for (uint32_t r = 0; r < rows; r++) merge(a->whole + r, a->parts + r, a->stride);
  }
  for (uint32_t t = 0; t < count; t++)
    for (uint32_t g = 0; g < a->group; g++) finish(a->whole + t * a->group + g, a->d, y + t * a->op->rows + (head * a->group + g) * a->d);
}

// Where the partial of a query head and page waits for its merge, when pages are shared out too: maximum, sum, values.
static inline float* partial_of(uint8_t* const* pages, const Op* op, uint32_t page, uint32_t head) {
  return (float*)(pages[page] + op->partials) + head * (stride_of(op->head_dim) + 16);
}
