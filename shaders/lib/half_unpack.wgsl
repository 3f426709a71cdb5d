// half2 — two halves of a word. Devices that flush subnormal halves (the d of Q6_K often is one) use half_integer.
fn half2(bits: u32) -> vec2<f32> { return unpack2x16float(bits); }
