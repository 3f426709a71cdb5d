// repack_q6_k — packs rows of Q6_K into the layout of lib/weights_block.
// raw: blocks of 256 columns [128 bytes of nibbles, 64 bytes of 2 high bits, 16 signed bytes sc, d half] → w, scales
// one thread per 32 columns of 4 rows. Bound by: the upload before it.
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
  let part = j % 4u; // of the 128
  var high0: vec4<u32>;
  var high1: vec4<u32>;
  var scale: vec2<u32>; // bytes of the 4 rows: columns 0 … 15, 16 … 31
  var top: vec4<u32>;
  for (var r = 0u; r < min(4u, slice.rows - row); r++) {
    let at = (row + r) * slice.row_bytes + block / 8u * 210u;
    top[r] = byte(at + 208u) | (byte(at + 209u) << 8u);
    scale |= vec2<u32>(byte(at + 192u + 2u * j), byte(at + 193u + 2u * j)) << vec2<u32>(8u * r);
    let codes = at + 64u * (j / 4u) + 32u * (part % 2u);
    let bits = at + 128u + 32u * (j / 4u);
    let shift = 4u * (part / 2u);
    var q: vec4<u32>;
    for (var k = 0u; k < 4u; k++) {
      let from_byte = codes + 16u * (k / 2u) + 4u * (k % 2u);
      q[k] = pair_nibbles(word(from_byte) >> shift, word(from_byte + 8u) >> shift);
      high0[r] |= ((word(bits + 4u * k) >> (2u * part)) & 0x03030303u) << (2u * k);
      high1[r] |= ((word(bits + 16u + 4u * k) >> (2u * part)) & 0x03030303u) << (2u * k);
    }
    w[(4u * group + r) * blocks + block] = q;
  }
  let to = group * blocks + block;
  w[slice.high_at + 2u * to] = high0;
  w[slice.high_at + 2u * to + 1u] = high1;
  scales[to] = scale;
  if (j == 0u) { scales[slice.top_at + to / 8u] = (top.xz & vec2<u32>(0xffffu)) | (top.yw << vec2<u32>(16u)); }
}
