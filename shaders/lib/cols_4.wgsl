// up to 4 tokens at once
const COLS: u32 = 4u;

fn count() -> u32 { return step.count; }
