// The op list that every thread executes. TypeScript writes the fields by name (headers.ts reads them from here).
#pragma once
#include "linear.h"

typedef enum { EMBED, LINEAR, SWIGLU, SHORT_CONV, ATTEND, LAST, NORM_ADD, LAYER_NORM, ACTIVATE, CONVOLVE,
               ATTEND_INTERLEAVED, ATTEND_WITHIN, INPUT, SELECT_EXPERTS, EXPERTS_SWIGLU, EXPERTS_LINEAR } OpKind;

// The `mode` of activate, of convolve, and of the attention of encoders: RoPE turns the pairs (i, i + d/2), or
// (2i, 2i + 1), and then the norms are in the order of halves.
typedef enum { GELU, GELU_TANH, SILU, RELU } Activation;
typedef enum { CAUSAL, CENTRED, CENTRED_GATED } Convolution;
typedef enum { HALVES, INTERLEAVED } Pairs;

// Activations are [T, width], or [1, width] for an op with `single`. Absent pointers are 0.
typedef struct {
  uint32_t kind;
  uint32_t single;          // has one row for any T: the op comes after `last`
  const float* x;           // input [T, cols]
  float* y;                 // output [T, rows]
  uint32_t cols, rows;
  const Weight* w;          // embed: the table; swiglu: W1
  uint32_t segments;        // of w; of experts one each
  uint32_t parts;           // linear: the rows of a segment are divided into this many equal parts, each among all threads
  uint32_t no_barrier_after;  // each thread of the next op reads only rows that it wrote itself, so no barrier is needed
  const Weight* w3;         // swiglu
  const float* norm;        // [cols]; attend: of q [d]
  float eps;
  const float* bias;        // linear [rows], shortConv [channels], layerNorm [cols]
  const float* add;         // [T, rows]; may be y
  uint32_t int8;            // whether the weights read the int8 form of x
  const float* taps;        // shortConv, transposed: [length, channels]; attendWithin with int8: scratch of the threads
  uint32_t ring;            // shortConv: byte offset in the rings of [CONV_RING_POSITIONS, channels], B ⊙ x by position
  uint32_t length;          // attendWithin: bytes of each thread's scratch; 0: without int8
  uint32_t mode;            // activate, convolve, attention of encoders; linear of encoders: 1 for Q8_0 alone
  uint32_t heads, kv_heads, head_dim;
  const float* k_norm;      // [d]
  float k_eps;
  uint32_t rope, partials, keys, values;  // byte offsets in a page
  uint32_t int16;           // keys and values are int16 with scales, not f32
  uint32_t window;          // rows that a token attends to; 0: all. convolve without state: rows before its own
  uint32_t gate;            // the last `heads` columns of x are gates
  uint32_t top;             // experts of a token
  uint32_t normalise;       // selectExperts: divide the weights by their sum
  float scale;              // of the weights
  const float* chosen;      // of experts: [T, 2 · top], the numbers of a token's experts, ascending, and their weights
  uint32_t* last_used;      // expertsSwiglu, [segments]: the clock of the last step that took each; 0: all are here
  const uint32_t* bounds;   // what each row sees, [T, 4] (PrefillOptions.bounds)
} Op;

// Positions that a convolution's ring holds, on WebGPU too, whose shaders need a power of two: L − 1 and at least 64
// more, so that a rewind by a few dozen tokens needs no other state. `rewind` cannot go back further.
#define CONV_RING_POSITIONS 128

// A page of the KV cache holds P = KV_PAGE_POSITIONS positions of every attention layer: tables of cos and sin [P, d],
// partial results of attention, then for each layer keys [K, P, stride], their scales [K, P] if they are int16, and the
// same for values. A partial softmax covers exactly one page, so that results do not depend on how threads share the
// work.
#define KV_PAGE_POSITIONS 256

// An element of Plan.pages.
typedef struct {
  uint8_t* address;
} Page;

// Most experts of a layer: what is counted of each lies on the stack.
#define MAX_EXPERTS 256

// Bytes of the sampler's memory for each token of the vocabulary (SamplerMemory in sample.h).
#define SAMPLER_TOKEN_BYTES 20

// The fields of SamplingParams (src/backend/sampling.ts), and what is derived from them.
typedef struct {
  double temperature, top_p, min_p, log_min_p, repetition_penalty, frequency_penalty, presence_penalty;
  uint32_t top_k, seed;
  uint32_t bias_count;
  const uint32_t* bias_ids;
  const double* bias;
  const uint32_t* mask;
} Sampling;

typedef struct {
  // set for each call
  uint32_t T, position;     // tokens to read, tokens read before; T may be 0 when there is no pending token
  uint32_t draws;           // tokens to draw; all but the last are also read
  uint32_t first, end;      // ops [first, end): a part of them only while threads are measured, and where the host
                            // writes rows after the first op
  uint32_t prompt;          // tokens of the prompt, for the penalties
  // set when another state runs
  uint32_t* history;        // token by position
  uint8_t** pages;
  uint8_t* rings;
  // set once for the plan
  const Op* ops;
  uint32_t count;           // of ops
  float* logits;            // [V]
  uint32_t vocabulary;
  float* normed;            // [prefillBatch, widest x], or the rows of experts, T > 1
  void* int8;               // the int8 form of these
  uint8_t* scratch;         // scratch_bytes per thread
  uint32_t scratch_bytes;
  uint32_t sorted_rows;     // where in the scratch the rows of experts are sorted, T · top of u32
  uint32_t tile;            // floats per tile; scratch ends with two tiles
  uint32_t widest;          // columns of the widest x
  void* candidates;         // sampler: SAMPLER_TOKEN_BYTES per token of the vocabulary
  uint32_t* marks;          // sampler: [V], zero between draws
  uint32_t stopped;         // set by a step that ends before an op whose experts are not all in memory: its index
  uint32_t clock;           // counts steps, for last_used
  uint32_t expert_uses;     // counted by steps: experts of all layers, each once in a step
  double* times;            // ms of each op and of the sampler: first in steps of one token, then in steps of several
  Sampling sampling;
} Plan;

// The state that the threads share. Each word on which threads wait has a cache line of its own.
typedef struct {
  _Alignas(64) uint32_t epoch;       // number of calls << 8 | threads of this call
  const Plan* plan;
  uint32_t aborted;                  // a thread trapped, so all others must trap
  _Alignas(64) uint32_t generation;  // number of barriers so far
  _Alignas(64) uint32_t arrived;
  _Alignas(64) uint32_t sleepers;
} ThreadPool;
