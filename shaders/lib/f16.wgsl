// F16 — a unit is 8 columns.
const TILES: u32 = 2u;
const SCALES: u32 = 1u;

fn four(q: vec4<u32>, k: u32) -> vec4<f32> { return vec4<f32>(half2(q[2u * k]), half2(q[2u * k + 1u])); }

fn w_tile(u: Unit, k: u32) -> mat4x4<f32> { return mat4x4<f32>(four(u.q0, k), four(u.q1, k), four(u.q2, k), four(u.q3, k)); }

fn w_fold(u: Unit, s: u32, dots: vec4<f32>, sum: f32) -> vec4<f32> { return dots; }
