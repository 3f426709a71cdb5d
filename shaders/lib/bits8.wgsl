// 8-bit codes (Q8_0), offset by 128 when packed: a unit is 16 columns, half a block. Mantissas as in bits4.
const TILES: u32 = 4u;
const BLOCK_UNITS: u32 = 2u;
const HIGH: u32 = 0u;
const RANGE: f32 = 256.0;

fn four(q: vec4<u32>, k: u32) -> vec4<f32> {
  let b = q[k];
  return bitcast<vec4<f32>>((vec4<u32>(b << 15u, b << 7u, b >> 1u, b >> 9u) & vec4<u32>(0x7f8000u)) | vec4<u32>(0x3f800000u));
}

fn w_tile(u: Unit, k: u32) -> mat4x4<f32> { return mat4x4<f32>(four(u.q0, k), four(u.q1, k), four(u.q2, k), four(u.q3, k)); }
