// one token: decode, and the head of a prefill
const TOKENS: u32 = 1u;

fn count() -> u32 { return 1u; }
