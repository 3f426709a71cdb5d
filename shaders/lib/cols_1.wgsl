// one token: decode, and the head
const COLS: u32 = 1u;

fn count() -> u32 { return 1u; }
