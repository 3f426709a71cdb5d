// matvec — y[t,n] = bias[n] + add[t,n] + Σ_k W[n,k] · norm(x[t])[k], for 1 … 8 tokens
// W [N, K], any weight format · x [T, K] f32 · norm [K], bias [N], add [T, N] f32 → y [T, N] f32
// a workgroup for MAPS × 4 rows, its invocations along K: each takes a unit of 4 rows, or of all with `together`, which halves the reads of x
// and more but keeps more in registers than some GPUs have. Neighbours load adjacent addresses, and every x serves all rows of an invocation.
// Which rows, and what becomes of them, is rows_*, gate_up or conv_in. Bound by: memory bandwidth for W; for small matrices dispatch latency.
override together: bool = false;

fn multiply(total: ptr<function, array<vec4<f32>, VALUES>>, group: u32, lid: u32) {
  for (var item = lid; item < select(MAPS, 1u, together) * units; item += group_size) {
    let map = select(item / units, 0u, together || MAPS == 1u);
    let unit = item - map * units;
    var u = array<Unit, MAPS>();
    for (var m = 0u; m < select(1u, MAPS, together); m++) { u[m] = unit_of(map + m, group, unit); }
    // zeroed in words: Tint 156 keeps the array of the iteration before where a bare `var` should be zero
    var dots = array<vec4<f32>, COLS * MAPS>();
    var sum = array<f32, COLS>();
    // from 0 to a constant by 1: Tint gives any other loop a counter of its own, and then no compiler unrolls it
    for (var k = 0u; k < TILES; k++) {
      let i = unit * TILES + k;
      let g = gain(i);
      var tile = array<mat4x4<f32>, MAPS>();
      for (var m = 0u; m < select(1u, MAPS, together); m++) { tile[m] = w_tile(u[m], k); }
      for (var t = 0u; t < COLS; t++) {
        let raw = x_at(t, i);
        let v = raw * g;
        for (var m = 0u; m < select(1u, MAPS, together); m++) { dots[t * MAPS + m] += v * tile[m]; }
        sum[t] += v.x + v.y + v.z + v.w;
        if (NORMED && map == 0u) { (*total)[SQUARES + t / 4u][t % 4u] += dot(raw, raw); }
      }
    }
    for (var t = 0u; t < COLS; t++) {
      for (var m = 0u; m < MAPS; m++) {
        let own = select(0u, m, together);
        let value = w_fold(u[own].scaling, dots[t * MAPS + own], sum[t]);
        (*total)[t * MAPS + m] += select(vec4<f32>(0.0), value, together || MAPS == 1u || m == map);
      }
    }
  }
}
