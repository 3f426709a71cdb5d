// rope_append — q, k ← rope(rmsnorm_head(q, k), position + t); k, v → cache at position + t
// qkv [T, (H + 2K)·d, then gates] f32, q is replaced in place
// q_norm, k_norm [d] f32 · rope table → keys, values [position, K, d]
// one workgroup per token and head of q, k, v; a thread holds the pair (i, i + d/2). Bound by: dispatch latency.
override H: u32;
override K: u32;
override d: u32; // at most 256, a multiple of 8
override q_eps: f32; // negative: no norm
override k_eps: f32;
override gate = 0u; // gates at the end of a row: H or 0

@group(0) @binding(0) var<storage, read_write> qkv: array<f32>;
@group(0) @binding(1) var<storage, read> q_norm: array<f32>;
@group(0) @binding(2) var<storage, read> k_norm: array<f32>;

var<workgroup> head: array<f32, 256>;

@compute @workgroup_size(group_size)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let h = group.x;
  let t = group.y;
  if (t >= step.count) { return; }
  let position = step.position + t;
  let half = d / 2u;
  let base = (t * (H + 2u * K) + h) * d + t * gate;
  let is_value = h >= H + K;

  var squares = 0.0;
  for (var i = lid; i < d; i += group_size) { squares += qkv[base + i] * qkv[base + i]; }
  let mean = group_sum(squares, lid) / f32(d);
  let eps = select(k_eps, q_eps, h < H);
  let scale = inverseSqrt(mean + eps);

  for (var i = lid; i < half; i += group_size) {
    var a = qkv[base + i];
    var b = qkv[base + i + half];
    if (!is_value) {
      if (eps >= 0.0) {
        a *= scale * select(k_norm[i], q_norm[i], h < H);
        b *= scale * select(k_norm[i + half], q_norm[i + half], h < H);
      }
      let r = rope_at(position, i, half);
      let rotated = a * r.x - b * r.y;
      b = b * r.x + a * r.y;
      a = rotated;
    }
    head[i] = a;
    head[i + half] = b;
  }
  workgroupBarrier();

  if (h < H) {
    for (var i = lid; i < d; i += group_size) { qkv[base + i] = head[i]; }
    return;
  }
  for (var i = lid; i < d / 8u; i += group_size) {
    let e = Eight(
      vec4<f32>(head[8u * i], head[8u * i + 1u], head[8u * i + 2u], head[8u * i + 3u]),
      vec4<f32>(head[8u * i + 4u], head[8u * i + 5u], head[8u * i + 6u], head[8u * i + 7u]),
    );
    if (is_value) {
      store_value((position * K + h - H - K) * (d / 8u) + i, e);
    } else {
      store_key((position * K + h - H) * (d / 8u) + i, e);
    }
  }
}
