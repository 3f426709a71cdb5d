// x_at — columns 4i … 4i + 3 of row t of the activation x [T, cols], for any cols; 0 past the end of the row.
override cols: u32;

@group(0) @binding(12) var<storage, read> x: array<f32>;

fn x_at(t: u32, i: u32) -> vec4<f32> {
  let at = t * cols + 4u * i;
  let column = vec4<u32>(4u * i) + vec4<u32>(0u, 1u, 2u, 3u);
  return select(vec4<f32>(0.0), vec4<f32>(x[at], x[at + 1u], x[at + 2u], x[at + 3u]), column < vec4<u32>(cols));
}
