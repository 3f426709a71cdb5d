// matvec_int8 — matvec for devices with an instruction for four products of bytes. Each invocation rounds the
// activations of its unit to int8 with a scale of their own, so that no dispatch is added; the codes of W stay
// integers.
// Bound by: memory bandwidth for W; it saves the conversion of codes to floats, which is the limit on some GPUs.
requires packed_4x8_integer_dot_product;
// two tiles of x as bytes, in the order of code_bytes
fn tile_pair(a: vec4<f32>, b: vec4<f32>) -> vec2<u32> {
  let p = vec4<i32>(round(a));
  let q = vec4<i32>(round(b));
  if (PAIRED) { return vec2<u32>(pack4xI8(vec4<i32>(p.xz, q.xz)), pack4xI8(vec4<i32>(p.yw, q.yw))); }
  return vec2<u32>(pack4xI8(p), pack4xI8(q));
}

fn multiply(total: ptr<function, array<vec4<f32>, VALUES>>, group: u32, lid: u32) {
  for (var unit = lid; unit < x_units; unit += group_size) {
    var u = array<Unit, MATRICES>();
    for (var m = 0u; m < MATRICES; m++) { u[m] = unit_of(m, group, unit); }
    for (var t = 0u; t < TOKENS; t++) {
      var v = array<vec4<f32>, TILES>();
      var top = vec4<f32>();
      for (var k = 0u; k < TILES; k++) {
        let i = unit * TILES + k;
        let raw = x_at(t, i);
        v[k] = raw * gain(i);
        top = max(top, abs(v[k]));
        if (NORMED) { (*total)[SQUARES + t / 4u][t % 4u] += dot(raw, raw); }
      }
      let largest = max(max(top.x, top.y), max(top.z, top.w));
      let inverse = select(0.0, 127.0 / largest, largest > 1e-30);
      var q = array<u32, TILES>();
      for (var k = 0u; k < TILES / 2u; k++) {
        let two = tile_pair(v[2u * k] * inverse, v[2u * k + 1u] * inverse);
        q[2u * k] = two.x;
        q[2u * k + 1u] = two.y;
      }
      var dots = array<vec4<i32>, MATRICES>();
      var sum = i32(0u); // not a bare `var`: see matvec
      for (var k = 0u; k < TILES; k++) {
        let i = word_of(k);
        sum += dot4I8Packed(q[k], 0x01010101u);
        for (var m = 0u; m < MATRICES; m++) {
          dots[m] += vec4<i32>(
            dot4I8Packed(code_bytes(u[m].q0[i], u[m].high.x, k), q[k]),
            dot4I8Packed(code_bytes(u[m].q1[i], u[m].high.y, k), q[k]),
            dot4I8Packed(code_bytes(u[m].q2[i], u[m].high.z, k), q[k]),
            dot4I8Packed(code_bytes(u[m].q3[i], u[m].high.w, k), q[k]));
        }
      }
      let scale = largest / 127.0;
      for (var m = 0u; m < MATRICES; m++) {
        (*total)[t * MATRICES + m] += w_fold(u[m].scaling, vec4<f32>(dots[m] - ZERO * sum) * scale, f32(sum) * scale);
      }
    }
  }
}
