// What only encoders need: LayerNorm, activations, convolutions without state or without gates.
#pragma once
#include "encoders_attend_int8.h"
#include "short_conv.h"

// y = weight · (x − mean) / sqrt(var + eps) + bias, n values
static void layer_norm(const float* x, const Op* op, float* y, uint32_t n) {
  v128_t lanes = SPLAT(0);
  uint32_t i = 0;
  for (; i + 4 <= n; i += 4) lanes = ADD(lanes, LOAD(x + i));
  float sum = sum_lanes(lanes), squares;
  for (uint32_t j = i; j < n; j++) sum += x[j];
  const float mean = sum / (float)n;
  lanes = SPLAT(0);
  for (i = 0; i + 4 <= n; i += 4) {
    v128_t d = SUB(LOAD(x + i), SPLAT(mean));
    lanes = MADD(d, d, lanes);
  }
  squares = sum_lanes(lanes);
  for (uint32_t j = i; j < n; j++) squares += (x[j] - mean) * (x[j] - mean);
  const float scale = 1 / __builtin_sqrtf(squares / (float)n + op->eps);
  for (i = 0; i + 4 <= n; i += 4) {
    v128_t v = MUL(LOAD(op->norm + i), MUL(SUB(LOAD(x + i), SPLAT(mean)), SPLAT(scale)));
    STORE(y + i, op->bias ? ADD(v, LOAD(op->bias + i)) : v);
  }
  for (; i < n; i++) y[i] = op->norm[i] * ((x[i] - mean) * scale) + (op->bias ? op->bias[i] : 0);
}

static void run_layer_norm(const ThreadContext* s, const Op* op, uint32_t T) {
  uint32_t first, end;
  share(s, T, 1, &first, &end);
  for (uint32_t t = first; t < end; t++) layer_norm(op->x + t * op->cols, op, op->y + t * op->cols, op->cols);
}

// v · sigmoid(z)
static inline v128_t times_sigmoid(v128_t v, v128_t z) {
  return wasm_f32x4_div(v, ADD(SPLAT(1), exp_lanes(wasm_f32x4_neg(z))));
}

// v · Φ(v), with the error function to 1.5e-7 (Abramowitz and Stegun 7.1.26). `tail` is half of 1 − erf(|v| / √2).
static inline v128_t gelu(v128_t v) {
  v128_t x = MUL(wasm_f32x4_abs(v), SPLAT(0.707106781f));
  v128_t t = wasm_f32x4_div(SPLAT(1), MADD(SPLAT(0.3275911f), x, SPLAT(1)));
  v128_t p = MADD(SPLAT(1.061405429f), t, SPLAT(-1.453152027f));
  p = MADD(p, t, SPLAT(1.421413741f));
  p = MADD(p, t, SPLAT(-0.284496736f));
  p = MADD(p, t, SPLAT(0.254829592f));
  v128_t tail = MUL(MUL(MUL(p, t), SPLAT(0.5f)), exp_lanes(wasm_f32x4_neg(MUL(x, x))));
  return MUL(v, wasm_v128_bitselect(SUB(SPLAT(1), tail), tail, wasm_f32x4_gt(v, SPLAT(0))));
}

static inline v128_t activation(v128_t v, Activation act) {
  switch (act) {
    case GELU: return gelu(v);
    case SILU: return times_sigmoid(v, v);
    default: return wasm_f32x4_max(v, SPLAT(0));
  }
}

// y = v / (1 + 2^z), z = −2 sqrt(2 / π) log2(e) (v + 0.044715 v³), since (1 + tanh(x)) / 2 is 1 / (1 + e^(−2x)). 2^z is
// right to 2e-7. Constants are held: V8 makes them anew for each use, which took more than half of the time.
static void gelu_tanh(const float* x, const float* add, float* y, uint32_t n) {
  const v128_t third = held(SPLAT(-0.102943242f)), linear = held(SPLAT(-2.30220820f)), most = held(SPLAT(126)),
      least = held(SPLAT(-126));
  const v128_t round = held(ROUND), one = held(SPLAT(1)), c5 = held(SPLAT(0.00132764718f)),
      c4 = held(SPLAT(0.00967554133f));
  const v128_t c3 = held(SPLAT(0.0555071327f)), c2 = held(SPLAT(0.240221197f)), c1 = held(SPLAT(0.693146967f));
  for (uint32_t i = 0; i < n; i += 4) {
    const v128_t v = LOAD(x + i), z = MUL(v, MADD(MUL(v, v), third, linear));
    const v128_t in_range = wasm_f32x4_pmax(least, wasm_f32x4_pmin(most, z)), bits = ADD(in_range, round),
        r = SUB(in_range, SUB(bits, round));
    v128_t p = MADD(c5, r, c4);
    p = MADD(p, r, c3);
    p = MADD(p, r, c2);
    p = MADD(p, r, c1);
    p = MADD(p, r, one);
    const v128_t result = wasm_f32x4_div(v, ADD(one, wasm_i32x4_add(p, wasm_i32x4_shl(bits, 23))));
    STORE(y + i, add ? ADD(result, LOAD(add + i)) : result);
  }
}

// Slots have room for the lanes after the last value.
static void run_activate(const ThreadContext* s, const Op* op, uint32_t T) {
  uint32_t first, end;
  share(s, T * op->rows, 16, &first, &end);
  if (op->mode == GELU_TANH && first < end) return gelu_tanh(op->x + first, op->add ? op->add + first : 0,
      op->y + first, end - first);
  for (uint32_t i = first; i < end; i += 4) {
    v128_t v = activation(LOAD(op->x + i), op->mode);
    STORE(op->y + i, op->add ? ADD(v, LOAD(op->add + i)) : v);
  }
}

// Channels from c on, as in conv_lanes; the input is zero outside of what a token reads, and the output of a token that
// is not among it.
static inline void within_lanes(const Op* op, uint32_t T, uint32_t c, int lanes) {
  const uint32_t D = op->rows, L = op->length, before = op->window;
  const int gated = op->mode == CENTRED_GATED;
  const float* x = op->x + c;
  for (uint32_t t = 0; t < T; t++) {
    const uint32_t* own = op->bounds + 4 * t + 2;
    if (t < own[0] || t >= own[1]) {
      PUT(op->y + t * D + c, SPLAT(0));
      continue;
    }
    v128_t sum = op->bias ? GET(op->bias + c) : SPLAT(0);
    for (uint32_t k = 0; k < L; k++) {
      const uint32_t from = t + k - before;  // wraps below 0, which is past every end
      if (from < own[0] || from >= own[1]) continue;
      const float* b = x + from * op->cols;
      sum = MADD(GET(op->taps + k * D + c), gated ? MUL(GET(b), GET(b + 2 * D)) : GET(b), sum);
    }
    PUT(op->y + t * D + c, gated ? MUL(GET(x + t * op->cols + D), sum) : sum);
  }
}

static void run_convolve(const ThreadContext* s, const Op* op, uint32_t T) {
  uint32_t c, end;
  share(s, op->rows, 16, &c, &end);
  if (op->mode == CAUSAL) return short_conv(op, s->plan->rings, T, s->position, c, end);
  for (; c + 4 <= end; c += 4) within_lanes(op, T, c, 4);
  for (; c < end; c++) within_lanes(op, T, c, 1);
}
