// activate — y[t] = act(y[t]) + add[t]
// y [T, cols] f32
// one thread per value. Bound by: bandwidth.
override cols: u32;

@group(0) @binding(0) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= cols || id.y >= step.count) { return; }
  let at = id.y * cols + id.x;
  y[at] = act(y[at]) + add_at(at);
}
