// 4 rows of W per workgroup
const MATRICES: u32 = 1u;

fn unit_of(matrix: u32, group: u32, unit: u32) -> Unit { return w_unit(group, unit); }

fn finish(t: u32, group: u32, r: u32, v: array<f32, MATRICES>) {
  let n = 4u * group + r;
  if (n < rows) { write_output(t, first + n, v[0]); }
}
