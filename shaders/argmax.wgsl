// argmax — the greedy choice: the highest of `best`, among equals the lowest id; then the step advances
// best [⌈V/1024⌉] (value, id) → tokens, counts, step, the next step's x
// one workgroup. Bound by: dispatch latency.
override V: u32;

@group(0) @binding(0) var<storage, read> best: array<vec2<u32>>;

var<workgroup> best_id: atomic<u32>;

@compute @workgroup_size(group_size) // 256, for embed_next
fn main(@builtin(local_invocation_index) lid: u32) {
  if (lid == 0u) { atomicStore(&best_id, 0xffffffffu); }
  let parts = (V + 1023u) / 1024u;
  var top = DROPPED;
  var id = 0xffffffffu;
  for (var i = lid; i < parts; i += group_size) {
    let value = bitcast<f32>(best[i].x);
    if (value > top || id == 0xffffffffu) {
      top = value;
      id = best[i].y;
    }
  }
  let highest = group_max(top, lid);
  if (id != 0xffffffffu && top == highest) { atomicMin(&best_id, id); }
  workgroupBarrier();
  if (lid == 0u) { advance_step(min(atomicLoad(&best_id), V - 1u)); }
  embed_next(workgroupUniformLoad(&drawn), lid);
}
