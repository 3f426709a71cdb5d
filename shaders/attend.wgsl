// attend — one token: q, k ← rope(rmsnorm_head(q, k)); cache ← k, v; softmax(q·k / √d)·v over one span of positions
// qkv [(H + 2K)·d, then gates] f32
// q_norm, k_norm [d] f32 · rope table · keys, values [position, K, d] → y [H, d] f32; where the
// context needs several spans, y is [H, spans, d + 4] for attend_merge: sums that are not yet divided, then their
// divisor and their largest score one workgroup per span of SPAN positions and 4 query heads of one kv head. Scores: a
// thread per key; sums: d/8 threads per key.
// Bound by: bandwidth of the cache; dispatch latency for short contexts.
override H: u32;
override K: u32;
override d: u32; // at most 128, a multiple of 8
override spans: u32; // 1: y is the result
override SPAN: u32; // at most 512
override q_eps: f32; // negative: no norm
override k_eps: f32;
override gate = 0u; // gates at the end of qkv: H or 0

@group(0) @binding(0) var<storage, read> qkv: array<f32>;
@group(0) @binding(1) var<storage, read> q_norm: array<f32>;
@group(0) @binding(2) var<storage, read> k_norm: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

var<workgroup> q: array<vec4<f32>, 128>; // by dim, for the four heads
var<workgroup> k: array<f32, 128>;
var<workgroup> scores: array<vec4<f32>, 512>; // by key, for the four heads; later the partial sums, 4 per invocation

@compute @workgroup_size(group_size) // 128
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let G = H / K;
  let quads = (G + 3u) / 4u;
  let kv = group.x / quads;
  let first = kv * G + (group.x % quads) * 4u; // the first query head
  let heads = min(4u, (kv + 1u) * G - first);
  let span = group.y;
  let position = step.position;
  let first_of_span = (first_key(0u) / SPAN + span) * SPAN;
  let begin = max(first_of_span, first_key(0u));
  let end = min(first_of_span + SPAN, position + 1u);
  if (begin >= end) { return; }
  let half = d / 2u;

  // norm and RoPE of the four heads; the span that holds the new token appends its key and value
  var own = vec4<f32>(0.0);
  var own_k = 0.0;
  let i = lid;
  if (i < d) {
    own = q_raw(first, heads, i);
    own_k = qkv[(H + kv) * d + i];
  }
  let q_scale = select(inverseSqrt(group_sum4(own * own, lid) / f32(d) + q_eps), vec4<f32>(1.0), q_eps < 0.0);
  let k_scale = select(inverseSqrt(group_sum4(vec4<f32>(own_k * own_k), lid).x / f32(d) + k_eps), 1.0, k_eps < 0.0);
  if (i < d) {
    let other = select(i - half, i + half, i < half);
    let r = rope_at(position, select(i - half, i, i < half), half);
    let sine = select(r.y, -r.y, i < half);
    q[i] = q_scale * inverseSqrt(f32(d)) *
      (own * q_weight(i) * r.x + q_raw(first, heads, other) * q_weight(other) * sine);
    k[i] = k_scale * (own_k * k_weight(i) * r.x + qkv[(H + kv) * d + other] * k_weight(other) * sine);
  }
  workgroupBarrier();
  let units = d / 8u;
  if (end == position + 1u && lid < units) {
    let at = (position * K + kv) * units + lid;
    let v = (H + K + kv) * d + 8u * lid;
    let e = 8u * lid;
    store_key(at, Eight(vec4<f32>(k[e], k[e + 1u], k[e + 2u], k[e + 3u]),
      vec4<f32>(k[e + 4u], k[e + 5u], k[e + 6u], k[e + 7u])));
    store_value(at, Eight(
      vec4<f32>(qkv[v], qkv[v + 1u], qkv[v + 2u], qkv[v + 3u]),
      vec4<f32>(qkv[v + 4u], qkv[v + 5u], qkv[v + 6u], qkv[v + 7u]),
    ));
  }
  storageBarrier();

  // scores of this span
  var top = vec4<f32>(-3.4e38);
  for (var p = begin + lid; p < end; p += group_size) {
    var s = vec4<f32>(0.0);
    for (var u = 0u; u < units; u++) {
      let e = load_key((p * K + kv) * units + u);
      let at = 8u * u;
      s += e.a.x * q[at] + e.a.y * q[at + 1u] + e.a.z * q[at + 2u] + e.a.w * q[at + 3u];
      s += e.b.x * q[at + 4u] + e.b.y * q[at + 5u] + e.b.z * q[at + 6u] + e.b.w * q[at + 7u];
    }
    scores[p - begin] = s;
    top = max(top, s);
  }
  top = group_max4(top, lid);
  var total = vec4<f32>(0.0);
  for (var p = begin + lid; p < end; p += group_size) {
    let w = exp(scores[p - begin] - top);
    scores[p - begin] = w;
    total += w;
  }
  total = group_sum4(total, lid);

  // sums of values: thread (lane, slot) takes the dims 8·lane … 8·lane + 7 of every slots-th key
  let slots = group_size / units;
  let lane = lid % units;
  let slot = lid / units;
  var a0 = vec4<f32>(0.0);
  var a1 = vec4<f32>(0.0);
  var a2 = vec4<f32>(0.0);
  var a3 = vec4<f32>(0.0);
  var b0 = vec4<f32>(0.0);
  var b1 = vec4<f32>(0.0);
  var b2 = vec4<f32>(0.0);
  var b3 = vec4<f32>(0.0);
  if (slot < slots) {
    // with one or two heads there are registers for two keys at a time
    for (var p = begin + slot; p < end; p += select(1u, 2u, H / K <= 2u) * slots) {
      for (var j = 0u; j < select(1u, 2u, H / K <= 2u); j++) {
        let key = min(p + j * slots, end - 1u);
        let e = load_value((key * K + kv) * units + lane);
        let w = select(vec4<f32>(0.0), scores[key - begin], p + j * slots < end);
        a0 += w.x * e.a;
        b0 += w.x * e.b;
        a1 += w.y * e.a;
        b1 += w.y * e.b;
        if (H / K > 2u) {
          a2 += w.z * e.a;
          b2 += w.z * e.b;
          a3 += w.w * e.a;
          b3 += w.w * e.b;
        }
      }
    }
  }
  // two heads at a time: slots · units · 2 heads · 2 vec4 ≤ 512
  workgroupBarrier();
  if (slot < slots) { store_partial(slot * units + lane, a0, b0, a1, b1); }
  workgroupBarrier();
  write_heads(first, min(heads, 2u), span, total.xy, top.xy, lid, slots);
  workgroupBarrier();
  if (slot < slots) { store_partial(slot * units + lane, a2, b2, a3, b3); }
  workgroupBarrier();
  if (heads > 2u) { write_heads(first + 2u, heads - 2u, span, total.zw, top.zw, lid, slots); }
}

fn q_weight(i: u32) -> f32 { return select(q_norm[i], 1.0, q_eps < 0.0); }
fn k_weight(i: u32) -> f32 { return select(k_norm[i], 1.0, k_eps < 0.0); }

fn q_raw(first: u32, heads: u32, i: u32) -> vec4<f32> {
  var x = vec4<f32>(qkv[first * d + i], 0.0, 0.0, 0.0);
  if (heads > 1u) { x.y = qkv[(first + 1u) * d + i]; }
  if (heads > 2u) { x.z = qkv[(first + 2u) * d + i]; }
  if (heads > 3u) { x.w = qkv[(first + 3u) * d + i]; }
  return x;
}

fn store_partial(at: u32, a0: vec4<f32>, b0: vec4<f32>, a1: vec4<f32>, b1: vec4<f32>) {
  scores[4u * at] = a0;
  scores[4u * at + 1u] = b0;
  scores[4u * at + 2u] = a1;
  scores[4u * at + 3u] = b1;
}

// adds the partial sums of all slots for two heads and writes them; a thread per head and four dims
fn write_heads(first: u32, heads: u32, span: u32, total: vec2<f32>, top: vec2<f32>, lid: u32, slots: u32) {
  let quads = d / 4u;
  for (var n = lid; n < heads * quads; n += group_size) {
    let h = n / quads;
    let quad = n % quads;
    var sum = vec4<f32>(0.0);
    for (var s = 0u; s < slots; s++) { sum += scores[4u * (s * (d / 8u) + quad / 2u) + 2u * h + quad % 2u]; }
    let l = total[h];
    if (gate > 0u) { sum /= 1.0 + exp(-qkv[(H + 2u * K) * d + first + h]); }
    if (spans == 1u) {
      sum /= l;
      let at = (first + h) * d + 4u * quad;
      y[at] = sum.x;
      y[at + 1u] = sum.y;
      y[at + 2u] = sum.z;
      y[at + 3u] = sum.w;
    } else {
      let at = ((first + h) * spans + span) * (d + 4u) + 4u * quad;
      y[at] = sum.x;
      y[at + 1u] = sum.y;
      y[at + 2u] = sum.z;
      y[at + 3u] = sum.w;
      if (quad == 0u) {
        y[at + d] = l;
        y[at + d + 1u] = top[h];
      }
    }
  }
}
