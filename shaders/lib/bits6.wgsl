// 6-bit codes (Q6_K): nibbles as in bits4; the two high bits of column 16h + 4k + j are at 8j + 2k of a word of half h, one word a row.
const TILES: u32 = 8u;
const BLOCK_UNITS: u32 = 1u;
const HIGH: u32 = 2u;
const RANGE: f32 = 64.0;

fn four(q: vec4<u32>, high: u32, k: u32) -> vec4<f32> {
  let b = ((q[k & 3u] >> (k & 4u)) & 0x0f0f0f0fu) | (((high >> (2u * (k & 3u))) & 0x03030303u) << 4u);
  return bitcast<vec4<f32>>((vec4<u32>(b << 17u, b << 9u, b << 1u, b >> 7u) & vec4<u32>(0x7e0000u)) | vec4<u32>(0x3f800000u));
}

fn w_tile(u: Unit, k: u32) -> mat4x4<f32> {
  let high = select(u.high0, u.high1, k >= 4u);
  return mat4x4<f32>(four(u.q0, high.x, k), four(u.q1, high.y, k), four(u.q2, high.z, k), four(u.q3, high.w, k));
}
