// Draws the next token, as src/backend/sampling.ts defines it. It does not sort the vocabulary: the maxima of groups of
// logits give a lower bound for what the filters can keep, and a partial selection (quickselect) finds the end of top-k
// and top-p.
#pragma once
#include "simd.h"
#include "plan.h"

#define LOGIT_GROUP 64  // logits per maximum

typedef struct {
  float weight;  // or logit
  uint32_t id;
} Candidate;

// The memory of the sampler: logits after penalties [V], candidates in order of id [V], and a copy that the selection
// permutes [V].
typedef struct {
  float* logits;
  Candidate *candidates, *order;
} SamplerMemory;
_Static_assert(SAMPLER_TOKEN_BYTES == sizeof(float) + 2 * sizeof(Candidate), "plan.h gives the bytes of the sampler");

static uint32_t pcg(uint32_t v) {
  uint32_t state = v * 747796405u + 2891336453u;
  uint32_t word = ((state >> ((state >> 28) + 4)) ^ state) * 277803737u;
  return (word >> 22) ^ word;
}

static double random_unit(uint32_t seed, uint32_t position) { return (pcg(pcg(seed) + position) >> 8) / 16777216.0; }

// e^x for x ≤ 0, two at a time, with a relative error of 1e-11; the caller rounds it to f32.
static inline v128_t exp_doubles(v128_t x) {
  const v128_t shift = wasm_f64x2_splat(6755399441055744.0);  // 1.5 · 2^52
  x = wasm_f64x2_pmax(wasm_f64x2_splat(-700), x);
  v128_t bits = wasm_f64x2_add(wasm_f64x2_mul(x, wasm_f64x2_splat(1.4426950408889634)), shift);
  v128_t r = wasm_f64x2_sub(x, wasm_f64x2_mul(wasm_f64x2_sub(bits, shift), wasm_f64x2_splat(0.6931471805599453)));
  v128_t p = wasm_f64x2_splat(1.0 / 3628800);
  const double series[] = {1.0 / 362880, 1.0 / 40320, 1.0 / 5040, 1.0 / 720, 1.0 / 120, 1.0 / 24, 1.0 / 6, 0.5, 1, 1};
  for (int i = 0; i < 10; i++) p = wasm_f64x2_add(wasm_f64x2_mul(p, r), wasm_f64x2_splat(series[i]));
  return wasm_f64x2_mul(p, wasm_i64x2_add(wasm_i64x2_shl(bits, 52), wasm_i64x2_splat(1023ll << 52)));
}

static inline int comes_before(Candidate a, Candidate b) { return a.weight > b.weight || (a.weight == b.weight && a.id < b.id); }

static inline double higher(double a, double b) { return a > b ? a : b; }

static inline void swap(Candidate* a, Candidate* b) {
  Candidate c = *a;
  *a = *b, *b = c;
}

// Takes the fewest highest of n candidates whose count (or sum of weights) reaches `limit`, and returns the lowest of
// them. Permutes c.
static Candidate last_kept(Candidate* c, uint32_t n, double limit, int by_sum) {
  uint32_t low = 0, high = n;  // c[0, low) is kept; the result is in c[low, high)
  double kept = 0;
  while (high - low > 16) {
    Candidate *a = c + low, *b = c + low + (high - low) / 2, *d = c + high - 1;
    if (comes_before(*b, *a)) swap(a, b);
    if (comes_before(*d, *b)) swap(b, d);
    if (comes_before(*b, *a)) swap(a, b);
    Candidate pivot = *b;  // the median of three, hence not the lowest
    uint32_t end = low;
    double sum = 0;
    for (uint32_t i = low; i < high; i++)
      if (!comes_before(pivot, c[i])) {
        sum += by_sum ? c[i].weight : 1;
        swap(c + i, c + end++);
      }
    if (kept + sum >= limit) high = end;
    else kept += sum, low = end;
  }
  for (uint32_t i = low; i < high; i++) {
    for (uint32_t j = i + 1; j < high; j++)
      if (comes_before(c[j], c[i])) swap(c + i, c + j);
    kept += by_sum ? c[i].weight : 1;
    if (kept >= limit) return c[i];
  }
  return c[high - 1];
}

// Writes the logits with penalties, bias and mask to `work`.
static void process_logits(const Plan* p, uint32_t position, float* work) {
  const Sampling* s = &p->sampling;
  const uint32_t V = p->vocabulary;
  __builtin_memcpy(work, p->logits, V * 4);
  if (s->repetition_penalty != 1 || s->frequency_penalty != 0 || s->presence_penalty != 0) {
    for (uint32_t i = 0; i < position; i++) {  // 1 + the times a token is in the output
      uint32_t* mark = p->marks + p->history[i];
      *mark = (*mark ? *mark : 1) + (i >= p->prompt);
    }
    for (uint32_t i = 0; i < position; i++) {
      uint32_t v = p->history[i], n = p->marks[v];
      if (!n--) continue;
      p->marks[v] = 0;
      work[v] = (float)(work[v] > 0 ? work[v] / s->repetition_penalty : work[v] * s->repetition_penalty);
      work[v] = (float)(work[v] - (s->frequency_penalty * n + (n ? s->presence_penalty : 0)));
    }
  }
  for (uint32_t i = 0; i < s->bias_count; i++) work[s->bias_ids[i]] = (float)(work[s->bias_ids[i]] + s->bias[i]);
  if (s->mask)
    for (uint32_t v = 0; v < V; v++)
      if (!(s->mask[v >> 5] >> (v & 31) & 1)) work[v] = -__builtin_inff();
}

// Writes the maximum of each group of logits to `highest`; returns the number of groups.
static uint32_t group_maxima(const float* l, uint32_t V, Candidate* highest) {
  uint32_t groups = 0;
  for (uint32_t v = 0; v < V; v += LOGIT_GROUP, groups++) {
    float max = -__builtin_inff();
    if (v + LOGIT_GROUP <= V) {
      v128_t a = SPLAT(max), b = a;
      for (uint32_t i = v; i < v + LOGIT_GROUP; i += 8) a = wasm_f32x4_pmax(a, LOAD(l + i)), b = wasm_f32x4_pmax(b, LOAD(l + i + 4));
      max = max_lanes(wasm_f32x4_pmax(a, b));
    } else {
      for (uint32_t i = v; i < V; i++) max = l[i] > max ? l[i] : max;
    }
    highest[groups] = (Candidate){max, groups};
  }
  return groups;
}

static uint32_t draw_token(const Plan* p, uint32_t position) {
  const Sampling* s = &p->sampling;
  const uint32_t V = p->vocabulary;
  Candidate* candidates = (Candidate*)p->candidates;
  SamplerMemory c = {(float*)(candidates + 2 * V), candidates, candidates + V};
  const float* l = p->logits;
  if (s->repetition_penalty != 1 || s->frequency_penalty != 0 || s->presence_penalty != 0 || s->bias_count || s->mask) process_logits(p, position, c.logits), l = c.logits;

  uint32_t groups = group_maxima(l, V, c.order), best = 0, n = 0;
  Candidate top = c.order[0];
  for (uint32_t g = 1; g < groups; g++)
    if (c.order[g].weight > top.weight) top = c.order[g];
  for (best = top.id * LOGIT_GROUP; best + 1 < V && l[best] != top.weight;) best++;
  if (s->temperature == 0 || top.weight == -__builtin_inff()) return best;

  // The filters keep no logit below `floor`: the k-th highest group maximum is at most the k-th highest logit. The
  // margin covers different logits whose weights round to the same value.
  double floor = top.weight - 105 * s->temperature, margin = 1e-6 * s->temperature;
  if (s->min_p > 0 && s->top_p >= 1) floor = higher(floor, top.weight + s->temperature * s->log_min_p - margin);
  if (s->top_k > 0 && s->top_k < groups) floor = higher(floor, last_kept(c.order, groups, s->top_k, 0).weight - margin);
  const v128_t coarse = SPLAT((float)(floor - __builtin_fabs(floor) * 1e-6));
  for (uint32_t v = 0; v < V; v += 4) {
    if (v + 4 <= V && !wasm_v128_any_true(wasm_f32x4_ge(LOAD(l + v), coarse))) continue;
    for (uint32_t i = v; i < least(v + 4, V); i++)
      if (l[i] >= floor) c.candidates[n++] = (Candidate){l[i], i};
  }
  double sum = 0;
  uint32_t m = 0;
  for (uint32_t i = 0; i < n; i += 2) {
    double second = i + 1 < n ? c.candidates[i + 1].weight : top.weight;
    v128_t x = wasm_f64x2_make((double)c.candidates[i].weight - top.weight, second - top.weight);
    v128_t w = exp_doubles(wasm_f64x2_div(x, wasm_f64x2_splat(s->temperature)));
    float weights[2] = {(float)wasm_f64x2_extract_lane(w, 0), (float)wasm_f64x2_extract_lane(w, 1)};
    for (uint32_t j = 0; j < 2 && i + j < n; j++)
      if (weights[j] > 0) c.candidates[m++] = (Candidate){weights[j], c.candidates[i + j].id};
  }

  Candidate end = {0, 0};  // the lowest candidate that is kept
  if (s->top_k > 0 && s->top_k < m) {
    __builtin_memcpy(c.order, c.candidates, m * sizeof(Candidate));
    end = last_kept(c.order, m, s->top_k, 0);
  }
#define KEPT(x) (!comes_before(end, x))
  if (s->top_p < 1) {
    uint32_t k = 0;
    for (uint32_t i = 0; i < m; i++)
      if (KEPT(c.candidates[i])) sum += c.candidates[i].weight, c.order[k++] = c.candidates[i];
    end = last_kept(c.order, k, s->top_p * sum, 1);
  }

#define DRAWN(x) (KEPT(x) && (x.weight >= s->min_p || x.id == best))
  sum = 0;
  for (uint32_t i = 0; i < m; i++)
    if (DRAWN(c.candidates[i])) sum += c.candidates[i].weight;
  double target = random_unit(s->seed, position) * sum;
  uint32_t chosen = best;
  sum = 0;
  for (uint32_t i = 0; i < m; i++)
    if (DRAWN(c.candidates[i])) {
      chosen = c.candidates[i].id;
      if ((sum += c.candidates[i].weight) > target) break;
    }
#undef KEPT
#undef DRAWN
  return chosen;
}
