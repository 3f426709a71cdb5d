// act — v · sigmoid(v)
fn act(v: f32) -> f32 { return v / (1.0 + exp(min(-v, 80.0))); }
