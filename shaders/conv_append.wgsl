// conv_append — ring[(position + t) mod R, c] = B[t,c] · x[t,c] for the last R tokens
// bcx [T, 3D] f32: B, C, x → ring [R, D] f32
// one thread per channel and token; runs after short_conv if T > R − (L−1). Bound by: bandwidth.
override D: u32;
override R: u32; // a power of two

@group(0) @binding(0) var<storage, read> bcx: array<f32>;
@group(0) @binding(1) var<storage, read_write> ring: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let c = id.x;
  let t = id.y;
  if (c >= D || t >= step.count || t + R < step.count) { return; }
  let row = t * 3u * D + c;
  ring[((step.position + t) & (R - 1u)) * D + c] = bcx[row] * bcx[row + 2u * D];
}
