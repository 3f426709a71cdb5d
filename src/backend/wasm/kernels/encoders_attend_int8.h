// Attention within a sequence by products of bytes (encoders_int8.h): for heads that have their own keys and values,
// without norms, RoPE and gates. A thread packs keys and values of a head, then takes its queries by QUERIES:
//
//   scores   keys are panels, queries are tokens. The mean of the keys is taken off, which changes no softmax: keys
//            have large values in common, and rounding would leave little of what differs
//   weights  e^(score − most) of 32 keys, relative to the most of these, rounded to 7 bits without a sign
//   result   channels of values are panels over the keys, weights are tokens
#pragma once
#include "encoders_int8.h"

enum { QUERIES = 16 };

// The scratch of a thread.
typedef struct {
  const Op* op;
  int offset;
  uint32_t d, n;       // width of a head; keys of the sequence
  uint32_t width;      // floats of a row of scores: rows whose distance is a power of two would share few cache lines
  v128_t *keys, *values;
  uint8_t *queries, *weights;  // tiles of tokens
  float *scores, *result, *mean, *group;
  float bad;           // NaN if a key or query is no number
} Within;

// Lays the scratch out from `at` on, if it is not 0. Returns its bytes for sequences of n rows.
static uint32_t lay_out_within(Within* a, uintptr_t at, uint32_t n, uint32_t d) {
  const uint32_t dims = blocks_of(d), blocks = blocks_of(n), channels = (d + GROUP - 1) / GROUP * GROUP;
  uintptr_t next = at;
#define TAKE(field, size) (a->field = (void*)next, next += ((size) + 63) & ~63u)
  a->width = blocks * BLOCK + 16;
  TAKE(keys, blocks * BLOCK / GROUP * dims * PANEL * 16);
  TAKE(values, channels / GROUP * blocks * PANEL * 16);
  TAKE(queries, QUERIES / TILE_TOKENS * dims * tile_bytes(1));
  TAKE(weights, QUERIES / TILE_TOKENS * blocks * tile_bytes(1));
  TAKE(scores, QUERIES * a->width * 4);
  TAKE(result, QUERIES * channels * 4);
  TAKE(mean, dims * BLOCK * 4);
  TAKE(group, dims * BLOCK * GROUP * 4);
#undef TAKE
  return (uint32_t)(next - at);
}

EXPORT(within_bytes) uint32_t within_bytes(uint32_t n, uint32_t d) {
  Within a;
  return lay_out_within(&a, 0, n, d);
}

// Rounds n k of 8 rows, whose lanes are x[k · ld + row], to a block of a panel. Returns d · 0: NaN if a value is none.
static v128_t round_panel(const float* x, uint32_t ld, uint32_t n, int offset, v128_t* panel) {
  v128_t bad = SPLAT(0);
  for (int h = 0; h < 2; h++) {
    const v128_t most = most_of_lanes(x + 4 * h, ld, n), some = wasm_i32x4_gt(most, SPLAT(1e-30f));
    round_lanes(x + 4 * h, ld, n, wasm_v128_and(wasm_f32x4_div(SPLAT(127), most), some), quads_bias(offset),
        panel + h, 2);
    panel[PANEL_D + h] = MUL(most, SPLAT(1.f / 127));
    bad = ADD(bad, MUL(most, SPLAT(0)));
  }
  fill_start(panel, offset);
  return bad;
}

// Keys less their mean, and values, of a head; k and v are those of the first row, rows are ld apart. What lies behind
// the d values of a row is read, too.
static void pack_keys_values(Within* a, const float* k, const float* v, uint32_t ld) {
  const uint32_t d = a->d, n = a->n, dims = blocks_of(d), blocks = blocks_of(n);
  v128_t bad = SPLAT(0), *panel = a->keys;
  for (uint32_t i = 0; i < d; i += 4) {
    v128_t sum = SPLAT(0);
    for (uint32_t j = 0; j < n; j++) sum = ADD(sum, LOAD(k + j * ld + i));
    STORE(a->mean + i, MUL(sum, SPLAT(1 / (float)n)));
  }
  for (uint32_t j = 0; j < n; j += GROUP) {
    for (uint32_t r = 0; r < GROUP; r += 4)
      for (uint32_t i = 0; i < d; i += 4) {
        v128_t rows[4];
        for (uint32_t q = 0; q < 4; q++)
          rows[q] = j + r + q < n ? SUB(LOAD(k + (j + r + q) * ld + i), LOAD(a->mean + i)) : SPLAT(0);
        transpose(rows);
        for (uint32_t q = 0; q < 4; q++) STORE(a->group + (i + q) * GROUP + r, rows[q]);
      }
    for (uint32_t b = 0; b < dims; b++, panel += PANEL)
      bad = ADD(bad, round_panel(a->group + b * BLOCK * GROUP, GROUP, least(d - b * BLOCK, BLOCK), a->offset, panel));
  }
  panel = a->values;
  for (uint32_t c = 0; c < d; c += GROUP)
    for (uint32_t b = 0; b < blocks; b++, panel += PANEL)
      round_panel(v + b * BLOCK * ld + c, ld, least(n - b * BLOCK, BLOCK), a->offset, panel);
  a->bad = sum_lanes(bad);
}

// Constants that stay in registers.
typedef struct {
  v128_t least, round, c[4], most;
} Powers;
INLINE Powers powers(void) {
  return (Powers){held(SPLAT(-126)), held(ROUND), {held(SPLAT(0.999928074f)), held(SPLAT(0.693260986f)),
      held(SPLAT(0.242611122f)), held(SPLAT(0.0551716649f))}, held(SPLAT(127))};
}

// 2^x to 1e-4 for x ≤ 0; 2^−126 below that.
INLINE v128_t power_of_two(v128_t x, const Powers* p) {
  x = wasm_f32x4_pmax(p->least, x);
  const v128_t bits = ADD(x, p->round), r = SUB(x, SUB(bits, p->round));
  v128_t v = MADD(p->c[3], r, p->c[2]);
  v = MADD(v, r, p->c[1]);
  v = MADD(v, r, p->c[0]);
  return wasm_i32x4_add(v, wasm_i32x4_shl(bits, 23));
}

INLINE v128_t larger(v128_t a, v128_t b) { return wasm_f32x4_pmax(a, b); }
INLINE v128_t largest_of(v128_t v) {
  v = larger(v, wasm_i32x4_shuffle(v, v, 2, 3, 0, 1));
  return larger(v, wasm_i32x4_shuffle(v, v, 1, 0, 3, 2));
}

// Weights of four queries from their scores, which are logarithms to base 2. Returns the inverse sums of the weights.
static v128_t pack_weights(const Within* a, float* scores, uint8_t* tile) {
  const uint32_t blocks = blocks_of(a->n);
  const Powers p = powers();
  v128_t top[TILE_TOKENS], sums[TILE_TOKENS];
  for (uint32_t t = 0; t < TILE_TOKENS; t++) {
    float* own = scores + t * a->width;
    for (uint32_t j = a->n; j < blocks * BLOCK; j++) own[j] = -__builtin_inff();
    v128_t most[4] = {LOAD(own), LOAD(own + 4), LOAD(own + 8), LOAD(own + 12)};
    for (uint32_t j = 0; j < blocks * BLOCK; j += 16)
      for (int i = 0; i < 4; i++) most[i] = larger(most[i], LOAD(own + j + 4 * i));
    top[t] = largest_of(larger(larger(most[0], most[1]), larger(most[2], most[3]))), sums[t] = SPLAT(0);
  }
  for (uint32_t b = 0; b < blocks; b++, scores += BLOCK, tile += tile_bytes(a->offset < 0)) {
    v128_t q[TILE_TOKENS][4];
    float scales[TILE_TOKENS];
#pragma clang loop unroll(disable)
    for (uint32_t t = 0; t < TILE_TOKENS; t++) {
      const float* own = scores + t * a->width;
      v128_t most = larger(LOAD(own), LOAD(own + 4)), other = larger(LOAD(own + 8), LOAD(own + 12));
      for (int i = 16; i < BLOCK; i += 8) most = larger(most, LOAD(own + i)), other = larger(other, LOAD(own + i + 4));
      most = largest_of(larger(most, other));
      v128_t total = wasm_i32x4_splat(0);
      for (int i = 0; i < 4; i++) {
        v128_t x[2];
        for (int j = 0; j < 2; j++)
          x[j] = wasm_i32x4_sub(MADD(power_of_two(SUB(LOAD(own + 8 * i + 4 * j), most), &p), p.most, p.round), p.round);
        total = wasm_i32x4_add(total, wasm_i32x4_add(x[0], x[1]));
        q[t][i] = wasm_i16x8_narrow_i32x4(x[0], x[1]);
      }
      const v128_t scale = MUL(power_of_two(SUB(most, top[t]), &p), SPLAT(1.f / 127));
      sums[t] = MADD(wasm_f32x4_convert_i32x4(total), scale, sums[t]);
      scales[t] = wasm_f32x4_extract_lane(scale, 0);
    }
    store_tile(q, LOAD(scales), a->offset, tile);
  }
  transpose(sums);
  return wasm_f32x4_div(SPLAT(1), ADD(ADD(sums[0], sums[1]), ADD(sums[2], sums[3])));
}

// Queries of a head from `first` to before `end`, counted in the sequence, whose first rows are x and y.
static void attend_queries(Within* a, const float* x, float* y, uint32_t first, uint32_t end) {
  const Op* op = a->op;
  Int8Tile* const multiply_tile = int8_tile_of(a->offset);
  const uint32_t d = a->d, n = a->n, dims = blocks_of(d), blocks = blocks_of(n), bytes = tile_bytes(a->offset < 0);
  const uint32_t channels = (d + GROUP - 1) / GROUP * GROUP;
  const float scale = 1.44269504f / __builtin_sqrtf((float)d);  // 1.44… is log2(e)
  for (uint32_t q = first; q < end; q += QUERIES) {
    const uint32_t count = least(end - q, QUERIES);
    float factors[QUERIES];
    for (uint32_t t = 0; t < count; t += TILE_TOKENS)
      pack_tile(x + (q + t) * op->cols, op->cols, least(count - t, TILE_TOKENS), d, scale, a->offset,
          a->queries + t / TILE_TOKENS * dims * bytes);
    for (uint32_t j = 0; j < n; j += GROUP)
      for (uint32_t t = 0; t < count; t += TILE_TOKENS)
        multiply_tile(a->keys + j / GROUP * dims * PANEL, dims, a->queries + t / TILE_TOKENS * dims * bytes,
            a->scores + t * a->width + j, a->width, 0);
    for (uint32_t t = 0; t < count; t += TILE_TOKENS)
      STORE(factors + t, ADD(pack_weights(a, a->scores + t * a->width,
          a->weights + t / TILE_TOKENS * blocks * bytes), SPLAT(a->bad)));
    for (uint32_t c = 0; c < d; c += GROUP)
      for (uint32_t t = 0; t < count; t += TILE_TOKENS)
        multiply_tile(a->values + c / GROUP * blocks * PANEL, blocks, a->weights + t / TILE_TOKENS * blocks * bytes,
            a->result + t * channels + c, channels, 0);
    for (uint32_t t = 0; t < count; t++)
      for (uint32_t i = 0; i < d; i += 4) {
        const v128_t v = MUL(LOAD(a->result + t * channels + i), SPLAT(factors[t]));
        if (d - i >= 4) STORE(y + (q + t) * op->rows + i, v);
        else __builtin_memcpy(y + (q + t) * op->rows + i, &v, (d - i) * 4);
      }
  }
}

// Threads take heads of sequences in turn, and parts of the queries of each where the heads do not go round.
static void run_attend_int8(const ThreadContext* s, const Op* op) {
  const uint32_t d = op->head_dim;
  uint32_t parts = 1, unit = 0;
  while (op->heads * parts % s->threads) parts++;
  for (uint32_t begin = 0, end; begin < s->T; begin = end) {
    end = op->bounds[4 * begin + 1];
    Within a = {.op = op, .offset = byte_offset(), .d = d, .n = end - begin};
    lay_out_within(&a, (uintptr_t)op->taps + s->thread * op->length, a.n, d);
    const float* x = op->x + begin * op->cols;
    for (uint32_t head = 0; head < op->heads; head++)
      for (uint32_t part = 0, packed = 0; part < parts; part++, unit++) {
        if (unit % s->threads != s->thread) continue;
        if (!packed++) pack_keys_values(&a, x + (op->heads + head) * d, x + (2 * op->heads + head) * d, op->cols);
        attend_queries(&a, x + head * d, op->y + begin * op->rows + head * d,
            a.n * part / parts / TILE_TOKENS * TILE_TOKENS,
                       part + 1 == parts ? a.n : a.n * (part + 1) / parts / TILE_TOKENS * TILE_TOKENS);
      }
  }
}
