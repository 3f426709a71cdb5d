// The op list that TypeScript writes (lower.ts, word by word in this order) and every thread walks.
#pragma once
#include "linear.h"

typedef enum { EMBED, LINEAR, SWIGLU, SHORT_CONV, ATTEND, LAST } Kind;

// Activations are [T, width], or [1, width] for an op with `single`. Absent pointers are 0.
typedef struct {
  uint32_t kind;
  uint32_t single;          // works on one row whatever T is: behind `last`
  const float* x;           // input [T, cols]
  float* y;                 // output [T, rows]
  uint32_t cols, rows;
  const Weight* w;          // embed: the table; swiglu: W1
  uint32_t segments;        // of w
  uint32_t parts;           // a segment's rows are shared out in as many equal parts
  uint32_t apart;           // each thread goes on at once: of this op the next one reads what the same thread wrote (see meets)
  const Weight* w3;         // swiglu
  const float* norm;        // [cols]; attend: of q [d]
  float eps;
  const float* bias;        // linear [rows], shortConv [channels]
  const float* add;         // [T, rows]; may be y
  uint32_t int8;            // whether the weights want the int8 form of x
  const float* taps;        // shortConv, transposed: [length, channels]
  float* ring;              // shortConv: [RING, channels] of B ⊙ x by position
  uint32_t length;
  uint32_t heads, kv_heads, head_dim;
  const float* k_norm;      // [d]
  float k_eps;
  uint32_t rope, partials, keys, values;  // byte offsets in a page
  uint32_t int16;           // keys and values are int16 with scales, not f32
} Op;

// Positions a conv layer remembers: L − 1 and at least 64 more, so that going back a few dozen tokens needs nothing.
#define RING 128

// A page holds PAGE positions of every attention layer: tables of cos and sin [PAGE, d], partial results of split heads, then for each
// layer keys [K, PAGE, stride], their scales [K, PAGE] if they are int16, and values the same. PAGE is also the range of one partial softmax: results do not depend on how they are split.
#define PAGE 256

typedef struct {
  double temperature, top_p, min_p, log_min_p, repetition, frequency, presence;
  uint32_t top_k, seed;
  uint32_t bias_count;
  const uint32_t* bias_ids;
  const double* bias;
  const uint32_t* mask;
} Sampling;

typedef struct {
  // of this call
  uint32_t T, position;     // tokens to read, tokens read before; T may be 0 when there is no pending token
  uint32_t draws;           // tokens to choose: each but the last is read again
  uint32_t first, end;      // ops [first, end): all of them, but while threads are measured
  uint32_t prompt;          // tokens of the prompt, for the penalties
  // of the plan
  const Op* ops;
  uint32_t* history;        // token by position
  uint8_t** pages;
  float* logits;            // [V]
  uint32_t vocabulary;
  float* normed;            // [chunk, widest x], T > 1
  void* int8;               // the same as int8, T > 1
  uint8_t* scratch;         // scratch_bytes a thread
  uint32_t scratch_bytes;
  uint32_t tile;            // floats of one of the two tiles in scratch
  uint32_t widest;          // widest x
  void* candidates;         // of the sampler: 20 bytes a vocabulary entry
  uint32_t* marks;          // of the sampler, [V], zero
  double* times;            // ms by op and of the sampler: of steps of one token, then of steps of more
  Sampling sampling;
} Plan;

// Where the threads meet; one a memory. Words that are waited on lie on cache lines of their own.
typedef struct {
  _Alignas(64) uint32_t epoch;       // calls so far << 8 | threads of this one
  const Plan* plan;
  uint32_t aborted;                  // a thread trapped: all others must
  _Alignas(64) uint32_t generation;  // barriers so far
  _Alignas(64) uint32_t arrived;
  _Alignas(64) uint32_t sleepers;
} Team;
