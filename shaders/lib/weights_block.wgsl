// weights_block — loads units of a packed quantised matrix (src/backend/webgpu/repack.ts). Group: 4 rows, unit: 4 · TILES columns.
// w: q[row][unit], 16 bytes; then the high bits of 4 rows [group][block][HIGH]. scales: of 4 rows [group][block][SCALE]; then those
// of blocks of 256 [group][block / 8][TOP]. Neighbouring lanes take neighbouring addresses in every plane.
override units: u32;   // of a row
override high_at: u32; // where the high bits begin in w
override top_at: u32;  // where the 256-block scales begin

@group(0) @binding(14) var<storage, read> w: array<vec4<u32>>;
@group(0) @binding(16) var<storage, read> scales: array<vec2<u32>>;

struct Unit {
  q0: vec4<u32>, q1: vec4<u32>, q2: vec4<u32>, q3: vec4<u32>, // one row each
  high0: vec4<u32>, high1: vec4<u32>, scale: vec4<u32>, top: vec4<u32>, // of the 4 rows
}

fn w_unit(group: u32, unit: u32) -> Unit {
  let at = 4u * group * units + unit;
  var u: Unit;
  u.q0 = w[at];
  u.q1 = w[at + units];
  u.q2 = w[at + 2u * units];
  u.q3 = w[at + 3u * units];
  let block = group * (units / BLOCK_UNITS) + unit / BLOCK_UNITS;
  if (HIGH > 0u) { u.high0 = w[high_at + HIGH * block]; }
  if (HIGH > 1u) { u.high1 = w[high_at + HIGH * block + 1u]; }
  if (SCALE == 1u) { u.scale = vec4<u32>(scales[block], 0u, 0u); }
  if (SCALE == 2u) { u.scale = vec4<u32>(scales[2u * block], scales[2u * block + 1u]); }
  if (TOP == 1u) { u.top = vec4<u32>(scales[top_at + block / 8u], 0u, 0u); }
  if (TOP == 2u) { u.top = vec4<u32>(scales[top_at + block / 8u * 2u], scales[top_at + block / 8u * 2u + 1u]); }
  return u;
}
