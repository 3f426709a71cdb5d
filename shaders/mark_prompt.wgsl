// mark_prompt — counts[v] = SEEN for every token of the prompt; counts is cleared before this
// tokens [contextLength] u32, of which step.prompt count → counts [V] u32
// one thread per position. Bound by: dispatch latency.
override V: u32;

@group(0) @binding(0) var<storage, read> tokens: array<u32>;
@group(0) @binding(1) var<storage, read_write> counts: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let p = id.x;
  if (p >= step.prompt || tokens[p] >= V) { return; }
  counts[tokens[p]] = 0x80000000u; // all threads write the same value
}
