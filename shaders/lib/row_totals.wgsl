// write_rows — scales the row sums of matvec and matvec_int8 by the norm and writes them
override rows: u32;  // of this part of W
override first: u32; // its first row in y

// `total` and `sums`: [t][map] of 4 rows, then Σ x² of 4 tokens each
const SQUARES: u32 = TOKENS * MATRICES;
const VALUES: u32 = SQUARES + select(0u, (TOKENS + 3u) / 4u, NORMED);

fn write_rows(group: u32, lid: u32) {
  let t = lid / 4u;
  let r = lid % 4u;
  if (t < min(TOKENS, count())) {
    var scale = 1.0;
    if (NORMED) { scale = rms(sums[SQUARES + t / 4u][t % 4u]); }
    var v = array<f32, MATRICES>();
    for (var m = 0u; m < MATRICES; m++) { v[m] = sums[t * MATRICES + m][r] * scale; }
    finish(t, group, r, v);
  }
}
