// tile — of matmul: up to 64 entries of one expert. An entry, token · top + slot, is a row of y.
// sorted u32: the number of tiles; the expert, the first entry and the number of entries of each; from list_at on the
// entries by their experts (select_experts.wgsl)
override list_at: u32;
override per_row: u32; // entries that read one row of x

@group(0) @binding(0) var<storage, read> sorted: array<u32>;

fn tile_count(tile: u32) -> u32 {
  if (tile >= sorted[0] || tile_group(tile) >= part) { return 0u; }
  return sorted[3u * tile + 3u];
}
fn tile_group(tile: u32) -> u32 { return first_group(sorted[3u * tile + 1u]); }
fn x_row(tile: u32, i: u32) -> u32 { return y_row(tile, i) / per_row; }
fn y_row(tile: u32, i: u32) -> u32 { return sorted[list_at + sorted[3u * tile + 2u] + i]; }
