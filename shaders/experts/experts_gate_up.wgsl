// 4 rows of W1 (gate) and the same rows of W3 (up) of one of the token's experts: silu(gate) · up, as in experts_rows
const MATRICES: u32 = 2u;

fn unit_of(matrix: u32, group: u32, unit: u32) -> Unit {
  let start = group_of(group / groups);
  if (start >= part) { return Unit(); }
  if (matrix == 0u) { return w_unit(start + group % groups, unit); }
  return up_unit(start + group % groups, unit);
}

fn finish(t: u32, group: u32, r: u32, v: array<f32, MATRICES>) {
  let n = 4u * group + r;
  if (n < rows && group_of(group / groups) < part) { write_output(t, n, v[0] / (1.0 + exp(-v[0])) * v[1]); }
}
