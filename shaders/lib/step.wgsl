// step — scalars of the current step. The host writes them before a prefill, the sampling kernel between decode steps.
// As a uniform it takes none of the eight storage bindings, and barriers may depend on it. Libraries have bindings from
// 12 up.
struct Step {
  position: u32, // of the first token of this step
  count: u32,    // tokens of this step, T
  prompt: u32,   // tokens at positions below this are prompt, for the penalties
}

@group(0) @binding(15) var<uniform> step: Step;

override window = 0xffffffffu; // positions that a token attends to, itself among them

// row t of this step attends to the positions from first_key(t) to before end_key(t)
fn end_key(t: u32) -> u32 { return step.position + t + 1u; }
fn first_key(t: u32) -> u32 { return end_key(t) - min(end_key(t), window); }
