// 4 rows of W1 (gate) and the same rows of W3 (up): silu(gate) · up
const MATRICES: u32 = 2u;

fn unit_of(matrix: u32, group: u32, unit: u32) -> Unit {
  if (matrix == 0u) { return w_unit(group, unit); }
  return up_unit(group, unit);
}

fn finish(t: u32, group: u32, r: u32, v: array<f32, MATRICES>) {
  let n = 4u * group + r;
  if (n < rows) { write_output(t, first + n, v[0] / (1.0 + exp(-v[0])) * v[1]); }
}
