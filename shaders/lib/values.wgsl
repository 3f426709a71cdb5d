// w_values — 4 rows × 4 columns of W from column 4k on, dequantised; each vector of the result is one column of the 4 rows.
fn w_values(group: u32, k: u32) -> mat4x4<f32> {
  let u = w_unit(group, k / TILES);
  let codes = transpose(w_tile(u, k % TILES));
  let s = k % TILES / (TILES / SCALES);
  return mat4x4<f32>(w_fold(u, s, codes[0], 1.0), w_fold(u, s, codes[1], 1.0), w_fold(u, s, codes[2], 1.0), w_fold(u, s, codes[3], 1.0));
}
