// step — scalars of the current step. The host writes them before a prefill, the sampling kernel between decode steps.
// As a uniform it takes none of the eight storage bindings, and barriers may depend on it. Libraries have bindings from
// 12 up.
struct Step {
  position: u32, // of the first token of this step
  count: u32,    // tokens of this step, T
  prompt: u32,   // tokens at positions below this are prompt, for the penalties
}

@group(0) @binding(15) var<uniform> step: Step;
