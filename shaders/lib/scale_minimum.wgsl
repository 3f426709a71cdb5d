// w = d · q + m (Q4_1, Q5_1): two halves a row and block.
const SCALES: u32 = 1u;
const SCALE: u32 = 2u;
const TOP: u32 = 0u;

fn w_fold(u: Unit, s: u32, dots: vec4<f32>, sum: f32) -> vec4<f32> {
  let a = half2(u.scale.x);
  let b = half2(u.scale.y);
  let c = half2(u.scale.z);
  let d = half2(u.scale.w);
  return RANGE * vec4<f32>(a.x, b.x, c.x, d.x) * (dots - sum) + vec4<f32>(a.y, b.y, c.y, d.y) * sum;
}
