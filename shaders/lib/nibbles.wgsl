// pack_nibbles — the low nibbles of 8 bytes as one word, nibble j from byte j
fn pack_nibbles(a: u32, b: u32) -> u32 { return low_nibbles(a) | (low_nibbles(b) << 16u); }

fn low_nibbles(word: u32) -> u32 {
  let pairs = ((word & 0x0f0f0f0fu) | ((word & 0x0f0f0f0fu) >> 4u)) & 0x00ff00ffu;
  return (pairs | (pairs >> 8u)) & 0xffffu;
}

// the low nibbles of 4 + 4 bytes: each byte holds one of a in its low half and one of b in its high half
fn pair_nibbles(a: u32, b: u32) -> u32 { return (a & 0x0f0f0f0fu) | ((b & 0x0f0f0f0fu) << 4u); }
