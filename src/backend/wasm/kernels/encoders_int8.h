// Products of bytes for many rows at a time: linear maps of encoders, and attention within a sequence
// (encoders_attend_int8.h).
//
// One operand is packed in panels of 8 rows of weights, keys, or channels of values. A block of 32 k of a panel is
// PANEL vectors:
//
//     | quads [8][half] | d [half] | start [half] |      quads as in linear_format.h; integer sums begin with `start`
//
// The other operand is packed in tiles of four tokens. A block of 32 k of a tile is
//
//     | quads [8][token] | scale [token] |                       bytes: a quad of a token has its 4 k
//     | quads [8][2][token] | scale [token] | start [token] |    words: a pair of 16-bit values each, as in plain SIMD
//
// Bytes: relaxed SIMD has a dot product of signed and unsigned bytes (x86 with VNNI) or of signed bytes (ARM, newer
// x86); the specification leaves open which, so `byte_offset` asks. Quants have this offset, and the start of a panel
// is −offset · Σ w. Words (linear_quantize.h) are for all other processors. Both give the same integers.
#pragma once
#include "linear_quantize.h"

enum { PANEL = 20, PANEL_START = 18 };
enum { NO_BYTES = -1 };
// Rows and tokens of a result that stay in the L1 cache for all k. The int8 form of the tokens stays in the L2 cache.
enum { CHUNK_ROWS = 32, CHUNK_TOKENS = 256 };

INLINE uint32_t blocks_of(uint32_t cols) { return (cols + BLOCK - 1) / BLOCK; }
INLINE uint32_t whole_tiles(uint32_t tokens) { return (tokens + TILE_TOKENS - 1) / TILE_TOKENS * TILE_TOKENS; }
INLINE uint32_t tile_bytes(int words) { return words ? 288 : 144; }

#ifdef __wasm_relaxed_simd__
// What is added to the quants of the second operand: 128 if the relaxed dot reads it as unsigned bytes, 0 if as signed
// ones. NO_BYTES if products of 8 bits are wrong, as where sums have 16 bits.
static __attribute__((noinline)) int byte_offset(void) {
  const v128_t a = held(wasm_i8x16_splat(127)), b = held(wasm_i8x16_splat(-1)), zero = held(wasm_i32x4_splat(0));
  const int32_t sum = wasm_i32x4_extract_lane(wasm_i32x4_relaxed_dot_i8x16_i7x16_add(a, b, zero), 0);
  return sum == 4 * 127 * 255 ? 128 : sum == -4 * 127 ? 0 : NO_BYTES;
}
#else
INLINE int byte_offset(void) { return NO_BYTES; }
#endif

// Keeps a loaded vector in a register: a second load would take as long as the products.
INLINE v128_t loaded(const void* p) { return held(LOAD(p)); }

INLINE v128_t of_token(v128_t v, uint32_t t) {
  if (t == 0) return wasm_i32x4_shuffle(v, v, 0, 0, 0, 0);
  if (t == 1) return wasm_i32x4_shuffle(v, v, 1, 1, 1, 1);
  return t == 2 ? wasm_i32x4_shuffle(v, v, 2, 2, 2, 2) : wasm_i32x4_shuffle(v, v, 3, 3, 3, 3);
}

// 8 rows × 4 tokens over `blocks` blocks; y goes on from where the last panel left it. The sums of floats stay in
// memory, since the registers hold those of integers.
INLINE void int8_tile(int words, const v128_t* panel, uint32_t blocks, const uint8_t* x, float* y, uint32_t ldy,
    int go_on) {
  v128_t room[TILE_TOKENS][2];
  v128_t(*acc)[2] = (void*)opaque(room);
  for (uint32_t t = 0; t < TILE_TOKENS; t++)
    for (int h = 0; h < 2; h++) acc[t][h] = go_on ? LOAD(y + t * ldy + 4 * h) : SPLAT(0);
  for (uint32_t b = 0; b < blocks; b++, x += tile_bytes(words), panel += PANEL) {
    panel = opaque(panel), x = opaque(x);
    const uint8_t* rest = x + (words ? 256 : 128);
    v128_t sums[TILE_TOKENS][2];
    for (uint32_t t = 0; t < TILE_TOKENS; t++)
      for (int h = 0; h < 2; h++) sums[t][h] = words ? of_token(LOAD(rest + 16), t) : panel[PANEL_START + h];
#pragma clang loop unroll(full)
    for (int i = 0; i < 8; i++) {
      const v128_t low = loaded(panel + 2 * i), high = loaded(panel + 2 * i + 1);
      if (words) {
        const v128_t even = loaded(x + 32 * i), odd = loaded(x + 32 * i + 16);
        for (uint32_t t = 0; t < TILE_TOKENS; t++)
          for (int h = 0; h < 2; h++) {
            const v128_t quad = h ? high : low;
            sums[t][h] = wasm_i32x4_add(sums[t][h], wasm_i32x4_dot_i16x8(quad, of_token(even, t)));
            sums[t][h] = wasm_i32x4_add(sums[t][h], wasm_i32x4_dot_i16x8(wasm_i16x8_shr(quad, 8), of_token(odd, t)));
            if (h) in_order(&sums[t][0], &sums[t][1]);
          }
#ifdef __wasm_relaxed_simd__
      } else {
        const v128_t all = loaded(x + 16 * i);
        for (uint32_t t = 0; t < TILE_TOKENS; t++) {
          const v128_t four = of_token(all, t);
          sums[t][0] = wasm_i32x4_relaxed_dot_i8x16_i7x16_add(low, four, sums[t][0]);
          sums[t][1] = wasm_i32x4_relaxed_dot_i8x16_i7x16_add(high, four, sums[t][1]);
          in_order(&sums[t][0], &sums[t][1]);
        }
#endif
      }
    }
    const v128_t scales = loaded(rest);
    for (uint32_t t = 0; t < TILE_TOKENS; t++) {
      const v128_t scale = of_token(scales, t);
      for (int h = 0; h < 2; h++)
        acc[t][h] = MADD(wasm_f32x4_convert_i32x4(sums[t][h]), MUL(panel[PANEL_D + h], scale), acc[t][h]);
    }
  }
  for (uint32_t t = 0; t < TILE_TOKENS; t++)
    for (int h = 0; h < 2; h++) STORE(y + t * ldy + 4 * h, acc[t][h]);
}

typedef void Int8Tile(const v128_t* panel, uint32_t blocks, const uint8_t* x, float* y, uint32_t ldy, int go_on);
static __attribute__((noinline)) void tile_of_words(const v128_t* panel, uint32_t blocks, const uint8_t* x, float* y,
    uint32_t ldy, int go_on) {
  int8_tile(1, panel, blocks, x, y, ldy, go_on);
}
#ifdef __wasm_relaxed_simd__
static __attribute__((noinline)) void tile_of_bytes(const v128_t* panel, uint32_t blocks, const uint8_t* x, float* y,
    uint32_t ldy, int go_on) {
  int8_tile(0, panel, blocks, x, y, ldy, go_on);
}
INLINE Int8Tile* int8_tile_of(int offset) { return offset < 0 ? tile_of_words : tile_of_bytes; }
#else
INLINE Int8Tile* int8_tile_of(int offset) { return (void)offset, tile_of_words; }
#endif

// After this was added, 1.5 · 2^23, a float has its nearest integer in its low bits.
#define ROUND SPLAT(12582912.f)

INLINE v128_t magnitude(v128_t v) { return wasm_v128_and(v, wasm_i32x4_splat(0x7FFFFFFF)); }

// A block of a tile: 32 values as 16-bit integers of each token.
INLINE void store_tile(v128_t q[TILE_TOKENS][4], v128_t scales, int offset, uint8_t* tile) {
  v128_t even = wasm_i32x4_splat(0), rows[TILE_TOKENS];
  const int words = offset < 0;
  for (int i = 0; i < (words ? 4 : 2); i++, tile += 64) {
    for (int t = 0; t < TILE_TOKENS; t++) {
      if (words) {
        const v128_t y = wasm_i16x8_sub(q[t][i], wasm_i32x4_shl(q[t][i], 24));  // x0, x1 − 256 x0, x2, x3 − 256 x2, …
        rows[t] = wasm_i16x8_shuffle(y, y, 0, 2, 1, 3, 4, 6, 5, 7);
      } else rows[t] = wasm_v128_xor(wasm_i8x16_narrow_i16x8(q[t][2 * i], q[t][2 * i + 1]), wasm_i8x16_splat(offset));
    }
    transpose(rows);
    for (int j = 0; j < 4; j++) {
      STORE(tile + 16 * j, rows[j]);
      if (words && j % 2 == 0) even = wasm_i32x4_add(even, wasm_i32x4_dot_i16x8(rows[j], wasm_i16x8_splat(1)));
    }
  }
  STORE(tile, scales);
  if (words) STORE(tile + 16, wasm_i32x4_mul(even, wasm_i32x4_splat(-128)));
}

// Packs `count` ≤ 4 rows of n values, ld apart; rows and values after the last are 0. Scales are times `unit`. If all
// values of a block are below 1e-30 it becomes 0; a NaN makes the scale NaN.
static void pack_tile(const float* x, uint32_t ld, uint32_t count, uint32_t n, float unit, int offset, uint8_t* tile) {
  for (uint32_t k = 0; k < n; k += BLOCK, tile += tile_bytes(offset < 0)) {
    v128_t q[TILE_TOKENS][4], most[TILE_TOKENS];
    float rest[TILE_TOKENS][BLOCK];
    const float* from[TILE_TOKENS];
#pragma clang loop unroll(disable)
    for (uint32_t t = 0; t < TILE_TOKENS; t++) {
      from[t] = x + t * ld + k;
      if (t >= count || n - k < BLOCK) {
        __builtin_memset(rest[t], 0, sizeof rest[t]);
        if (t < count) __builtin_memcpy(rest[t], from[t], (n - k) * 4);
        from[t] = rest[t];
      }
      v128_t own = magnitude(LOAD(from[t]));
      for (int i = 1; i < 8; i++) own = wasm_i32x4_max(own, magnitude(LOAD(from[t] + 4 * i)));
      most[t] = own;
    }
    transpose(most);
    const v128_t largest = wasm_i32x4_max(wasm_i32x4_max(most[0], most[1]), wasm_i32x4_max(most[2], most[3]));
    const v128_t some = wasm_i32x4_gt(largest, SPLAT(1e-30f)), d = wasm_v128_and(MUL(largest, SPLAT(1.f / 127)), some);
    const v128_t round = held(ROUND);
    float inverse[TILE_TOKENS];
    STORE(inverse, wasm_v128_and(wasm_f32x4_div(SPLAT(127), largest), some));
#pragma clang loop unroll(disable)
    for (uint32_t t = 0; t < TILE_TOKENS; t++)
      for (int i = 0; i < 4; i++) {
        const v128_t by = SPLAT(inverse[t]), a = MADD(LOAD(from[t] + 8 * i), by, round),
            b = MADD(LOAD(from[t] + 8 * i + 4), by, round);
        q[t][i] = wasm_i16x8_narrow_i32x4(wasm_i32x4_sub(a, round), wasm_i32x4_sub(b, round));
      }
    store_tile(q, MUL(d, SPLAT(unit)), offset, tile);
  }
}

// What is stored of quads: words have 128 added in the even bytes.
INLINE v128_t quads_bias(int offset) { return wasm_i32x4_splat(offset < 0 ? 0x00800080 : 0); }

// The start of the sums of a block, for products of bytes.
INLINE void fill_start(v128_t* panel, int offset) {
#ifdef __wasm_relaxed_simd__
  for (int h = 0; h < 2; h++) {
    v128_t sum = wasm_i32x4_splat(0);
    for (int i = 0; i < 8; i++)
      sum = wasm_i32x4_relaxed_dot_i8x16_i7x16_add(panel[2 * i + h], wasm_i8x16_splat(1), sum);
    panel[PANEL_START + h] = wasm_i32x4_mul(sum, wasm_i32x4_splat(-offset));
  }
#else
  (void)panel, (void)offset;
#endif
}

// A panel from a group of Q8_0 as it is packed.
static void fill_int8(const uint8_t* unit, uint32_t blocks, int offset, v128_t* panel) {
  const v128_t bias = wasm_v128_xor(quads_bias(offset), wasm_i32x4_splat(BIAS8));
  for (uint32_t b = 0; b < blocks; b++, unit += unit_bytes(Q8_0), panel += PANEL) {
    for (int h = 0; h < 2; h++) {
      for (int i = 0; i < 8; i++)
        panel[2 * i + h] = wasm_v128_xor(LOAD(unit + 16 + h * half_bytes(Q8_0) + 16 * i), bias);
      panel[PANEL_D + h] = half_lanes(LOAD(unit), h, half_mask());
    }
    fill_start(panel, offset);
  }
}

// Rounds 32 k of four rows, of which x has the first n: lane r of x[k · ld] is row r.
static void round_lanes(const float* x, uint32_t ld, uint32_t n, v128_t inverse, v128_t bias, v128_t* quads,
    uint32_t step) {
  for (uint32_t i = 0; i < 8; i++, quads += step) {
    v128_t word = bias;
    for (uint32_t j = 0; j < 4 && 4 * i + j < n; j++) {
      const v128_t q = MADD(LOAD(x + (4 * i + j) * ld), inverse, ROUND);
      word = wasm_v128_xor(word, wasm_i32x4_shl(wasm_v128_and(q, wasm_i32x4_splat(255)), 8 * j));
    }
    *quads = word;
  }
}

INLINE v128_t most_of_lanes(const float* x, uint32_t ld, uint32_t n) {
  v128_t most = SPLAT(0);
  for (uint32_t k = 0; k < n; k++) most = wasm_i32x4_max(most, magnitude(LOAD(x + k * ld)));
  return most;
}

// Rounds packed floats to Q8_0 in their place, which is large enough, so that encoders read int8 activations for them,
// too. Columns after the last are 0. Returns whether the matrix is Q8_0 now.
EXPORT(round_to_q8) int round_to_q8(Weight* w) {
  const uint32_t f = w->format, blocks = blocks_of(w->cols), units = blocks * unit_bytes(Q8_0);
  if (f == Q8_0) return 1;
  if (!is_float(f) || units > group_bytes(f, w->cols)) return 0;
  uint8_t* out = (uint8_t*)w->data;
  for (uint32_t row = 0; row < w->rows; row += GROUP)
    for (uint32_t b = 0; b < blocks; b++, out += unit_bytes(Q8_0)) {
      const uint32_t n = least(w->cols - b * BLOCK, BLOCK);
      float values[(BLOCK + 1) * GROUP], room[(BLOCK + 1) * GROUP];
      __builtin_memcpy(values, decoded(w, row, b * BLOCK, n, room), n * GROUP * 4);
      v128_t header = wasm_i32x4_splat(0);
      for (int h = 0; h < 2; h++) {
        // d as a half of 1024 d, rounded: see linear_format.h
        const v128_t d = MUL(most_of_lanes(values + 4 * h, GROUP, n), SPLAT(0x1p-102f / 127));
        const v128_t half = wasm_i32x4_min(wasm_i32x4_shr(wasm_i32x4_add(d, wasm_i32x4_splat(0x1000)), 13),
            wasm_i32x4_splat(0x7FFF));
        const v128_t normal = wasm_v128_and(half, wasm_i32x4_ge(half, wasm_i32x4_splat(0x400)));
        const v128_t inverse = wasm_f32x4_div(SPLAT(0x1p-102f), wasm_i32x4_shl(normal, 13));
        const v128_t some = wasm_i32x4_ne(normal, wasm_i32x4_splat(0));
        round_lanes(values + 4 * h, GROUP, n, wasm_v128_and(inverse, some), wasm_i32x4_splat(BIAS8),
            (v128_t*)(out + 16 + h * half_bytes(Q8_0)), 1);
        header |= h ? wasm_i32x4_shl(normal, 16) : normal;
      }
      STORE(out, header);
    }
  w->format = Q8_0;
  return 1;
}

// A linear map of several rows by matrices in Q8_0: the rows are packed once, then CHUNK_TOKENS of them at a time meet
// all panels.
static void run_linear_int8(const ThreadContext* s, const Op* op, uint32_t T) {
  const int offset = byte_offset();
  Int8Tile* const multiply_tile = int8_tile_of(offset);
  const uint32_t blocks = blocks_of(op->cols), bytes = tile_bytes(offset < 0);
  uint8_t* const xq = s->plan->int8;
  uint32_t first, end, segment_row = 0;
  share(s, T, TILE_TOKENS, &first, &end);
  for (uint32_t t = first; t < end; t += TILE_TOKENS)
    pack_tile(op->x + t * op->cols, op->cols, least(end - t, TILE_TOKENS), op->cols, TO_SCALES, offset,
        xq + t / TILE_TOKENS * blocks * bytes);
  barrier(s->pool, s->threads);

  v128_t panel[PANEL_BLOCKS * PANEL];
  float* const tile = tile_of(s, 0);
  for (const Weight* w = op->w; w < op->w + op->segments; segment_row += w->rows, w++) {
    share(s, w->rows, 16, &first, &end);
    for (uint32_t t0 = 0; t0 < T; t0 += CHUNK_TOKENS) {
      const uint32_t tokens = least(T - t0, CHUNK_TOKENS);
      for (uint32_t r = first; r < end; r += CHUNK_ROWS) {
        const uint32_t rows = least(end - r, CHUNK_ROWS), at = segment_row + r;
        for (uint32_t g = 0; g < rows; g += GROUP)
          for (uint32_t b = 0, n; b < blocks; b += n) {
            n = least(blocks - b, PANEL_BLOCKS);
            fill_int8(w->data + ((size_t)((r + g) / GROUP) * blocks + b) * unit_bytes(Q8_0), n, offset, panel);
            for (uint32_t t = 0; t < tokens; t += TILE_TOKENS)
              multiply_tile(panel, n, xq + ((t0 + t) / TILE_TOKENS * blocks + b) * bytes, tile + t * CHUNK_ROWS + g,
                  CHUNK_ROWS, b > 0);
          }
        const uint32_t to = t0 * op->rows + at;
        add_tile(tile, CHUNK_ROWS, op->bias ? op->bias + at : 0, op->add ? op->add + to : 0, op->y + to, op->rows,
            tokens, rows);
      }
    }
  }
}
