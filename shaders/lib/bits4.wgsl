// 4-bit codes (Q4_0, Q4_1, Q4_K): nibble j of word i is column 8i + j.
// A code becomes a float in the mantissa of a power of two: 2^23 | q = 2^23 + q, and subtracting 2^23 is exact. That
// avoids conversions from integers and takes one shift for four codes; both are slow on many GPUs.
alias Codes = vec2<u32>;
const HIGH: u32 = 0u;

fn word_of(k: u32) -> u32 { return k / 2u; }
fn high_of(high: vec4<u32>, unit: u32) -> vec4<u32> { return high; }

// q − ZERO of 4 columns, tile k
fn codes(word: u32, high: u32, k: u32) -> vec4<f32> {
  let q = vec4<u32>(word >> (k % 2u * 16u)) & vec4<u32>(0xfu, 0xf0u, 0xf00u, 0xf000u);
  return bitcast<vec4<f32>>(q | vec4<u32>(0x4b000000u, 0x49000000u, 0x47000000u, 0x45000000u))
    - (vec4<f32>(8388608.0, 524288.0, 32768.0, 2048.0) + CENTRED * 8.0);
}

// for matvec_int8: 4 codes as bytes, those of the even columns of 8 when k is even, else those of the odd columns
const PAIRED: bool = true;
const ZERO: i32 = i32(CENTRED) * 8;
fn code_bytes(word: u32, high: u32, k: u32) -> u32 { return (word >> (k % 2u * 4u)) & 0x0f0f0f0fu; }
