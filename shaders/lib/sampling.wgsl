// The parameters of a draw: SamplingParams (src/backend/sampling.ts) and what is derived from them. counts[v] is 0 for
// a token that did not occur, else SEEN + its count in the output.
struct Sampling {
  temperature: f32,
  top_k: u32,
  top_p: f32,
  min_p: f32,
  repetition_penalty: f32,
  frequency_penalty: f32,
  presence_penalty: f32,
  seed: u32,
  penalises: u32, // whether any penalty changes something
  bias: u32,      // whether there is a bias
  mask: u32,      // whether there is a mask
}

@group(0) @binding(12) var<uniform> sampling: Sampling;

const SEEN = 0x80000000u;
const DROPPED = -3.4e38; // the logit of a token outside the mask
