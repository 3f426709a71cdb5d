// 8 rows of W a workgroup, which halves the reads of x
const MAPS: u32 = 2u;

fn unit_of(map: u32, group: u32, unit: u32) -> Unit { return w_unit(2u * group + map, unit); }

fn finish(t: u32, group: u32, r: u32, v: array<f32, MAPS>) {
  let n = 8u * group + r;
  if (n < rows) { put(t, first + n, v[0]); }
  if (n + 4u < rows) { put(t, first + n + 4u, v[1]); }
}
