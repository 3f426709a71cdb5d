// choose — top-k, top-p, min-p and the draw (src/backend/sampling.ts, steps 3 and 4); then the step advances
// weights [V] f32 · bins [3, 1024] (weigh) → tokens, counts, step, the next step's x
// one workgroup. A filter is a cut (weight, id): it is found ten bits of the weight at a time, from the highest weight down, by counting
// or adding what lies above. The first ten, or min-p, leave few weights as a rule: these are listed, and the rest is done over the list.
// Bound by: latency of the passes over the weights: one; where too many are left to list them, two a filter and one for the draw more.
override V: u32;

@group(0) @binding(0) var<storage, read> weights: array<vec4<f32>>; // [⌈V/4⌉], 0 beyond V
@group(0) @binding(1) var<storage, read> bins: array<u32>;

var<workgroup> local: array<atomic<u32>, 3072>;
var<workgroup> running: array<f32, 256>;
var<workgroup> sixteenth: array<f32, 16>;
var<workgroup> first: atomic<u32>; // thread
var<workgroup> final_one: atomic<u32>;
var<workgroup> found: u32;
// in order of id; `local` leaves no more of 16 KB
const LIST = 192u;
var<workgroup> list_weight: array<f32, LIST>; // no vectors: a thread that writes a part of one may write all of it
var<workgroup> list_id: array<u32, LIST>;
var<workgroup> listed: u32; // 0: nothing is, and the weights themselves are gone through

// what a filter keeps: weights above `weight`, and those equal to it up to id `last`
struct Cut {
  weight: f32,
  last: u32,
  sum: f32, // of all that is kept
}

@compute @workgroup_size(group_size) // 256
fn main(@builtin(local_invocation_index) lid: u32) {
  var cut = Cut(0.0, V, 0.0);
  let by_count = sampling.top_k > 0u && sampling.top_k < V;
  let by_sum = sampling.top_p < 1.0;
  if (!by_count && !by_sum && sampling.min_p > 0.0) { make_list(bitcast<u32>(sampling.min_p), lid); }
  // one call in a loop: drivers copy a function to wherever it is called
  for (var turn = 0u; turn < 2u; turn++) {
    let counting = turn == 0u;
    if (!select(by_sum, by_count, counting)) { continue; }
    let nearer = select_kept(counting, cut.sum, counting || !by_count, lid);
    if (nearer.weight > cut.weight || (nearer.weight == cut.weight && nearer.last < cut.last)) { cut = nearer; }
  }

  // the draw: the sums of contiguous runs of ids, then of the ids of the run in which the target falls
  let run = run_of(lid);
  let begin = run.x;
  let end = run.y;
  var own = 0.0;
  for (var four = begin; four < end; four += 4u) {
    // four loads on their way at a time
    var w = array<vec4<f32>, 4>();
    for (var n = 0u; n < 4u; n++) { w[n] = select(vec4<f32>(0.0), quad(min(four + n, end - 1u)), four + n < end); }
    for (var n = 0u; n < 16u; n++) { own += kept(w[n / 4u][n % 4u], id_of(4u * four + n), cut); }
  }
  scan(own, lid);
  let goal = random(sampling.seed, step.position + step.count) * running[255];
  let winner = crossing(running[lid] > goal, own > 0.0, lid);
  if (lid == winner) {
    var sum = before(lid);
    var id = 0u;
    for (var i = begin; i < end && sum <= goal; i++) {
      let four = quad(i);
      for (var j = 0u; j < 4u; j++) {
        let w = kept(four[j], id_of(4u * i + j), cut);
        if (w > 0.0 && sum <= goal) {
          id = id_of(4u * i + j);
          sum += w;
        }
      }
    }
    advance(id);
  }
  embed_next(workgroupUniformLoad(&drawn), lid);
}

// what is gone through: the list, or all weights, by four
fn quads() -> u32 { return select((V + 3u) / 4u, (listed + 3u) / 4u, listed > 0u); }

fn quad(i: u32) -> vec4<f32> {
  if (listed > 0u) { return vec4<f32>(list_weight[4u * i], list_weight[4u * i + 1u], list_weight[4u * i + 2u], list_weight[4u * i + 3u]); }
  return weights[i];
}

fn id_of(n: u32) -> u32 {
  if (listed > 0u) { return list_id[min(n, LIST - 1u)]; }
  return n;
}

// a thread's part of them: from x up to y
fn run_of(lid: u32) -> vec2<u32> {
  let all = quads();
  let run = (all + 255u) / 256u;
  return min(vec2<u32>(lid * run, (lid + 1u) * run), vec2<u32>(all));
}

// lists the weights whose bits are at least these, if there is room for them
fn make_list(least: u32, lid: u32) {
  let run = run_of(lid);
  var own = 0u;
  for (var four = run.x; four < run.y; four += 4u) {
    // four loads on their way at a time
    var w = array<vec4<u32>, 4>();
    for (var n = 0u; n < 4u; n++) { w[n] = select(vec4<u32>(0u), bitcast<vec4<u32>>(weights[min(four + n, run.y - 1u)]), four + n < run.y); }
    for (var n = 0u; n < 4u; n++) { own += dot(vec4<u32>(1u), select(vec4<u32>(0u), vec4<u32>(1u), w[n] >= vec4<u32>(least))); }
  }
  if (lid < LIST) { list_weight[lid] = 0.0; }
  scan(f32(own), lid);
  let all = u32(running[255]);
  if (all <= LIST) {
    var at = u32(before(lid));
    for (var i = run.x; i < run.y && own > 0u; i++) {
      let four = weights[i];
      for (var j = 0u; j < 4u; j++) {
        if (bitcast<u32>(four[j]) < least) { continue; }
        list_weight[at] = four[j];
        list_id[at] = 4u * i + j;
        at++;
      }
    }
  }
  workgroupBarrier();
  if (lid == 0u && all <= LIST) { listed = all; }
  workgroupBarrier();
}

fn kept(w: f32, id: u32, cut: Cut) -> f32 {
  let above = w > cut.weight || (w == cut.weight && id <= cut.last);
  return select(0.0, w, above && w >= sampling.min_p);
}

// the cut after the fewest weights whose number, or share of the sum, reaches the goal; all of them where none does
// sum: of what is kept so far; 0 for all, as long as nothing is dropped
fn select_kept(by_count: bool, sum: f32, list: bool, lid: u32) -> Cut {
  var goal = f32(sampling.top_k);
  var bits = 0u; // of the cut's weight, as far as known
  var above = vec2<f32>(0.0); // number and sum of the weights above
  for (var level = 0u; level < 3u; level++) {
    let shift = 20u - 10u * level;
    fill(level, bits, lid);
    // a thread has four bins, from the highest down
    var amount = 0.0;
    for (var j = 0u; j < 4u; j++) { amount += part(bin(1023u - 4u * lid - j, bits, shift), by_count); }
    scan(amount, lid);
    if (level == 0u && !by_count) { goal = sampling.top_p * select(running[255], sum, sum > 0.0); }
    let reached = part(above, by_count);
    let winner = crossing(reached + running[lid] >= goal && amount > 0.0, amount > 0.0, lid);
    if (lid == winner) {
      var up_to = reached + before(lid);
      for (var j = 0u; j < 4u; j++) {
        let b = 1023u - 4u * lid - j;
        let p = part(bin(b, bits, shift), by_count);
        if (p > 0.0) {
          found = b;
          up_to += p;
          if (up_to >= goal) { break; }
        }
      }
    }
    workgroupBarrier();
    var higher = vec2<f32>(0.0);
    for (var j = 0u; j < 4u; j++) {
      let b = 1023u - 4u * lid - j;
      if (b > found) { higher += bin(b, bits, shift); }
    }
    above += vec2<f32>(group_sum(higher.x, lid), group_sum(higher.y, lid));
    bits |= found << shift;
    if (list && level == 0u) { make_list(bits, lid); }
  }

  let weight = bitcast<f32>(bits);
  let ties = f32(atomicLoad(&local[bits & 1023u]));
  let keep = clamp(select(ceil((goal - above.y) / weight), goal - above.x, by_count), 1.0, max(ties, 1.0));
  return Cut(weight, last_tie(weight, keep, keep < ties, lid), above.y + keep * weight);
}

// the id of the n-th weight of this size; V when all are kept
fn last_tie(weight: f32, n: f32, some: bool, lid: u32) -> u32 {
  workgroupBarrier();
  if (lid == 0u) { found = select(0u, 1u, some); }
  if (workgroupUniformLoad(&found) == 0u) { return V; }
  let run = run_of(lid);
  var own = 0.0;
  for (var i = run.x; i < run.y; i++) {
    own += dot(vec4<f32>(1.0), select(vec4<f32>(0.0), vec4<f32>(1.0), quad(i) == vec4<f32>(weight)));
  }
  scan(own, lid);
  let winner = crossing(running[lid] >= n, own > 0.0, lid);
  if (lid == winner) {
    var seen = before(lid);
    for (var v = 4u * run.x; v < 4u * run.y; v++) {
      if (quad(v / 4u)[v % 4u] == weight) {
        seen += 1.0;
        if (seen >= n) {
          found = id_of(v);
          break;
        }
      }
    }
  }
  workgroupBarrier();
  return found;
}

fn part(number_and_sum: vec2<f32>, by_count: bool) -> f32 {
  return select(number_and_sum.y, number_and_sum.x, by_count);
}

// number and sum of the weights whose bits begin as `bits` and go on with b: sum = number · (least of them) + Σ lower bits · unit
fn bin(b: u32, bits: u32, shift: u32) -> vec2<f32> {
  let least = bits | (b << shift);
  let number = f32(atomicLoad(&local[b]));
  let lower = f32(atomicLoad(&local[1024u + b])) * 1024.0 + f32(atomicLoad(&local[2048u + b]));
  let unit = bitcast<f32>(least + 1u) - bitcast<f32>(least);
  return vec2<f32>(number, select(0.0, number * bitcast<f32>(least) + lower * unit, number > 0.0));
}

// the bins of this level: the first from weigh, the next by a pass over the weights that begin as `bits`
fn fill(level: u32, bits: u32, lid: u32) {
  workgroupBarrier();
  for (var i = lid; i < 3072u; i += 256u) { atomicStore(&local[i], select(bins[i], 0u, level > 0u)); }
  workgroupBarrier();
  if (level > 0u) {
    let shift = 20u - 10u * level;
    for (var i = lid; i < quads(); i += 256u) {
      let w = bitcast<vec4<u32>>(quad(i));
      for (var j = 0u; j < 4u; j++) {
        if (w[j] != 0u && (w[j] >> (shift + 10u)) == (bits >> (shift + 10u))) {
          let b = (w[j] >> shift) & 1023u;
          let lower = w[j] & ((1u << shift) - 1u);
          atomicAdd(&local[b], 1u);
          atomicAdd(&local[1024u + b], lower >> 10u);
          atomicAdd(&local[2048u + b], lower & 1023u);
        }
      }
    }
  }
  workgroupBarrier();
}

// running[lid] = Σ own of threads 0 … lid, never falling, and not rising where own is 0
fn scan(own: f32, lid: u32) {
  workgroupBarrier();
  running[lid] = own;
  workgroupBarrier();
  var inner = 0.0;
  for (var i = lid & 240u; i <= lid; i++) { inner += running[i]; }
  if ((lid & 15u) == 15u) { sixteenth[lid >> 4u] = inner; }
  workgroupBarrier();
  var outer = 0.0;
  for (var i = 0u; i < (lid >> 4u); i++) { outer += sixteenth[i]; }
  running[lid] = outer + inner;
  workgroupBarrier();
}

fn before(lid: u32) -> f32 {
  if (lid == 0u) { return 0.0; }
  return running[lid - 1u];
}

// the first thread that is `over`; where rounding leaves none, the last that has anything
fn crossing(over: bool, any: bool, lid: u32) -> u32 {
  if (lid == 0u) {
    atomicStore(&first, 256u);
    atomicStore(&final_one, 0u);
  }
  workgroupBarrier();
  if (over && any) { atomicMin(&first, lid); }
  if (any) { atomicMax(&final_one, lid); }
  workgroupBarrier();
  let winner = atomicLoad(&first);
  return select(winner, atomicLoad(&final_one), winner == 256u);
}

// sampling.ts, random
fn pcg(v: u32) -> u32 {
  let state = v * 747796405u + 2891336453u;
  let word = ((state >> ((state >> 28u) + 4u)) ^ state) * 277803737u;
  return (word >> 22u) ^ word;
}

fn random(seed: u32, position: u32) -> f32 {
  return f32(pcg(pcg(seed) + position) >> 8u) / 16777216.0;
}
