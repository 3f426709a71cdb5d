// up to 8 tokens
const TOKENS: u32 = 8u;

fn count() -> u32 { return step.count; }
