// 4 rows of W a workgroup
const MAPS: u32 = 1u;

fn unit_of(map: u32, group: u32, unit: u32) -> Unit { return w_unit(group, unit); }

fn finish(t: u32, group: u32, r: u32, v: array<f32, MAPS>) {
  let n = 4u * group + r;
  if (n < rows) { put(t, first + n, v[0]); }
}
