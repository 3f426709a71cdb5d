// matvec — y[t,n] = bias[n] + add[t,n] + Σ_k W[n,k] · norm(x[t])[k], for 1 … 8 tokens
// W [N, K], any weight format · x [T, K] f32 · norm [K], bias [N], add [T, N] f32 → y [T, N] f32
// a workgroup for MAPS × 4 rows, its invocations along K: each takes a unit of the rows (4 · MAPS loads of 16 bytes in flight, neighbours
// adjacent) and uses every x for all of them. Which rows, and what becomes of them, is rows_*, gate_up or conv_in.
// Bound by: memory bandwidth for W; for small matrices dispatch latency.
@compute @workgroup_size(group_size)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let group = wid.y * grid.x + wid.x;
  var total = array<vec4<f32>, VALUES>(); // [t][map] of 4 rows, then Σ x² of 4 tokens each
  for (var unit = lid; unit < units; unit += group_size) {
    var u = array<Unit, MAPS>();
    for (var m = 0u; m < MAPS; m++) { u[m] = unit_of(m, group, unit); }
    for (var part = 0u; part < SCALES; part++) {
      // zeroed in words: Tint 156 keeps the array of the iteration before where a bare `var` should be zero
      var dots = array<vec4<f32>, COLS * MAPS>();
      var sum = array<f32, COLS>();
      for (var k = part * (TILES / SCALES); k < (part + 1u) * (TILES / SCALES); k++) {
        let i = unit * TILES + k;
        let g = gain(i);
        var tile = array<mat4x4<f32>, MAPS>();
        for (var m = 0u; m < MAPS; m++) { tile[m] = w_tile(u[m], k); }
        for (var t = 0u; t < COLS; t++) {
          let raw = x_at(t, i);
          let v = raw * g;
          for (var m = 0u; m < MAPS; m++) { dots[t * MAPS + m] += v * tile[m]; }
          sum[t] += v.x + v.y + v.z + v.w;
          if (NORMED) { total[SQUARES + t / 4u][t % 4u] += dot(raw, raw); }
        }
      }
      for (var t = 0u; t < COLS; t++) {
        for (var m = 0u; m < MAPS; m++) { total[t * MAPS + m] += w_fold(u[m].scales, part, dots[t * MAPS + m], sum[t]); }
      }
    }
  }
  write_rows(&total, group, lid);
}
