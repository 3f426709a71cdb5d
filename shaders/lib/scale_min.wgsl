// w = d · code + m (Q4_1, Q5_1), unsigned codes: two halves per row and block.
const CENTRED: f32 = 0.0;
const SCALE: u32 = 2u;
const TOP: u32 = 0u;

// Σ code · x of 4 rows, and Σ x, over the columns of a unit → Σ w · x
fn w_fold(s: Scales, dots: vec4<f32>, sum: f32) -> vec4<f32> {
  let a = half2(s.scale.x);
  let b = half2(s.scale.y);
  let c = half2(s.scale.z);
  let d = half2(s.scale.w);
  return vec4<f32>(a.x, b.x, c.x, d.x) * dots + vec4<f32>(a.y, b.y, c.y, d.y) * sum;
}
