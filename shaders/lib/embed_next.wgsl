// embed_next — the next step's x, so that it need not begin with a lookup: by all invocations, after the draw
fn embed_next(token: u32, lid: u32) {
  for (var k = lid; 4u * k < cols; k += group_size) { embed_row(token, 0u, k); }
}
