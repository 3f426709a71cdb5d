// 4-bit codes that are places in TABLE: nibble j of word i is column 8i + j, as in bits4. The entries are signed bytes,
// four in a word.
alias Codes = vec2<u32>;
const HIGH: u32 = 0u;

fn word_of(k: u32) -> u32 { return k / 2u; }
fn high_of(high: vec4<u32>, unit: u32) -> vec4<u32> { return high; }

// the entries of the lowest nibbles of 4 numbers
fn entries(q: vec4<u32>) -> vec4<i32> {
  let place = q & vec4<u32>(15u);
  let words = vec4<u32>(TABLE[place.x / 4u], TABLE[place.y / 4u], TABLE[place.z / 4u], TABLE[place.w / 4u]);
  return bitcast<vec4<i32>>(words << (vec4<u32>(24u) - place % 4u * 8u)) >> vec4<u32>(24u);
}

// the entries of 4 columns, tile k
fn codes(word: u32, high: u32, k: u32) -> vec4<f32> {
  return vec4<f32>(entries(vec4<u32>(word >> (k % 2u * 16u)) >> vec4<u32>(0u, 4u, 8u, 12u)));
}

// for matvec_int8: 4 entries as bytes, those of the even columns of 8 when k is even, else those of the odd columns
const PAIRED: bool = true;
const ZERO: i32 = 0;
fn code_bytes(word: u32, high: u32, k: u32) -> u32 {
  return pack4xI8(entries(vec4<u32>(word >> (k % 2u * 4u)) >> vec4<u32>(0u, 8u, 16u, 24u)));
}
