// matvec — y[t,n] = bias[n] + add[t,n] + Σ_k W[n,k] · norm(x[t])[k], for 1 … 8 tokens
// W [N, K], any weight format · x [T, K] f32 · norm [K], bias [N], add [T, N] f32 → y [T, N] f32
// a workgroup for MATRICES × 4 rows; its invocations divide K. Each takes a unit of 4 rows of one matrix, or of all
// matrices with `all_matrices`:
// that halves the reads of x, but needs more registers than some GPUs have. Neighbours load adjacent addresses; each x
// serves all rows of an invocation. rows_*, gate_up or in_proj_conv assign the rows and finish their results. Bound by:
// memory bandwidth for W; dispatch latency for small matrices.
override all_matrices: bool = false;

fn multiply(total: ptr<function, array<vec4<f32>, VALUES>>, group: u32, lid: u32) {
  for (var item = lid; item < select(MATRICES, 1u, all_matrices) * x_units; item += group_size) {
    let matrix = select(item / x_units, 0u, all_matrices || MATRICES == 1u);
    let unit = item - matrix * x_units;
    var u = array<Unit, MATRICES>();
    for (var m = 0u; m < select(1u, MATRICES, all_matrices); m++) { u[m] = unit_of(matrix + m, group, unit); }
    // explicit zeros: with a bare `var` Tint 156 keeps the array of the previous iteration
    var dots = array<vec4<f32>, TOKENS * MATRICES>();
    var sum = array<f32, TOKENS>();
    // counts from 0 by 1 to a constant: Tint adds a counter to any other loop, and then no compiler unrolls it
    for (var k = 0u; k < TILES; k++) {
      let i = unit * TILES + k;
      let g = gain(i);
      var tile = array<mat4x4<f32>, MATRICES>();
      for (var m = 0u; m < select(1u, MATRICES, all_matrices); m++) { tile[m] = w_tile(u[m], k); }
      for (var t = 0u; t < TOKENS; t++) {
        let raw = x_at(t, i);
        let v = raw * g;
        for (var m = 0u; m < select(1u, MATRICES, all_matrices); m++) { dots[t * MATRICES + m] += v * tile[m]; }
        sum[t] += v.x + v.y + v.z + v.w;
        if (NORMED && matrix == 0u) { (*total)[SQUARES + t / 4u][t % 4u] += dot(raw, raw); }
      }
    }
    for (var t = 0u; t < TOKENS; t++) {
      for (var m = 0u; m < MATRICES; m++) {
        let own = select(0u, m, all_matrices);
        let value = w_fold(u[own].scaling, dots[t * MATRICES + own], sum[t]);
        (*total)[t * MATRICES + m] += select(vec4<f32>(0.0), value, all_matrices || MATRICES == 1u || m == matrix);
      }
    }
  }
}
