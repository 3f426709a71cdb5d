// rope_at — cos and sin of the angle position · theta^(−2i/d). f32 angles are inexact at position 16k, so two tables
// computed in f64 are combined by the addition theorem: rows 0 … 255 hold positions 0 … 255, row 256 + j position
// 256·j. rope [256 + ⌈context/256⌉, d/2].
@group(0) @binding(12) var<storage, read> rope: array<vec2<f32>>;

fn rope_at(position: u32, i: u32, half: u32) -> vec2<f32> {
  let low = rope[(position & 255u) * half + i];
  let high = rope[(256u + (position >> 8u)) * half + i];
  return vec2<f32>(high.x * low.x - high.y * low.y, high.y * low.x + high.x * low.y);
}
