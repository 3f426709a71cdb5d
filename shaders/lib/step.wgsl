// step — scalars of the step under way; the host writes them before a prefill, the sampling kernel between decode steps.
// A uniform: it costs none of the eight storage bindings, and barriers may depend on it. Libraries take bindings from 12 up.
struct Step {
  position: u32, // of the first token of this step
  count: u32,    // tokens, T of the maths
  prompt: u32,   // tokens at positions below this are prompt, for the penalties
  reserved: u32,
}

@group(0) @binding(15) var<uniform> step: Step;
