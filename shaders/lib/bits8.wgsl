// 8-bit codes (Q8_0), offset by 128 when packed. Codes become floats as in bits4.
alias Codes = vec4<u32>;
const HIGH: u32 = 0u;

fn word_of(k: u32) -> u32 { return k; }
fn high_of(high: vec4<u32>, unit: u32) -> vec4<u32> { return high; }

// q − 128 of 4 columns, tile k
fn codes(word: u32, high: u32, k: u32) -> vec4<f32> {
  let q = vec4<u32>(word, word, word >> 16u, word >> 16u) & vec4<u32>(0xffu, 0xff00u, 0xffu, 0xff00u);
  return bitcast<vec4<f32>>(q | vec4<u32>(0x4b000000u, 0x47000000u, 0x4b000000u, 0x47000000u))
    - (vec4<f32>(8388608.0, 32768.0, 8388608.0, 32768.0) + CENTRED * 128.0);
}

// for matvec_int8: the codes of 4 columns as signed bytes, tile k
const PAIRED: bool = false;
const ZERO: i32 = 0;
fn code_bytes(word: u32, high: u32, k: u32) -> u32 { return word ^ 0x80808080u; }
