// The gated short convolution over a ring of B ⊙ x by position. This thread computes the channels [c0, c1).
#pragma once
#include "simd.h"
#include "plan.h"

// Channels from c on, four lanes at a time; the remaining channels take the same code with `lanes` 1.
static inline void conv_lanes(const Op* op, float* ring, uint32_t T, uint32_t position, uint32_t c, int lanes) {
  const uint32_t D = op->rows, L = op->length;
#define GET(p) (lanes == 4 ? LOAD(p) : wasm_v128_load32_zero(p))
#define PUT(p, v) (lanes == 4 ? STORE(p, v) : wasm_v128_store32_lane(p, v, 0))
  for (uint32_t t = 0; t < T; t++) {
    const float* b = op->x + t * 3 * D + c;
    uint32_t now = position + t;
    PUT(ring + (now % CONV_RING_POSITIONS) * D + c, MUL(GET(b), GET(b + 2 * D)));
    v128_t sum = op->bias ? GET(op->bias + c) : SPLAT(0);
    for (uint32_t k = now + 1 < L ? L - 1 - now : 0; k < L; k++)
      sum = MADD(GET(op->taps + k * D + c), GET(ring + ((now + 1 + k - L) % CONV_RING_POSITIONS) * D + c), sum);
    PUT(op->y + t * D + c, MUL(GET(b + D), sum));
  }
#undef GET
#undef PUT
}

static void short_conv(const Op* op, uint8_t* rings, uint32_t T, uint32_t position, uint32_t c0, uint32_t c1) {
  float* ring = (float*)(rings + op->ring);
  uint32_t c = c0;
  for (; c + 4 <= c1; c += 4) conv_lanes(op, ring, T, position, c, 4);
  for (; c < c1; c++) conv_lanes(op, ring, T, position, c, 1);
}
