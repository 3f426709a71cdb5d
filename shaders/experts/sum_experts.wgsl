// sum_experts — y[t, n] = Σ_j g[t, j] · x[t·top + j, n] + add[t, n], with the weights g of select_experts
// chosen [T, 2·top], x [T·top, cols], add [T, cols] f32 → y [T, cols] f32
override cols: u32;
override top: u32;

@group(0) @binding(0) var<storage, read> chosen: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let n = id.x;
  let t = id.y;
  if (n >= cols || t >= step.count) { return; }
  var sum = 0.0;
  for (var j = 0u; j < top; j++) { sum += chosen[2u * top * t + top + j] * x[(t * top + j) * cols + n]; }
  write_output(t, n, sum);
}
