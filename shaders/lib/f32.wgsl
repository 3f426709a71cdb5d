// F32 — a unit is 4 columns.
const TILES: u32 = 1u;

fn floats(q: vec4<u32>, k: u32) -> vec4<f32> { return bitcast<vec4<f32>>(q); }
