// The barrier between ops. Threads spin only briefly: with more threads than cores, a spinning thread delays the one it
// waits for.
#pragma once
#include "plan.h"

#define SPINS 800
#define BARRIER_TIMEOUT 60000000000ll  // ns, longer than any op: after it a thread must have died

static inline uint32_t read(const uint32_t* word) { return __atomic_load_n(word, __ATOMIC_SEQ_CST); }

// Whether *word is still `old` after about 50 µs, the cost of waking a thread. Between two reads a chain of square
// roots leaves the core to its other hardware thread; the result is tested, so that V8 keeps it.
static int spin(const uint32_t* word, uint32_t old) {
  double pause = 1.5;
  for (int i = 0; i < SPINS; i++) {
    if (read(word) != old || pause < 1) return 0;
    for (int j = 0; j < 8; j++) pause = __builtin_sqrt(pause);
  }
  return 1;
}

static inline void notify(uint32_t* word) { __builtin_wasm_memory_atomic_notify((int32_t*)word, 0xffffffff); }

// Waits until all `threads` have arrived.
static void barrier(ThreadPool* pool, uint32_t threads) {
  if (threads == 1) return;
  uint32_t generation = read(&pool->generation);
  if (__atomic_add_fetch(&pool->arrived, 1, __ATOMIC_SEQ_CST) == threads) {
    __atomic_store_n(&pool->arrived, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&pool->generation, generation + 1, __ATOMIC_SEQ_CST);
    if (read(&pool->sleepers)) notify(&pool->generation);
  } else if (spin(&pool->generation, generation)) {
    __atomic_fetch_add(&pool->sleepers, 1, __ATOMIC_SEQ_CST);
    while (read(&pool->generation) == generation && !read(&pool->aborted))
      if (__builtin_wasm_memory_atomic_wait32((int32_t*)&pool->generation, (int32_t)generation, BARRIER_TIMEOUT) == 2) __builtin_trap();
    __atomic_fetch_sub(&pool->sleepers, 1, __ATOMIC_SEQ_CST);
  }
  if (read(&pool->aborted)) __builtin_trap();
}
