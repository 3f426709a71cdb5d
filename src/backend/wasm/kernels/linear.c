// y = W x for every weight format.
//
// Quantized weights with int8 activations: products are summed over 32 k as integers, which is exact, then scaled by
// d_w · d_x (add_scaled).
// One token reads the packed weights directly (one_token). For several tokens the quads of 8 rows × 1024 k are unpacked
// once into a panel in the L1 cache, and all tokens use it in tiles of four (many_tokens).
// f32 activations: 8 rows × 256 k are decoded to f32 (float_rows); for exact results, and for F32, F16, BF16 and Q2_K
// (whose mins for 16 values would take kernels of their own).
//
// Every y is the same sum in the same order for any T, row range and SIMD variant: batches and threads do not change
// results.
#include "linear.h"
#include "linear_dot.h"
#include "linear_format.h"
#include "linear_pack.h"
#include "linear_quantize.h"

// The output of a tile for a last group with fewer than 8 rows, [token][row].
typedef struct {
  float y[TILE_TOKENS * 2 * GROUP];
} Edge;
static void copy_rows(float* to, uint32_t ldto, const float* from, uint32_t ldfrom, uint32_t n, uint32_t rows) {
  for (uint32_t t = 0; t < n; t++)
    for (uint32_t r = 0; r < rows; r++) to[t * ldto + r] = from[t * ldfrom + r];
}

// Adds a block of 16 rows times x to their sums; the second group of 8 rows is `next` bytes after the first. Both use
// the same values of x.
INLINE void add_block(uint32_t f, int int16, const uint8_t* block, uint32_t next, const uint8_t* x, const Scales* headers, const Masks* masks, v128_t* total) {
  const int bits = bits_of(f);
  const uint8_t* const blocks[2] = {block, opaque(block + next)};
  Accumulator sums[4][2];
#pragma clang loop unroll(full)
  for (int part = 0; part < 8 / quads_of(bits); part++) {
    Four four[8];
    for (int q = 0; q < quads_of(bits); q++) four[q] = four_at(f, 1, x, 0, quad_index(bits, part, q));
    for (int h = 0; h < 4; h++) {
      v128_t S[5];
      for (int i = 0; i < vectors_of(bits); i++) S[i] = wasm_v128_load(blocks[h / 2] + h % 2 * half_bytes(f) + (part * vectors_of(bits) + i) * 16);
      for (int q = 0; q < quads_of(bits); q++) {
        const int at = in_sixteens(f) ? quad_index(bits, part, q) : part * quads_of(bits) + q;
        add_dot(f, int16, at, four[q], quad(f, S, q, masks), x, 1, 0, masks->ones, &sums[h][in_sixteens(f) && at >= 4]);
      }
    }
    for (int sixteen = in_sixteens(f) && bits == 6 && part; sixteen < (in_sixteens(f) && (bits == 4 || part) ? 2 : 1); sixteen++)
      in_order_of(f, int16, &sums[0][sixteen], &sums[1][sixteen]), in_order_of(f, int16, &sums[2][sixteen], &sums[3][sixteen]);
  }
  for (int g = 0; g < 2; g++) {
    const Scales scale = is_k(f) ? scales_of(f, headers[g], blocks[g], masks) : header_of(f, blocks[g] - header_bytes(f), masks);
    for (int h = 0; h < 2; h++)
      total[2 * g + h] = add_scaled(f, total[2 * g + h], sums[2 * g + h], scale.d[h], scale.m[h][0], token_word(x, 1, 0, SCALE), token_word(x, 1, 0, DSUM));
  }
}

// Several groups are read side by side, one block of each in turn: a processor prefetches each stream by itself, so
// that several streams are up to twice as fast as one (the numbers were measured). A group without a second one is
// processed twice.
enum { STREAMS = 16 };

INLINE void one_token(uint32_t f, int int16, const Weight* w, const uint8_t* xq, float* y, uint32_t r0, uint32_t r1) {
  const uint32_t units = w->cols / (BLOCK * subs_of(f)), size = group_bytes(f, w->cols);
  const Masks masks = masks_of(f, w->format);
  for (uint32_t r = r0; r < r1; r += STREAMS * GROUP) {
    const uint32_t rows = r1 - r < STREAMS * GROUP ? r1 - r : STREAMS * GROUP;
    v128_t totals[2 * STREAMS];
    for (uint32_t h = 0; h < 2 * STREAMS; h++) totals[h] = wasm_f32x4_splat(0);
    const uint8_t *unit = w->data + (size_t)(r / GROUP) * size, *x = xq;
    for (uint32_t u = 0; u < units; u++, unit += unit_bytes(f)) {
      Scales headers[STREAMS];
      if (is_k(f))
        for (uint32_t i = 0; i < rows || i / GROUP % 2; i += GROUP) headers[i / GROUP] = header_of(f, unit + (i < rows ? i : i - GROUP) / GROUP * size, &masks);
      const uint8_t* sub = unit + header_bytes(f);
#pragma clang loop unroll(disable)
      for (uint32_t j = 0; j < subs_of(f); j++, sub += sub_bytes(f), x += TOKEN_BLOCK) {
        const uint8_t* block = sub;
#pragma clang loop unroll(disable)
        for (uint32_t i = 0; i < rows; i += 2 * GROUP, block += 2 * size)
          add_block(f, int16, opaque(block), rows - i > GROUP ? size : 0, opaque(x), headers + i / GROUP, &masks, totals + i / 4);
      }
    }
    copy_rows(y + r, 0, (const float*)totals, 0, 1, rows);
  }
}

// The panel: for each block the quads of 8 rows, [quad][half], d [sixteen][half], mins [sixteen][half].
enum { PANEL_BLOCKS = 32, PANEL_D = 16, PANEL_VECTORS = 24 };
INLINE uint32_t panel_min(uint32_t f) { return PANEL_D + (in_sixteens(f) ? 4 : 2); }
INLINE uint32_t panel_stride(uint32_t f) { return panel_min(f) + (!has_mins(f) ? 0 : in_sixteens(f) ? 4 : 2); }

// Formats with the same panel share the kernels for several tokens.
INLINE uint32_t panel_format(uint32_t f) { return has_table(f) ? Q8_0 : f == Q3_K ? Q6_K : f == Q4_K || f == Q5_1 || f == Q5_K ? Q4_1 : f; }

INLINE void fill(uint32_t f, uint32_t format, const uint8_t* unit, uint32_t blocks, v128_t* panel) {
  const int bits = bits_of(f);
  const Masks masks = masks_of(f, format);
  for (uint32_t b = 0; b < blocks; unit += unit_bytes(f)) {
    const uint8_t* sub = unit + header_bytes(f);
    const Scales header = header_of(f, unit, &masks);
#pragma clang loop unroll(disable)
    for (uint32_t j = 0; j < subs_of(f); j++, b++, sub += sub_bytes(f), panel += panel_stride(f)) {
      for (int h = 0; h < 2; h++)
#pragma clang loop unroll(full)
        for (int part = 0; part < 8 / quads_of(bits); part++) {
          const v128_t* S = (const v128_t*)(sub + h * half_bytes(f)) + part * vectors_of(bits);
          for (int q = 0; q < quads_of(bits); q++) {
            const v128_t values = quad(f, S, q, &masks);
            panel[2 * quad_index(bits, part, q) + h] = f == Q3_K ? wasm_i8x16_add(values, wasm_i8x16_splat(24)) : values; // the offset of Q6_K
          }
        }
      Scales scale = scales_of(f, header, sub, &masks);
      for (int i = 0; i < (in_sixteens(f) ? 4 : 2); i++) {
        panel[PANEL_D + i] = scale.d[i % 2][i / 2];
        if (has_mins(f)) panel[panel_min(f) + i] = scale.m[i % 2][i / 2];
      }
    }
  }
}

// Unpacks `blocks` blocks, from block b on, of the 8 rows that begin with row r.
static void fill_panel(const Weight* w, uint32_t r, uint32_t b, uint32_t blocks, v128_t* panel) {
  const uint8_t* group = w->data + (size_t)(r / GROUP) * group_bytes(w->format, w->cols);
  const uint8_t* unit = group + b / subs_of(w->format) * unit_bytes(w->format);
  switch (w->format) {
    case Q4_0: return fill(Q4_0, w->format, unit, blocks, panel);
    case Q4_1: return fill(Q4_1, w->format, unit, blocks, panel);
    case Q5_0: return fill(Q5_0, w->format, unit, blocks, panel);
    case Q5_1: return fill(Q5_1, w->format, unit, blocks, panel);
    case Q8_0: return fill(Q8_0, w->format, unit, blocks, panel);
    case Q2_K: return fill(Q2_K, w->format, unit, blocks, panel);
    case Q3_K: return fill(Q3_K, w->format, unit, blocks, panel);
    case Q4_K: return fill(Q4_K, w->format, unit, blocks, panel);
    case Q5_K: return fill(Q5_K, w->format, unit, blocks, panel);
    case Q6_K: return fill(Q6_K, w->format, unit, blocks, panel);
    default: return fill(IQ4_NL, w->format, unit, blocks, panel);
  }
}

// 8 rows × 4 tokens over the blocks of the panel; y goes on from where the last panel left it.
INLINE void tile(uint32_t f, int int16, const v128_t* panel, uint32_t blocks, const uint8_t* x, float* y, uint32_t ldy, int go_on) {
  const uint32_t n = TILE_TOKENS;
  const v128_t ones = held(wasm_i16x8_splat(1));
  v128_t acc[TILE_TOKENS][2];
  for (uint32_t t = 0; t < n; t++)
    for (int h = 0; h < 2; h++) acc[t][h] = go_on ? wasm_v128_load(y + t * ldy + 4 * h) : wasm_f32x4_splat(0);
  for (uint32_t b = 0; b < blocks; b++, x += n * TOKEN_BLOCK, panel += panel_stride(f)) {
    panel = opaque(panel), x = opaque(x);
    Accumulator sums[TILE_TOKENS][2][2];
#pragma clang loop unroll(full)
    for (int i = 0; i < 8; i++) {
      const int sixteen = in_sixteens(f) && i >= 4;
      for (uint32_t t = 0; t < n; t++) {
        const Four four = four_at(f, n, x, t, i);
        for (int h = 0; h < 2; h++) add_dot(f, int16, i, four, panel[2 * i + h], x, n, t, ones, &sums[t][h][sixteen]);
        in_order_of(f, int16, &sums[t][0][sixteen], &sums[t][1][sixteen]);
      }
    }
    for (uint32_t t = 0; t < n; t++)
      for (int h = 0; h < 2; h++) {
        v128_t d[2] = {panel[PANEL_D + h], panel[PANEL_D + (in_sixteens(f) ? 2 : 0) + h]};
        v128_t m = has_mins(f) ? panel[panel_min(f) + h] : d[0];
        acc[t][h] = add_scaled(f, acc[t][h], sums[t][h], d, m, token_word(x, n, t, SCALE), token_word(x, n, t, DSUM));
      }
  }
  for (uint32_t t = 0; t < n; t++)
    for (int h = 0; h < 2; h++) wasm_v128_store(y + t * ldy + 4 * h, acc[t][h]);
}

// One function per format, so that browsers optimize those that are used, and accumulator_width.ts can time one.
typedef void TileKernel(const v128_t* panel, uint32_t blocks, const uint8_t* x, float* y, uint32_t ldy, int go_on);
#define TILE_KERNEL(f, kind, int16)                                                                                                                    \
  static __attribute__((noinline)) void tile_##f##_##kind(const v128_t* panel, uint32_t blocks, const uint8_t* x, float* y, uint32_t ldy, int go_on) { \
    tile(f, int16, panel, blocks, x, y, ldy, go_on);                                                                                                   \
  }
TILE_KERNEL(Q4_0, int32, 0)
TILE_KERNEL(Q4_1, int32, 0)
TILE_KERNEL(Q5_0, int32, 0)
TILE_KERNEL(Q6_K, int32, 0)
TILE_KERNEL(Q8_0, int32, 0)
#ifdef __wasm_relaxed_simd__
TILE_KERNEL(Q4_0, int16, 1)
TILE_KERNEL(Q4_1, int16, 1)
TILE_KERNEL(Q5_0, int16, 1)
TILE_KERNEL(Q6_K, int16, 1)
TILE_KERNEL(Q8_0, int16, 1)
#define EITHER(f) int16 ? tile_##f##_int16 : tile_##f##_int32
#else
#define EITHER(f) tile_##f##_int32
#endif

static TileKernel* tile_kernel(uint32_t f, int int16) {
  (void)int16;
  switch (panel_format(f)) {
    case Q4_0: return EITHER(Q4_0);
    case Q5_0: return EITHER(Q5_0);
    case Q8_0: return EITHER(Q8_0);
    case Q6_K: return EITHER(Q6_K);
    default: return EITHER(Q4_1);
  }
}

#ifdef __wasm_relaxed_simd__
// Runs `count` tiles of 4 tokens × 8 rows × 1024 k for accumulator_width.ts.
EXPORT(time_tiles) void time_tiles(int int16, const v128_t* panel, const uint8_t* x, float* y, uint32_t count) {
  for (TileKernel* tile = tile_kernel(Q4_0, int16); count--;) tile(panel, PANEL_BLOCKS, x, y, GROUP, 0);
}
#endif

// The last tile may have fewer tokens: results for the missing ones go to `edge` and are dropped.
static void tiles(TileKernel* tile, const v128_t* panel, uint32_t blocks, const void* xq, uint32_t cols, uint32_t b, uint32_t T, float* y, uint32_t ldy, uint32_t rows) {
  for (uint32_t t = 0; t < T; t += TILE_TOKENS) {
    const uint32_t n = T - t < TILE_TOKENS ? T - t : TILE_TOKENS;
    Edge edge;
    const int whole = rows >= GROUP && n == TILE_TOKENS;
    float* const to = whole ? y + t * ldy : edge.y;
    const uint32_t ld = whole ? ldy : GROUP, some = rows < GROUP ? rows : GROUP;
    if (!whole && b > 0) copy_rows(to, ld, y + t * ldy, ldy, n, some);
    tile(panel, blocks, tile_block(xq, cols, t, TILE_TOKENS, b), to, ld, b > 0);
    if (!whole) copy_rows(y + t * ldy, ldy, to, ld, n, some);
  }
}

static void many_tokens(const Weight* w, const void* xq, uint32_t T, float* y, uint32_t ldy, uint32_t r0, uint32_t r1) {
  v128_t panel[PANEL_BLOCKS * PANEL_VECTORS];
  const uint32_t blocks = w->cols / BLOCK;
  TileKernel* const tile = tile_kernel(w->format, int16_sums);
  for (uint32_t r = r0; r < r1; r += GROUP)
    for (uint32_t b = 0, n; b < blocks; b += n) {
      n = blocks - b < PANEL_BLOCKS ? blocks - b : PANEL_BLOCKS;
      fill_panel(w, r, b, n, panel);
      tiles(tile, panel, n, xq, w->cols, b, T, y + r, ldy, w->rows - r);
    }
}

// Columns of a decoded panel: f32 of 8 rows, out[k * 8 + row].
enum { FLOAT_COLS = 256 };

// Converts a panel of quads to f32.
static void decode_panel(uint32_t f, const v128_t* panel, uint32_t blocks, float* out) {
  const v128_t offset = wasm_f32x4_splat(offset_of(f)), bias = wasm_i32x4_splat(BIAS8), to_scales = wasm_f32x4_splat(TO_SCALES);
  for (uint32_t b = 0; b < blocks; b++, panel += panel_stride(f))
    for (uint32_t i = 0; i < 16; i++, out += i % 2 ? 4 : 4 * GROUP - 4) {
      const uint32_t h = i % 2;
      const uint32_t at = h + (in_sixteens(f) && i >= 8 ? 2 : 0);
      v128_t d = wasm_f32x4_mul(panel[PANEL_D + at], to_scales), q = panel[i];
      v128_t m = wasm_f32x4_mul(panel[has_mins(f) ? panel_min(f) + at : PANEL_D], to_scales);
      if (is_signed(f)) q = wasm_v128_xor(q, bias);
      for (int t = 0; t < 4; t++, q = wasm_u32x4_shr(q, 8)) {
        v128_t low = is_signed(f) ? signed_byte(q, 0) : unsigned_byte(q, 0, wasm_i32x4_splat(255));
        v128_t value = wasm_f32x4_mul(wasm_f32x4_sub(wasm_f32x4_convert_i32x4(low), offset), d);
        wasm_v128_store(out + t * GROUP, has_mins(f) ? wasm_f32x4_add(value, m) : value);
      }
    }
}

// Decodes `count` columns of 8 rows; `count` is a multiple of 256 except at the end.
static const float* decoded(const Weight* w, uint32_t row, uint32_t k0, uint32_t count, float* out) {
  const uint8_t* group = w->data + (size_t)(row / GROUP) * group_bytes(w->format, w->cols);
  if (w->format == F32) return (const float*)group + k0 * GROUP;
  if (w->format == F16) decode_words(F16, group + k0 / 2 * GROUP * 4, count, out);
  else if (w->format == BF16) decode_words(BF16, group + k0 / 2 * GROUP * 4, count, out);
  else {
    v128_t panel[FLOAT_COLS / BLOCK * PANEL_VECTORS];
    fill_panel(w, row, k0 / BLOCK, count / BLOCK, panel);
    decode_panel(panel_format(w->format), panel, count / BLOCK, out);
  }
  return out;
}

// Multiplies g groups of 8 rows with n tokens over `count` k; `cols` is the row length of x.
INLINE void float_tile(uint32_t g, uint32_t n, const float* const* panel, uint32_t count, const float* x, uint32_t cols, float* y, uint32_t ldy, int go_on) {
  v128_t acc[TILE_TOKENS][4];
  for (uint32_t t = 0; t < n; t++)
    for (uint32_t h = 0; h < 2 * g; h++) acc[t][h] = go_on ? wasm_v128_load(y + t * ldy + 4 * h) : wasm_f32x4_splat(0);
  for (uint32_t k = 0; k < count; k++)
    for (uint32_t t = 0; t < n; t++) {
      v128_t value = wasm_v128_load32_splat(x + t * cols + k);
      for (uint32_t h = 0; h < 2 * g; h++)
        acc[t][h] = wasm_f32x4_add(acc[t][h], wasm_f32x4_mul(value, wasm_v128_load(panel[h / 2] + k * GROUP + h % 2 * 4)));
    }
  for (uint32_t t = 0; t < n; t++)
    for (uint32_t h = 0; h < 2 * g; h++) wasm_v128_store(y + t * ldy + 4 * h, acc[t][h]);
}

// One token takes 16 rows at once, for four independent sums; several tokens take 8 rows × 4 tokens.
static void float_rows(const Weight* w, const float* x, uint32_t T, float* y, uint32_t ldy, uint32_t r0, uint32_t r1) {
  float room[2][(FLOAT_COLS + 1) * GROUP];
  const uint32_t cols = w->cols, groups = T == 1 ? 2 : 1;
  for (uint32_t r = r0; r < r1; r += groups * GROUP)
    for (uint32_t k = 0; k < cols; k += FLOAT_COLS) {
      const uint32_t count = cols - k < FLOAT_COLS ? cols - k : FLOAT_COLS;
      const uint32_t rows = w->rows - r, wide = T == 1 && rows > GROUP ? 2 * GROUP : GROUP;
      const float* panel[2] = {decoded(w, r, k, count, room[0]), wide > GROUP ? decoded(w, r + GROUP, k, count, room[1]) : 0};
      for (uint32_t t = 0; t < T; t += TILE_TOKENS) {
        const uint32_t n = T - t < TILE_TOKENS ? T - t : TILE_TOKENS;
        const float* from = x + t * cols + k;
        Edge edge;
        float* const to = rows < wide ? edge.y : y + t * ldy + r;
        const uint32_t ld = rows < wide ? wide : ldy;
        if (to == edge.y && k > 0) copy_rows(to, ld, y + t * ldy + r, ldy, n, rows);
        if (wide > GROUP) float_tile(2, 1, panel, count, from, cols, to, ld, k > 0);
        else if (n == 1) float_tile(1, 1, panel, count, from, cols, to, ld, k > 0);
        else if (n == 2) float_tile(1, 2, panel, count, from, cols, to, ld, k > 0);
        else if (n == 3) float_tile(1, 3, panel, count, from, cols, to, ld, k > 0);
        else float_tile(1, 4, panel, count, from, cols, to, ld, k > 0);
        if (to == edge.y) copy_rows(y + t * ldy + r, ldy, to, ld, n, rows);
      }
    }
}

// for one token, int16 sums are slower with 5 and 6 bits (PERF.md)
#define ONE_TOKEN(f) int16_sums ? one_token(f, 1, w, xq, y, r0, r1) : one_token(f, 0, w, xq, y, r0, r1)
// linear, quantize and unpack_row are exported for the tests and the micro-benchmark.
__attribute__((export_name("linear"))) void linear(const Weight* w, const float* x, const void* xq, uint32_t T, float* y, uint32_t ldy, uint32_t r0, uint32_t r1) {
  if (!xq || !wants_int8(w->format)) return float_rows(w, x, T, y, ldy, r0, r1);
  if (T > 1) return many_tokens(w, xq, T, y, ldy, r0, r1);
  switch (w->format) {
    case Q4_0: return ONE_TOKEN(Q4_0);
    case Q4_1: return ONE_TOKEN(Q4_1);
    case Q5_0: return one_token(Q5_0, 0, w, xq, y, r0, r1);
    case Q5_1: return one_token(Q5_1, 0, w, xq, y, r0, r1);
    case Q8_0: return ONE_TOKEN(Q8_0);
    case Q3_K: return one_token(Q3_K, 0, w, xq, y, r0, r1);
    case Q4_K: return ONE_TOKEN(Q4_K);
    case Q5_K: return one_token(Q5_K, 0, w, xq, y, r0, r1);
    case Q6_K: return one_token(Q6_K, 0, w, xq, y, r0, r1);
    default: return ONE_TOKEN(IQ4_NL);
  }
}

uint32_t quantized_bytes(uint32_t T, uint32_t cols) { return (T == 1 ? 1 : (T + TILE_TOKENS - 1) / TILE_TOKENS * TILE_TOKENS) * (cols / BLOCK) * TOKEN_BLOCK; }

__attribute__((export_name("quantize"))) void quantize(const float* x, void* xq, uint32_t cols, uint32_t T, uint32_t t0, uint32_t t1) {
  for (uint32_t t = t0; t < t1; t++) {
    const uint32_t first = t / TILE_TOKENS * TILE_TOKENS, n = T == 1 ? 1 : TILE_TOKENS;
    for (uint32_t b = 0; b < cols / BLOCK; b++) quantize_block(x + t * cols + b * BLOCK, (uint8_t*)tile_block(xq, cols, first, n, b), n, t - first);
  }
}

int wants_int8(uint32_t format) { return !is_float(format) && format != Q2_K; }

uint32_t packed_bytes(uint32_t format, uint32_t rows, uint32_t cols) { return (rows + GROUP - 1) / GROUP * group_bytes(format, cols); }

void pack_rows(const Weight* w, const uint8_t* src, uint32_t first, uint32_t count) {
  const uint32_t size = group_bytes(w->format, w->cols), row_bytes = source_row_bytes(w->format, w->cols);
  for (uint32_t r = 0; r < count; r += GROUP)
    pack_group_of(w->format, (uint8_t*)w->data + (size_t)((first + r) / GROUP) * size, src + r * row_bytes,
                  w->cols, count - r);
}

__attribute__((export_name("unpack_row"))) void unpack_row(const Weight* w, uint32_t row, float* out) {
  float room[(FLOAT_COLS + 1) * GROUP];
  for (uint32_t k0 = 0; k0 < w->cols; k0 += FLOAT_COLS) {
    const uint32_t count = w->cols - k0 < FLOAT_COLS ? w->cols - k0 : FLOAT_COLS;
    const float* panel = decoded(w, row, k0, count, room);
    for (uint32_t k = 0; k < count; k++) out[k0 + k] = panel[k * GROUP + row % GROUP];
  }
}
