// short_conv — y[t,c] = C[t,c] · (bias[c] + Σ_k taps[c,k] · u[t−(L−1)+k, c]), u = B ⊙ x, zero before position 0
// bcx [T, 3D] f32: B, C, x · taps [D, L] f32 · bias [D] f32 · ring [R, D] f32, u by position mod R → y [T, D] f32, ring
// one thread per channel and token. It appends to the ring if T ≤ R − (L−1); with more tokens a thread could overwrite
// what another still reads, so conv_append runs after it. Bound by: dispatch latency at T = 1, else bandwidth.
override D: u32;
override L: u32;
override R: u32; // a power of two
override biased: bool;
override appends: bool;

@group(0) @binding(0) var<storage, read> bcx: array<f32>;
@group(0) @binding(1) var<storage, read> taps: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> ring: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let c = id.x;
  let t = id.y;
  if (c >= D || t >= step.count) { return; }

  let row = t * 3u * D + c;
  let u = bcx[row] * bcx[row + 2u * D];
  var sum = taps[c * L + L - 1u] * u;
  if (biased) { sum += bias[c]; }
  for (var back = 1u; back < L; back++) {
    if (back > step.position + t) { break; }
    var past: f32;
    if (back <= t) {
      let at = row - back * 3u * D;
      past = bcx[at] * bcx[at + 2u * D];
    } else {
      past = ring[((step.position + t - back) & (R - 1u)) * D + c];
    }
    sum += taps[c * L + L - 1u - back] * past;
  }
  y[t * D + c] = bcx[row + D] * sum;
  if (appends) { ring[((step.position + t) & (R - 1u)) * D + c] = u; }
}
