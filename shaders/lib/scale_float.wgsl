// w = d · code (formats with a table), signed codes: one float per row and block.
const SCALE: u32 = 2u;
const TOP: u32 = 0u;

// Σ code · x of 4 rows, and Σ x, over the columns of a unit → Σ w · x
fn w_fold(s: Scales, dots: vec4<f32>, sum: f32) -> vec4<f32> { return bitcast<vec4<f32>>(s.scale) * dots; }
