// 5-bit codes (Q5_0, Q5_1, Q5_K): byte j of word i holds column 4i + j in its low nibble and column 8 + 4i + j in its
// high nibble;
// the fifth bit of column 4k + j of the block is bit 8j + k of one word per row. Codes become floats as in bits4.
alias Codes = vec2<u32>;
const HIGH: u32 = 1u;

fn word_of(k: u32) -> u32 { return k % 2u; }
fn high_of(high: vec4<u32>, unit: u32) -> vec4<u32> { return high >> vec4<u32>(unit % 2u * 4u); }

// the codes of 4 columns as bytes, tile k
const PAIRED: bool = false;
const ZERO: i32 = i32(CENTRED) * 16;
fn code_bytes(word: u32, high: u32, k: u32) -> u32 {
  return ((word >> (k / 2u * 4u)) & 0x0f0f0f0fu) | ((high << (4u - k)) & 0x10101010u);
}

// q − 16 · CENTRED of 4 columns, tile k
fn codes(word: u32, high: u32, k: u32) -> vec4<f32> {
  let b = code_bytes(word, high, k);
  let q = vec4<u32>(b, b, b >> 16u, b >> 16u) & vec4<u32>(0x1fu, 0x1f00u, 0x1fu, 0x1f00u);
  return bitcast<vec4<f32>>(q | vec4<u32>(0x4b000000u, 0x47000000u, 0x4b000000u, 0x47000000u))
    - (vec4<f32>(8388608.0, 32768.0, 8388608.0, 32768.0) + CENTRED * 16.0);
}
