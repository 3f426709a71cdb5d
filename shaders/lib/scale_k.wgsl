// w = d · sc · code − dmin · m (Q4_K, Q5_K), unsigned codes. 6-bit sc and m per row and 32 columns are bytes, one for
// each of 4 rows; halves d and dmin per row and 256 columns.
const CENTRED: f32 = 0.0;
const SCALE: u32 = 1u;
const TOP: u32 = 2u;

// Σ code · x of 4 rows, and Σ x, over the columns of a unit → Σ w · x
fn w_fold(s: Scales, dots: vec4<f32>, sum: f32) -> vec4<f32> {
  let a = half2(s.top.x);
  let b = half2(s.top.y);
  let c = half2(s.top.z);
  let d = half2(s.top.w);
  let sc = vec4<f32>(unpack4xU8(s.scale.x));
  let m = vec4<f32>(unpack4xU8(s.scale.y));
  return vec4<f32>(a.x, b.x, c.x, d.x) * sc * dots - vec4<f32>(a.y, b.y, c.y, d.y) * m * sum;
}
