// w = d · sc · code (Q6_K), signed codes: a signed byte sc per row and 16 columns; a half d per row and 256 columns.
const CENTRED: f32 = 1.0;
const SCALE: u32 = 0u;
const TOP: u32 = 1u;

// Σ code · x of 4 rows, and Σ x, over the columns of a unit → Σ w · x
fn w_fold(s: Scales, dots: vec4<f32>, sum: f32) -> vec4<f32> {
  let sc = vec4<f32>(unpack4xI8(s.scale.x));
  return vec4<f32>(half2(s.top.x), half2(s.top.y)) * sc * dots;
}
