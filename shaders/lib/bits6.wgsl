// 6-bit codes (Q6_K): a unit is 32 columns, nibbles as in bits5; the two high bits of column 16h + 4k + j are at 8j + 2k of word h of
// two words a row. Codes become floats as in bits4.
const TILES: u32 = 8u;
const BLOCK_UNITS: u32 = 1u;
const HIGH: u32 = 2u;

fn word_of(k: u32) -> u32 { return k % 4u; }
fn high_of(high0: vec4<u32>, high1: vec4<u32>, k: u32) -> vec4<u32> { return select(high0, high1, k >= 4u); }

// the codes of 4 columns as bytes, tile k
const PAIRED: bool = false;
const ZERO: i32 = 32;
fn code_bytes(word: u32, high: u32, k: u32) -> u32 {
  let j = k % 4u * 2u;
  return ((word >> (k & 4u)) & 0x0f0f0f0fu) | (select(high >> (j - 4u), high << (4u - j), j < 4u) & 0x30303030u);
}

// q − 32 of 4 columns, tile k
fn codes(word: u32, high: u32, k: u32) -> vec4<f32> {
  let b = code_bytes(word, high, k);
  let q = vec4<u32>(b, b, b >> 16u, b >> 16u) & vec4<u32>(0x3fu, 0x3f00u, 0x3fu, 0x3f00u);
  return bitcast<vec4<f32>>(q | vec4<u32>(0x4b000000u, 0x47000000u, 0x4b000000u, 0x47000000u)) - (vec4<f32>(8388608.0, 32768.0, 8388608.0, 32768.0) + CENTRED * 32.0);
}
