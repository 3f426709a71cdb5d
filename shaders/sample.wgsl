// sample — top-k, top-p, min-p and the draw (src/backend/sampling.ts, steps 3 and 4); then the step advances
// weights [V] f32 · bins [3, 1024] (softmax_histogram) → tokens, counts, step, the next step's x
// one workgroup. Each filter is a radix select: it finds its cut (weight, id) ten bits of the weight at a time, from
// the highest down. The first ten bits, or min-p, usually leave few weights: these are listed, and later passes read
// only the list.
//
// Example: top-k 3 over the weights 1.0, 0.5, 0.5, 0.5, 0.25. The bits of a positive float have the order of its value.
//   level 0   bins of the bits 20 … 29: 1.0 → bin 1016 (count 1), 0.5 → 1008 (3), 0.25 → 1000 (1)
//             from the top the counts add up to 1, then 4 ≥ 3: the cut is in bin 1008, and above it is one weight
//   level 1   bins of the bits 10 … 19 of the weights in bin 1008: all in bin 0; level 2: the bits 0 … 9: all in bin 0
//   result    the cut's weight is 0.5; 3 − 1 = 2 of its three ties are kept, so the cut's id is that of the second 0.5
//
// Bound by: latency of the passes over the weights: one, or if too many are left for the list, two per filter and one
// for the draw more.
override V: u32;

@group(0) @binding(0) var<storage, read> weights: array<vec4<f32>>; // [⌈V/4⌉], 0 beyond V
@group(0) @binding(1) var<storage, read> bins: array<u32>;

var<workgroup> local: array<atomic<u32>, 3072>;
var<workgroup> running: array<f32, 256>;
var<workgroup> sixteenth: array<f32, 16>;
var<workgroup> first_over: atomic<u32>; // the first thread whose running sum is over the target
var<workgroup> last_nonzero: atomic<u32>; // the last thread with any weight
var<workgroup> cut_bin: u32;
var<workgroup> has_ties: u32;
var<workgroup> cut_id: u32;
// listed weights in order of id; there is no room for more in 16 KB
const LIST = 192u;
var<workgroup> list_weight: array<f32, LIST>; // no vectors: a thread that writes one component may write them all
var<workgroup> list_id: array<u32, LIST>;
var<workgroup> listed: u32; // the length of the list; 0: there is no list, and passes read all weights

// a filter keeps the weights above `weight`, and those equal to it up to id `last`
struct Cut {
  weight: f32,
  last: u32,
  sum: f32, // of the weights that are kept
}

@compute @workgroup_size(group_size) // 256
fn main(@builtin(local_invocation_index) lid: u32) {
  var cut = Cut(0.0, V, 0.0);
  let by_count = sampling.top_k > 0u && sampling.top_k < V;
  let by_sum = sampling.top_p < 1.0;
  if (!by_count && !by_sum && sampling.min_p > 0.0) { make_list(bitcast<u32>(sampling.min_p), lid); }
  // one call in a loop, because drivers inline every call
  for (var turn = 0u; turn < 2u; turn++) {
    let counting = turn == 0u;
    if (!select(by_sum, by_count, counting)) { continue; }
    let next = select_cut(counting, cut.sum, counting || !by_count, lid);
    if (next.weight > cut.weight || (next.weight == cut.weight && next.last < cut.last)) { cut = next; }
  }

  // the draw: each thread sums a range of ids; the thread in whose range the running sum exceeds the target finds the
  // id
  let run = run_of(lid);
  let begin = run.x;
  let end = run.y;
  var own = 0.0;
  for (var four = begin; four < end; four += 4u) {
    // four loads in flight
    var w = array<vec4<f32>, 4>();
    for (var n = 0u; n < 4u; n++) { w[n] = select(vec4<f32>(0.0), quad(min(four + n, end - 1u)), four + n < end); }
    for (var n = 0u; n < 16u; n++) { own += kept(w[n / 4u][n % 4u], id_of(4u * four + n), cut); }
  }
  scan(own, lid);
  let target_sum = random(sampling.seed, step.position + step.count) * running[255];
  let winner = crossing(running[lid] > target_sum, own > 0.0, lid);
  if (lid == winner) {
    var sum = before(lid);
    var id = 0u;
    for (var i = begin; i < end && sum <= target_sum; i++) {
      let four = quad(i);
      for (var j = 0u; j < 4u; j++) {
        let w = kept(four[j], id_of(4u * i + j), cut);
        if (w > 0.0 && sum <= target_sum) {
          id = id_of(4u * i + j);
          sum += w;
        }
      }
    }
    advance_step(id);
  }
  embed_next(workgroupUniformLoad(&drawn), lid);
}

// the number of quads of the list, or of all weights
fn quads() -> u32 { return select((V + 3u) / 4u, (listed + 3u) / 4u, listed > 0u); }

fn quad(i: u32) -> vec4<f32> {
  if (listed > 0u) {
    return vec4<f32>(list_weight[4u * i], list_weight[4u * i + 1u], list_weight[4u * i + 2u], list_weight[4u * i + 3u]);
  }
  return weights[i];
}

fn id_of(n: u32) -> u32 {
  if (listed > 0u) { return list_id[min(n, LIST - 1u)]; }
  return n;
}

// the range of quads of a thread: from x up to y
fn run_of(lid: u32) -> vec2<u32> {
  let all = quads();
  let run = (all + 255u) / 256u;
  return min(vec2<u32>(lid * run, (lid + 1u) * run), vec2<u32>(all));
}

// lists the weights whose bits are at least `least`, if there is room for all
fn make_list(least: u32, lid: u32) {
  let run = run_of(lid);
  var own = 0u;
  for (var four = run.x; four < run.y; four += 4u) {
    // four loads in flight
    var w = array<vec4<u32>, 4>();
    for (var n = 0u; n < 4u; n++) {
      w[n] = select(vec4<u32>(0u), bitcast<vec4<u32>>(weights[min(four + n, run.y - 1u)]), four + n < run.y);
    }
    for (var n = 0u; n < 4u; n++) {
      own += dot(vec4<u32>(1u), select(vec4<u32>(0u), vec4<u32>(1u), w[n] >= vec4<u32>(least)));
    }
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

// the cut after the fewest weights whose count, or sum, reaches the goal; if none does, after all of them
// sum: of the weights kept so far; 0 as long as no filter dropped any
fn select_cut(by_count: bool, sum: f32, list: bool, lid: u32) -> Cut {
  var goal = f32(sampling.top_k);
  var bits = 0u; // the bits of the cut's weight that are known
  var above = vec2<f32>(0.0); // count and sum of the weights above the cut's bin
  for (var level = 0u; level < 3u; level++) {
    let shift = 20u - 10u * level;
    fill_bins(level, bits, lid);
    // each thread takes four bins, from the highest down
    var amount = 0.0;
    for (var j = 0u; j < 4u; j++) { amount += measure(bin(1023u - 4u * lid - j, bits, shift), by_count); }
    scan(amount, lid);
    if (level == 0u && !by_count) { goal = sampling.top_p * select(running[255], sum, sum > 0.0); }
    let reached = measure(above, by_count);
    let winner = crossing(reached + running[lid] >= goal && amount > 0.0, amount > 0.0, lid);
    if (lid == winner) {
      var up_to = reached + before(lid);
      for (var j = 0u; j < 4u; j++) {
        let b = 1023u - 4u * lid - j;
        let p = measure(bin(b, bits, shift), by_count);
        if (p > 0.0) {
          cut_bin = b;
          up_to += p;
          if (up_to >= goal) { break; }
        }
      }
    }
    workgroupBarrier();
    var higher = vec2<f32>(0.0);
    for (var j = 0u; j < 4u; j++) {
      let b = 1023u - 4u * lid - j;
      if (b > cut_bin) { higher += bin(b, bits, shift); }
    }
    above += vec2<f32>(group_sum(higher.x, lid), group_sum(higher.y, lid));
    bits |= cut_bin << shift;
    if (list && level == 0u) { make_list(bits, lid); }
  }

  let weight = bitcast<f32>(bits);
  let ties = f32(atomicLoad(&local[bits & 1023u]));
  let keep = clamp(select(ceil((goal - above.y) / weight), goal - above.x, by_count), 1.0, max(ties, 1.0));
  return Cut(weight, last_tie(weight, keep, keep < ties, lid), above.y + keep * weight);
}

// the id of the n-th weight that equals `weight`; V if all of them are kept
fn last_tie(weight: f32, n: f32, drops_ties: bool, lid: u32) -> u32 {
  workgroupBarrier();
  if (lid == 0u) { has_ties = select(0u, 1u, drops_ties); }
  if (workgroupUniformLoad(&has_ties) == 0u) { return V; }
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
          cut_id = id_of(v);
          break;
        }
      }
    }
  }
  workgroupBarrier();
  return cut_id;
}

fn measure(count_and_sum: vec2<f32>, by_count: bool) -> f32 {
  return select(count_and_sum.y, count_and_sum.x, by_count);
}

// count and sum of the weights in bin b, whose bits begin with `bits` and b: sum = count · smallest + Σ lower bits ·
// unit
fn bin(b: u32, bits: u32, shift: u32) -> vec2<f32> {
  let least = bits | (b << shift);
  let number = f32(atomicLoad(&local[b]));
  let lower = f32(atomicLoad(&local[1024u + b])) * 1024.0 + f32(atomicLoad(&local[2048u + b]));
  let unit = bitcast<f32>(least + 1u) - bitcast<f32>(least);
  return vec2<f32>(number, select(0.0, number * bitcast<f32>(least) + lower * unit, number > 0.0));
}

// fills the bins of a level: level 0 from softmax_histogram, the others by a pass over the weights that begin with
// `bits`
fn fill_bins(level: u32, bits: u32, lid: u32) {
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

// running[lid] = Σ own of threads 0 … lid; it never decreases, and stays equal where own is 0
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

// the first thread that is `over`; if rounding leaves none, the last thread with any weight
fn crossing(over: bool, any: bool, lid: u32) -> u32 {
  if (lid == 0u) {
    atomicStore(&first_over, 256u);
    atomicStore(&last_nonzero, 0u);
  }
  workgroupBarrier();
  if (over && any) { atomicMin(&first_over, lid); }
  if (any) { atomicMax(&last_nonzero, lid); }
  workgroupBarrier();
  let winner = atomicLoad(&first_over);
  return select(winner, atomicLoad(&last_nonzero), winner == 256u);
}

// uniformRandom of sampling.ts
fn pcg(v: u32) -> u32 {
  let state = v * 747796405u + 2891336453u;
  let word = ((state >> ((state >> 28u) + 4u)) ^ state) * 277803737u;
  return (word >> 22u) ^ word;
}

fn random(seed: u32, position: u32) -> f32 {
  return f32(pcg(pcg(seed) + position) >> 8u) / 16777216.0;
}
