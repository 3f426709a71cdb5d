// tile — of matmul: 64 tokens
fn tile_count(tile: u32) -> u32 { return step.count - min(step.count, 64u * tile); }
fn tile_group(tile: u32) -> u32 { return 0u; }
fn x_row(tile: u32, i: u32) -> u32 { return 64u * tile + i; }
fn y_row(tile: u32, i: u32) -> u32 { return 64u * tile + i; }
