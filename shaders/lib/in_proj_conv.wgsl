// 4 channels of B, C and x (rows c, D + c and 2D + c of in_proj), then the short convolution of one token:
// u = B · x; y[c] = C · (Σ_k taps[c,k] · u[t − (L−1) + k, c] + bias[c]), u zero before position 0
// taps [D, L] f32 · conv_bias [D] f32 → ring [R, D] f32, u by position mod R
const MATRICES: u32 = 3u;
override D: u32; // a multiple of 4
override L: u32;
override R: u32; // a power of two
override biased: bool;

@group(0) @binding(0) var<storage, read> taps: array<f32>;
@group(0) @binding(1) var<storage, read> conv_bias: array<f32>;
@group(0) @binding(2) var<storage, read_write> ring: array<f32>;

fn unit_of(matrix: u32, group: u32, unit: u32) -> Unit { return w_unit(group + matrix * (D / 4u), unit); }

fn finish(t: u32, group: u32, r: u32, v: array<f32, MATRICES>) {
  let c = 4u * group + r;
  if (c >= D) { return; }
  let u = v[0] * v[2];
  var sum = taps[c * L + L - 1u] * u;
  if (biased) { sum += conv_bias[c]; }
  for (var back = 1u; back < L && back <= step.position; back++) {
    sum += taps[c * L + L - 1u - back] * ring[((step.position - back) & (R - 1u)) * D + c];
  }
  ring[(step.position & (R - 1u)) * D + c] = u;
  write_output(t, c, v[1] * sum);
}
