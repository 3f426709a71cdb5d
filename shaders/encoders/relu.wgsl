// act — max(v, 0)
fn act(v: f32) -> f32 { return max(v, 0.0); }
