// embed_next — writes the next step's x, so that it needs no embed dispatch; called by all invocations after the draw
fn embed_next(token: u32, lid: u32) {
  for (var k = lid; 4u * k < cols; k += group_size) { embed_row(token, 0u, k); }
}
