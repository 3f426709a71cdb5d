// RMSNorm as in norm_vec4, for any number of columns
const NORMED: bool = true;
override eps: f32;

@group(0) @binding(13) var<storage, read> norm: array<f32>;

fn gain(i: u32) -> vec4<f32> {
  return vec4<f32>(norm[4u * i], norm[4u * i + 1u], norm[4u * i + 2u], norm[4u * i + 3u]);
}
fn rms(squares: f32) -> f32 { return inverseSqrt(squares / f32(cols) + eps); }
