// F16 — a unit is 8 columns.
const TILES: u32 = 2u;

fn floats(q: vec4<u32>, k: u32) -> vec4<f32> { return vec4<f32>(half2(q[2u * k]), half2(q[2u * k + 1u])); }
