// Executes the op list. Each thread runs it once per step; for decode, thread 0 also draws the next token, and the step
// repeats.
#include "attend.h"
#include "barrier.h"
#include "short_conv.h"
#include "simd.h"
#include "plan.h"
#include "sample.h"

// performance.now of the host. Thread 0 calls it after every op, which takes about 0.1 µs.
__attribute__((import_module("env"), import_name("now"))) double now(void);

// Rows of a tile of a linear map: bias, residual or gate are applied while the tile is in the cache.
#define TILE_ROWS 64
#define TILE_ROWS_ONE_TOKEN 512

typedef struct {
  const Plan* plan;
  ThreadPool* pool;
  uint32_t thread, threads;
  uint32_t T, position;
  uint8_t* scratch;  // of this thread
} ThreadContext;

// The range of n items for this thread, in multiples of `step`.
static inline void share(const ThreadContext* s, uint32_t n, uint32_t step, uint32_t* first, uint32_t* end) {
  uint32_t units = (n + step - 1) / step;
  *first = units * s->thread / s->threads * step;
  *end = least(units * (s->thread + 1) / s->threads * step, n);
}

// The input of linear().
typedef struct {
  const float* x;
  const void* int8;
} Input;

// Computes the norm and the int8 form of x. One token is prepared by every thread for itself, which is cheaper than a
// barrier; threads share several.
static Input prepare(const ThreadContext* s, const Op* op, uint32_t T) {
  const Plan* p = s->plan;
  uint32_t first = 0, end = T;
  float* normed = T > 1 ? p->normed : (float*)s->scratch;
  void* int8 = T > 1 ? p->int8 : s->scratch + p->widest * 4;
  if (T > 1) share(s, T, 8, &first, &end);
  if (op->norm)
    for (uint32_t t = first; t < end; t++) rms_norm(op->x + t * op->cols, op->norm, normed + t * op->cols, op->cols, op->eps);
  const float* x = op->norm ? normed : op->x;
  if (op->int8 && first < end) quantize(x, int8, op->cols, T, first, end);
  if (T > 1 && (op->norm || op->int8)) barrier(s->pool, s->threads);
  return (Input){x, op->int8 ? int8 : 0};
}

static inline void multiply(const Weight* w, Input in, uint32_t T, float* y, uint32_t ldy, uint32_t r0, uint32_t r1) {
  linear(w, in.x, wants_int8(w->format) ? in.int8 : 0, T, y, ldy, r0, r1);
}

// The two tiles at the end of this thread's scratch.
static inline float* tile_of(const ThreadContext* s, int second) {
  const Plan* p = s->plan;
  return (float*)(s->scratch + p->scratch_bytes) - (2 - second) * p->tile;
}

// The address to pass to linear(), which writes to y + t · ldy + row, so that the tile begins at `row`.
static inline float* from_row(float* tile, uint32_t row) { return (float*)((uintptr_t)tile - row * 4); }

static void embed(const ThreadContext* s, const Op* op) {
  uint32_t first = 0, end = s->thread == 0;  // only thread 0 knows a drawn token
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

static void run_linear(const ThreadContext* s, const Op* op, uint32_t T) {
  Input in = prepare(s, op, T);
  float* tile = tile_of(s, 0);
  uint32_t size = T == 1 ? TILE_ROWS_ONE_TOKEN : TILE_ROWS, segment_row = 0;
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

// y = silu(gate) · up; tiles have room for the lanes after the last row
static void gate_row(const float* gate, const float* up, float* y, uint32_t rows) {
  for (uint32_t i = 0; i < rows; i += 4) {
    v128_t a = LOAD(gate + i), v = wasm_f32x4_div(MUL(a, LOAD(up + i)), ADD(SPLAT(1), exp_lanes(wasm_f32x4_neg(a))));
    if (i + 4 <= rows) STORE(y + i, v);
    else {
      float rest[4];
      STORE(rest, v);
      for (uint32_t j = 0; i + j < rows; j++) y[i + j] = rest[j];
    }
  }
}

static void run_swiglu(const ThreadContext* s, const Op* op, uint32_t T) {
  Input in = prepare(s, op, T);
  float *gate = tile_of(s, 0), *up = tile_of(s, 1);
  uint32_t first, end, size = T == 1 ? TILE_ROWS_ONE_TOKEN : TILE_ROWS;
  share(s, op->rows, 16, &first, &end);
  for (uint32_t r = first; r < end; r += size) {
    uint32_t rows = least(end - r, size);
    multiply(op->w, in, T, from_row(gate, r), size, r, r + rows);
    multiply(op->w3, in, T, from_row(up, r), size, r, r + rows);
    for (uint32_t t = 0; t < T; t++) gate_row(gate + t * size, up + t * size, op->y + t * op->rows + r, rows);
  }
}

// Each kv head belongs to one thread, which appends to the cache and attends.
static void attend_heads(const ThreadContext* s, const Op* op, Attention* a) {
  uint8_t* const* pages = s->plan->pages;
  const uint32_t position = first_position(op, s->position);
  uint32_t first, end;
  share(s, op->kv_heads, 1, &first, &end);
  for (uint32_t head = first; head < end; head++) {
    for (uint32_t t = 0; t < s->T; t++) append(a, pages, op->x + t * op->cols, head, position + t);
    for (uint32_t t = 0; t < s->T; t += QUERY_TOKENS)
      attend_head(a, pages, op->x + t * op->cols, op->y + t * op->rows, least(s->T - t, QUERY_TOKENS), head,
                  position + t);
  }
}

// One token, when the number of threads does not divide the heads: threads share (head, page) pairs and merge them in
// the order of pages, so that the sums are the same.
static void attend_pages(const ThreadContext* s, const Op* op, Attention* a) {
  const Plan* p = s->plan;
  const uint32_t first_page = window_begin(op, s->position) / KV_PAGE_POSITIONS;
  uint32_t pages = s->position / KV_PAGE_POSITIONS + 1 - first_page, first, end;
  share(s, op->kv_heads * pages, 1, &first, &end);
  for (uint32_t unit = first; unit < end; unit++) {
    uint32_t head = unit / pages, nth = unit % pages, page = first_page + nth;
    if (unit == first || nth == 0) load_queries(a, p->pages, op->x, 1, head, s->position);
    if (nth == pages - 1) append(a, p->pages, op->x, head, s->position);
    attend_page(a, p->pages, page, head, 1, s->position);
    for (uint32_t g = 0; g < a->group; g++) {
      float* out = partial_of(p->pages, op, page, head * a->group + g);
      out[0] = a->page_parts[g].max, out[1] = a->page_parts[g].sum;
      __builtin_memcpy(out + 16, a->page_parts[g].values, a->stride * 4);
    }
  }
  barrier(s->pool, s->threads);
  share(s, op->heads, 1, &first, &end);
  for (uint32_t h = first; h < end; h++) {
    clear(a->merged, 1, a->stride);
    for (uint32_t nth = 0; nth < pages; nth++) {
      float* in = partial_of(p->pages, op, first_page + nth, h);
      Partial part = {in[0], in[1], in + 16};
      merge(a->merged, &part, a->stride);
    }
    finish(op, a->merged, op->x, h, op->y);
  }
}

static void run_attend(const ThreadContext* s, const Op* op) {
  const Plan* p = s->plan;
  Attention a = attention_of(op, s->scratch);
  const uint32_t position = first_position(op, s->position);
  if (op->kv_heads % s->threads == 0 || (s->T == 1 && position < KV_PAGE_POSITIONS)) return attend_heads(s, op, &a);
  if (s->T == 1) return attend_pages(s, op, &a);
  uint32_t first, end, units = (s->T + QUERY_TOKENS - 1) / QUERY_TOKENS * op->kv_heads;
  share(s, s->T, 1, &first, &end);
  for (uint32_t t = first; t < end; t++)
    for (uint32_t head = 0; head < op->kv_heads; head++) append(&a, p->pages, op->x + t * op->cols, head, position + t);
  barrier(s->pool, s->threads);
  for (uint32_t unit = s->thread; unit < units; unit += s->threads) {  // in turn, because later tokens attend to more positions
    uint32_t t = unit / op->kv_heads * QUERY_TOKENS;
    attend_head(&a, p->pages, op->x + t * op->cols, op->y + t * op->rows, least(s->T - t, QUERY_TOKENS),
                unit % op->kv_heads, position + t);
  }
}

static void run_norm_add(const ThreadContext* s, const Op* op, uint32_t T) {
  uint32_t first, end, n = op->rows;
  share(s, T, 1, &first, &end);
  for (uint32_t at = first * n; at < end * n; at += n) {
    rms_norm(op->x + at, op->norm, op->y + at, n, op->eps);
    if (op->add) add_tile(op->y + at, n, 0, op->add + at, op->y + at, n, 1, n);
  }
}

#include "experts.h"
#ifdef ENCODERS
#include "encoders_layers.h"
#endif

static void run_op(const ThreadContext* s, const Op* op) {
  uint32_t T = op->single ? 1 : s->T, first, end;
  switch ((OpKind)op->kind) {
    case EMBED: return embed(s, op);
#ifdef ENCODERS
    case LINEAR: return op->mode ? run_linear_int8(s, op, T) : run_linear(s, op, T);
    case ATTEND_WITHIN:
      if (op->length) return run_attend_int8(s, op);
    // fall through
    case ATTEND_INTERLEAVED: return run_attend(s, op);
#else
    case LINEAR: return run_linear(s, op, T);
#endif
    case SWIGLU: return run_swiglu(s, op, T);
    case ATTEND: return run_attend(s, op);
    case SHORT_CONV:
      share(s, op->rows, 16, &first, &end);
      return short_conv(op, s->plan->rings, T, s->position, first, end);
    case LAST:
      share(s, op->rows, 16, &first, &end);
      if (first < end) __builtin_memcpy(op->y + first, op->x + (s->T - 1) * op->cols + first, (end - first) * 4);
      return;
    case NORM_ADD: return run_norm_add(s, op, T);
    case SELECT_EXPERTS: return select_experts(s, op, T);
    case EXPERTS_SWIGLU: return run_experts_swiglu(s, op, T);
    case EXPERTS_LINEAR: return run_experts_linear(s, op, T);
    case INPUT: return;  // the host wrote it
#ifdef ENCODERS
    case LAYER_NORM: return run_layer_norm(s, op, T);
    case ACTIVATE: return run_activate(s, op, T);
    case CONVOLVE: return run_convolve(s, op, T);
#else
    default: return;
#endif
  }
}

// Whether a barrier is needed after an op; `next` is 0 at the end of the list.
static inline int needs_barrier_after(const Op* op, const Op* next, uint32_t threads) {
  return !op->no_barrier_after || !next || (next->kind == ATTEND && next->kv_heads % threads);
}

// Reads everything at the start that the host may change once thread 0 has returned: other threads return a little
// later.
static void run_step(ThreadPool* pool, uint32_t thread, uint32_t threads) {
  const Plan* p = pool->plan;
  ThreadContext s = {p, pool, thread, threads, p->T, p->position, p->scratch + thread * p->scratch_bytes};
  const uint32_t end = p->end, draws = p->draws;
  uint32_t first = p->first;
  for (uint32_t draw = 0; draw < draws || draw == 0; draw++) {
    if (thread == 0 && first == 0) ((Plan*)p)->clock++;
    double start = thread ? 0 : now(), *times = p->times + (s.T > 1 ? p->count + 1 : 0);
    for (uint32_t i = first; s.T > 0 && i < end; i++) {
      if (p->ops[i].last_used && lacks_experts(&s, p->ops + i, p->ops[i].single ? 1 : s.T)) {
        barrier(pool, threads);  // the host writes what the others may still read
        if (thread == 0) {  // the rest of this call
          Plan* rest = (Plan*)p;
          rest->stopped = i, rest->T = s.T, rest->position = s.position, rest->draws = draws - draw;
        }
        return;
      }
      run_op(&s, p->ops + i);
      if (needs_barrier_after(p->ops + i, i + 1 < end ? p->ops + i + 1 : 0, threads)) barrier(pool, threads);
      if (thread == 0) {
        double time = now();
        times[i] += time - start, start = time;
      }
    }
    s.position += s.T, s.T = 1, first = 0;
    if (draws && thread == 0) {
      p->history[s.position] = draw_token(p, s.position);
      times[p->count] += now() - start;
    }
  }
}

// Called by thread 0: wakes the other threads and takes part. If there is no op to run, the others stay asleep.
EXPORT(step) void step(ThreadPool* pool, uint32_t threads) {
  if (pool->plan->T == 0 && pool->plan->draws <= 1) threads = 1;
  if (threads > 1) {
    __atomic_store_n(&pool->epoch, ((read(&pool->epoch) >> 8) + 1) << 8 | threads, __ATOMIC_SEQ_CST);
    notify(&pool->epoch);
  }
  run_step(pool, 0, threads);
}

// Called once by every other thread; never returns.
EXPORT(serve) void serve(ThreadPool* pool, uint32_t thread) {
  for (uint32_t seen = 0;;) {
    if (spin(&pool->epoch, seen)) __builtin_wasm_memory_atomic_wait32((int32_t*)&pool->epoch, (int32_t)seen, -1);
    if (read(&pool->epoch) == seen) continue;
    seen = read(&pool->epoch);
    if (thread < (seen & 255)) run_step(pool, thread, seen & 255);
  }
}

// Exports for the host: packing, and sizes of buffers.
EXPORT(packed_size) uint32_t packed_size(uint32_t format, uint32_t rows, uint32_t cols) { return packed_bytes(format, rows, cols); }
EXPORT(pack) void pack(const Weight* w, const uint8_t* src, uint32_t first, uint32_t count) { pack_rows(w, src, first, count); }
EXPORT(quantized_size) uint32_t quantized_size(uint32_t T, uint32_t cols) { return quantized_bytes(T, cols); }
EXPORT(takes_int8) int takes_int8(uint32_t format) { return wants_int8(format); }
EXPORT(attention_size) uint32_t attention_size(uint32_t heads, uint32_t kv_heads, uint32_t head_dim) { return attention_bytes(heads, kv_heads, head_dim); }
