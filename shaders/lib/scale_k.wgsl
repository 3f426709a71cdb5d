// w = d · sc · q - dmin · m (Q4_K, Q5_K): 6-bit sc and m a row and 32 columns, as bytes of the 4 rows; halves d and dmin a row and 256.
const SCALES: u32 = 1u;
const SCALE: u32 = 1u;
const TOP: u32 = 2u;

fn w_fold(u: Unit, s: u32, dots: vec4<f32>, sum: f32) -> vec4<f32> {
  let a = half2(u.top.x);
  let b = half2(u.top.y);
  let c = half2(u.top.z);
  let d = half2(u.top.w);
  let sc = vec4<f32>(unpack4xU8(u.scale.x));
  let m = vec4<f32>(unpack4xU8(u.scale.y));
  return RANGE * (vec4<f32>(a.x, b.x, c.x, d.x) * sc) * (dots - sum) - (vec4<f32>(a.y, b.y, c.y, d.y) * m) * sum;
}
