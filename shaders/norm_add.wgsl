// norm_add — y[t] = norm ⊙ y[t] / rms(y[t]) + add[t]: the norm after a linear map, and the residual
// norm [cols] f32 · add [T, cols] f32 → y [T, cols] f32
// a workgroup per token. Bound by: dispatch latency at T = 1, else bandwidth.
override cols: u32;
override eps: f32;
override added: bool;

@group(0) @binding(0) var<storage, read> norm: array<f32>;
@group(0) @binding(1) var<storage, read> add: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(group_size)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  if (wid.x >= step.count) { return; }
  let row = wid.x * cols;
  var squares = 0.0;
  for (var i = lid; i < cols; i += group_size) { squares += y[row + i] * y[row + i]; }
  let scale = inverseSqrt(group_sum(squares, lid) / f32(cols) + eps);
  for (var i = lid; i < cols; i += group_size) {
    var v = norm[i] * (y[row + i] * scale);
    if (added) { v += add[row + i]; }
    y[row + i] = v;
  }
}
