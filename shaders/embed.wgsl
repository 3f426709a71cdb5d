// embed — y[t] = row tokens[position + t] of the table
// table [V, D], any weight format · tokens [context] u32 → y [T, D] f32
// one thread for 4 columns; y of the grid is t. If the table is split over several buffers, each dispatch writes the
// rows it has.
// Bound by: dispatch latency.
override rows: u32;  // in this buffer
override first: u32; // the first row of the table in this buffer

@group(0) @binding(0) var<storage, read> tokens: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let t = id.y;
  if (t >= step.count || 4u * id.x >= cols) { return; }
  let row = tokens[step.position + t] - first; // wraps around for rows of an earlier buffer
  if (row >= rows) { return; }
  embed_row(row, t, id.x);
}
