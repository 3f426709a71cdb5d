// BF16 — a unit is 8 columns; a bfloat16 is the upper 16 bits of an f32.
const TILES: u32 = 2u;

fn floats(q: vec4<u32>, k: u32) -> vec4<f32> {
  let a = q[2u * k];
  let b = q[2u * k + 1u];
  return bitcast<vec4<f32>>(vec4<u32>(a << 16u, a & 0xffff0000u, b << 16u, b & 0xffff0000u));
}
