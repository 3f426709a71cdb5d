// The parameters of a draw (src/backend/sampling.ts). counts[v] is 0 for a token that did not occur, else SEEN + its count in the output.
struct Sampling {
  temperature: f32,
  top_k: u32,
  top_p: f32,
  min_p: f32,
  repetition: f32,
  frequency: f32,
  presence: f32,
  seed: u32,
  penalises: u32,
  biased: u32,
  masked: u32,
  reserved: u32,
}

@group(0) @binding(12) var<uniform> sampling: Sampling;

const SEEN = 0x80000000u;
const DROPPED = -3.4e38; // the logit of a token outside the mask
