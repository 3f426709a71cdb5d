// layer_norm — y[t] = weight ⊙ (x[t] − mean) / sqrt(var + eps) + bias
// x [T, cols] f32 · weight [cols], bias [cols] f32 → y [T, cols] f32
// a workgroup per token reads it three times: a variance from the mean of the squares would lose digits. Bound by:
// bandwidth.
override cols: u32;
override eps: f32;
override biased: bool;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(group_size)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  if (wid.x >= step.count) { return; }
  let row = wid.x * cols;
  var sum = 0.0;
  for (var i = lid; i < cols; i += group_size) { sum += x[row + i]; }
  let mean = group_sum(sum, lid) / f32(cols);
  var squares = 0.0;
  for (var i = lid; i < cols; i += group_size) {
    let d = x[row + i] - mean;
    squares += d * d;
  }
  let scale = inverseSqrt(group_sum(squares, lid) / f32(cols) + eps);
  for (var i = lid; i < cols; i += group_size) {
    var v = weight[i] * ((x[row + i] - mean) * scale);
    if (biased) { v += bias[i]; }
    y[row + i] = v;
  }
}
