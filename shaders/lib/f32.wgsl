// F32 — a unit is 4 columns.
const TILES: u32 = 1u;
const SCALES: u32 = 1u;

fn w_tile(u: Unit, k: u32) -> mat4x4<f32> {
  return mat4x4<f32>(bitcast<vec4<f32>>(u.q0), bitcast<vec4<f32>>(u.q1), bitcast<vec4<f32>>(u.q2), bitcast<vec4<f32>>(u.q3));
}

fn w_fold(u: Unit, s: u32, dots: vec4<f32>, sum: f32) -> vec4<f32> { return dots; }
