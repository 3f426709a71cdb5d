// weights_block — loads from a packed quantized matrix (src/backend/webgpu/repack.ts). A group is 4 rows; a unit is 16
// columns, half a block.
// w: codes [row][unit] of 8 or 16 bytes, then high bits of 4 rows [group][block][HIGH] of 16 bytes. scales: of 4 rows
// [group][block][SCALE], then those of blocks of 256 [group][block / 8][TOP]. Neighbouring lanes take neighbouring
// units, so their addresses are adjacent in each plane.
override units: u32;   // per row
override x_units: u32 = units; // of a row of x, which may take several rows of w
override high_at: u32; // offset of the high bits in w, in units of 16 bytes
override top_at: u32;  // offset of the scales of 256 columns

@group(0) @binding(14) var<storage, read> w: array<Codes>;
@group(0) @binding(16) var<storage, read> scales: array<vec2<u32>>;

const TILES: u32 = 4u;

struct Scales { scale: vec4<u32>, top: vec4<u32> } // of 4 rows

struct Unit {
  q0: Codes, q1: Codes, q2: Codes, q3: Codes, // one row each
  high: vec4<u32>,                            // of the 4 rows
  scaling: Scales,
}

// the index of the high bits of a unit: with HIGH = 2 each unit has its own, with HIGH = 1 the two units of a block
// share them
fn high_index(group: u32, unit: u32) -> u32 { return 2u * (high_at + (group * units + unit) * HIGH / 2u); }

fn w_scales(group: u32, unit: u32) -> Scales {
  let half = group * units + unit;
  let block = half / 2u;
  var s = Scales();
  if (SCALE == 0u) { s.scale.x = scales[block][half % 2u]; }
  if (SCALE == 1u) { s.scale = vec4<u32>(scales[block], 0u, 0u); }
  if (SCALE == 2u) { s.scale = vec4<u32>(scales[2u * block], scales[2u * block + 1u]); }
  if (TOP == 1u) { s.top = vec4<u32>(scales[top_at + block / 8u], 0u, 0u); }
  if (TOP == 2u) { s.top = vec4<u32>(scales[top_at + block / 8u * 2u], scales[top_at + block / 8u * 2u + 1u]); }
  return s;
}

fn w_high(group: u32, unit: u32) -> vec4<u32> {
  if (HIGH == 0u) { return vec4<u32>(); }
  let at = high_index(group, unit);
  return high_of(vec4<u32>(w[at].xy, w[at + 1u].xy), unit);
}

fn w_unit(group: u32, unit: u32) -> Unit {
  let at = 4u * group * units + unit;
  return Unit(w[at], w[at + units], w[at + 2u * units], w[at + 3u * units], w_high(group, unit), w_scales(group, unit));
}

// codes of 4 rows × 4 columns, tile k of the unit; a vector for each row
fn w_tile(u: Unit, k: u32) -> mat4x4<f32> {
  let i = word_of(k);
  return mat4x4<f32>(codes(u.q0[i], u.high.x, k), codes(u.q1[i], u.high.y, k),
    codes(u.q2[i], u.high.z, k), codes(u.q3[i], u.high.w, k));
}

// the weights of 4 rows × 4 columns from column 4k on; a vector for each column. It loads one word per row.
fn w_values(group: u32, k: u32) -> mat4x4<f32> {
  let unit = k / TILES;
  let tile = k % TILES;
  let at = 4u * group * units + unit;
  let s = w_scales(group, unit);
  let i = word_of(tile);
  let high = w_high(group, unit);
  let columns = transpose(mat4x4<f32>(
    codes(w[at][i], high.x, tile),
    codes(w[at + units][i], high.y, tile),
    codes(w[at + 2u * units][i], high.z, tile),
    codes(w[at + 3u * units][i], high.w, tile)));
  return mat4x4<f32>(w_fold(s, columns[0], 1.0), w_fold(s, columns[1], 1.0),
    w_fold(s, columns[2], 1.0), w_fold(s, columns[3], 1.0));
}
