// convolve — y[t,c] = C[t,c] · (bias[c] + Σ_k taps[c,k] · u[t − before + k, c]), u = B ⊙ x, for what short_conv does
// not compute: without state, over what a token reads, or without gates (B and C are ones), or both
// x [T, 3D] f32: B, C, x, or [T, D]: x · taps [D, L] · bias [D] f32 · bounds [T, 4], the last two count → y [T, D] f32
// Without state a token that is not among what it reads gets zeros. causal, with a state: positions before this call
// come from the ring [R, D] f32, u by position mod R; the dispatch after it appends.
// one thread per channel and token. Bound by: bandwidth.
override D: u32;
override L: u32;
override R: u32; // a power of two
override before: u32;
override biased: bool;
override gated: bool;
override causal: bool;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> taps: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read> ring: array<f32>;
@group(0) @binding(4) var<storage, read> bounds: array<vec4<u32>>; // not if causal
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

fn u_at(t: u32, c: u32) -> f32 {
  if (!gated) { return x[t * D + c]; }
  return x[3u * t * D + c] * x[(3u * t + 2u) * D + c];
}

// u before this call
fn past(back: u32, c: u32) -> f32 {
  if (!causal || back > step.position) { return 0.0; }
  return ring[((step.position - back) & (R - 1u)) * D + c];
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let c = id.x;
  let t = id.y;
  if (c >= D || t >= step.count) { return; }
  var own = vec2<u32>(0u, step.count);
  if (!causal) { own = bounds[t].zw; }
  if (t < own.x || t >= own.y) {
    y[t * D + c] = 0.0;
    return;
  }
  var sum = 0.0;
  if (biased) { sum = bias[c]; }
  for (var k = 0u; k < L; k++) {
    let tap = taps[c * L + k];
    let at = t + k; // of the input, plus before
    if (at < before) {
      sum += tap * past(before - at, c);
    } else if (at - before >= own.x && at - before < own.y) {
      sum += tap * u_at(at - before, c);
    }
  }
  if (gated) { sum *= x[(3u * t + 1u) * D + c]; }
  y[t * D + c] = sum;
}
