// repack_k — packs rows of Q4_K, Q5_K, or of the layout `sixteens` (src/tensor/nibbles.ts) into the layout of
// lib/weights_block.
// raw: blocks of 256 columns [d half, dmin half, 12 bytes of 6-bit sc and m, Q5_K: 32 bytes of fifth bits, 128 bytes of
// nibbles] → w, scales one thread per 32 columns of 4 rows. Bound by: the upload before it.
override block_bytes: u32;
override high_from: u32; // offset of the fifth bits in the block; 0: there are none
override codes_from: u32;
override sixteens: bool = false; // 16 bytes with a scale each, in place of the 12

@group(0) @binding(0) var<storage, read_write> w: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> scales: array<vec2<u32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let blocks = slice.units / 2u; // of 32 columns
  let block = id.x % blocks;
  let row = id.x / blocks * 4u;
  if (row >= slice.rows) { return; }
  let group = slice.group + row / 4u;
  let j = block % 8u; // of the 256
  var high: vec4<u32>;
  var scale: vec2<u32>; // bytes of the 4 rows: sc, m
  var top: vec4<u32>;
  for (var r = 0u; r < min(4u, slice.rows - row); r++) {
    let at = (row + r) * slice.row_bytes + block / 8u * block_bytes;
    top[r] = word(at);
    let s = at + 4u + j;
    var pair = vec2<u32>(byte(s) & 63u, byte(s + 4u) & 63u);
    if (j >= 4u) {
      pair = vec2<u32>((byte(s + 4u) & 15u) | ((byte(s - 4u) >> 6u) << 4u),
        (byte(s + 4u) >> 4u) | ((byte(s) >> 6u) << 4u));
    }
    if (sixteens) { pair = vec2<u32>(byte(s + j), byte(s + j + 1u)); }
    scale |= pair << vec2<u32>(8u * r);
    // 32 bytes hold two sub-blocks, the even one in the low nibbles
    let codes = at + codes_from + 32u * (j / 2u);
    let shift = 4u * (j % 2u);
    var q: vec4<u32>;
    for (var k = 0u; k < 4u; k++) {
      if (high_from == 0u) {
        q[k] = pack_nibbles(word(codes + 8u * k) >> shift, word(codes + 8u * k + 4u) >> shift);
        continue;
      }
      let from_byte = codes + 16u * (k / 2u) + 4u * (k % 2u);
      q[k] = pair_nibbles(word(from_byte) >> shift, word(from_byte + 8u) >> shift);
    }
    w[(4u * group + r) * blocks + block] = q;
    if (high_from > 0u) {
      for (var k = 0u; k < 8u; k++) { high[r] |= ((word(at + high_from + 4u * k) >> j) & 0x01010101u) << k; }
    }
  }
  let to = group * blocks + block;
  if (high_from > 0u) { w[slice.high_at + to] = high; }
  scales[to] = scale;
  if (j == 0u) {
    scales[slice.top_at + to / 8u * 2u] = top.xy;
    scales[slice.top_at + to / 8u * 2u + 1u] = top.zw;
  }
}
