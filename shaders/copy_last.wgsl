// copy_last — y = x[T − 1]: the row of the last token
// x [T, cols] f32 → y [1, cols] f32
// one thread per column. Bound by: dispatch latency.
override cols: u32;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < cols) { y[id.x] = x[(step.count - 1u) * cols + id.x]; }
}
