// w = d · code (Q4_0, Q5_0, Q8_0), signed codes: one half per row and block.
const CENTRED: f32 = 1.0;
const SCALE: u32 = 1u;
const TOP: u32 = 0u;

// Σ code · x of 4 rows, and Σ x, over the columns of a unit → Σ w · x
fn w_fold(s: Scales, dots: vec4<f32>, sum: f32) -> vec4<f32> {
  return vec4<f32>(half2(s.scale.x), half2(s.scale.y)) * dots;
}
