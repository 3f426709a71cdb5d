// rank — what is told of a chosen token (src/backend/sampling.ts, logprobs)
// logits [V] f32 → told [n + 2]: (highest logit, Σ exp(l − it)), (logit, id) of the chosen token, then n × (logit, id)
// one workgroup; an invocation holds what is left first of every 256th logit.
// Bound by: latency of two passes over the logits, and of two reductions for each of the n.
struct Ranking {
  V: u32,
  chosen: u32,
  n: u32,
}

@group(0) @binding(0) var<uniform> ranking: Ranking;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read_write> told: array<vec2<u32>>;

var<workgroup> best_id: atomic<u32>;

const LEAST = -3.4028234e38; // -inf has its place in the order as this
const NONE = 0xffffffffu;

struct Place {
  l: f32,
  id: u32,
}

@compute @workgroup_size(group_size) // 256
fn main(@builtin(local_invocation_index) lid: u32) {
  var own = first_behind(Place(LEAST, NONE), lid, 256u);
  let top = group_first(own, lid).l;
  var sum = 0.0;
  for (var v = lid; v < ranking.V; v += 256u) { sum += exp(max(logits[v] - top, -200.0)); } // the difference may be beyond f32
  sum = group_sum(sum, lid);
  if (lid == 0u) {
    told[0] = vec2<u32>(bitcast<u32>(top), bitcast<u32>(sum));
    told[1] = vec2<u32>(bitcast<u32>(logits[ranking.chosen]), ranking.chosen);
  }
  for (var i = 0u; i < ranking.n; i++) {
    let first = group_first(own, lid);
    if (lid == 0u) { told[i + 2u] = vec2<u32>(bitcast<u32>(logits[first.id]), first.id); }
    // all look for what follows among the logits of the one that had it
    let holder = first.id & 255u;
    let next = group_first(first_behind(first, holder + 256u * lid, 65536u), lid);
    if (lid == holder) { own = next; }
  }
}

// the first behind `last`, or of all, among every `stride`-th from `start` on; of equals the lower id goes first
fn first_behind(last: Place, start: u32, stride: u32) -> Place {
  var own = Place(LEAST, NONE);
  for (var v = start; v < ranking.V; v += stride) {
    let l = max(logits[v], LEAST);
    let behind = last.id == NONE || l < last.l || (l == last.l && v > last.id);
    if (behind && (l > own.l || own.id == NONE)) { own = Place(l, v); }
  }
  return own;
}

// the first of what all invocations have
fn group_first(own: Place, lid: u32) -> Place {
  workgroupBarrier(); // the result of an earlier call is read
  if (lid == 0u) { atomicStore(&best_id, NONE); }
  let l = group_max(own.l, lid);
  if (own.l == l) { atomicMin(&best_id, own.id); }
  workgroupBarrier();
  return Place(l, atomicLoad(&best_id));
}
