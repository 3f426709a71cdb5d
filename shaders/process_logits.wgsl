// process_logits — applies penalties, bias and mask (src/backend/sampling.ts, steps 1 and 2) and finds the best of
// every 1024 logits logits [V] f32 · counts [V] u32 · bias [V] f32 · mask [⌈V/32⌉] u32 → best [⌈V/1024⌉] (value, id);
// if `sampled`, also scores [V] f32 and cleared bins one workgroup per 1024 tokens. Bound by: dispatch latency,
// bandwidth of the logits.
override V: u32;
override sampled: bool;

@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> counts: array<u32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read> mask: array<u32>;
@group(0) @binding(4) var<storage, read_write> scores: array<f32>;
@group(0) @binding(5) var<storage, read_write> best: array<vec2<u32>>;
@group(0) @binding(6) var<storage, read_write> bins: array<u32>; // [3, 1024], filled by softmax_histogram

var<workgroup> best_id: atomic<u32>;

fn processed_logit(v: u32) -> f32 {
  var l = logits[v];
  if (sampling.penalises != 0u) {
    let count = counts[v];
    if (count != 0u) {
      let n = f32(count & ~SEEN);
      l = select(l * sampling.repetition_penalty, l / sampling.repetition_penalty, l > 0.0);
      l -= sampling.frequency_penalty * n + select(0.0, sampling.presence_penalty, n > 0.0);
    }
  }
  if (sampling.bias != 0u) { l += bias[v]; }
  if (sampling.mask != 0u && ((mask[v >> 5u] >> (v & 31u)) & 1u) == 0u) { l = DROPPED; }
  return max(l, DROPPED);
}

@compute @workgroup_size(group_size) // 256
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  if (lid == 0u) { atomicStore(&best_id, 0xffffffffu); }
  var top = DROPPED;
  var id = 0xffffffffu;
  for (var j = 0u; j < 4u; j++) {
    let v = group.x * 1024u + j * 256u + lid;
    if (v < V) {
      let l = processed_logit(v);
      if (sampled) { scores[v] = l; }
      if (l > top || id == 0xffffffffu) {
        top = l;
        id = v;
      }
    }
  }
  let highest = group_max(top, lid);
  if (id != 0xffffffffu && top == highest) { atomicMin(&best_id, id); }
  workgroupBarrier();
  if (lid == 0u) { best[group.x] = vec2<u32>(bitcast<u32>(highest), atomicLoad(&best_id)); }
  if (sampled && group.x == 0u) {
    for (var i = lid; i < 3072u; i += 256u) { bins[i] = 0u; }
  }
}
