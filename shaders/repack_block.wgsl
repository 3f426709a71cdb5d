// repack_block — packs rows of Q4_0, Q4_1, Q5_0, Q5_1 or Q8_0 into the layout of lib/weights_block.
// raw: blocks of 32 columns [d half, m half?, fifth bits u32?, codes] → w, scales
// one thread per block of 4 rows. Bound by: the upload before it.
override block_bytes: u32;
override high_from: u32; // offset of the fifth bits in the block; 0: there are none
override codes_from: u32;
override code_words: u32; // vec4<u32> of codes per block: 1 or 2
override bits: u32;
override minimum: u32;    // 1: each row has d and m

@group(0) @binding(0) var<storage, read_write> w: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> scales: array<vec2<u32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let blocks = slice.units / 2u;
  let block = id.x % blocks;
  let row = id.x / blocks * 4u;
  if (row >= slice.rows) { return; }
  let group = slice.group + row / 4u;
  var high: vec4<u32>;
  var scale: vec4<u32>;
  for (var r = 0u; r < min(4u, slice.rows - row); r++) {
    let at = (row + r) * slice.row_bytes + block * block_bytes;
    scale[r] = word(at);
    if (high_from > 0u) {
      // bit 4k + j → bit 8j + k
      let fifth = word(at + high_from);
      for (var k = 0u; k < 8u; k++) { high[r] |= ((((fifth >> (4u * k)) & 15u) * 0x00204081u) & 0x01010101u) << k; }
    }
    for (var i = 0u; i < code_words; i++) {
      let from_byte = at + codes_from + 16u * i;
      var q = vec4<u32>(word(from_byte), word(from_byte + 4u), word(from_byte + 8u), word(from_byte + 12u));
      if (bits == 4u) {
        q = vec4<u32>(pack_nibbles(q.x, q.y), pack_nibbles(q.z, q.w), pack_nibbles(q.x >> 4u, q.y >> 4u),
          pack_nibbles(q.z >> 4u, q.w >> 4u));
      }
      if (bits == 5u) {
        q = vec4<u32>(pair_nibbles(q.x, q.z), pair_nibbles(q.y, q.w), pair_nibbles(q.x >> 4u, q.z >> 4u),
          pair_nibbles(q.y >> 4u, q.w >> 4u));
      }
      if (bits == 8u) { q ^= vec4<u32>(0x80808080u); } // signed codes become codes offset by 128
      w[((4u * group + r) * blocks + block) * code_words + i] = q;
    }
  }
  let to = group * blocks + block;
  if (high_from > 0u) { w[slice.high_at + to] = high; }
  if (minimum > 0u) {
    scales[2u * to] = scale.xy;
    scales[2u * to + 1u] = scale.zw;
  } else {
    scales[to] = (scale.xz & vec2<u32>(0xffffu)) | (scale.yw << vec2<u32>(16u));
  }
}
