// w = d · sc · (q - 32) (Q6_K): a signed byte sc a row and 16 columns; a half d a row and 256.
const SCALES: u32 = 2u;
const SCALE: u32 = 1u;
const TOP: u32 = 1u;

fn w_fold(u: Unit, s: u32, dots: vec4<f32>, sum: f32) -> vec4<f32> {
  let sc = vec4<f32>(unpack4xI8(select(u.scale.x, u.scale.y, s > 0u)));
  return RANGE * (vec4<f32>(half2(u.top.x), half2(u.top.y)) * sc) * (dots - 1.5 * sum);
}
