// row_totals — what the invocations of matvec and matvec_integer have for their rows, added up, is scaled by the norm and written
override rows: u32;  // of this part of W
override first: u32; // the row of y it begins with

// `total` and `sums`: [t][map] of 4 rows, then Σ x² of 4 tokens each
const SQUARES: u32 = COLS * MAPS;
const VALUES: u32 = SQUARES + select(0u, (COLS + 3u) / 4u, NORMED);

fn write_rows(group: u32, lid: u32) {
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
