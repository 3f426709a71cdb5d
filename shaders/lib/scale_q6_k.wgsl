// w = d · sc · code (Q6_K), codes around 0: a signed byte sc a row and 16 columns; a half d a row and 256.
const CENTRED: f32 = 1.0;
const SCALES: u32 = 2u; // a unit
const SCALE: u32 = 1u;
const TOP: u32 = 1u;

// Σ code · x of 4 rows, and Σ x, over the columns under scale `part` of the unit → Σ w · x
fn w_fold(s: Scales, part: u32, dots: vec4<f32>, sum: f32) -> vec4<f32> {
  let sc = vec4<f32>(unpack4xI8(select(s.scale.x, s.scale.y, part > 0u)));
  return vec4<f32>(half2(s.top.x), half2(s.top.y)) * sc * dots;
}
