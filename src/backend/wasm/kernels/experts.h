// Mixtures of experts. All threads compute rows of every expert that some token has chosen, so that none waits for an
// expert that many have. A row here is a token's place among its experts: t · top + j.
#pragma once

// The rows by expert: of the i-th expert rows[begin[i]] … rows[begin[i + 1] − 1], in the order of tokens.
typedef struct {
  uint32_t count;
  uint16_t expert[MAX_EXPERTS];
  uint32_t begin[MAX_EXPERTS + 1];
  uint32_t at[MAX_EXPERTS];  // its first row in `normed` and `int8`, where tiles begin at multiples of 4
  uint32_t* rows;
} ExpertRows;

// scores [T, E] → [T, 2 · top]
static void select_experts(const ThreadContext* s, const Op* op, uint32_t T) {
  const uint32_t E = op->cols, top = op->top;
  uint32_t first, end;
  share(s, T, 1, &first, &end);
  for (uint32_t t = first; t < end; t++) {
    float p[MAX_EXPERTS + 3], *numbers = op->y + t * 2 * top, *weights = numbers + top, sum = op->normalise ? 1e-6f : 1;
    uint8_t chosen[MAX_EXPERTS] = {0};
    __builtin_memcpy(p, op->x + t * E, E * 4);
    for (uint32_t e = 0; e < E; e += 4)
      STORE(p + e, wasm_f32x4_div(SPLAT(1), ADD(SPLAT(1), exp_lanes(wasm_f32x4_neg(LOAD(p + e))))));
    for (uint32_t j = 0; j < top; j++) {
      uint32_t best = E;
      float most = 0;
      for (uint32_t e = 0; e < E; e++) {
        const float chance = op->bias ? p[e] + op->bias[e] : p[e];
        if (!chosen[e] && (best == E || chance > most)) best = e, most = chance;  // never beyond E, NaN or not
      }
      chosen[best] = 1;
    }
    for (uint32_t e = 0, j = 0; e < E; e++)
      if (chosen[e]) {
        numbers[j] = (float)e, weights[j++] = p[e];
        if (op->normalise) sum += p[e];
      }
    for (uint32_t j = 0; j < top; j++) weights[j] = weights[j] / sum * op->scale;
  }
}

// Whether the host must first read experts of this op (a Weight without data). All threads find the same; thread 0
// notes which were chosen.
static int lacks_experts(const ThreadContext* s, const Op* op, uint32_t T) {
  int lacks = 0;
  for (uint32_t t = 0; t < T; t++)
    for (uint32_t j = 0; j < op->top; j++) {
      const uint32_t e = (uint32_t)op->chosen[t * 2 * op->top + j];
      lacks |= !op->w[e].data;
      if (s->thread || op->last_used[e] == s->plan->clock) continue;
      op->last_used[e] = s->plan->clock;
      ((Plan*)s->plan)->expert_uses++;
    }
  return lacks;
}

// Every thread sorts for itself: that takes less than a barrier. Uses the start of its scratch.
static void sort_rows(const ThreadContext* s, const Op* op, uint32_t T, ExpertRows* sorted) {
  const uint32_t top = op->top;
  uint32_t counts[MAX_EXPERTS] = {0}, begin = 0, at = 0;
  sorted->rows = (uint32_t*)(s->scratch + s->plan->sorted_rows);
  for (uint32_t t = 0; t < T; t++)
    for (uint32_t j = 0; j < top; j++) counts[(uint32_t)op->chosen[t * 2 * top + j]]++;
  sorted->count = 0;
  for (uint32_t e = 0; e < op->segments; e++) {
    const uint32_t n = counts[e];
    counts[e] = begin;  // from here on where its next row goes
    if (!n) continue;
    sorted->expert[sorted->count] = e, sorted->begin[sorted->count] = begin, sorted->at[sorted->count++] = at;
    begin += n, at += (n + 3) / 4 * 4;
  }
  sorted->begin[sorted->count] = begin;
  for (uint32_t t = 0; t < T; t++)
    for (uint32_t j = 0; j < top; j++) sorted->rows[counts[(uint32_t)op->chosen[t * 2 * top + j]]++] = t * top + j;
}

// Norm and int8 form of the rows, by expert, in `normed` and `int8`. Each row has `cols` columns of x; `shared` rows of
// a token read the same.
static Input prepare_rows(const ThreadContext* s, const Op* op, const ExpertRows* sorted, uint32_t cols,
                          uint32_t shared) {
  const Plan* p = s->plan;
  for (uint32_t i = s->thread; i < sorted->count; i += s->threads) {
    const uint32_t n = sorted->begin[i + 1] - sorted->begin[i];
    float* const to = p->normed + sorted->at[i] * cols;
    for (uint32_t r = 0; r < n; r++) {
      const float* from = op->x + sorted->rows[sorted->begin[i] + r] / shared * cols;
      if (op->norm) rms_norm(from, op->norm, to + r * cols, cols, op->eps);
      else __builtin_memcpy(to + r * cols, from, cols * 4);
    }
    if (op->int8) quantize(to, (uint8_t*)p->int8 + quantized_bytes(1, sorted->at[i] * cols), cols, n, 0, n);
  }
  barrier(s->pool, s->threads);
  return (Input){p->normed, op->int8 ? p->int8 : 0};
}

static inline Input input_from(Input in, uint32_t floats) {
  return (Input){in.x + floats, in.int8 ? (const uint8_t*)in.int8 + quantized_bytes(1, floats) : 0};
}

// y [T, top · I], row by row: silu(W1 x) · (W3 x)
static void run_experts_swiglu(const ThreadContext* s, const Op* op, uint32_t T) {
  const uint32_t I = op->rows / op->top, size = T == 1 ? TILE_ROWS_ONE_TOKEN : TILE_ROWS;
  ExpertRows sorted;
  sort_rows(s, op, T, &sorted);
  const Input all = T == 1 ? prepare(s, op, 1) : prepare_rows(s, op, &sorted, op->cols, op->top);
  float *gate = tile_of(s, 0), *up = tile_of(s, 1);
  uint32_t first, end;
  share(s, I, 16, &first, &end);
  for (uint32_t i = 0; i < sorted.count; i++) {
    const uint32_t n = sorted.begin[i + 1] - sorted.begin[i], *rows = sorted.rows + sorted.begin[i];
    const Input in = T == 1 ? all : input_from(all, sorted.at[i] * op->cols);
    for (uint32_t r = first; r < end; r += size) {
      const uint32_t height = least(end - r, size);
      multiply(op->w + sorted.expert[i], in, n, from_row(gate, r), size, r, r + height);
      multiply(op->w3 + sorted.expert[i], in, n, from_row(up, r), size, r, r + height);
      for (uint32_t row = 0; row < n; row++)
        gate_row(gate + row * size, up + row * size, op->y + rows[row] * I + r, height);
    }
  }
}

// y [T, D]: add + Σ weight · W2 x, in the order of experts
static void run_experts_linear(const ThreadContext* s, const Op* op, uint32_t T) {
  const uint32_t top = op->top, I = op->cols / top, D = op->rows, size = T == 1 ? TILE_ROWS_ONE_TOKEN : TILE_ROWS;
  ExpertRows sorted;
  sort_rows(s, op, T, &sorted);
  const Input all = T == 1 ? prepare(s, op, 1) : prepare_rows(s, op, &sorted, I, 1);
  float* tile = tile_of(s, 0);
  uint32_t first, end;
  share(s, D, 16, &first, &end);
  for (uint32_t t = 0; t < T && first < end; t++) {
    float* y = op->y + t * D + first;
    if (op->add != op->y) __builtin_memcpy(y, op->add + t * D + first, (end - first) * 4);
  }
  for (uint32_t i = 0; i < sorted.count; i++) {
    const uint32_t n = sorted.begin[i + 1] - sorted.begin[i], *rows = sorted.rows + sorted.begin[i];
    const Input in = input_from(all, T == 1 ? rows[0] * I : sorted.at[i] * I);
    for (uint32_t r = first; r < end; r += size) {
      const uint32_t height = least(end - r, size);
      multiply(op->w + sorted.expert[i], in, n, from_row(tile, r), size, r, r + height);
      for (uint32_t row = 0; row < n; row++) {
        const uint32_t t = rows[row] / top;
        const float weight = op->chosen[t * 2 * top + top + rows[row] % top], *from = tile + row * size;
        float* y = op->y + t * D + r;
        uint32_t k = 0;
        for (; k + 4 <= height; k += 4) STORE(y + k, ADD(LOAD(y + k), MUL(SPLAT(weight), LOAD(from + k))));
        for (; k < height; k++) y[k] += weight * from[k];
      }
    }
  }
}
