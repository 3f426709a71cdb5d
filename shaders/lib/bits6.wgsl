// 6-bit codes (Q6_K): nibbles as in bits5; the two high bits of column 4k + j of the unit are bits 8j + 2k and above of
// one word per row.
// Codes become floats as in bits4.
alias Codes = vec2<u32>;
const HIGH: u32 = 2u;

fn word_of(k: u32) -> u32 { return k % 2u; }
fn high_of(high: vec4<u32>, unit: u32) -> vec4<u32> { return high; }

// the codes of 4 columns as bytes, tile k
const PAIRED: bool = false;
const ZERO: i32 = 32;
fn code_bytes(word: u32, high: u32, k: u32) -> u32 {
  return ((word >> (k / 2u * 4u)) & 0x0f0f0f0fu)
    | (select(high >> (2u * k - 4u), high << (4u - 2u * k), k < 2u) & 0x30303030u);
}

// q − 32 of 4 columns, tile k
fn codes(word: u32, high: u32, k: u32) -> vec4<f32> {
  let b = code_bytes(word, high, k);
  let q = vec4<u32>(b, b, b >> 16u, b >> 16u) & vec4<u32>(0x3fu, 0x3f00u, 0x3fu, 0x3f00u);
  return bitcast<vec4<f32>>(q | vec4<u32>(0x4b000000u, 0x47000000u, 0x4b000000u, 0x47000000u))
    - (vec4<f32>(8388608.0, 32768.0, 8388608.0, 32768.0) + CENTRED * 32.0);
}
