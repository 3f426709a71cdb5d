// 4-bit codes (Q4_0, Q4_1, Q4_K): a unit is 32 columns; byte j of 16 holds column j in its low nibble and column j + 16 in its high one.
// A code q is laid into the mantissa of 1 + q/16, which needs no conversion of integers; w_fold takes the 1 off by the sum of the x.
const TILES: u32 = 8u;
const BLOCK_UNITS: u32 = 1u;
const HIGH: u32 = 0u;
const RANGE: f32 = 16.0;

fn four(q: vec4<u32>, k: u32) -> vec4<f32> {
  let b = q[k & 3u] >> (k & 4u);
  return bitcast<vec4<f32>>((vec4<u32>(b << 19u, b << 11u, b << 3u, b >> 5u) & vec4<u32>(0x780000u)) | vec4<u32>(0x3f800000u));
}

fn w_tile(u: Unit, k: u32) -> mat4x4<f32> { return mat4x4<f32>(four(u.q0, k), four(u.q1, k), four(u.q2, k), four(u.q3, k)); }
