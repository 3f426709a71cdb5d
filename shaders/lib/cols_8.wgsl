// up to 8 tokens at once
const COLS: u32 = 8u;

fn count() -> u32 { return step.count; }
