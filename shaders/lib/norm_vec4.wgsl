// RMSNorm before the linear map, W · (norm ⊙ x / rms(x)): the kernel multiplies x by gain, sums x² with its dots, and
// scales the result.
const NORMED: bool = true;
override eps: f32;

@group(0) @binding(13) var<storage, read> norm: array<vec4<f32>>;

fn gain(i: u32) -> vec4<f32> { return norm[i]; }
fn rms(squares: f32) -> f32 { return inverseSqrt(squares / f32(cols) + eps); }
