// 8 rows of W per workgroup, which halves the reads of x
const MATRICES: u32 = 2u;

fn unit_of(matrix: u32, group: u32, unit: u32) -> Unit { return w_unit(2u * group + matrix, unit); }

fn finish(t: u32, group: u32, r: u32, v: array<f32, MATRICES>) {
  let n = 8u * group + r;
  if (n < rows) { write_output(t, first + n, v[0]); }
  if (n + 4u < rows) { write_output(t, first + n + 4u, v[1]); }
}
