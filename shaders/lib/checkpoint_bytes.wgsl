// word, byte — reads bytes at any offset of a slice of checkpoint rows; slice describes those rows.
struct Slice {
  group: u32,     // the first group of 4 rows in the packed matrix
  rows: u32,      // rows of the slice
  row_bytes: u32,
  units: u32,     // units, high_at, top_at: of the packed matrix, as in weights_block
  high_at: u32,
  top_at: u32,
}

@group(0) @binding(12) var<uniform> slice: Slice;
@group(0) @binding(13) var<storage, read> raw: array<u32>;

fn word(at: u32) -> u32 {
  let shift = at % 4u * 8u;
  if (shift == 0u) { return raw[at / 4u]; }
  return (raw[at / 4u] >> shift) | (raw[at / 4u + 1u] << (32u - shift));
}

fn byte(at: u32) -> u32 { return (raw[at / 4u] >> (at % 4u * 8u)) & 255u; }
