// The walk of the op list: one call a thread reads the tokens of a step, and for decode chooses the next, as often as asked.
#include "attend.h"
#include "barrier.h"
#include "conv.h"
#include "lanes.h"
#include "plan.h"
#include "sample.h"

// performance.now of the host. Thread 0 asks it behind every op: some 0.1 µs each.
__attribute__((import_module("env"), import_name("now"))) double now(void);

// Rows of one tile, which is added to the residual or multiplied by its gate while it is in the cache.
#define TILE 64
#define TILE_ONE 512  // the same for one token

typedef struct {
  const Plan* plan;
  Team* team;
  uint32_t thread, threads;
  uint32_t T, position;
  uint8_t* scratch;  // this thread's
} Walk;

// The share of this thread of n things, in multiples of `step`.
static inline void share(const Walk* s, uint32_t n, uint32_t step, uint32_t* first, uint32_t* end) {
  uint32_t units = (n + step - 1) / step;
  *first = units * s->thread / s->threads * step;
  *end = least(units * (s->thread + 1) / s->threads * step, n);
}

// x as linear() takes it
typedef struct {
  const float* x;
  const void* int8;
} Input;

// Norm and int8 form of x. One token is prepared by every thread for itself, which costs less than to meet; more are shared out.
static Input prepare(const Walk* s, const Op* op, uint32_t T) {
  const Plan* p = s->plan;
  uint32_t first = 0, end = T;
  float* normed = T > 1 ? p->normed : (float*)s->scratch;
  void* int8 = T > 1 ? p->int8 : s->scratch + p->widest * 4;
  if (T > 1) share(s, T, 8, &first, &end);
  if (op->norm)
    for (uint32_t t = first; t < end; t++) rms_norm(op->x + t * op->cols, op->norm, normed + t * op->cols, op->cols, op->eps);
  const float* x = op->norm ? normed : op->x;
  if (op->int8 && first < end) quantize(x, int8, op->cols, T, first, end);
  if (T > 1 && (op->norm || op->int8)) barrier(s->team, s->threads);
  return (Input){x, op->int8 ? int8 : 0};
}

static inline void multiply(const Weight* w, Input in, uint32_t T, float* y, uint32_t ldy, uint32_t r0, uint32_t r1) {
  linear(w, in.x, wants_int8(w->format) ? in.int8 : 0, T, y, ldy, r0, r1);
}

// The two tiles of this thread, behind the scratch of `prepare`.
static inline float* tile_of(const Walk* s, int second) {
  const Plan* p = s->plan;
  return (float*)(s->scratch + p->scratch_bytes) - (2 - second) * p->tile;
}

// The tile as linear() wants it: it writes to y + t · ldy + row.
static inline float* from_row(float* tile, uint32_t row) { return (float*)((uintptr_t)tile - row * 4); }

static void embed(const Walk* s, const Op* op) {
  uint32_t first = 0, end = s->thread == 0;  // a drawn token is known to thread 0 alone
  if (s->T > 1) share(s, s->T, 1, &first, &end);
  for (uint32_t t = first; t < end; t++) {
    uint32_t row = s->plan->history[s->position + t];
    const Weight* w = op->w;
    for (; row >= w->rows && w + 1 < op->w + op->segments; w++) row -= w->rows;
    unpack_row(w, row, op->y + t * op->rows);
  }
}

static void add_tile(const float* tile, uint32_t ldt, const float* bias, const float* add, float* y, uint32_t ldy, uint32_t T, uint32_t rows) {
  for (uint32_t t = 0; t < T; t++) {
    const float *a = tile + t * ldt, *b = add ? add + t * ldy : 0;
    float* out = y + t * ldy;
    uint32_t r = 0;
    for (; r + 4 <= rows; r += 4) {
      v128_t v = LOAD(a + r);
      if (bias) v = ADD(v, LOAD(bias + r));
      STORE(out + r, b ? ADD(v, LOAD(b + r)) : v);
    }
    for (; r < rows; r++) out[r] = (bias ? a[r] + bias[r] : a[r]) + (b ? b[r] : 0);
  }
}

static void run_linear(const Walk* s, const Op* op, uint32_t T) {
  Input in = prepare(s, op, T);
  float* tile = tile_of(s, 0);
  uint32_t size = T == 1 ? TILE_ONE : TILE, segment_row = 0;
  for (const Weight* w = op->w; w < op->w + op->segments; segment_row += w->rows, w++)
    for (uint32_t part = 0, part_rows = w->rows / op->parts; part < op->parts; part++) {
      uint32_t first, end;
      share(s, part_rows, 16, &first, &end);
      first += part * part_rows, end += part * part_rows;
      if (!op->bias && !op->add) {
        if (first < end) multiply(w, in, T, op->y + segment_row, op->rows, first, end);
        continue;
      }
      for (uint32_t r = first; r < end; r += size) {
        uint32_t rows = least(end - r, size), at = segment_row + r;
        multiply(w, in, T, from_row(tile, r), size, r, r + rows);
        add_tile(tile, size, op->bias ? op->bias + at : 0, op->add ? op->add + at : 0, op->y + at, op->rows, T, rows);
      }
    }
}

static void run_swiglu(const Walk* s, const Op* op, uint32_t T) {
  Input in = prepare(s, op, T);
  float *gate = tile_of(s, 0), *up = tile_of(s, 1);
  uint32_t first, end, size = T == 1 ? TILE_ONE : TILE;
  share(s, op->rows, 16, &first, &end);
  for (uint32_t r = first; r < end; r += size) {
    uint32_t rows = least(end - r, size);
    multiply(op->w, in, T, from_row(gate, r), size, r, r + rows);
    multiply(op->w3, in, T, from_row(up, r), size, r, r + rows);
    for (uint32_t t = 0; t < T; t++) {
      const float *g = gate + t * size, *u = up + t * size;
      float* y = op->y + t * op->rows + r;
      for (uint32_t i = 0; i < rows; i += 4) {  // silu(g) · u; the tiles have room for the lanes behind the last row
        v128_t a = LOAD(g + i), v = wasm_f32x4_div(MUL(a, LOAD(u + i)), ADD(SPLAT(1), exp_lanes(wasm_f32x4_neg(a))));
        if (i + 4 <= rows) STORE(y + i, v);
        else {
          float rest[4];
          STORE(rest, v);
          for (uint32_t j = 0; i + j < rows; j++) y[i + j] = rest[j];
        }
      }
    }
  }
}

// A kv head belongs to a thread, which appends and attends.
static void attend_heads(const Walk* s, const Op* op, Attention* a) {
  uint8_t* const* pages = s->plan->pages;
  uint32_t first, end;
  share(s, op->kv_heads, 1, &first, &end);
  for (uint32_t head = first; head < end; head++) {
    for (uint32_t t = 0; t < s->T; t++) append(a, pages, op->x + t * op->cols, head, s->position + t);
    for (uint32_t t = 0; t < s->T; t += TOKENS)
      attend_head(a, pages, op->x + t * op->cols, op->y + t * op->rows, least(s->T - t, TOKENS), head, s->position + t);
  }
}

// One token, where threads do not divide the heads: (head, page) pairs are shared out, and merged in the order of pages: the same sums.
static void attend_pages(const Walk* s, const Op* op, Attention* a) {
  const Plan* p = s->plan;
  uint32_t pages = s->position / PAGE + 1, first, end;
  share(s, op->kv_heads * pages, 1, &first, &end);
  for (uint32_t unit = first; unit < end; unit++) {
    uint32_t head = unit / pages, page = unit % pages;
    if (unit == first || page == 0) take_queries(a, p->pages, op->x, 1, head, s->position);
    if (page == pages - 1) append(a, p->pages, op->x, head, s->position);
    attend_page(a, p->pages, page, head, 1, s->position);
    for (uint32_t g = 0; g < a->group; g++) {
      float* out = partial_of(p->pages, op, page, head * a->group + g);
      out[0] = a->parts[g].max, out[1] = a->parts[g].sum;
      __builtin_memcpy(out + 16, a->parts[g].values, a->stride * 4);
    }
  }
  barrier(s->team, s->threads);
  share(s, op->heads, 1, &first, &end);
  for (uint32_t h = first; h < end; h++) {
    clear(a->whole, 1, a->stride);
    for (uint32_t page = 0; page < pages; page++) {
      float* in = partial_of(p->pages, op, page, h);
      Partial part = {in[0], in[1], in + 16};
      merge(a->whole, &part, a->stride);
    }
    finish(a->whole, a->d, op->y + h * a->d);
  }
}

static void run_attend(const Walk* s, const Op* op) {
  const Plan* p = s->plan;
  Attention a = attention_of(op, s->scratch);
  if (op->kv_heads % s->threads == 0 || (s->T == 1 && s->position < PAGE)) return attend_heads(s, op, &a);
  if (s->T == 1) return attend_pages(s, op, &a);
  uint32_t first, end, units = (s->T + TOKENS - 1) / TOKENS * op->kv_heads;
  share(s, s->T, 1, &first, &end);
  for (uint32_t t = first; t < end; t++)
    for (uint32_t head = 0; head < op->kv_heads; head++) append(&a, p->pages, op->x + t * op->cols, head, s->position + t);
  barrier(s->team, s->threads);
  for (uint32_t unit = s->thread; unit < units; unit += s->threads) {  // dealt out, because later tokens see more
    uint32_t t = unit / op->kv_heads * TOKENS;
    attend_head(&a, p->pages, op->x + t * op->cols, op->y + t * op->rows, least(s->T - t, TOKENS), unit % op->kv_heads, s->position + t);
  }
}

static void run_op(const Walk* s, const Op* op) {
  uint32_t T = op->single ? 1 : s->T, first, end;
  switch ((Kind)op->kind) {
    case EMBED: return embed(s, op);
    case LINEAR: return run_linear(s, op, T);
    case SWIGLU: return run_swiglu(s, op, T);
    case ATTEND: return run_attend(s, op);
    case SHORT_CONV:
      share(s, op->rows, 16, &first, &end);
      return short_conv(op, T, s->position, first, end);
    case LAST:
      share(s, op->rows, 16, &first, &end);
      if (first < end) __builtin_memcpy(op->y + first, op->x + (s->T - 1) * op->cols + first, (end - first) * 4);
      return;
  }
}

// Whether all threads wait for each other behind an op; `next` is absent at the end.
static inline int meets(const Op* op, const Op* next, uint32_t threads) {
  return !op->apart || !next || (next->kind == ATTEND && next->kv_heads % threads);
}

// Everything that the host may change when thread 0 has returned is read at the start: other threads leave a little later.
static void run(Team* team, uint32_t thread, uint32_t threads) {
  const Plan* p = team->plan;
  Walk s = {p, team, thread, threads, p->T, p->position, p->scratch + thread * p->scratch_bytes};
  const uint32_t first = p->first, end = p->end, draws = p->draws;
  for (uint32_t draw = 0; draw < draws || draw == 0; draw++) {
    double start = thread ? 0 : now(), *times = p->times + (s.T > 1 ? end + 1 : 0);
    for (uint32_t i = first; s.T > 0 && i < end; i++) {
      run_op(&s, p->ops + i);
      if (meets(p->ops + i, i + 1 < end ? p->ops + i + 1 : 0, threads)) barrier(team, threads);
      if (thread == 0) {
        double time = now();
        times[i] += time - start, start = time;
      }
    }
    s.position += s.T, s.T = 1;
    if (draws && thread == 0) {
      p->history[s.position] = choose(p, s.position);
      times[end] += now() - start;
    }
  }
}

// What thread 0 calls: wakes the others and takes part. Without an op to run it leaves them asleep.
EXPORT(step) void step(Team* team, uint32_t threads) {
  if (team->plan->T == 0 && team->plan->draws <= 1) threads = 1;
  if (threads > 1) {
    __atomic_store_n(&team->epoch, ((read(&team->epoch) >> 8) + 1) << 8 | threads, __ATOMIC_SEQ_CST);
    notify(&team->epoch);
  }
  run(team, 0, threads);
}

// What the other threads call once and never leave.
EXPORT(serve) void serve(Team* team, uint32_t thread) {
  for (uint32_t seen = 0;;) {
    if (spin(&team->epoch, seen)) __builtin_wasm_memory_atomic_wait32((int32_t*)&team->epoch, (int32_t)seen, -1);
    if (read(&team->epoch) == seen) continue;
    seen = read(&team->epoch);
    if (thread < (seen & 255)) run(team, thread, seen & 255);
  }
}

// What the host asks of linear.c, and of the layouts here.
EXPORT(packed_size) uint32_t packed_size(uint32_t format, uint32_t rows, uint32_t cols) { return packed_bytes(format, rows, cols); }
EXPORT(pack) void pack(const Weight* w, const uint8_t* src, uint32_t first, uint32_t count) { pack_rows(w, src, first, count); }
EXPORT(quantized_size) uint32_t quantized_size(uint32_t T, uint32_t cols) { return quantized_bytes(T, cols); }
EXPORT(takes_int8) int takes_int8(uint32_t format) { return wants_int8(format); }
EXPORT(attention_size) uint32_t attention_size(const Op* op) { return attention_bytes(op); }
