// in_order — the low nibbles of 8 bytes as one word, nibble j from byte j
fn in_order(a: u32, b: u32) -> u32 { return low_nibbles(a) | (low_nibbles(b) << 16u); }

fn low_nibbles(word: u32) -> u32 {
  let pairs = ((word & 0x0f0f0f0fu) | ((word & 0x0f0f0f0fu) >> 4u)) & 0x00ff00ffu;
  return (pairs | (pairs >> 8u)) & 0xffffu;
}

// of 4 + 4 bytes the low nibbles, those of b above those of a
fn stacked(a: u32, b: u32) -> u32 { return (a & 0x0f0f0f0fu) | ((b & 0x0f0f0f0fu) << 4u); }
