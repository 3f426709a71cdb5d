// 4 rows of W2 of all of the token's experts, for which x has one row after the other: the weights of the experts are
// gains of x, so that one sum is over all
const MATRICES: u32 = 1u;
const NORMED: bool = false;

fn gain(i: u32) -> vec4<f32> { return vec4<f32>(chosen[top + i / (units * TILES)]); }
fn rms(squares: f32) -> f32 { return 1.0; }

fn unit_of(matrix: u32, group: u32, unit: u32) -> Unit {
  let start = group_of(unit / units);
  if (start >= part) { return Unit(); }
  return w_unit(start + group, unit % units);
}

fn finish(t: u32, group: u32, r: u32, v: array<f32, MATRICES>) {
  let n = 4u * group + r;
  if (n < rows) { write_output(t, n, v[0]); }
}
