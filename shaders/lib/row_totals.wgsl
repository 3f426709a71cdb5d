// row_totals — what the invocations of matvec and matvec_integer have for their rows is added up, scaled by the norm and written
override rows: u32;  // of this part of W
override first: u32; // the row of y it begins with

const SQUARES: u32 = COLS * MAPS; // where in `total` Σ x² begins
const VALUES: u32 = SQUARES + select(0u, (COLS + 3u) / 4u, NORMED);

fn write_rows(total: ptr<function, array<vec4<f32>, VALUES>>, group: u32, lid: u32) {
  group_sums(total, lid);
  let t = lid / 4u;
  let r = lid % 4u;
  if (t < min(COLS, count())) {
    var scale = 1.0;
    if (NORMED) { scale = rms(sums[SQUARES + t / 4u][t % 4u]); }
    var v = array<f32, MAPS>();
    for (var m = 0u; m < MAPS; m++) { v[m] = sums[t * MAPS + m][r] * scale; }
    finish(t, group, r, v);
  }
}
