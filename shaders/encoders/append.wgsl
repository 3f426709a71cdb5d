// append — ring[(position + t) mod R, c] = x[t,c] for the last R tokens: the state of a convolution without gates
// x [T, D] f32 → ring [R, D] f32
// one thread per channel and token. Bound by: dispatch latency.
override D: u32;
override R: u32; // a power of two

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> ring: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= D || id.y >= step.count || id.y + R < step.count) { return; }
  ring[((step.position + id.y) & (R - 1u)) * D + id.x] = x[id.y * D + id.x];
}
