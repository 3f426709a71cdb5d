// 4 rows of W of one of the token's experts; y has the rows of one after those of another
const MATRICES: u32 = 1u;

fn unit_of(matrix: u32, group: u32, unit: u32) -> Unit {
  let start = group_of(group / groups);
  if (start >= part) { return Unit(); }
  return w_unit(start + group % groups, unit);
}

fn finish(t: u32, group: u32, r: u32, v: array<f32, MATRICES>) {
  let n = 4u * group + r;
  if (n < rows && group_of(group / groups) < part) { write_output(t, n, v[0]); }
}
