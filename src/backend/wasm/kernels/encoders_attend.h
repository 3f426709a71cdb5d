// Attention of encoders: within the rows of a sequence, and with interleaved pairs of RoPE.
//
// Without a cache, keys and values of row t lie at position t of the pages, whatever was read before, and all rows are
// stored before any attends. Positions of RoPE count from the begin of the row's sequence.
#pragma once

static inline uint32_t first_visible(const Op* op, uint32_t position) {
  return op->bounds ? op->bounds[4 * position] : window_begin(op, position);
}
static inline uint32_t end_visible(const Op* op, uint32_t position) {
  return op->bounds ? op->bounds[4 * position + 1] : position + 1;
}
static inline uint32_t rope_position(const Op* op, uint32_t position) {
  return op->bounds ? position - op->bounds[4 * position] : position;
}
// The position at which the first row of the call is stored.
static inline uint32_t first_position(const Op* op, uint32_t position) {
  return op->bounds ? 0 : position;
}

// Interleaved pairs in the order of halves, in y: equal orders of q and k leave the scores as they are.
static inline const float* in_halves(const Op* op, const float* x, float* y) {
  if (op->mode != INTERLEAVED) return x;
  for (uint32_t i = 0, half = op->head_dim / 2; i < half; i++) y[i] = x[2 * i], y[half + i] = x[2 * i + 1];
  return y;
}
