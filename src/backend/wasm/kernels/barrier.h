// How threads meet. Spinning is short, because with more runnable threads than cores a spinning thread holds up the one it waits for.
#pragma once
#include "plan.h"

#define SPINS 800
#define PATIENCE 60000000000ll  // ns, longer than any op: then a thread has died without a word

static inline uint32_t read(const uint32_t* word) { return __atomic_load_n(word, __ATOMIC_SEQ_CST); }

// Whether *word is still `old` after some 50 µs, about what waking a sleeper costs. Between two looks a chain of square roots leaves the core
// to its other hardware thread; it is carried on and tested, or V8 takes it away.
static int spin(const uint32_t* word, uint32_t old) {
  double pause = 1.5;
  for (int i = 0; i < SPINS; i++) {
    if (read(word) != old || pause < 1) return 0;
    for (int j = 0; j < 8; j++) pause = __builtin_sqrt(pause);
  }
  return 1;
}

static inline void notify(uint32_t* word) { __builtin_wasm_memory_atomic_notify((int32_t*)word, 0xffffffff); }

// No thread passes before all `threads` have come.
static void barrier(Team* team, uint32_t threads) {
  if (threads == 1) return;
  uint32_t generation = read(&team->generation);
  if (__atomic_add_fetch(&team->arrived, 1, __ATOMIC_SEQ_CST) == threads) {
    __atomic_store_n(&team->arrived, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&team->generation, generation + 1, __ATOMIC_SEQ_CST);
    if (read(&team->sleepers)) notify(&team->generation);
  } else if (spin(&team->generation, generation)) {
    __atomic_fetch_add(&team->sleepers, 1, __ATOMIC_SEQ_CST);
    while (read(&team->generation) == generation && !read(&team->aborted))
      if (__builtin_wasm_memory_atomic_wait32((int32_t*)&team->generation, (int32_t)generation, PATIENCE) == 2) __builtin_trap();
    __atomic_fetch_sub(&team->sleepers, 1, __ATOMIC_SEQ_CST);
  }
  if (read(&team->aborted)) __builtin_trap();
}
