// up to 2 tokens at once
const COLS: u32 = 2u;

fn count() -> u32 { return step.count; }
