// embed_row — columns 4k … 4k + 3 of a row of the table, as row t of y [T, cols]; the first layer reads its x from y
override cols: u32;

@group(0) @binding(22) var<storage, read_write> y: array<f32>;

fn embed_row(row: u32, t: u32, k: u32) {
  let values = transpose(w_values(row / 4u, k))[row % 4u];
  for (var j = 0u; j < 4u && 4u * k + j < cols; j++) { y[t * cols + 4u * k + j] = values[j]; }
}
