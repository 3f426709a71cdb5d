// sequence_of — the tokens first … end − 1 of this call that token t reads: all
fn sequence_of(t: u32) -> vec2<u32> { return vec2<u32>(0u, step.count); }
