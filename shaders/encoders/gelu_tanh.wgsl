// act — v · (1 + tanh(z)) / 2 with z = √(2 / π) · (v + 0.044715 v³), which is v · sigmoid(2z)
fn act(v: f32) -> f32 { return v / (1.0 + exp(min(-1.59576912 * (v + 0.044715 * v * v * v), 80.0))); }
