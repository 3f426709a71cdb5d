// the same 4 rows of W1 (gate) and W3 (up): silu(gate) · up
const MAPS: u32 = 2u;

fn unit_of(map: u32, group: u32, unit: u32) -> Unit {
  if (map == 0u) { return w_unit(group, unit); }
  return up_unit(group, unit);
}

fn finish(t: u32, group: u32, r: u32, v: array<f32, MAPS>) {
  let n = 4u * group + r;
  if (n < rows) { put(t, first + n, v[0] / (1.0 + exp(-v[0])) * v[1]); }
}
