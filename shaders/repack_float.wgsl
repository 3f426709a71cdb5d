// repack_float — packs rows of F32, F16 or BF16 into whole units of 16 bytes, padded with zeros.
// raw: rows as in the checkpoint → w [rows, units] vec4<u32>
// one thread per unit. Bound by: the upload before it.
@group(0) @binding(0) var<storage, read_write> w: array<vec4<u32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let row = id.x / slice.units;
  let unit = id.x % slice.units;
  if (row >= slice.rows) { return; }
  var q: vec4<u32>;
  for (var j = 0u; j < 4u; j++) {
    let at = 16u * unit + 4u * j;
    let left = slice.row_bytes - min(at, slice.row_bytes);
    if (left > 0u) { q[j] = word(row * slice.row_bytes + at) & select(0xffffffffu, 0xffffu, left == 2u); }
  }
  w[(4u * slice.group + row) * slice.units + unit] = q;
}
