// w = d · sc · code (Q3_K), signed codes: a signed byte sc per row and 16 columns; a half d, and another without use,
// per row and 256 columns.
const CENTRED: f32 = 1.0;
const SCALE: u32 = 0u;
const TOP: u32 = 2u;

// Σ code · x of 4 rows, and Σ x, over the columns of a unit → Σ w · x
fn w_fold(s: Scales, dots: vec4<f32>, sum: f32) -> vec4<f32> {
  let sc = vec4<f32>(unpack4xI8(s.scale.x));
  return vec4<f32>(half2(s.top.x).x, half2(s.top.y).x, half2(s.top.z).x, half2(s.top.w).x) * sc * dots;
}
