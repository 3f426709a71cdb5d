// x_at — columns 4i … 4i + 3 of row t of the activation x [T, cols], if cols is a multiple of a unit.
override cols: u32;

@group(0) @binding(12) var<storage, read> x: array<vec4<f32>>;

fn x_at(t: u32, i: u32) -> vec4<f32> { return x[t * (cols / 4u) + i]; }
