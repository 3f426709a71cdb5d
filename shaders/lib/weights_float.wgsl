// weights_float — loads from a packed float matrix (src/backend/webgpu/repack.ts): w [row][unit], 16 bytes per unit.
// A group is 4 rows; a unit is 4 · TILES columns. Neighbouring lanes take neighbouring units of one row.
override units: u32; // per row
override x_units: u32 = units; // of a row of x, which may take several rows of w

@group(0) @binding(14) var<storage, read> w: array<vec4<u32>>;

struct Scales { none: u32 }

struct Unit { q0: vec4<u32>, q1: vec4<u32>, q2: vec4<u32>, q3: vec4<u32>, scaling: Scales }

fn w_unit(group: u32, unit: u32) -> Unit {
  let at = 4u * group * units + unit;
  return Unit(w[at], w[at + units], w[at + 2u * units], w[at + 3u * units], Scales());
}

// 4 rows × 4 columns, tile k of the unit; a vector for each row
fn w_tile(u: Unit, k: u32) -> mat4x4<f32> {
  return mat4x4<f32>(floats(u.q0, k), floats(u.q1, k), floats(u.q2, k), floats(u.q3, k));
}

fn w_fold(scales: Scales, dots: vec4<f32>, sum: f32) -> vec4<f32> { return dots; }

// 4 rows × 4 columns from column 4k on; a vector for each column
fn w_values(group: u32, k: u32) -> mat4x4<f32> { return transpose(w_tile(w_unit(group, k / TILES), k % TILES)); }
