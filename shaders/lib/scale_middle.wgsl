// w = d · (q - RANGE/2) (Q4_0, Q5_0, Q8_0): one half a row and block.
const SCALES: u32 = 1u;
const SCALE: u32 = 1u;
const TOP: u32 = 0u;

// dots Σ (1 + q/RANGE) · x of 4 rows, and Σ x, of the columns under scale s → Σ w · x
fn w_fold(u: Unit, s: u32, dots: vec4<f32>, sum: f32) -> vec4<f32> {
  return RANGE * vec4<f32>(half2(u.scale.x), half2(u.scale.y)) * (dots - 1.5 * sum);
}
