// select_experts — the `top` experts of each token with the largest p[e] + bias[e], p = sigmoid(scores[t]), the first
// ones of equals: their numbers, ascending, then their weights p, divided by their sum + 1e-6 if `normalise`, · scale
// scores [T, E], bias [E] f32 → chosen [T, 2·top] f32; if `sorts`, the tiles of lib/tile_experts, too
// one workgroup; an invocation for an expert of a token, then for an expert. Bound by: latency.
override E: u32; // at most 256
override top: u32;
override scale: f32;
override normalise: bool;
override biased: bool;
override sorts: bool;
override list_at: u32;

@group(0) @binding(0) var<storage, read> scores: array<f32>;
@group(0) @binding(1) var<storage, read> bias: array<f32>;
@group(0) @binding(2) var<storage, read_write> chosen: array<f32>;
@group(0) @binding(3) var<storage, read_write> sorted: array<u32>;

var<workgroup> p: array<f32, 256>;
var<workgroup> chances: array<f32, 256>;
var<workgroup> ranks: array<u32, 256>;
var<workgroup> counts: array<atomic<u32>, 256>; // entries of an expert, then where its next one goes

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) lid: u32) {
  let tokens = 256u / E; // at a time
  let e = lid % E;
  let row = lid - e;
  for (var base = 0u; base < count(); base += tokens) {
    let t = base + lid / E;
    let valid = lid < tokens * E && t < count();
    if (valid) {
      p[lid] = 1.0 / (1.0 + exp(-scores[t * E + e]));
      chances[lid] = p[lid];
      if (biased) { chances[lid] += bias[e]; }
    }
    workgroupBarrier();
    var rank = 0u;
    for (var o = 0u; o < E; o++) {
      let other = chances[row + o];
      rank += u32(other > chances[lid] || (other == chances[lid] && o < e));
    }
    ranks[lid] = rank;
    workgroupBarrier();
    // of numbers that are NaN more than `top` may have a rank below it
    var slot = 0u;
    var sum = 1e-6;
    for (var o = 0u; o < E; o++) {
      if (ranks[row + o] < top) {
        slot += u32(o < e);
        sum += p[row + o];
      }
    }
    if (valid && rank < top && slot < top) {
      chosen[2u * top * t + slot] = f32(e);
      chosen[2u * top * t + top + slot] = p[lid] / select(1.0, sum, normalise) * scale;
      atomicAdd(&counts[e], 1u);
    }
    workgroupBarrier();
  }
  if (!sorts) { return; }

  var first = 0u;
  var tile = 0u;
  for (var o = 0u; o < lid; o++) {
    let n = atomicLoad(&counts[o]);
    first += n;
    tile += (n + 63u) / 64u;
  }
  let own = atomicLoad(&counts[lid]);
  workgroupBarrier();
  atomicStore(&counts[lid], first);
  for (var i = 0u; i < own; i += 64u) {
    sorted[3u * tile + 1u] = lid;
    sorted[3u * tile + 2u] = first + i;
    sorted[3u * tile + 3u] = min(own - i, 64u);
    tile++;
  }
  if (lid == 255u) { sorted[0] = tile; }
  storageBarrier();
  workgroupBarrier();
  for (var i = lid; i < count() * top; i += 256u) {
    let expert = min(u32(chosen[i + i / top * top]), E - 1u); // of scores that are NaN some drivers choose none
    sorted[list_at + atomicAdd(&counts[expert], 1u)] = i;
  }
}
