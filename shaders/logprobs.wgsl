// logprobs — the logits of the drawn token and of the n most likely tokens, and Σ exp (src/backend/sampling.ts,
// logprobs) logits [V] f32 → result [n + 2]: (highest logit, Σ exp(l − highest)), (logit, id) of the drawn token, then
// n × (logit, id) one workgroup; each invocation keeps the highest remaining one of every 256th logit.
// Bound by: latency of two passes over the logits, and of two reductions for each of the n.
struct Request {
  V: u32,
  chosen: u32,
  n: u32,
}

@group(0) @binding(0) var<uniform> request: Request;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read_write> result: array<vec2<u32>>;

var<workgroup> best_id: atomic<u32>;

const LEAST = -3.4028234e38; // stands for -inf in the order
const NONE = 0xffffffffu;

struct Entry {
  l: f32,
  id: u32,
}

@compute @workgroup_size(group_size) // 256
fn main(@builtin(local_invocation_index) lid: u32) {
  var own = first_after(Entry(LEAST, NONE), lid, 256u);
  let top = group_first(own, lid).l;
  var sum = 0.0;
  // the difference may exceed f32
  for (var v = lid; v < request.V; v += 256u) { sum += exp(max(logits[v] - top, -200.0)); }
  sum = group_sum(sum, lid);
  if (lid == 0u) {
    result[0] = vec2<u32>(bitcast<u32>(top), bitcast<u32>(sum));
    result[1] = vec2<u32>(bitcast<u32>(logits[request.chosen]), request.chosen);
  }
  for (var i = 0u; i < request.n; i++) {
    let first = group_first(own, lid);
    if (lid == 0u) { result[i + 2u] = vec2<u32>(bitcast<u32>(logits[first.id]), first.id); }
    // all invocations search the logits of the one that held it for its next
    let holder = first.id & 255u;
    let next = group_first(first_after(first, holder + 256u * lid, 65536u), lid);
    if (lid == holder) { own = next; }
  }
}

// the first entry after `last` in descending order, among every `stride`-th logit from `start` on; of equals the lower
// id goes first
fn first_after(last: Entry, start: u32, stride: u32) -> Entry {
  var own = Entry(LEAST, NONE);
  for (var v = start; v < request.V; v += stride) {
    let l = max(logits[v], LEAST);
    let after = last.id == NONE || l < last.l || (l == last.l && v > last.id);
    if (after && (l > own.l || own.id == NONE)) { own = Entry(l, v); }
  }
  return own;
}

// the first entry of all invocations
fn group_first(own: Entry, lid: u32) -> Entry {
  workgroupBarrier(); // all have read the result of the previous call
  if (lid == 0u) { atomicStore(&best_id, NONE); }
  let l = group_max(own.l, lid);
  if (own.l == l) { atomicMin(&best_id, own.id); }
  workgroupBarrier();
  return Entry(l, atomicLoad(&best_id));
}
