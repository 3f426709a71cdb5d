// softmax_histogram — w[v] = exp((l[v] − max) / temperature), and a histogram by the upper ten bits of w: the count of
// the weights and the sum of their lower twenty bits. The bits of positive floats have the order of the floats, and
// integer sums do not depend on the order of addition.
// scores [V] f32, replaced in place · best [⌈V/1024⌉] → bins [3, 1024]: count, Σ bits 10 … 19, Σ bits 0 … 9
// one workgroup per 1024 tokens. Bound by: dispatch latency.
override V: u32;

@group(0) @binding(0) var<storage, read_write> scores: array<f32>;
@group(0) @binding(1) var<storage, read> best: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read_write> bins: array<atomic<u32>>;

var<workgroup> local: array<atomic<u32>, 3072>;

@compute @workgroup_size(group_size) // 256
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  var top = DROPPED;
  for (var i = lid; i < (V + 1023u) / 1024u; i += 256u) { top = max(top, bitcast<f32>(best[i].x)); }
  top = group_max(top, lid);
  let filters = sampling.top_k > 0u || sampling.top_p < 1.0;

  for (var j = 0u; j < 4u; j++) {
    let v = group.x * 1024u + j * 256u + lid;
    if (v >= V) { continue; }
    let l = scores[v];
    var w = min(exp((l - top) / sampling.temperature), 1.0);
    if (l == top) { w = 1.0; }
    if (l <= DROPPED) { w = 0.0; }
    scores[v] = w;
    if (filters && w > 0.0) {
      let bits = bitcast<u32>(w);
      atomicAdd(&local[bits >> 20u], 1u);
      atomicAdd(&local[1024u + (bits >> 20u)], (bits >> 10u) & 1023u);
      atomicAdd(&local[2048u + (bits >> 20u)], bits & 1023u);
    }
  }
  workgroupBarrier();
  if (filters) {
    for (var i = lid; i < 3072u; i += 256u) {
      let n = atomicLoad(&local[i]);
      if (n > 0u) { atomicAdd(&bins[i], n); }
    }
  }
}
