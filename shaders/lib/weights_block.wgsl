// weights_block — loads of a packed quantised matrix (src/backend/webgpu/repack.ts). Group: 4 rows, unit: 4 · TILES columns.
// w: codes[row][unit], 16 bytes; then the high bits of 4 rows [group][block][HIGH]. scales: of 4 rows [group][block][SCALE]; then those
// of blocks of 256 [group][block / 8][TOP]. Neighbouring lanes take neighbouring units, so neighbouring addresses in every plane.
override units: u32;   // of a row
override high_at: u32; // where the high bits begin in w
override top_at: u32;  // where the scales of 256 begin

@group(0) @binding(14) var<storage, read> w: array<vec4<u32>>;
@group(0) @binding(16) var<storage, read> scales: array<vec2<u32>>;

struct Scales { scale: vec4<u32>, top: vec4<u32> } // of 4 rows

struct Unit {
  q0: vec4<u32>, q1: vec4<u32>, q2: vec4<u32>, q3: vec4<u32>, // one row each
  high0: vec4<u32>, high1: vec4<u32>,                         // of the 4 rows
  scales: Scales,
}

fn block_of(group: u32, unit: u32) -> u32 { return group * (units / BLOCK_UNITS) + unit / BLOCK_UNITS; }

fn w_scales(block: u32) -> Scales {
  var s = Scales();
  if (SCALE == 1u) { s.scale = vec4<u32>(scales[block], 0u, 0u); }
  if (SCALE == 2u) { s.scale = vec4<u32>(scales[2u * block], scales[2u * block + 1u]); }
  if (TOP == 1u) { s.top = vec4<u32>(scales[top_at + block / 8u], 0u, 0u); }
  if (TOP == 2u) { s.top = vec4<u32>(scales[top_at + block / 8u * 2u], scales[top_at + block / 8u * 2u + 1u]); }
  return s;
}

fn w_high(block: u32, i: u32) -> vec4<u32> {
  if (HIGH > i) { return w[high_at + HIGH * block + i]; }
  return vec4<u32>();
}

fn w_unit(group: u32, unit: u32) -> Unit {
  let at = 4u * group * units + unit;
  let block = block_of(group, unit);
  return Unit(w[at], w[at + units], w[at + 2u * units], w[at + 3u * units], w_high(block, 0u), w_high(block, 1u), w_scales(block));
}

// codes of 4 rows × 4 columns, tile k of the unit; a vector for each row
fn w_tile(u: Unit, k: u32) -> mat4x4<f32> {
  let i = word_of(k);
  let high = high_of(u.high0, u.high1, k);
  return mat4x4<f32>(codes(u.q0[i], high.x, k), codes(u.q1[i], high.y, k), codes(u.q2[i], high.z, k), codes(u.q3[i], high.w, k));
}

// the weights of 4 rows × 4 columns from column 4k on; a vector for each column. It loads one word a row.
fn w_values(group: u32, k: u32) -> mat4x4<f32> {
  let unit = k / TILES;
  let tile = k % TILES;
  let at = 4u * group * units + unit;
  let block = block_of(group, unit);
  let s = w_scales(block);
  let i = word_of(tile);
  var high = w_high(block, 0u);
  if (HIGH > 1u) { high = high_of(high, w_high(block, 1u), tile); }
  let columns = transpose(mat4x4<f32>(
    codes(w[at][i], high.x, tile),
    codes(w[at + units][i], high.y, tile),
    codes(w[at + 2u * units][i], high.z, tile),
    codes(w[at + 3u * units][i], high.w, tile)));
  let part = tile / (TILES / SCALES);
  return mat4x4<f32>(w_fold(s, part, columns[0], 1.0), w_fold(s, part, columns[1], 1.0), w_fold(s, part, columns[2], 1.0), w_fold(s, part, columns[3], 1.0));
}
