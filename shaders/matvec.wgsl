// matvec — y[t,n] = bias[n] + add[t,n] + Σ_k W[n,k] · norm(x[t])[k], for 1 … 8 tokens
// W [N, K], any weight format · x [T, K] f32 · norm [K], bias [N], add [T, N] f32 → y [T, N] f32
// a workgroup for 4 rows of W, its invocations along K: each takes a unit of the 4 rows (4 loads of 16 bytes in flight, neighbours
// adjacent) and uses every x for 4 rows. Bound by: memory bandwidth for W; for small matrices dispatch latency.
override rows: u32;  // of this part of W
override first: u32; // the row of y it begins with

const VALUES: u32 = COLS + select(0u, (COLS + 3u) / 4u, NORMED);

@compute @workgroup_size(group_size)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let group = wid.y * grid.x + wid.x;
  var total = array<vec4<f32>, VALUES>(); // [t] of the 4 rows, then Σ x² of 4 tokens each
  for (var unit = lid; unit < units; unit += group_size) {
    let u = w_unit(group, unit);
    for (var s = 0u; s < SCALES; s++) {
      // zeroed in words: Tint 156 keeps the array of the iteration before where a bare `var` should be zero
      var dots = array<vec4<f32>, COLS>();
      var sum = array<f32, COLS>();
      for (var k = s * (TILES / SCALES); k < (s + 1u) * (TILES / SCALES); k++) {
        let tile = w_tile(u, k);
        let i = unit * TILES + k;
        let g = gain(i);
        for (var t = 0u; t < COLS; t++) {
          let raw = x_at(t, i);
          let v = raw * g;
          dots[t] += v * tile;
          sum[t] += v.x + v.y + v.z + v.w;
          if (NORMED) { total[COLS + t / 4u][t % 4u] += dot(raw, raw); }
        }
      }
      for (var t = 0u; t < COLS; t++) { total[t] += w_fold(u, s, dots[t], sum[t]); }
    }
  }
  group_sums(&total, lid);
  let t = lid / 4u;
  let n = 4u * group + lid % 4u;
  if (t < min(COLS, count()) && n < rows) {
    var v = sums[t][lid % 4u];
    if (NORMED) { v *= rms(sums[COLS + t / 4u][t % 4u]); }
    put(t, first + n, v);
  }
}
