// 5-bit codes (Q5_0, Q5_1, Q5_K): nibbles as in bits4; the fifth bit of column 4k + j is bit 8j + k of a word, one word a row.
const TILES: u32 = 8u;
const BLOCK_UNITS: u32 = 1u;
const HIGH: u32 = 1u;
const RANGE: f32 = 32.0;

fn four(q: vec4<u32>, high: u32, k: u32) -> vec4<f32> {
  let b = ((q[k & 3u] >> (k & 4u)) & 0x0f0f0f0fu) | (((high >> k) & 0x01010101u) << 4u);
  return bitcast<vec4<f32>>((vec4<u32>(b << 18u, b << 10u, b << 2u, b >> 6u) & vec4<u32>(0x7c0000u)) | vec4<u32>(0x3f800000u));
}

fn w_tile(u: Unit, k: u32) -> mat4x4<f32> {
  return mat4x4<f32>(four(u.q0, u.high0.x, k), four(u.q1, u.high0.y, k), four(u.q2, u.high0.z, k), four(u.q3, u.high0.w, k));
}
