// add [T, cols] f32
@group(0) @binding(12) var<storage, read> add: array<f32>;

fn add_at(i: u32) -> f32 { return add[i]; }
