// frame_of — where an expert stands in its matrix, which holds some experts of several layers (experts_paged.ts)
@group(0) @binding(19) var<uniform> frames: array<vec4<u32>, 64>;

fn frame_of(expert: u32) -> u32 { return frames[expert / 4u][expert % 4u]; }
