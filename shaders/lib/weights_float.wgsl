// weights_float — loads units of a packed float matrix (src/backend/webgpu/repack.ts): q[row][unit], 16 bytes a unit.
// Group: 4 rows, unit: 4 · TILES columns. Neighbouring lanes take neighbouring units of one row.
override units: u32; // of a row

@group(0) @binding(14) var<storage, read> w: array<vec4<u32>>;

struct Unit { q0: vec4<u32>, q1: vec4<u32>, q2: vec4<u32>, q3: vec4<u32> }

fn w_unit(group: u32, unit: u32) -> Unit {
  let at = 4u * group * units + unit;
  return Unit(w[at], w[at + units], w[at + 2u * units], w[at + 3u * units]);
}
