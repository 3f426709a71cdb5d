// advance_step — the end of a step: stores the drawn token where the next step reads it, counts it, and advances the
// position. It is linked with the struct Step of lib/step, not with the uniform.
@group(0) @binding(24) var<storage, read_write> counts: array<u32>;
@group(0) @binding(25) var<storage, read_write> tokens: array<u32>;
@group(0) @binding(26) var<storage, read_write> step: Step;

var<workgroup> drawn: u32;

// called by one invocation
fn advance_step(token: u32) {
  drawn = token;
  let next = step.position + step.count;
  tokens[next] = token;
  counts[token] = (counts[token] | SEEN) + 1u;
  step.position = next;
  step.count = 1u;
}
