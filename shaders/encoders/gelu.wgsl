// act — v · Φ(v), with the error function to 1.5e-7 (Abramowitz and Stegun 7.1.26). `tail` is half of
// 1 − erf(|v| / √2).
fn act(v: f32) -> f32 {
  let x = abs(v) * 0.707106781;
  let t = 1.0 / (1.0 + 0.3275911 * x);
  let p = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  let tail = 0.5 * p * exp(-x * x);
  return v * select(tail, 1.0 - tail, v > 0.0);
}
